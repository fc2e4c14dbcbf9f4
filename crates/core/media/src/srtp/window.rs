//! Which packets of a stream came: the full index guessed from the 16 bits that a packet has of it
//! (RFC 3711 section 3.3.1), and whether it was seen before (section 3.3.2).

/// How far back an index may lie behind the highest one.
const BACK: u64 = 128;

/// The last 128 indices of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    highest: u64,
    /// Bit 0 is `highest`.
    seen: u128,
}

impl Window {
    /// A stream's first packet came.
    pub(super) fn beginning(index: u64) -> Self {
        Self {
            highest: index,
            seen: 1,
        }
    }

    /// The highest index so far.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// The index nearest to the highest one that ends in `sequence`; none before the stream's beginning.
    pub(super) fn guess(&self, sequence: u16) -> Option<u64> {
        let (rollovers, last) = (self.highest >> 16, self.highest as u16);
        let rollovers = if last < 0x8000 && sequence.saturating_sub(last) > 0x8000 {
            rollovers.checked_sub(1)?
        } else if last >= 0x8000 && last - 0x8000 > sequence {
            rollovers + 1
        } else {
            rollovers
        };
        Some(rollovers << 16 | u64::from(sequence))
    }

    /// Whether an index is new and not too far back to tell.
    pub(super) fn takes(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(back) => back < BACK && self.seen >> back & 1 == 0,
        }
    }

    /// An authentic packet came.
    pub(super) fn note(&mut self, index: u64) {
        match self.highest.checked_sub(index) {
            None => {
                let ahead = index - self.highest;
                let kept = if ahead < BACK { self.seen << ahead } else { 0 };
                (self.highest, self.seen) = (index, kept | 1);
            }
            Some(back) if back < BACK => self.seen |= 1 << back,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_guess_is_the_nearest_index() {
        for (highest, sequence, index) in [
            (5, 6, Some(6)),
            (5, 0xffff, None),
            (0xffff, 0, Some(0x1_0000)),
            (0x1_0000, 0xffff, Some(0xffff)),
            (0x1_7fff, 0xffff, Some(0x1_ffff)),
            (0x1_7ffe, 0xffff, Some(0xffff)),
            (0x1_8000, 0, Some(0x1_0000)),
            (0x1_8001, 0, Some(0x2_0000)),
            (0x5_fff0, 0x0010, Some(0x6_0010)),
        ] {
            let window = Window::beginning(highest);
            assert_eq!(window.guess(sequence), index, "{highest:x} {sequence:x}");
        }
    }

    #[test]
    fn the_window_ends_at_128() {
        let mut window = Window::beginning(1_000);
        assert!(!window.takes(1_000));
        assert!(window.takes(1_000 - 127) && !window.takes(1_000 - 128));
        window.note(1_000 + 127);
        assert!(!window.takes(1_000) && window.takes(1_001));
        window.note(1_000 + 128);
        assert!(!window.takes(1_000), "too far back to tell");
        window.note(10_000);
        assert!(window.takes(9_999) && !window.takes(10_000));
    }

    proptest! {
        #[test]
        fn nothing_is_taken_twice(steps in prop::collection::vec(-140_i64..200, 1..300)) {
            let mut window = Window::beginning(70_000);
            let mut taken = BTreeSet::from([70_000]);
            for step in steps {
                let index = window.highest().saturating_add_signed(step);
                // What lies near is guessed right.
                prop_assert_eq!(window.guess(index as u16), Some(index));
                if window.takes(index) {
                    prop_assert!(taken.insert(index));
                    window.note(index);
                } else {
                    prop_assert!(taken.contains(&index) || window.highest() - index >= BACK);
                }
            }
        }
    }
}
