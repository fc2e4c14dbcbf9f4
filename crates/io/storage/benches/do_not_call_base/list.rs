//! The list: Chinese mobile numbers as they lie in life, by a seed.

use domain::PhoneNumber;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// Mobile prefixes after +86, each of 10^8 numbers.
const PREFIXES: [u64; 53] = [
    130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 145, 147, 149, 150, 151, 152, 153, 155, 156,
    157, 158, 159, 162, 165, 166, 167, 170, 171, 172, 173, 175, 176, 177, 178, 180, 181, 182, 183,
    184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 195, 196, 197, 198, 199,
];
const PREFIX_NUMBERS: u64 = 100_000_000;

/// Who is on the list: a quarter of the blocks of 10^4 (by which numbers are given out) has nobody,
/// the others are filled unevenly, 1 : 7.
#[derive(Debug)]
pub(crate) struct Population {
    seed: u64,
    /// All places: so many prefixes that about 1 number of 21 is on the list.
    places: u64,
    /// The mean share of a block that has somebody, times 2^32.
    share: f64,
}

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) numbers: u64,
    pub(crate) repeats: u64,
    pub(crate) broken: u64,
}

impl Population {
    pub(crate) fn new(numbers: u64, seed: u64) -> Self {
        let prefixes = (numbers * 21)
            .div_ceil(PREFIX_NUMBERS)
            .clamp(1, PREFIXES.len() as u64);
        let places = prefixes * PREFIX_NUMBERS;
        Self {
            seed,
            places,
            share: numbers as f64 / (places as f64 * 0.75)
                * f64::from(1 << 16)
                * f64::from(1 << 16),
        }
    }

    fn has(&self, place: u64) -> bool {
        let block = mix(self.seed ^ (place / 10_000) << 20);
        if block & 3 == 0 {
            return false;
        }
        let factor = 0.25 + 1.5 * ((block >> 40) as f64 / f64::from(1 << 24));
        ((mix(place ^ self.seed << 40) >> 32) as f64) < self.share * factor
    }

    fn digits(place: u64) -> u64 {
        let prefix = PREFIXES[(place / PREFIX_NUMBERS) as usize];
        (86_000 + prefix) * PREFIX_NUMBERS + place % PREFIX_NUMBERS
    }

    /// Writes the list, every number in a place that has nothing to do with its value.
    pub(crate) fn write(&self, path: &Path) -> Made {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a new file"));
        let mut made = Made::default();
        let bits = u64::BITS - (self.places - 1).leading_zeros();
        let mask = (1 << bits) - 1;
        let mut line = *b"+0000000000000\n";
        for turn in 0..1u64 << bits {
            // A bijection of all values of so many bits.
            let mut place = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask;
            place ^= place >> (bits / 2);
            place = place.wrapping_mul(0xd1b5_4a32_d192_ed03) & mask;
            if place >= self.places || !self.has(place) {
                continue;
            }
            let mut rest = Self::digits(place);
            for byte in line[1..14].iter_mut().rev() {
                *byte = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            file.write_all(&line).expect("room on the disk");
            made.numbers += 1;
            if made.numbers.is_multiple_of(100) {
                file.write_all(&line).expect("room on the disk");
                made.repeats += 1;
            }
            if made.numbers.is_multiple_of(1_000_000) {
                file.write_all(b"unknown\n").expect("room on the disk");
                made.broken += 1;
            }
        }
        file.flush().expect("room on the disk");
        made
    }

    /// Every number on the list, ascending.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = PhoneNumber> {
        (0..self.places)
            .filter(|place| self.has(*place))
            .map(|place| number(Self::digits(place)))
    }

    /// Numbers in no order that are on the list, or are not.
    pub(crate) fn questions(&self, count: usize, on_it: bool) -> Vec<PhoneNumber> {
        let mut state = 99 + u64::from(on_it);
        let mut questions = Vec::with_capacity(count);
        while questions.len() < count {
            let place = random(&mut state) % self.places;
            if self.has(place) == on_it {
                questions.push(number(Self::digits(place)));
            }
        }
        questions
    }
}

pub(crate) fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_digits(digits).expect("7 to 15 digits")
}

const fn mix(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

pub(crate) const fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mix(*state)
}

pub(crate) fn shuffle<T>(all: &mut [T], state: &mut u64) {
    for place in (1..all.len()).rev() {
        all.swap(place, (random(state) % (place as u64 + 1)) as usize);
    }
}

/// Keeps about half, by chance.
pub(crate) fn thin<T>(all: &mut Vec<T>, state: &mut u64) {
    all.retain(|_| random(state) & 1 == 0);
}
