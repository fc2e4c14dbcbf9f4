//! An ordered map whose clones share their entries, so that millions of them can be kept as they are
//! now while changes go on.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use std::{
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    mem,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

/// Entries of a chunk at most: a change after a clone copies so many at once.
const CHUNK: usize = 128;

/// Entries in the order of their keys.
///
/// They lie in sorted chunks behind counted pointers. A clone costs a pointer for each chunk, so a
/// hundredth of what a [`BTreeMap`]'s costs; a change afterwards copies its chunk once. Equal
/// entries are equal maps however they came to be in their chunks, and are encoded as a
/// [`BTreeMap`] of them is.
#[derive(Clone)]
pub struct SharedMap<K, V> {
    /// By a key that is at most their first; none is empty. The first chunk takes smaller keys too.
    chunks: BTreeMap<K, Arc<Vec<(K, V)>>>,
    len: usize,
}

/// Keys alone. Encoded as a [`std::collections::BTreeSet`] of them is, where units take no bytes.
pub type SharedSet<K> = SharedMap<K, ()>;

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self {
            chunks: BTreeMap::new(),
            len: 0,
        }
    }
}

impl<K, V> SharedMap<K, V> {
    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every entry, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        (self.chunks.values().flat_map(|chunk| chunk.iter())).map(|(key, value)| (key, value))
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Every value, in the order of the keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// The chunk where a key is, if it is anywhere.
    fn chunk_of(&self, key: &K) -> Option<&Vec<(K, V)>> {
        let (_, chunk) = self.chunks.range(..=key).next_back()?;
        Some(chunk)
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let chunk = self.chunk_of(key)?;
        let place = chunk.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        Some(&chunk[place].1)
    }

    /// Whether a key is there.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The entry of the least key.
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// The entries of a range of keys, by key.
    pub fn range<R: RangeBounds<K> + Clone>(
        &self,
        range: R,
    ) -> impl Iterator<Item = (&K, &V)> + use<'_, K, V, R> {
        let from = match range.start_bound() {
            Bound::Included(key) | Bound::Excluded(key) => self.chunks.range(..=key).next_back(),
            Bound::Unbounded => None,
        };
        let chunks = match from {
            Some((first, _)) => self.chunks.range(first..),
            None => self.chunks.range::<K, _>(..),
        };
        let before = move |range: &R, key: &K| match range.start_bound() {
            Bound::Included(start) => key < start,
            Bound::Excluded(start) => key <= start,
            Bound::Unbounded => false,
        };
        let mut first = true;
        let bounds = range.clone();
        chunks
            .flat_map(move |(_, chunk)| {
                // Only the first may hold keys that lie before the range.
                let skip = match mem::take(&mut first) {
                    true => chunk.partition_point(|(key, _)| before(&bounds, key)),
                    false => 0,
                };
                chunk[skip..].iter()
            })
            .take_while(move |(key, _)| match range.end_bound() {
                Bound::Included(end) => key <= end,
                Bound::Excluded(end) => key < end,
                Bound::Unbounded => true,
            })
            .map(|(key, value)| (key, value))
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Gives a key a value; the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some((_, chunk)) = self.chunks.range_mut(..=&key).next_back() else {
            self.insert_first(key, value);
            return None;
        };
        let chunk = Arc::make_mut(chunk);
        let place = match chunk.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(place) => return Some(mem::replace(&mut chunk[place].1, value)),
            Err(place) => place,
        };
        chunk.insert(place, (key, value));
        self.len += 1;
        if chunk.len() > CHUNK {
            // What comes in order leaves whole chunks behind.
            let at = match place + 1 == chunk.len() {
                true => CHUNK,
                false => CHUNK / 2,
            };
            let later = chunk.split_off(at);
            self.chunks.insert(later[0].0.clone(), Arc::new(later));
        }
        None
    }

    /// A key below all others: the first chunk takes it, under a smaller name.
    fn insert_first(&mut self, key: K, value: V) {
        self.len += 1;
        let roomy = (self.chunks.first_entry()).filter(|first| first.get().len() < CHUNK);
        let chunk = match roomy {
            Some(first) => {
                let mut chunk = first.remove();
                Arc::make_mut(&mut chunk).insert(0, (key.clone(), value));
                chunk
            }
            None => Arc::new(vec![(key.clone(), value)]),
        };
        self.chunks.insert(key, chunk);
    }

    /// Takes a key away; the value that it had.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (name, chunk) = self.chunks.range_mut(..=key).next_back()?;
        let place = chunk.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        let name = name.clone();
        let chunk = Arc::make_mut(chunk);
        let (_, value) = chunk.remove(place);
        self.len -= 1;
        if chunk.len() < CHUNK / 4 {
            self.join(&name);
        }
        Some(value)
    }

    /// Joins a chunk that has become small with the one before it where both fit into one, so that
    /// no trail of small chunks stays behind.
    fn join(&mut self, name: &K) {
        let Some(small) = self.chunks.remove(name) else {
            return;
        };
        if small.is_empty() {
            return;
        }
        match self.chunks.range_mut(..name).next_back() {
            Some((_, before)) if before.len() + small.len() <= CHUNK / 2 => {
                Arc::make_mut(before).extend(small.iter().cloned());
            }
            _ => {
                self.chunks.insert(name.clone(), small);
            }
        }
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for SharedMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Serialize, V: Serialize> Serialize for SharedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K: Ord + Clone + Deserialize<'de>, V: Clone + Deserialize<'de>> Deserialize<'de>
    for SharedMap<K, V>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);

        impl<'de, K, V> Visitor<'de> for Entries<K, V>
        where
            K: Ord + Clone + Deserialize<'de>,
            V: Clone + Deserialize<'de>,
        {
            type Value = SharedMap<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("values by key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = SharedMap::default();
                while let Some((key, value)) = map.next_entry()? {
                    entries.insert(key, value);
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::collections::BTreeSet;

    fn chunks_are_sound(map: &SharedMap<u16, u32>) {
        let sizes = map.chunks.values().map(|chunk| chunk.len());
        assert!(sizes.clone().all(|size| (1..=CHUNK).contains(&size)));
        assert_eq!(sizes.sum::<usize>(), map.len());
        for (name, chunk) in &map.chunks {
            assert!(
                *name <= chunk[0].0,
                "{name} is not at most its chunk's keys"
            );
        }
        assert!(map.keys().is_sorted_by(|a, b| a < b));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u16, u32),
        Take(u16),
        Run(u16, u16, bool),
        Keep,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..2_000_u16, any::<u32>()).prop_map(|(key, value)| Step::Put(key, value)),
            6 => (0..2_000_u16).prop_map(Step::Take),
            1 => (0..2_000_u16, 0..800_u16, any::<bool>()).prop_map(|(from, n, up)| Step::Run(from, n, up)),
            1 => Just(Step::Keep),
        ];
        vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn it_is_what_a_plain_map_is(steps in steps(), from in 0..2_800_u16, to in 0..2_800_u16) {
            let (mut plain, mut shared) = (BTreeMap::new(), SharedMap::default());
            let mut kept = Vec::new();
            for step in steps {
                match step {
                    Step::Put(key, value) => prop_assert_eq!(shared.insert(key, value), plain.insert(key, value)),
                    Step::Take(key) => prop_assert_eq!(shared.remove(&key), plain.remove(&key)),
                    Step::Run(first, n, true) => for key in first..first + n {
                        prop_assert_eq!(shared.insert(key, 1), plain.insert(key, 1));
                    },
                    Step::Run(first, n, false) => for key in (first..first + n).rev() {
                        prop_assert_eq!(shared.remove(&key), plain.remove(&key));
                    },
                    Step::Keep => kept.push((plain.clone(), shared.clone())),
                }
                chunks_are_sound(&shared);
            }
            kept.push((plain.clone(), shared));
            let (from, to) = (from.min(to), from.max(to));
            for (plain, shared) in &kept {
                prop_assert!(shared.iter().eq(plain.iter()), "a clone saw what came later");
                prop_assert!(shared.range(from..to).eq(plain.range(from..to)));
                let after = (Bound::Excluded(from), Bound::Included(to));
                if from < to {
                    prop_assert!(shared.range(after).eq(plain.range(after)));
                }
                prop_assert!(shared.range(from..).eq(plain.range(from..)));
                prop_assert!((from..to).all(|key| shared.get(&key) == plain.get(&key)));
                let bytes = postcard::to_stdvec(shared).unwrap();
                prop_assert_eq!(&bytes, &postcard::to_stdvec(plain).unwrap());
                let read: SharedMap<u16, u32> = postcard::from_bytes(&bytes).unwrap();
                prop_assert_eq!(&read, shared);
                prop_assert_eq!(read.first_key_value(), plain.first_key_value());
            }
        }
    }

    #[test]
    fn chunks_are_shared_until_they_change() {
        let mut map: SharedMap<usize, usize> = (0..3 * CHUNK).map(|n| (n, n)).collect();
        let kept = map.clone();
        let shared = |a: &SharedMap<usize, usize>, b: &SharedMap<usize, usize>| {
            let pairs = a.chunks.values().zip(b.chunks.values());
            pairs.filter(|(a, b)| Arc::ptr_eq(a, b)).count()
        };
        assert_eq!(
            (map.chunks.len(), shared(&map, &kept)),
            (3, 3),
            "in order: whole chunks"
        );
        map.insert(CHUNK, 0);
        assert_eq!(shared(&map, &kept), 2, "only what was touched is copied");
        assert_eq!(
            (map.get(&CHUNK), kept.get(&CHUNK)),
            (Some(&0), Some(&CHUNK))
        );
    }

    #[test]
    fn keys_alone_are_encoded_as_a_set() {
        let keys = (0..1_000_u32).map(|n| n * 31 % 1_009);
        let set: SharedSet<u32> = keys.clone().map(|key| (key, ())).collect();
        let plain: BTreeSet<u32> = keys.collect();
        assert_eq!(
            postcard::to_stdvec(&set).unwrap(),
            postcard::to_stdvec(&plain).unwrap()
        );
    }

    #[test]
    fn few_chunks_stay_when_most_entries_go() {
        let mut map: SharedMap<u32, ()> = (0..100_000).map(|n| (n, ())).collect();
        for key in (0..100_000).filter(|key| key % 100 != 0) {
            map.remove(&key);
        }
        assert_eq!(map.len(), 1_000);
        assert!(
            map.chunks.len() <= 1_000 / (CHUNK / 8),
            "{} chunks",
            map.chunks.len()
        );
    }
}
