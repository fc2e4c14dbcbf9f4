//! Large tables whose clones share their rows, so that a snapshot can be written while they change.
//!
//! Rows lie in chunks behind counted pointers. A clone costs a pointer for each chunk; a change
//! afterwards copies its chunk once. Encoded, a [`Table`] is a sequence and a [`Sparse`] a map, as if
//! there were no chunks.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};
use std::{
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    ops::{Index, IndexMut},
    sync::Arc,
};

/// Rows of a chunk: some 10 KiB are copied at the first change after a clone.
const CHUNK: usize = 256;

/// Rows by their place, added at the end.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    /// All whole but the last.
    chunks: Vec<Arc<Vec<T>>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Table<T> {
    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, |chunk| chunk.len());
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    /// The row at a place.
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    /// All rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

impl<T: Clone> Table<T> {
    /// Adds a row.
    pub(crate) fn push(&mut self, row: T) {
        match self.chunks.last_mut().filter(|last| last.len() < CHUNK) {
            Some(last) => Arc::make_mut(last).push(row),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(row);
                self.chunks.push(Arc::new(chunk));
            }
        }
    }
}

impl<T> Index<usize> for Table<T> {
    type Output = T;

    #[inline]
    fn index(&self, place: usize) -> &T {
        &self.chunks[place / CHUNK][place % CHUNK]
    }
}

impl<T: Clone> IndexMut<usize> for Table<T> {
    #[inline]
    fn index_mut(&mut self, place: usize) -> &mut T {
        &mut Arc::make_mut(&mut self.chunks[place / CHUNK])[place % CHUNK]
    }
}

impl<T: PartialEq> PartialEq for Table<T> {
    fn eq(&self, other: &Self) -> bool {
        self.chunks == other.chunks
    }
}

impl<T: Eq> Eq for Table<T> {}

impl<T: Serialize> Serialize for Table<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.len()))?;
        for row in self.iter() {
            rows.serialize_element(row)?;
        }
        rows.end()
    }
}

impl<'de, T: Clone + Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows<T>(PhantomData<T>);

        impl<'de, T: Clone + Deserialize<'de>> Visitor<'de> for Rows<T> {
            type Value = Table<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Table<T>, A::Error> {
                let mut table = Table::default();
                while let Some(row) = rows.next_element()? {
                    table.push(row);
                }
                Ok(table)
            }
        }

        deserializer.deserialize_seq(Rows(PhantomData))
    }
}

/// Values of some places.
#[derive(Clone, Debug)]
pub(crate) struct Sparse<T> {
    /// By the number of the chunk; none is empty.
    chunks: BTreeMap<u32, Arc<BTreeMap<u32, T>>>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self {
            chunks: BTreeMap::new(),
        }
    }
}

impl<T> Sparse<T> {
    /// The value of a place.
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        self.chunks.get(&(place / CHUNK as u32))?.get(&place)
    }

    fn len(&self) -> usize {
        self.chunks.values().map(|chunk| chunk.len()).sum()
    }
}

impl<T: Clone> Sparse<T> {
    /// Gives a place a value.
    pub(crate) fn insert(&mut self, place: u32, value: T) {
        let chunk = self.chunks.entry(place / CHUNK as u32).or_default();
        Arc::make_mut(chunk).insert(place, value);
    }

    /// Takes a place's value away.
    pub(crate) fn remove(&mut self, place: u32) {
        let at = place / CHUNK as u32;
        if let Some(chunk) = self.chunks.get_mut(&at) {
            let chunk = Arc::make_mut(chunk);
            chunk.remove(&place);
            if chunk.is_empty() {
                self.chunks.remove(&at);
            }
        }
    }
}

impl<T: PartialEq> PartialEq for Sparse<T> {
    fn eq(&self, other: &Self) -> bool {
        self.chunks == other.chunks
    }
}

impl<T: Eq> Eq for Sparse<T> {}

impl<T: Serialize> Serialize for Sparse<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (place, value) in self.chunks.values().flat_map(|chunk| chunk.iter()) {
            map.serialize_entry(place, value)?;
        }
        map.end()
    }
}

impl<'de, T: Clone + Deserialize<'de>> Deserialize<'de> for Sparse<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values<T>(PhantomData<T>);

        impl<'de, T: Clone + Deserialize<'de>> Visitor<'de> for Values<T> {
            type Value = Sparse<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("values by place")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sparse<T>, A::Error> {
                let mut values = Sparse::default();
                while let Some((place, value)) = map.next_entry()? {
                    values.insert(place, value);
                }
                Ok(values)
            }
        }

        deserializer.deserialize_map(Values(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_encoded_as_a_vector() {
        for rows in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let plain: Vec<u32> = (0..rows as u32).map(|n| n * 7).collect();
            let mut table = Table::default();
            plain.iter().for_each(|row| table.push(*row));
            assert_eq!(table.len(), rows);
            let bytes = postcard::to_stdvec(&table).unwrap();
            assert_eq!(bytes, postcard::to_stdvec(&plain).unwrap());
            let read: Table<u32> = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(read, table);
            assert!(table.iter().eq(&plain));
            assert_eq!(table.get(rows), None);
        }
    }

    #[test]
    fn a_clone_does_not_see_what_comes_later() {
        let mut table = Table::default();
        (0..2 * CHUNK + 5).for_each(|row| table.push(row));
        let kept = table.clone();
        let shared = |a: &Table<usize>, b: &Table<usize>| {
            let chunks = a.chunks.iter().zip(&b.chunks);
            chunks.filter(|(a, b)| Arc::ptr_eq(a, b)).count()
        };
        assert_eq!(shared(&table, &kept), 3);
        table[CHUNK] = 0;
        table.push(9);
        assert_eq!(shared(&table, &kept), 1, "only what was touched is copied");
        assert_eq!((kept[CHUNK], kept.len()), (CHUNK, 2 * CHUNK + 5));
        assert_eq!((table[CHUNK], table.len()), (0, 2 * CHUNK + 6));
        assert!(table != kept);
    }

    #[test]
    fn sparse_values_are_encoded_as_a_map() {
        let mut plain = BTreeMap::new();
        let mut sparse = Sparse::default();
        for place in (0..5_000_u32).step_by(37) {
            plain.insert(place, place.to_string());
            sparse.insert(place, place.to_string());
        }
        let kept = sparse.clone();
        for place in (0..5_000_u32).step_by(74) {
            plain.remove(&place);
            sparse.remove(place);
        }
        sparse.remove(1);
        let bytes = postcard::to_stdvec(&sparse).unwrap();
        assert_eq!(bytes, postcard::to_stdvec(&plain).unwrap());
        assert_eq!(
            postcard::from_bytes::<Sparse<String>>(&bytes).unwrap(),
            sparse
        );
        assert_eq!(sparse.get(74), None);
        assert_eq!(kept.get(74).map(String::as_str), Some("74"));
        assert_eq!(sparse.get(37), kept.get(37));
        plain.keys().for_each(|place| sparse.remove(*place));
        assert_eq!(sparse, Sparse::default(), "no empty chunk stays");
    }
}
