//! A table whose keys carry slot and generation, so that what comes back from the wire finds its
//! entry without hashing, and a stale key finds nothing.

/// Key into [`Slots`]: which slot, and which of its tenants.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

impl Id {
    /// Sixteen hexadecimal digits, as written in branches and tags.
    pub(crate) fn append_to(self, text: &mut String) {
        for word in [self.slot, self.generation] {
            for shift in (0..8).rev() {
                let digit = (word >> (shift * 4)) & 0xf;
                text.push(char::from_digit(digit, 16).expect("four bits are one digit"));
            }
        }
    }

    /// Reads what [`Id::append_to`] wrote at the start of `text`.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let word = |digits: &[u8]| {
            digits.iter().try_fold(0u32, |word, &byte| {
                Some(word << 4 | char::from(byte).to_digit(16)?)
            })
        };
        Some(Self {
            slot: word(text.get(..8)?)?,
            generation: word(text.get(8..16)?)?,
        })
    }
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

/// The table. Freed slots are used again, last freed first, so memory follows the peak.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    bound: usize,
}

impl<T> Slots<T> {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            bound,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.bound
    }

    /// The key that the next [`Slots::insert`] will use; `None` when full.
    pub(crate) fn next_id(&self) -> Option<Id> {
        if self.is_full() {
            return None;
        }
        Some(match self.free.last() {
            Some(&slot) => Id {
                slot,
                generation: self.entries[slot as usize].generation,
            },
            None => Id {
                slot: u32::try_from(self.entries.len()).ok()?,
                generation: 0,
            },
        })
    }

    /// Stores `value`; `None` when full.
    pub(crate) fn insert(&mut self, value: T) -> Option<Id> {
        let id = self.next_id()?;
        match self.free.pop() {
            Some(slot) => self.entries[slot as usize].value = Some(value),
            None => self.entries.push(Entry {
                generation: 0,
                value: Some(value),
            }),
        }
        Some(id)
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        let entry = self.entries.get(id.slot as usize)?;
        (entry.generation == id.generation).then_some(entry.value.as_ref()?)
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        entry.value.as_mut()
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(value)
    }

    /// Every entry in the order of slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        (0u32..).zip(&self.entries).filter_map(|(slot, entry)| {
            let generation = entry.generation;
            Some((Id { slot, generation }, entry.value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_keys_find_nothing_and_the_bound_holds() {
        let mut slots = Slots::new(2);
        let a = slots.insert('a').expect("room");
        let b = slots.insert('b').expect("room");
        assert_eq!(slots.insert('c'), None);
        assert_eq!(slots.remove(a), Some('a'));
        assert_eq!(slots.next_id().map(|id| id.slot), Some(a.slot));
        let c = slots.insert('c').expect("room");
        assert_eq!((slots.get(a), slots.get(c)), (None, Some(&'c')));
        assert_eq!(slots.get(b), Some(&'b'));
        assert_eq!(slots.len(), 2);
    }

    #[test]
    fn ids_survive_the_wire() {
        let id = Id {
            slot: 0x1f,
            generation: u32::MAX,
        };
        let mut text = String::new();
        id.append_to(&mut text);
        assert_eq!(text, "0000001fffffffff");
        assert_eq!(Id::read(text.as_bytes()), Some(id));
        assert_eq!(Id::read(b"0000001fffffffg0"), None);
        assert_eq!(Id::read(b"short"), None);
    }
}
