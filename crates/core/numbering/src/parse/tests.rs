use super::*;
use crate::locality;
use proptest::prelude::*;

#[test]
fn what_people_write_is_read() {
    for (text, country, want) in [
        ("+8613800138000", "US", "+8613800138000"),
        ("138 0013 8000", "CN", "+8613800138000"),
        ("１３８００１３８０００", "CN", "+8613800138000"),
        ("＋８６（７５５）１２３４－５６７８", "CN", "+8675512345678"),
        ("0755-12345678", "CN", "+8675512345678"),
        ("(0755) 1234 5678", "cn", "+8675512345678"),
        ("8613800138000", "CN", "+8613800138000"),
        ("0086 138 0013 8000", "CN", "+8613800138000"),
        ("0086 138 0013 8000", "US", "+8613800138000"),
        ("011 86 138 0013 8000", "US", "+8613800138000"),
        ("010-6552 9988", "CN", "+861065529988"),
        ("(415) 555-0134", "US", "+14155550134"),
        ("1-415-555-0134", "US", "+14155550134"),
        ("415.555.0134", "CA", "+14155550134"),
        ("001 415 555 0134", "CN", "+14155550134"),
        ("'+1 415 555 0134", "CN", "+14155550134"),
        ("tel:+1-415-555-0134", "CN", "+14155550134"),
        ("\u{202a}+1 415 555 0134\u{202c}", "CN", "+14155550134"),
        ("020 7946 0123", "GB", "+442079460123"),
        ("+44 (0)20 7946 0123", "US", "+442079460123"),
        ("0161 496 0123", "GB", "+441614960123"),
        ("06 698 12345", "IT", "+390669812345"),
        ("030/901820", "DE", "+4930901820"),
    ] {
        let number = parse(text, country).map(PhoneNumber::reveal);
        assert_eq!(number.as_deref(), Ok(want), "{text} in {country}");
    }
}

#[test]
fn refusals_name_the_shape_and_the_remedy() {
    let country = || "CN".to_owned();
    for (text, default, want) in [
        ("", "CN", ParseError::Empty),
        (" - ", "CN", ParseError::Empty),
        ("+", "CN", ParseError::Empty),
        (
            "13800138000;13800138001",
            "CN",
            ParseError::Character {
                character: ';',
                place: 12,
            },
        ),
        (
            "415-555-0134 x12",
            "US",
            ParseError::Character {
                character: 'x',
                place: 14,
            },
        ),
        (
            "1+4155550134",
            "US",
            ParseError::Character {
                character: '+',
                place: 2,
            },
        ),
        (
            "1380013",
            "UK?",
            ParseError::UnknownCountry {
                country: "UK?".into(),
            },
        ),
        (
            "1380013",
            "XQ",
            ParseError::UnknownCountry {
                country: "XQ".into(),
            },
        ),
        ("+999123456789", "CN", ParseError::CallingCode),
        (
            "555-0134",
            "US",
            ParseError::TooShort {
                digits: 7,
                country: "US".into(),
            },
        ),
        (
            "1380013800012",
            "CN",
            ParseError::TooLong {
                digits: 13,
                country: country(),
            },
        ),
        (
            "12800138000",
            "CN",
            ParseError::NotGivenOut { country: country() },
        ),
        (
            "+12345",
            "CN",
            ParseError::TooShort {
                digits: 5,
                country: "+1".into(),
            },
        ),
        (
            "123-555-0134",
            "US",
            ParseError::NotGivenOut {
                country: "US".into(),
            },
        ),
    ] {
        assert_eq!(parse(text, default), Err(want), "{text:?} in {default}");
    }
}

#[test]
fn the_text_is_bounded() {
    let at = format!("{:>width$}", "+14155550134", width = NUMBER_TEXT_BYTES);
    assert!(parse(&at, "US").is_ok());
    let over = format!(" {at}");
    assert_eq!(
        parse(&over, "US"),
        Err(ParseError::TextTooLong {
            bytes: NUMBER_TEXT_BYTES + 1
        })
    );
    let digits = "1".repeat(NUMBER_TEXT_BYTES);
    assert!(parse(&digits, "US").is_err());
    assert!(parse(&format!("00{}", &digits[2..]), "US").is_err());
}

#[test]
fn errors_hold_no_digits_of_the_number() {
    for text in ["415555013", "+99912345678", "1234567890123", "12800138000"] {
        let error = parse(text, "US").unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains(&text[..4]), "{shown}");
        }
    }
}

proptest! {
    #[test]
    fn never_panics_and_reads_its_own_output(text in "\\PC{0,40}", country in "[A-Z]{2}") {
        if let Ok(number) = parse(&text, &country) {
            prop_assert_eq!(parse(&number.reveal(), "US"), Ok(number));
        }
    }

    #[test]
    fn separators_change_nothing(
        digits in "[2-9][0-9]{2}[2-9][0-9]{6}",
        marks in proptest::collection::vec("[-. ()/]{0,2}", 10),
    ) {
        let written: String = digits.chars().zip(&marks).map(|(d, m)| format!("{m}{d}")).collect();
        prop_assert_eq!(parse(&written, "US"), parse(&digits, "US"));
    }

    #[test]
    fn every_number_that_parses_has_a_country(digits in 10_000_000u64..1_000_000_000_000_000) {
        if let Ok(number) = parse(&format!("+{digits}"), "US") {
            prop_assert_ne!(locality(number).country, "ZZ");
        }
    }
}
