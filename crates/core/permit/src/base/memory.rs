//! A base in memory, for those without a disk: simulations, tests, small lists.

use super::{BaseAbout, BaseEncoder, BaseError, BaseLayout, BaseLookup, BaseReader, EncodeError};
use domain::{DncBaseId, PhoneNumber, WallTime};
use std::collections::BTreeSet;

/// A base that owns its bytes.
#[derive(Clone, Debug)]
pub struct MemoryBase {
    bytes: Vec<u8>,
    layout: BaseLayout,
}

impl MemoryBase {
    /// Takes the bytes of a base file. Checks no more than [`BaseReader::open`] does.
    ///
    /// # Errors
    /// [`BaseError`] when they are no whole base.
    pub fn new(bytes: Vec<u8>) -> Result<Self, BaseError> {
        let (layout, _) = BaseReader::open(&bytes)?;
        Ok(Self { bytes, layout })
    }

    /// A base of these numbers.
    ///
    /// # Errors
    /// [`EncodeError`] when they do not fit one.
    pub fn of(numbers: &BTreeSet<PhoneNumber>, about: BaseAbout) -> Result<Self, EncodeError> {
        let mut encoder = BaseEncoder::new(Vec::new(), about)?;
        for number in numbers {
            encoder.push(*number)?;
        }
        let (bytes, _) = encoder.finish()?;
        Ok(Self::new(bytes).expect("what was encoded can be read"))
    }

    /// What is in it, and where.
    pub const fn layout(&self) -> &BaseLayout {
        &self.layout
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl BaseLookup for MemoryBase {
    fn contains(&self, number: PhoneNumber) -> bool {
        BaseReader::with_layout(&self.bytes, &self.layout)
            .expect("the layout is that of these bytes")
            .contains(number)
    }

    fn contains_many(&self, numbers: &[PhoneNumber], found: &mut [bool]) {
        BaseReader::with_layout(&self.bytes, &self.layout)
            .expect("the layout is that of these bytes")
            .contains_many(numbers, found);
    }

    fn id(&self) -> DncBaseId {
        self.layout.id()
    }

    fn as_of(&self) -> WallTime {
        self.layout.about().built_at
    }
}
