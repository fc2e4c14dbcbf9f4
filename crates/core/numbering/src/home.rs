//! The home region of a number: whose group keeps its leads.

use crate::Locality;
use domain::{HomeMatch, HomeRule, PhoneNumber, RegionId};

/// Applies the directory's map: the longest matching `Prefix`, else a `City`, else a `Province`,
/// else a `Country`, else the `Default`; of equals, the first. None where no rule matches.
///
/// Names of cities and provinces match in English without regard to ASCII case, or in Chinese as
/// the tables write them. A city may be written `Suzhou, Jiangsu`, since two provinces have one.
pub fn home_region(
    rules: &[HomeRule],
    number: PhoneNumber,
    locality: &Locality,
) -> Option<RegionId> {
    let mut best: Option<(u64, RegionId)> = None;
    for rule in rules {
        let weight = match &rule.when {
            HomeMatch::Prefix(prefix) if number.has_prefix(*prefix) => 4 + prefix,
            HomeMatch::City(name) if is_city(name, locality) => 3,
            HomeMatch::Province(name) if is_province(name, locality) => 2,
            HomeMatch::Country(code) if code.eq_ignore_ascii_case(locality.country) => 1,
            HomeMatch::Default => 0,
            _ => continue,
        };
        // Of two prefixes of one number the longer is the larger integer.
        if best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, rule.region));
        }
    }
    best.map(|(_, region)| region)
}

fn same(known: Option<&str>, name: &str) -> bool {
    known.is_some_and(|known| known.eq_ignore_ascii_case(name))
}

fn is_province(name: &str, locality: &Locality) -> bool {
    same(locality.province, name) || same(locality.province_zh, name)
}

fn is_city(name: &str, locality: &Locality) -> bool {
    same(locality.city, name)
        || same(locality.city_zh, name)
        || name.split_once(", ").is_some_and(|(city, province)| {
            same(locality.city, city) && same(locality.province, province)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locality;

    fn rule(when: HomeMatch, region: u16) -> HomeRule {
        HomeRule {
            when,
            region: RegionId(region),
        }
    }

    fn home(rules: &[HomeRule], text: &str) -> Option<u16> {
        let number = text.parse().unwrap();
        home_region(rules, number, &locality(number)).map(|region| region.0)
    }

    #[test]
    fn the_closest_rule_wins_in_any_order() {
        let mut rules = vec![
            rule(HomeMatch::Default, 1),
            rule(HomeMatch::Country("CN".into()), 2),
            rule(HomeMatch::Province("Guangdong".into()), 3),
            rule(HomeMatch::City("shenzhen".into()), 4),
            rule(HomeMatch::Prefix(86755), 5),
            rule(HomeMatch::Prefix(867558), 6),
        ];
        for _ in 0..2 {
            for (number, region) in [
                ("+8675587654321", 6),
                ("+8675512345678", 5),
                ("+862012345678", 3),
                ("+861012345678", 2),
                ("+14155550134", 1),
            ] {
                assert_eq!(home(&rules, number), Some(region), "{number}");
            }
            rules.reverse();
        }
        // 137 1373 of Shenzhen has no prefix rule: the city's.
        let mobile = (1_300_000..1_400_000u64)
            .map(|segment| 860_000_000_000_000 / 100 + segment * 10_000)
            .find(|digits| {
                let number = PhoneNumber::from_digits(*digits).unwrap();
                locality(number).city == Some("Shenzhen")
            })
            .unwrap();
        let number = PhoneNumber::from_digits(mobile).unwrap();
        assert_eq!(
            home_region(&rules, number, &locality(number)),
            Some(RegionId(4))
        );
        assert_eq!(home(&rules[1..], "+14155550134"), None);
    }

    #[test]
    fn cities_of_one_name_are_told_apart_by_province() {
        let rules = [
            rule(HomeMatch::City("Suzhou, Jiangsu".into()), 1),
            rule(HomeMatch::City("Suzhou, Anhui".into()), 2),
            rule(HomeMatch::Province("湖北省".into()), 3),
        ];
        assert_eq!(home(&rules, "+8651212345678"), Some(1));
        assert_eq!(home(&rules, "+865571234567"), Some(2));
        assert_eq!(home(&rules, "+862712345678"), Some(3));
        assert_eq!(home(&rules, "+861012345678"), None);
    }
}
