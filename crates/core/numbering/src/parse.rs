//! What people write to E.164.

use domain::{PhoneNumber, limits::NUMBER_TEXT_BYTES};
use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumberFormat, Region, ValidationError,
};

/// Why a text is not a telephone number, and what to write instead. It never holds the digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No digit in it.
    #[error("no digits; write a number such as +8675512345678 or (415) 555-0134")]
    Empty,
    /// Longer than any way to write one number.
    #[error("{bytes} bytes, at most {NUMBER_TEXT_BYTES}; write one number in the field")]
    TextTooLong {
        /// Bytes of the text.
        bytes: usize,
    },
    /// A character that stands in no number.
    #[error(
        "character {character:?} at place {place}; write digits, spaces, - . / ( ) and a leading +, \
         one number without extension"
    )]
    Character {
        /// The character.
        character: char,
        /// Its place in the text, counting characters from 1.
        place: usize,
    },
    /// The default country is none.
    #[error("{country:?} is no country with telephone numbers; name one by ISO 3166: CN, US, GB")]
    UnknownCountry {
        /// What was named, at most 8 characters.
        country: String,
    },
    /// No country has the calling code after the plus sign.
    #[error("no country has this calling code; write + and the country code first, as in +86")]
    CallingCode,
    /// Fewer digits than any number of the country.
    #[error("{digits} digits are too few for a number of {country}; write the area code too")]
    TooShort {
        /// Digits in the text.
        digits: usize,
        /// ISO code of the country, or its calling code after `+`.
        country: String,
    },
    /// More digits than any number of the country.
    #[error(
        "{digits} digits are too many for a number of {country}; \
         write + and the country code before a number of another country"
    )]
    TooLong {
        /// Digits in the text.
        digits: usize,
        /// ISO code of the country, or its calling code after `+`.
        country: String,
    },
    /// The right number of digits, but the country gives out no such number.
    #[error(
        "{country} gives out no number that begins so; check the area code, and write + and the \
         country code before a number of another country"
    )]
    NotGivenOut {
        /// ISO code of the country, or its calling code after `+`.
        country: String,
    },
}

/// Reads a telephone number as people write it: E.164, the national format of `default_country`
/// (ISO 3166, two letters) with or without trunk prefix, or an international prefix (`00` from
/// anywhere, `011` from North America); with spaces, dashes, dots, slashes, parentheses,
/// full-width digits. The number must be one that its country gives out, by libphonenumber's data.
///
/// Takes about 3 us in a release build: an import reads some 300,000 numbers a second on one core.
///
/// # Errors
/// [`ParseError`] names the shape that is wrong and the remedy. Extensions, letters and lists of
/// numbers are refused.
pub fn parse(text: &str, default_country: &str) -> Result<PhoneNumber, ParseError> {
    let mut buffer = [0; NUMBER_TEXT_BYTES];
    let plain = normalise(text, &mut buffer)?;
    let region = region_of(default_country)?;
    let read = read(plain, region);
    match plain.strip_prefix("00") {
        // `00` is no prefix of North America, Japan and some others, but people write it.
        Some(rest) if read.is_err() && !rest.starts_with('0') => {
            let mut international = [0; NUMBER_TEXT_BYTES + 1];
            international[0] = b'+';
            international[1..=rest.len()].copy_from_slice(rest.as_bytes());
            let international = std::str::from_utf8(&international[..=rest.len()])
                .expect("digits and a plus are ASCII");
            self::read(international, region).or(read)
        }
        _ => read,
    }
}

/// The text as digits with a leading `+` where there was one, in `buffer`.
fn normalise<'a>(
    text: &str,
    buffer: &'a mut [u8; NUMBER_TEXT_BYTES],
) -> Result<&'a str, ParseError> {
    if text.len() > NUMBER_TEXT_BYTES {
        return Err(ParseError::TextTooLong { bytes: text.len() });
    }
    let text = match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => &text[4..],
        _ => text,
    };
    let mut len = 0;
    for (place, character) in text.chars().enumerate() {
        let byte = match character {
            '0'..='9' => character as u8,
            // Full-width digits and plus, as Chinese input methods write them.
            '\u{ff10}'..='\u{ff19}' => b'0' + (character as u32 - 0xff10) as u8,
            '+' | '\u{ff0b}' if len == 0 => b'+',
            // A spreadsheet's mark that the cell is text.
            '\'' if len == 0 => continue,
            c if is_separator(c) => continue,
            character => {
                return Err(ParseError::Character {
                    character,
                    place: place + 1,
                });
            }
        };
        // Each character written takes at least one byte of a text that fits.
        buffer[len] = byte;
        len += 1;
    }
    let plain = std::str::from_utf8(&buffer[..len]).expect("digits and a plus are ASCII");
    if plain.trim_start_matches('+').is_empty() {
        return Err(ParseError::Empty);
    }
    Ok(plain)
}

/// What stands between the digits of a number: white space, dashes of every length, parentheses,
/// dots, slashes, and the invisible marks that come along when a number is copied.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '-' | '(' | ')' | '.' | '/' | '\u{ff08}' | '\u{ff09}' | '\u{ff0d}' | '\u{ff0e}'
            | '\u{ff0f}' | '\u{2212}' | '\u{30fc}' | '\u{b7}' | '\u{feff}' | '\u{ad}'
            | '\u{2010}'..='\u{2015}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
        )
}

fn region_of(country: &str) -> Result<Region, ParseError> {
    let unknown = || ParseError::UnknownCountry {
        country: country.chars().take(8).collect(),
    };
    let bytes: [u8; 2] = country.as_bytes().try_into().map_err(|_| unknown())?;
    let upper = bytes.map(|b| b.to_ascii_uppercase());
    let code = std::str::from_utf8(&upper).map_err(|_| unknown())?;
    let region = Region::try_from(code).map_err(|_| unknown())?;
    PHONE_NUMBER_UTIL
        .get_country_code_for_region(region)
        .map(|_| region)
        .ok_or_else(unknown)
}

/// Reads digits with an optional plus.
fn read(plain: &str, region: Region) -> Result<PhoneNumber, ParseError> {
    use rlibphonenumber::ParseError as Library;
    let digits = plain.trim_start_matches('+').len();
    let home = || region.to_string();
    let number = PHONE_NUMBER_UTIL
        .parse(plain, Some(region))
        .map_err(|error| match error {
            Library::InvalidCountryCode => ParseError::CallingCode,
            Library::TooLongNsn => ParseError::TooLong {
                digits,
                country: home(),
            },
            // What remains is about too few digits: normalise has removed everything else.
            Library::NotANumber(_) | Library::TooShortAfterIdd | Library::TooShortNsn => {
                ParseError::TooShort {
                    digits,
                    country: home(),
                }
            }
        })?;
    let country = || {
        if PHONE_NUMBER_UTIL.get_country_code_for_region(region) == Some(number.country_code) {
            home()
        } else {
            format!("+{}", number.country_code)
        }
    };
    if !PHONE_NUMBER_UTIL.is_valid_number(&number) {
        return Err(
            match PHONE_NUMBER_UTIL.is_possible_number_with_reason(&number) {
                // A number as it is dialed within its area, or shorter than that.
                Err(ValidationError::TooShort) | Ok(NumberLengthType::IsPossibleLocalOnly) => {
                    ParseError::TooShort {
                        digits,
                        country: country(),
                    }
                }
                Err(ValidationError::TooLong) => ParseError::TooLong {
                    digits,
                    country: country(),
                },
                Err(ValidationError::InvalidCountryCode) => ParseError::CallingCode,
                Err(ValidationError::InvalidLength) | Ok(NumberLengthType::IsPossible) => {
                    ParseError::NotGivenOut { country: country() }
                }
            },
        );
    }
    let text = number.format_as(PhoneNumberFormat::E164);
    text.parse()
        .map_err(|_| ParseError::NotGivenOut { country: country() })
}

#[cfg(test)]
mod tests;
