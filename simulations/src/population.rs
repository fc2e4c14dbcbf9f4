//! People to call: CSV files of leads drawn from a seed, with exact counts of everything in them.
//!
//! The numbers lie in ranges that are really assigned to their cities, so that numbering, windows
//! and local presence have something to work on. They are drawn, not collected, and any of them may
//! belong to somebody: they must only ever be dialed through the simulated carrier on loopback.

use anyhow::Context as _;
use sansio::{Seed, Stream};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io::Write, path::Path};

/// The CSV's headings.
pub const HEADINGS: [&str; 5] = ["number", "name", "company", "city", "language"];

/// Where people live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum City {
    /// 北京, area code 10.
    Beijing,
    /// 上海, area code 21.
    Shanghai,
    /// 深圳, area code 755.
    Shenzhen,
    /// Area code 212.
    NewYork,
    /// Area code 312.
    Chicago,
    /// Area code 415.
    SanFrancisco,
}

impl City {
    /// The three Chinese cities.
    pub const CHINA: [Self; 3] = [Self::Beijing, Self::Shanghai, Self::Shenzhen];
    /// The three American cities.
    pub const UNITED_STATES: [Self; 3] = [Self::NewYork, Self::Chicago, Self::SanFrancisco];

    /// Its name in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Beijing => "北京",
            Self::Shanghai => "上海",
            Self::Shenzhen => "深圳",
            Self::NewYork => "New York",
            Self::Chicago => "Chicago",
            Self::SanFrancisco => "San Francisco",
        }
    }

    /// Whether it is in China.
    pub const fn is_chinese(self) -> bool {
        matches!(self, Self::Beijing | Self::Shanghai | Self::Shenzhen)
    }

    /// Mobile segments (six digits, 100,000 numbers each) of a Chinese city.
    const fn mobile_segments(self) -> &'static [u64] {
        match self {
            Self::Beijing => &[139_010, 139_011, 135_011, 186_010, 136_010, 138_001],
            Self::Shanghai => &[139_016, 139_017, 138_016, 138_017, 136_016, 186_021],
            Self::Shenzhen => &[136_025, 138_265, 186_653, 135_902, 137_143, 135_105],
            _ => &[],
        }
    }

    /// The first landline with its country and area code, and how many follow.
    const fn landlines(self) -> (u64, u64) {
        match self {
            Self::Beijing => (861_060_000_000, 10_000_000),
            Self::Shanghai => (862_150_000_000, 10_000_000),
            Self::Shenzhen => (8_675_582_000_000, 1_000_000),
            Self::NewYork => (12_123_200_000, 900_000),
            Self::Chicago => (13_123_200_000, 900_000),
            Self::SanFrancisco => (14_153_200_000, 900_000),
        }
    }

    /// The `index`th number of the city in that draw; different indexes give different numbers.
    /// Every fifth is a landline; when the mobile segments are used up, all are.
    fn number(self, seed: u64, index: u64) -> u64 {
        let segments = self.mobile_segments();
        let mobiles = segments.len() as u64 * 100_000;
        // Of every five indexes four are mobiles, as long as these last.
        let (round, place) = (index / 5, index % 5);
        let mobile = round * 4 + place;
        if place < 4 && mobile < mobiles {
            let segment = segments[(mobile % segments.len() as u64) as usize];
            let subscriber = spread(mobile / segments.len() as u64, seed, 100_000);
            return 8_600_000_000_000 + segment * 100_000 + subscriber;
        }
        let before = if place < 4 {
            mobile.saturating_sub(mobiles)
        } else {
            0
        };
        let (first, count) = self.landlines();
        let landline = match (place, segments.is_empty()) {
            (_, true) => index,
            // Landlines of every fifth index take the even places, overflow the odd ones.
            (4, false) => round * 2,
            (_, false) => before * 2 + 1,
        };
        assert!(landline < count, "{} has no {index}th number", self.name());
        first + spread(landline, seed, count)
    }
}

/// A bijection on `0..count` where `count` is a product of 2, 3 and 5: the factor shares none.
fn spread(index: u64, seed: u64, count: u64) -> u64 {
    let offset = Seed::from_u64(seed).stream("population/offset").next_u64() % count;
    (index % count * 61_007 + offset) % count
}

/// A way a row can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRow {
    /// No number.
    Empty,
    /// Letters in the number.
    Letters,
    /// Six digits.
    TooShort,
    /// Seventeen digits.
    TooLong,
    /// A country code that nobody has.
    UnknownCountry,
    /// A prefix that the country has not assigned.
    Unassigned,
    /// What a spreadsheet makes of a number.
    Scientific,
    /// One field only.
    MissingColumns,
}

impl BadRow {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::Letters,
        Self::TooShort,
        Self::TooLong,
        Self::UnknownCountry,
        Self::Unassigned,
        Self::Scientific,
        Self::MissingColumns,
    ];

    fn number(self, n: u64) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Letters => format!("+86138O01{:05}", n % 100_000),
            Self::TooShort => format!("+86{:04}", n % 10_000),
            Self::TooLong => format!("+8613800{:010}", n),
            Self::UnknownCountry => format!("+999{:08}", n % 100_000_000),
            Self::Unassigned => format!("+86120{:08}", n % 100_000_000),
            Self::Scientific => format!("1.38{}E+10", n % 10),
            Self::MissingColumns => format!("lonely field {n}"),
        }
    }
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writing {
    /// `+8613800138000`.
    #[default]
    E164,
    /// As people write them: `+86 138-0013-8000`, `008613800138000`, `(+1) 415 555 0134`.
    Mixed,
}

/// What to draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PopulationConfig {
    /// What everything follows from. Files of one seed share one sequence of numbers.
    pub seed: u64,
    /// Place of the first lead in the sequence: two files with overlapping places share leads.
    #[serde(default)]
    pub first: usize,
    /// Leads with good, distinct numbers.
    pub leads: usize,
    /// Cities, in turn.
    pub cities: Vec<City>,
    /// Rows that repeat a number of an earlier row of the file.
    #[serde(default)]
    pub duplicates: usize,
    /// Bad rows of each kind.
    #[serde(default)]
    pub bad: BTreeMap<BadRow, usize>,
    /// How numbers are written.
    #[serde(default)]
    pub writing: Writing,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Population {
    /// Rows without the heading.
    pub rows: usize,
    /// Rows with a new good number.
    pub good: usize,
    /// Rows that repeat one.
    pub duplicates: usize,
    /// Bad rows of each kind.
    pub bad: BTreeMap<BadRow, usize>,
    /// The good numbers in E.164 with `+`, in the order of their first rows.
    pub numbers: Vec<String>,
}

#[derive(Clone, Copy)]
enum Row {
    Good,
    Duplicate,
    Bad(BadRow),
}

impl PopulationConfig {
    /// So many good leads of these cities.
    pub fn new(seed: u64, leads: usize, cities: &[City]) -> Self {
        Self {
            seed,
            first: 0,
            leads,
            cities: cities.to_vec(),
            duplicates: 0,
            bad: BTreeMap::new(),
            writing: Writing::E164,
        }
    }

    /// The number at a place of the sequence, with `+`.
    pub fn number_at(&self, place: usize) -> String {
        let city = self.cities[place % self.cities.len()];
        format!(
            "+{}",
            city.number(self.seed, (place / self.cities.len()) as u64)
        )
    }

    /// Writes the CSV to a file.
    pub fn write_file(&self, path: &Path) -> anyhow::Result<Population> {
        let file =
            std::fs::File::create(path).with_context(|| format!("creating {}", path.display()))?;
        self.write(std::io::BufWriter::new(file))
    }

    /// Writes the CSV.
    pub fn write(&self, out: impl Write) -> anyhow::Result<Population> {
        anyhow::ensure!(!self.cities.is_empty(), "cities: empty; name at least one");
        anyhow::ensure!(
            self.duplicates == 0 || self.leads > 0,
            "duplicates: of what? leads is 0"
        );
        let mut random = Seed::from_u64(self.seed).stream(&format!("population/{}", self.first));
        let mut csv = csv::WriterBuilder::new().flexible(true).from_writer(out);
        csv.write_record(HEADINGS)?;
        let mut done = Population::default();
        for row in self.order(&mut random) {
            done.rows += 1;
            let (place, number) = match row {
                Row::Bad(kind) => {
                    *done.bad.entry(kind).or_default() += 1;
                    let number = kind.number(done.rows as u64);
                    if kind == BadRow::MissingColumns {
                        csv.write_record([number])?;
                        continue;
                    }
                    (done.rows, number)
                }
                Row::Duplicate => {
                    done.duplicates += 1;
                    let at = random.below(done.numbers.len() as u32) as usize;
                    let place = self.first + at;
                    (place, self.written(&done.numbers[at], &mut random))
                }
                Row::Good => {
                    let place = self.first + done.good;
                    done.good += 1;
                    let number = self.number_at(place);
                    let written = self.written(&number, &mut random);
                    done.numbers.push(number);
                    (place, written)
                }
            };
            let city = self.cities[place % self.cities.len()];
            let (name, company) = names(city, &mut random);
            let language = if city.is_chinese() { "zh" } else { "en" };
            csv.write_record([&number, &name, &company, city.name(), language])?;
        }
        csv.flush()?;
        Ok(done)
    }

    /// Rows in a drawn order; a duplicate never comes first.
    fn order(&self, random: &mut Stream) -> Vec<Row> {
        let mut rows = vec![Row::Good; self.leads];
        rows.extend(std::iter::repeat_n(Row::Duplicate, self.duplicates));
        for (kind, count) in &self.bad {
            rows.extend(std::iter::repeat_n(Row::Bad(*kind), *count));
        }
        for i in (1..rows.len()).rev() {
            rows.swap(i, random.below(i as u32 + 1) as usize);
        }
        if let Some(first_good) = rows.iter().position(|r| matches!(r, Row::Good)) {
            rows.swap(0, first_good);
        }
        rows
    }

    fn written(&self, number: &str, random: &mut Stream) -> String {
        if self.writing == Writing::E164 {
            return number.to_owned();
        }
        let digits = &number[1..];
        let country = if digits.starts_with('1') { 1 } else { 2 };
        let (code, rest) = digits.split_at(country);
        match random.below(4) {
            0 => number.to_owned(),
            1 => format!("00{digits}"),
            2 => format!("+{code} {}-{}", &rest[..3], &rest[3..]),
            _ => format!("(+{code}) {} {}", &rest[..3], &rest[3..]),
        }
    }
}

fn names(city: City, random: &mut Stream) -> (String, String) {
    fn pick<'a>(random: &mut Stream, from: &[&'a str]) -> &'a str {
        from[random.below(from.len() as u32) as usize]
    }
    if city.is_chinese() {
        let surname = pick(random, &SURNAMES);
        let given: String = (0..=random.below(2))
            .map(|_| pick(random, &GIVEN))
            .collect();
        let company = format!(
            "{}{}{}",
            city.name(),
            pick(random, &FIRMS),
            pick(random, &TRADES)
        );
        (format!("{surname}{given}"), company)
    } else {
        let name = format!(
            "{} {}",
            pick(random, &FIRST_NAMES),
            pick(random, &LAST_NAMES)
        );
        // A comma, so that readers must know quotes.
        let company = format!(
            "{} {}, Inc.",
            pick(random, &LAST_NAMES),
            pick(random, &BUSINESSES)
        );
        (name, company)
    }
}

const SURNAMES: [&str; 16] = [
    "王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林",
];
const GIVEN: [&str; 16] = [
    "伟", "芳", "娜", "敏", "静", "强", "磊", "洋", "艳", "勇", "军", "杰", "娟", "涛", "明", "超",
];
const FIRMS: [&str; 8] = [
    "恒信", "华盛", "瑞丰", "天成", "宏远", "嘉禾", "明德", "启航",
];
const TRADES: [&str; 4] = [
    "科技有限公司",
    "贸易有限公司",
    "物流有限公司",
    "餐饮管理有限公司",
];
const FIRST_NAMES: [&str; 12] = [
    "Maria", "James", "Aisha", "Robert", "Linda", "Wei", "Carlos", "Emma", "Noah", "Olivia",
    "Dmitri", "Zoë",
];
const LAST_NAMES: [&str; 12] = [
    "Garcia", "Smith", "Khan", "O'Neil", "Nguyen", "Brown", "Novak", "Cohen", "Silva", "Meyer",
    "Ito", "Jones",
];
const BUSINESSES: [&str; 6] = [
    "Plumbing",
    "Dental",
    "Logistics",
    "Bakery",
    "Roofing",
    "Analytics",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_are_distinct_and_of_their_city() {
        for cities in [City::CHINA, City::UNITED_STATES] {
            let config = PopulationConfig::new(5, 60_000, &cities);
            let numbers: BTreeSet<_> = (0..config.leads).map(|i| config.number_at(i)).collect();
            assert_eq!(numbers.len(), config.leads);
        }
        let shenzhen = PopulationConfig::new(5, 1, &[City::Shenzhen]);
        assert!(
            shenzhen.number_at(4).starts_with("+86755"),
            "{}",
            shenzhen.number_at(4)
        );
        assert_eq!(shenzhen.number_at(0).len(), 14);
        // Beyond the mobile segments landlines go on without meeting the earlier ones.
        let many: BTreeSet<u64> = (0..900_000).map(|i| City::Beijing.number(1, i)).collect();
        assert_eq!(many.len(), 900_000);
    }

    #[test]
    fn counts_are_exact_and_files_repeat() {
        let mut config = PopulationConfig::new(1, 1_000, &City::CHINA);
        config.duplicates = 50;
        config.bad = BadRow::ALL.into_iter().zip(1..).collect();
        config.writing = Writing::Mixed;
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let counts = config.write(&mut one).unwrap();
        assert_eq!(config.write(&mut two).unwrap(), counts);
        assert_eq!(one, two);
        assert_eq!(
            (counts.rows, counts.good, counts.duplicates),
            (1_086, 1_000, 50)
        );
        assert_eq!(counts.bad, config.bad);

        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .from_reader(one.as_slice());
        assert_eq!(
            reader.headers().unwrap().iter().collect::<Vec<_>>(),
            HEADINGS
        );
        let (mut seen, mut repeated, mut short) = (BTreeSet::new(), 0, 0);
        let good: BTreeSet<_> = counts.numbers.iter().cloned().collect();
        for record in reader.records() {
            let record = record.unwrap();
            short += usize::from(record.len() == 1);
            let digits: String = record[0].chars().filter(char::is_ascii_digit).collect();
            let number = format!("+{}", digits.trim_start_matches("00"));
            if good.contains(&number) && !seen.insert(number) {
                repeated += 1;
            }
        }
        assert_eq!(
            (seen.len(), repeated, short),
            (1_000, 50, counts.bad[&BadRow::MissingColumns])
        );
    }

    #[test]
    fn two_files_share_what_overlaps() {
        let one = PopulationConfig::new(9, 100, &City::CHINA);
        let two = PopulationConfig {
            first: 90,
            ..one.clone()
        };
        let (a, b) = (
            one.write(Vec::new()).unwrap(),
            two.write(Vec::new()).unwrap(),
        );
        let shared = a.numbers.iter().filter(|n| b.numbers.contains(n)).count();
        assert_eq!(shared, 10);
    }
}
