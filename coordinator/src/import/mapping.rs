//! Which column is what, and what a row says.

use domain::{LeadProfile, NewLead, PhoneNumber, limits};
use numbering::ParseError;
use std::collections::BTreeSet;

const NUMBER: [&str; 15] = [
    "number",
    "phone",
    "phone_number",
    "phone number",
    "tel",
    "telephone",
    "mobile",
    "cell",
    "电话",
    "电话号码",
    "手机",
    "手机号",
    "手机号码",
    "号码",
    "联系电话",
];
const NAME: [&str; 7] = [
    "name",
    "full_name",
    "full name",
    "姓名",
    "名字",
    "客户姓名",
    "联系人",
];
const PRIORITY: [&str; 2] = ["priority", "优先级"];
/// Columns of our own files of rejects: such a file may be mended and sent again.
pub(crate) const REJECT_COLUMNS: [&str; 3] = ["rejected_row", "rejected_for", "remedy"];

/// Which column is what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    number: usize,
    name: Option<usize>,
    priority: Option<usize>,
    attributes: Vec<(usize, String)>,
}

/// Why a row is not proposed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowProblem {
    /// Bytes that are not UTF-8.
    #[error("the row is not UTF-8; save the file as \"CSV UTF-8\"")]
    NotUtf8,
    /// Not a number.
    #[error(transparent)]
    Number(#[from] ParseError),
    /// Neither the number nor the import names a country.
    #[error("write + and the country code first, or import with a default country")]
    NoCountry,
    /// Not a small integer.
    #[error("the priority is not a whole number from -32768 to 32767")]
    Priority,
}

impl Mapping {
    /// Reads the heading.
    pub(crate) fn of(heading: &[String]) -> Result<Self, String> {
        let names: Vec<String> = heading.iter().map(|h| h.trim().to_lowercase()).collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = names
            .iter()
            .find(|name| !name.is_empty() && !seen.insert(*name))
        {
            return Err(format!("the column {twice:?} comes twice; rename one"));
        }
        let find = |known: &[&str]| {
            known
                .iter()
                .find_map(|known| names.iter().position(|name| name == known))
        };
        let Some(number) = find(&NUMBER) else {
            return Err(format!(
                "no column of numbers; name one of {:?} \"number\" (or phone, 电话, 手机)",
                heading.iter().take(20).collect::<Vec<_>>()
            ));
        };
        let (name, priority) = (find(&NAME), find(&PRIORITY));
        let attributes: Vec<(usize, String)> = (heading.iter().enumerate())
            .filter(|(at, _)| *at != number && Some(*at) != name && Some(*at) != priority)
            .filter(|(at, _)| !REJECT_COLUMNS.contains(&names[*at].as_str()))
            .map(|(at, text)| match text.trim() {
                "" => (at, format!("column_{}", at + 1)),
                text => (at, text.to_owned()),
            })
            .collect();
        let (have, most) = (attributes.len(), limits::ATTRIBUTES);
        if have > most {
            return Err(format!(
                "{have} columns beside number and name; at most {most} are kept"
            ));
        }
        Ok(Self {
            number,
            name,
            priority,
            attributes,
        })
    }

    /// The number of a row.
    pub(crate) fn number(
        &self,
        fields: &[String],
        country: Option<&str>,
    ) -> Result<PhoneNumber, RowProblem> {
        let text = fields.get(self.number).map_or("", |text| text.trim());
        let plain = text.trim_start_matches('\'');
        // `(+86) 138 ...`: the country stands in parentheses.
        let first = plain.trim_start_matches(['(', '\u{ff08}', '\'', ' ']);
        let international = first.starts_with(['+', '\u{ff0b}']) || first.starts_with("00");
        match country {
            Some(country) => Ok(numbering::parse(text, country)?),
            // The country is not looked at where the number names its own.
            None if international || plain.is_empty() => Ok(numbering::parse(text, "US")?),
            None => Err(RowProblem::NoCountry),
        }
    }

    /// A row as a lead.
    pub(crate) fn lead(
        &self,
        fields: &[String],
        utf8: bool,
        country: Option<&str>,
    ) -> Result<NewLead, RowProblem> {
        if !utf8 {
            return Err(RowProblem::NotUtf8);
        }
        let number = self.number(fields, country)?;
        let field = |at: Option<usize>| at.and_then(|at| fields.get(at)).map_or("", |t| t.trim());
        let priority = match field(self.priority) {
            "" => 0,
            text => text.parse().map_err(|_| RowProblem::Priority)?,
        };
        let attributes = (self.attributes.iter())
            .filter_map(|(at, name)| Some((name.clone(), fields.get(*at)?.trim().to_owned())))
            .filter(|(_, value)| !value.is_empty());
        Ok(NewLead {
            number,
            zones: numbering::locality(number).zones.to_vec(),
            priority,
            profile: LeadProfile {
                name: field(self.name).to_owned(),
                attributes: attributes.collect(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(fields: &[&str]) -> Vec<String> {
        fields.iter().map(|f| (*f).to_owned()).collect()
    }

    #[test]
    fn columns_are_found_by_name_in_both_languages() {
        for heading in [
            ["Phone", "Name", "City", "priority"],
            ["手机号", "姓名", "City", "优先级"],
        ] {
            let mapping = Mapping::of(&texts(&heading)).unwrap();
            let lead = mapping.lead(
                &texts(&["(415) 555-2671", " Ada ", "SF", "7"]),
                true,
                Some("US"),
            );
            let lead = lead.unwrap();
            assert_eq!(lead.number.reveal(), "+14155552671");
            assert_eq!((lead.profile.name.as_str(), lead.priority), ("Ada", 7));
            assert_eq!(lead.profile.attributes["City"], "SF");
            assert!(!lead.zones.is_empty());
        }
        assert!(
            Mapping::of(&texts(&["who", "what"]))
                .unwrap_err()
                .contains("number")
        );
        assert!(
            Mapping::of(&texts(&["number", "a", "A"]))
                .unwrap_err()
                .contains("twice")
        );
        let rejects = Mapping::of(&texts(&[
            "rejected_row",
            "rejected_for",
            "remedy",
            "number",
        ]));
        assert_eq!(rejects.unwrap().attributes, []);
    }

    #[test]
    fn attributes_are_bounded() {
        let heading = |n: usize| -> Vec<String> {
            std::iter::once("number".to_owned())
                .chain((0..n).map(|i| format!("c{i}")))
                .collect()
        };
        assert!(Mapping::of(&heading(limits::ATTRIBUTES)).is_ok());
        assert!(Mapping::of(&heading(limits::ATTRIBUTES + 1)).is_err());
    }

    #[test]
    fn bad_rows_say_why() {
        let mapping = Mapping::of(&texts(&["number", "priority"])).unwrap();
        let lead =
            |fields: &[&str], country| mapping.lead(&texts(fields), true, country).unwrap_err();
        assert_eq!(lead(&["4155552671", ""], None), RowProblem::NoCountry);
        assert_eq!(lead(&["", ""], None), RowProblem::Number(ParseError::Empty));
        assert_eq!(lead(&[], Some("US")), RowProblem::Number(ParseError::Empty));
        assert_eq!(lead(&["+14155552671", "x"], None), RowProblem::Priority);
        assert!(
            mapping
                .lead(&texts(&["+86 138 0013 8000"]), true, None)
                .is_ok()
        );
        let not_utf8 = mapping.lead(&texts(&["+14155552671"]), false, None);
        assert_eq!(not_utf8.unwrap_err(), RowProblem::NotUtf8);
    }
}
