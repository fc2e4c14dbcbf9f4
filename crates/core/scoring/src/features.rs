//! What a model sees of one lead.

/// Features of one lead at most; what is beyond is left out.
pub const FEATURES: usize = 64;

/// Places of a model's table, as a power of two.
pub(crate) const BITS: u32 = 16;

/// One lead as a model sees it: places of the table, each for a field and its value. The first is
/// the same for all leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    places: [u16; FEATURES],
    len: usize,
}

impl Default for Features {
    fn default() -> Self {
        Self::new()
    }
}

impl Features {
    /// Only what all leads have in common.
    pub const fn new() -> Self {
        Self {
            places: [0; FEATURES],
            len: 1,
        }
    }

    /// A field whose values are words: a trunk's country, the result of the last attempt.
    pub fn word(&mut self, name: &str, value: &str) {
        self.add(&[name.as_bytes(), b"=", value.as_bytes()]);
    }

    /// A field whose values are numbers, by the step of `edges` (ascending) that it lies on.
    pub fn number(&mut self, name: &str, value: f64, edges: &[f64]) {
        let step = edges.partition_point(|edge| *edge < value);
        let digit = |unit: usize| b'0' + (step / unit % 10) as u8;
        let step = [digit(100), digit(10), digit(1)];
        self.add(&[name.as_bytes(), b"#", &step]);
    }

    /// That two features come together, by their places in the order in which they were added, the
    /// first of all being 0. Nothing where there is no such feature.
    pub fn together(&mut self, first: usize, second: usize) {
        let (Some(a), Some(b)) = (self.places().get(first), self.places().get(second)) else {
            return;
        };
        let both = (u64::from(*a) << 16 | u64::from(*b)) + (1 << 32);
        self.put(spread(both));
    }

    /// The places, in the order in which features were added; the first is what all have in common.
    pub fn places(&self) -> &[u16] {
        &self.places[..self.len]
    }

    fn add(&mut self, parts: &[&[u8]]) {
        // FNV-1a, 64 bits.
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for byte in parts.iter().copied().flatten() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.put(spread(hash));
    }

    fn put(&mut self, place: u16) {
        if let Some(free) = self.places.get_mut(self.len) {
            *free = place;
            self.len += 1;
        }
    }
}

/// A place of the table, never the first.
fn spread(hash: u64) -> u16 {
    let mixed = (hash ^ hash >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> (64 - BITS)) as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_have_places_of_their_own() {
        let mut lead = Features::new();
        lead.word("hour", "9");
        lead.word("hour", "10");
        lead.word("day", "9");
        lead.number("tries", 2.0, &[0.0, 1.0, 3.0]);
        lead.number("tries", 3.5, &[0.0, 1.0, 3.0]);
        lead.together(1, 3);
        let mut places = lead.places().to_vec();
        assert_eq!(places.len(), 7);
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 7);
    }

    #[test]
    fn steps_hold_their_upper_edge() {
        let step = |value| {
            let mut lead = Features::new();
            lead.number("n", value, &[0.0, 10.0]);
            lead
        };
        assert_eq!(step(-5.0), step(0.0));
        assert_eq!(step(0.1), step(10.0));
        assert_ne!(step(10.0), step(10.1));
    }

    #[test]
    fn what_is_beyond_the_bound_is_left_out() {
        let mut lead = Features::new();
        for n in 0..2 * FEATURES {
            lead.word("field", &n.to_string());
        }
        assert_eq!(lead.places().len(), FEATURES);
        lead.together(FEATURES, 0);
        assert_eq!(lead.places().len(), FEATURES);
    }
}
