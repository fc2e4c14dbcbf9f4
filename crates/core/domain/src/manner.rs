//! How a carrier wants to be spoken to, beside what [`crate::Trunk`] says.

use crate::{NumberFormat, PhoneNumber, TrunkSecurity, limits};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// Which header tells the carrier whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityHeader {
    /// From alone.
    None,
    /// P-Asserted-Identity (RFC 3325): the carrier trusts us.
    #[default]
    Asserted,
    /// P-Preferred-Identity (RFC 3325): the carrier checks and asserts itself.
    Preferred,
}

/// What the Privacy header says (RFC 3323). From always shows the caller ID: whoever is called may
/// see who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// `none`: nothing is to be withheld.
    None,
    /// `id`: the carrier keeps P-Asserted-Identity within its own network.
    Id,
}

impl Privacy {
    /// The header's value.
    pub const fn token(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Id => "id",
        }
    }
}

/// What is done about a redirection (3xx).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redirects {
    /// It is the carrier's failure.
    #[default]
    Refuse,
    /// Followed once, by the same trunk and to the same number only: carriers that look a number up
    /// answer so. Another number was never asked of do-not-call.
    Follow,
}

/// How a trunk is used. A trunk of which nothing is said is used by the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkManner {
    /// The profile it was made from; empty where none.
    pub profile: String,
    /// Its share of the calls among trunks of its rank, from 1 to [`limits::TRUNK_WEIGHT`].
    pub weight: u16,
    /// How called numbers are written, in Request-URI and To; as [`crate::Trunk::number_format`]
    /// says where none.
    pub called: Option<NumberShape>,
    /// How caller IDs are written, in From, Contact and the identity header; the same.
    pub shown: Option<NumberShape>,
    /// Whether URIs with a number say `user=phone`.
    pub user_phone: bool,
    /// The header beside From.
    pub identity: IdentityHeader,
    /// The Privacy header, where one is wanted.
    pub privacy: Option<Privacy>,
    /// Session-Expires that is asked for (RFC 4028); none where only the carrier's wish counts.
    pub session_expires: Option<Duration>,
    /// Whether reliable provisional responses are offered (RFC 3262). Those that come are
    /// acknowledged in any case.
    pub reliable: bool,
    /// What is done about 3xx.
    pub redirects: Redirects,
    /// How its calls are vouched for. Not among a manner's own bytes, which snapshots and logs of
    /// earlier releases hold as they are: the directory carries it beside them.
    #[serde(skip)]
    pub security: TrunkSecurity,
}

impl Default for TrunkManner {
    fn default() -> Self {
        Self {
            profile: String::new(),
            weight: 100,
            called: None,
            shown: None,
            user_phone: false,
            identity: IdentityHeader::default(),
            privacy: None,
            session_expires: None,
            reliable: false,
            redirects: Redirects::default(),
            security: TrunkSecurity::default(),
        }
    }
}

impl TrunkManner {
    /// Which numbers a text from the carrier may be, likeliest first: E.164 where it begins with `+`,
    /// else as we write caller IDs, as we write called numbers, as the trunk says, as plain E.164.
    pub fn read_numbers(&self, format: NumberFormat, text: &str) -> Vec<PhoneNumber> {
        if text.starts_with('+') {
            return text.parse().into_iter().collect();
        }
        let mut numbers = Vec::new();
        let shapes = [self.shown.as_ref(), self.called.as_ref()];
        let plain = [format.into(), NumberFormat::E164.into()];
        for shape in shapes.into_iter().flatten().chain(&plain) {
            numbers.extend(shape.read(text).filter(|read| !numbers.contains(read)));
        }
        numbers
    }
}

/// What stands for the number in a [`NumberShape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// All digits, country code first.
    E164,
    /// Without the code of this country.
    National(u16),
    /// As it is dialed within this country.
    Dialed(u16),
}

/// How numbers are written: leading characters, then the number.
///
/// `+{e164}` is `+8675512345678`, `1234{e164}` a technical prefix and `12348675512345678`,
/// `{national:86}` is `75512345678`, `{dialed:86}` `075512345678` and `13800138000`. Numbers of
/// other countries are written as they are dialed from there (`0014155550134`) in the last two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NumberShape {
    prefix: String,
    body: Body,
}

/// Why a text is not a shape of numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberShapeError {
    /// No placeholder at its end.
    #[error(
        "does not end with {{e164}}, {{national:CC}} or {{dialed:CC}}; write +{{e164}} or 0{{national:86}}"
    )]
    NoNumber,
    /// The leading characters are not what carriers take.
    #[error("begins with {0:?}; use digits, *, # or one + in front of {{e164}}")]
    Prefix(char),
    /// Too many of them.
    #[error("has {0} characters in front of the number; at most {limit} are sent", limit = limits::NUMBER_PREFIX)]
    Long(usize),
    /// No such country.
    #[error("country code {0:?} is not one; write {{national:86}} or {{dialed:1}}")]
    Country(String),
    /// How that country is dialed is not known here.
    #[error("how numbers are dialed in country {0} is not known; write 0{{national:{0}}}")]
    Unknown(u16),
}

/// The prefixes of countries whose plans are known: code, within the country, to other countries.
const PLANS: [(u16, &str, &str); 9] = [
    (1, "1", "011"),
    (33, "0", "00"),
    (44, "0", "00"),
    (49, "0", "00"),
    (61, "0", "0011"),
    (81, "0", "010"),
    (82, "0", "00"),
    (86, "0", "00"),
    (91, "0", "00"),
];

fn plan(country: u16) -> Option<(&'static str, &'static str)> {
    (PLANS.iter())
        .find(|(code, ..)| *code == country)
        .map(|(_, within, abroad)| (*within, *abroad))
}

/// Mobile numbers of China are dialed without the leading 0 that area codes have.
fn is_mobile_of_china(national: &str) -> bool {
    national.len() == 11 && national.starts_with('1') && !national.starts_with("10")
}

impl NumberShape {
    /// A number, written so. In full: it goes to the carrier.
    pub fn write(&self, number: PhoneNumber) -> String {
        let digits = number.digits().to_string();
        let within = |country: u16| digits.strip_prefix(&country.to_string());
        let abroad = |country| plan(country).map_or("00", |(_, abroad)| abroad);
        let (middle, rest) = match self.body {
            Body::E164 => ("", &digits[..]),
            Body::National(country) => match within(country) {
                Some(national) => ("", national),
                None => (abroad(country), &digits[..]),
            },
            Body::Dialed(country) => match within(country) {
                Some(national) if country == 86 && is_mobile_of_china(national) => ("", national),
                Some(national) => (plan(country).map_or("", |(within, _)| within), national),
                None => (abroad(country), &digits[..]),
            },
        };
        format!("{}{middle}{rest}", self.prefix)
    }

    /// The number that a text of this shape is, with its leading characters or without them: carriers
    /// that want a technical prefix from us send none. None where it is no number so.
    pub fn read(&self, text: &str) -> Option<PhoneNumber> {
        let bare = text.strip_prefix(&self.prefix).unwrap_or(text);
        let country = match self.body {
            Body::E164 => return bare.parse().ok(),
            Body::National(country) | Body::Dialed(country) => country,
        };
        let abroad = plan(country).map_or("00", |(_, abroad)| abroad);
        if let Some(rest) = bare.strip_prefix(abroad) {
            return rest.parse().ok();
        }
        let national = match self.body {
            Body::Dialed(_) if country == 86 && is_mobile_of_china(bare) => bare,
            Body::Dialed(_) => bare.strip_prefix(plan(country).map_or("", |(within, _)| within))?,
            _ => bare,
        };
        format!("{country}{national}").parse().ok()
    }

    fn country(text: &str) -> Result<u16, NumberShapeError> {
        let wrong = || NumberShapeError::Country(text.chars().take(16).collect());
        let digits = text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(code) if digits && !text.starts_with('0') => Ok(code),
            _ => Err(wrong()),
        }
    }
}

impl From<NumberFormat> for NumberShape {
    fn from(format: NumberFormat) -> Self {
        let prefix = match format {
            NumberFormat::PlusE164 => "+",
            NumberFormat::E164 => "",
        };
        Self {
            prefix: prefix.to_owned(),
            body: Body::E164,
        }
    }
}

impl FromStr for NumberShape {
    type Err = NumberShapeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (prefix, inner) = (text.split_once('{')).ok_or(NumberShapeError::NoNumber)?;
        let inner = inner.strip_suffix('}').ok_or(NumberShapeError::NoNumber)?;
        let body = match inner.split_once(':') {
            None if inner == "e164" => Body::E164,
            Some(("national", country)) => Body::National(Self::country(country)?),
            Some(("dialed", country)) => {
                let country = Self::country(country)?;
                plan(country).ok_or(NumberShapeError::Unknown(country))?;
                Body::Dialed(country)
            }
            _ => return Err(NumberShapeError::NoNumber),
        };
        let plain = |c: char| c.is_ascii_digit() || c == '*' || c == '#';
        let plus = (prefix.ends_with('+') && body == Body::E164).then(|| prefix.len() - 1);
        let checked = plus.map_or(prefix, |end| &prefix[..end]);
        if let Some(wrong) = checked.chars().find(|c| !plain(*c)) {
            return Err(NumberShapeError::Prefix(wrong));
        }
        if prefix.len() > limits::NUMBER_PREFIX {
            return Err(NumberShapeError::Long(prefix.len()));
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            body,
        })
    }
}

impl TryFrom<String> for NumberShape {
    type Error = NumberShapeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NumberShape> for String {
    fn from(shape: NumberShape) -> Self {
        shape.to_string()
    }
}

impl fmt::Display for NumberShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)?;
        match self.body {
            Body::E164 => f.write_str("{e164}"),
            Body::National(country) => write!(f, "{{national:{country}}}"),
            Body::Dialed(country) => write!(f, "{{dialed:{country}}}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> NumberShape {
        text.parse().expect(text)
    }

    #[test]
    fn numbers_are_written_as_the_carrier_wants_them() {
        for (text, number, written) in [
            ("+{e164}", "+8675512345678", "+8675512345678"),
            ("{e164}", "+14155550134", "14155550134"),
            ("1234{e164}", "+18005678912", "123418005678912"),
            ("99#+{e164}", "+14155550134", "99#+14155550134"),
            ("{national:86}", "+8675512345678", "75512345678"),
            ("0{national:86}", "+8675512345678", "075512345678"),
            ("{dialed:86}", "+8675512345678", "075512345678"),
            ("{dialed:86}", "+861088880001", "01088880001"),
            ("{dialed:86}", "+8613800138000", "13800138000"),
            ("8{dialed:86}", "+8613800138000", "813800138000"),
            ("{dialed:86}", "+14155550134", "0014155550134"),
            ("{dialed:1}", "+14155550134", "14155550134"),
            ("{national:1}", "+14155550134", "4155550134"),
            ("{dialed:1}", "+8613800138000", "0118613800138000"),
            ("{dialed:44}", "+442079460123", "02079460123"),
            ("{national:358}", "+3589123456", "9123456"),
            ("{national:358}", "+14155550134", "0014155550134"),
        ] {
            let number = number.parse().expect("E.164");
            assert_eq!(shape(text).write(number), written, "{text}");
            assert_eq!(shape(text).read(written), Some(number), "{text}");
            assert_eq!(shape(text).to_string(), text);
        }
        for (format, text) in [
            (NumberFormat::PlusE164, "+{e164}"),
            (NumberFormat::E164, "{e164}"),
        ] {
            assert_eq!(NumberShape::from(format), shape(text));
        }
    }

    #[test]
    fn what_is_wrong_with_a_shape_is_named() {
        let at_bound = "9".repeat(limits::NUMBER_PREFIX);
        shape(&format!("{at_bound}{{e164}}"));
        for (text, why) in [
            ("", "does not end"),
            ("+e164", "does not end"),
            ("{e164}0", "does not end"),
            ("{e163}", "does not end"),
            ("{national}", "does not end"),
            ("a{e164}", "begins with 'a'"),
            ("+{national:86}", "begins with '+'"),
            ("\r\n{e164}", "begins with '\\r'"),
            ("{national:0}", "country code \"0\""),
            ("{national:x}", "country code \"x\""),
            ("{national:8888}", "country code \"8888\""),
            ("{dialed:358}", "write 0{national:358}"),
            (&format!("{at_bound}9{{e164}}"), "characters in front"),
        ] {
            let error = text.parse::<NumberShape>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn what_a_carrier_writes_is_read_in_every_way_that_it_may_mean() {
        let manner = TrunkManner {
            called: Some(shape("1234{e164}")),
            shown: Some(shape("{national:86}")),
            ..TrunkManner::default()
        };
        let read = |text: &str| -> Vec<String> {
            let numbers = manner.read_numbers(NumberFormat::PlusE164, text);
            numbers.into_iter().map(PhoneNumber::reveal).collect()
        };
        assert_eq!(read("+8675512345678"), ["+8675512345678"]);
        assert_eq!(read("75512345678"), ["+8675512345678", "+75512345678"]);
        assert_eq!(read("0014155550134"), ["+14155550134"]);
        assert_eq!(read("anonymous"), [""; 0]);
        assert_eq!(read("+anonymous"), [""; 0]);
        assert_eq!(read(&"9".repeat(200)), [""; 0]);
    }

    #[test]
    fn a_manner_keeps_its_bytes_short() {
        let bytes = postcard::to_stdvec(&TrunkManner::default()).expect("plain data");
        let back: TrunkManner = postcard::from_bytes(&bytes).expect("what was written");
        assert_eq!(back, TrunkManner::default());
        let manner = TrunkManner {
            called: Some(shape("{dialed:86}")),
            ..TrunkManner::default()
        };
        let bytes = postcard::to_stdvec(&manner).expect("plain data");
        assert_eq!(
            postcard::from_bytes::<TrunkManner>(&bytes).expect("what was written"),
            manner
        );
    }
}
