//! Do-not-call lists that a coordinator pulls from their publishers, and which bases were made of
//! which of them.

use super::{Directory, DirectoryReply, Fact, NewDncBase, Rejection, checks};
use domain::{CountryCode, DncBaseId, DncListAge, MemberId, MemberRole, WallTime, limits};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

type Done = Result<DirectoryReply, Rejection>;

/// What an administrator says of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncListSettings {
    /// From where: `https://…`, `http://` on the coordinator's own machine, `file:///…`.
    pub from: String,
    /// How often; [`limits::DNC_LIST_EVERY_MIN`] to [`limits::DNC_LIST_EVERY_MAX`].
    pub every: Duration,
    /// The country that it is about, and of its numbers without a country code.
    pub country: Option<CountryCode>,
    /// How old it may be, whatever a rule pack allows beyond; [`limits::DNC_LIST_AGE_MIN`] to
    /// [`limits::DNC_LIST_AGE_MAX`].
    pub max_age: Duration,
    /// The share of its numbers, in thousandths, that may be gone at a pull without anybody's
    /// approval.
    pub shrink_permille: u16,
    /// The share of its rows, in thousandths, that may be no numbers without anybody's approval.
    pub invalid_permille: u16,
}

/// What was last accepted of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncListObtained {
    /// The file of its numbers at the coordinator.
    pub part: DncBaseId,
    /// How many.
    pub numbers: u64,
    /// When its publisher gave or confirmed it.
    pub at: WallTime,
}

/// A list as the directory keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncList {
    /// As it was declared.
    pub settings: DncListSettings,
    /// The coordinator that pulls it.
    pub kept_by: MemberId,
    /// Whether it rests.
    pub paused: bool,
    /// When it was declared.
    pub declared_at: WallTime,
    /// What was last accepted of it.
    pub obtained: Option<DncListObtained>,
}

/// A change of one list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DncListChange {
    /// Makes it known. All lists are pulled by one coordinator, since one base is made of them.
    Declare {
        /// What is said of it.
        settings: Box<DncListSettings>,
        /// Who pulls it.
        kept_by: MemberId,
    },
    /// Pulls are to rest, or to go on.
    Pause(bool),
    /// Forgets it. Its numbers stay in the base in use until another one is.
    Remove,
    /// Its publisher gave it, or confirmed what is here already.
    Obtained(DncListObtained),
}

/// A list in a base that is about to be made known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDncPart {
    /// The list's name.
    pub list: String,
    /// The file of its numbers.
    pub part: DncBaseId,
}

/// A list as it lies in a base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncPart {
    /// The list's name.
    pub list: String,
    /// The file of its numbers.
    pub part: DncBaseId,
    /// The country that it is about.
    pub country: Option<CountryCode>,
    /// How old it may be.
    pub max_age: Duration,
    /// When its publisher last gave or confirmed exactly these numbers.
    pub obtained_at: WallTime,
}

/// The directory's lists. Since version 5.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct DncListBook {
    lists: BTreeMap<String, DncList>,
    /// Of bases that were made of lists.
    parts: BTreeMap<DncBaseId, Vec<DncPart>>,
}

impl DncListBook {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 2] = [0; 2];

    /// A base is forgotten.
    pub(super) fn forget_base(&mut self, id: DncBaseId) {
        self.parts.remove(&id);
    }
}

fn unknown(name: &str) -> Rejection {
    Rejection::new("name", format!("there is no do-not-call list {name:?}"))
}

fn permille(field: &str, got: u16) -> Result<(), Rejection> {
    if got <= 1000 {
        return Ok(());
    }
    Err(Rejection::over(
        field,
        format!("is {got} thousandths"),
        1000,
    ))
}

impl Directory {
    /// The do-not-call lists, by name.
    pub fn dnc_lists(&self) -> impl Iterator<Item = (&str, &DncList)> {
        (self.dnc_lists.lists.iter()).map(|(name, list)| (name.as_str(), list))
    }

    /// A do-not-call list.
    pub fn dnc_list(&self, name: &str) -> Option<&DncList> {
        self.dnc_lists.lists.get(name)
    }

    /// The lists that a base was made of; none of a base that was built from elsewhere.
    pub fn dnc_parts(&self, base: DncBaseId) -> &[DncPart] {
        self.dnc_lists.parts.get(&base).map_or(&[], Vec::as_slice)
    }

    /// How old the lists are that the base in use was made of.
    pub fn dnc_ages(&self) -> Vec<DncListAge> {
        let parts = self.base.map_or(&[][..], |base| self.dnc_parts(base));
        let age = |part: &DncPart| DncListAge {
            list: part.list.clone(),
            country: part.country,
            as_of: part.obtained_at,
            max_age: part.max_age,
        };
        parts.iter().map(age).collect()
    }

    pub(super) fn change_dnc_list(
        &mut self,
        name: String,
        change: DncListChange,
        facts: &mut Vec<Fact>,
    ) -> Done {
        match change {
            DncListChange::Declare { settings, kept_by } => {
                return self.declare_list(name, *settings, kept_by);
            }
            DncListChange::Pause(on) => {
                (self.dnc_lists.lists.get_mut(&name))
                    .ok_or_else(|| unknown(&name))?
                    .paused = on;
            }
            DncListChange::Remove => {
                (self.dnc_lists.lists.remove(&name)).ok_or_else(|| unknown(&name))?;
            }
            DncListChange::Obtained(obtained) => self.obtained_list(&name, obtained, facts)?,
        }
        Ok(DirectoryReply::Done)
    }

    fn declare_list(&mut self, name: String, new: DncListSettings, kept_by: MemberId) -> Done {
        checks::login("name", &name)?;
        let (from, most) = (&new.from, limits::DNC_LIST_ADDRESS_BYTES);
        if from.len() > most {
            let why = format!("has {} bytes", from.len());
            return Err(Rejection::over("from", why, most as u64));
        }
        if from.is_empty() || from.chars().any(|c| c.is_control() || c.is_whitespace()) {
            let why = "is no address; write https://… or file:///…";
            return Err(Rejection::new("from", why));
        }
        let (least, most) = (limits::DNC_LIST_EVERY_MIN, limits::DNC_LIST_EVERY_MAX);
        checks::span("every", new.every, least, most)?;
        let (least, most) = (limits::DNC_LIST_AGE_MIN, limits::DNC_LIST_AGE_MAX);
        checks::span("max_age", new.max_age, least, most)?;
        permille("shrink_permille", new.shrink_permille)?;
        permille("invalid_permille", new.invalid_permille)?;
        let keeper = self.members.get(&kept_by);
        let coordinates = keeper.is_some_and(|m| m.role == MemberRole::Coordinator && !m.removed);
        checks::known("kept_by", format!("coordinator {kept_by}"), coordinates)?;
        let lists = &mut self.dnc_lists.lists;
        if lists.contains_key(&name) {
            let why = format!("{name} is declared already; remove it first");
            return Err(Rejection::new("name", why));
        }
        if let Some((other, list)) = lists.iter().find(|(_, list)| list.kept_by != kept_by) {
            let why = format!(
                "{other} is pulled by {}, and one coordinator pulls all lists; declare it there, or \
                 remove that one",
                list.kept_by
            );
            return Err(Rejection::new("kept_by", why));
        }
        checks::room("dnc_lists", lists.len(), 1, limits::DNC_LISTS)?;
        let list = DncList {
            settings: new,
            kept_by,
            paused: false,
            declared_at: self.clock,
            obtained: None,
        };
        lists.insert(name, list);
        Ok(DirectoryReply::Done)
    }

    fn obtained_list(
        &mut self,
        name: &str,
        obtained: DncListObtained,
        facts: &mut Vec<Fact>,
    ) -> Result<(), Rejection> {
        // Nothing is obtained in the future, and no list grows older by being confirmed.
        let mut at = obtained.at.min(self.clock);
        let list = (self.dnc_lists.lists.get_mut(name)).ok_or_else(|| unknown(name))?;
        if obtained.numbers == 0 || obtained.numbers > limits::DNC_BASE_NUMBERS {
            let why = format!("is {}", obtained.numbers);
            return Err(Rejection::over("numbers", why, limits::DNC_BASE_NUMBERS));
        }
        if let Some(known) = list.obtained.filter(|known| known.part == obtained.part) {
            at = at.max(known.at);
        }
        list.obtained = Some(DncListObtained { at, ..obtained });
        let before = self.dnc_ages();
        for part in self.dnc_lists.parts.values_mut().flatten() {
            if part.list == name && part.part == obtained.part {
                part.obtained_at = part.obtained_at.max(at);
            }
        }
        self.tell_ages(&before, facts);
        Ok(())
    }

    /// Tells how old the lists of the base in use are, where that is not as `before`.
    pub(super) fn tell_ages(&self, before: &[DncListAge], facts: &mut Vec<Fact>) {
        let ages = self.dnc_ages();
        if ages != before {
            facts.push(Fact::DncAges(ages));
        }
    }

    /// A base is made known that was made of lists, as they were last obtained.
    pub(super) fn stage_base_of_lists(&mut self, base: NewDncBase, parts: &[NewDncPart]) -> Done {
        if parts.is_empty() {
            return Err(Rejection::new("parts", "is empty; name the lists"));
        }
        checks::room("parts", 0, parts.len(), limits::DNC_LISTS)?;
        // Said again after a lost answer, maybe when a list has moved on.
        let known = |part: &DncPart| (part.list.clone(), part.part);
        let said = |part: &NewDncPart| (part.list.clone(), part.part);
        let there: Vec<_> = self.dnc_parts(base.id).iter().map(known).collect();
        if there == parts.iter().map(said).collect::<Vec<_>>() {
            return self.stage_base(base);
        }
        let mut full = Vec::with_capacity(parts.len());
        for NewDncPart { list: name, part } in parts {
            let list = self.dnc_list(name).ok_or_else(|| unknown(name))?;
            let Some(obtained) = list.obtained.filter(|known| known.part == *part) else {
                let why = format!("{part} is not what was last obtained of {name}; build it anew");
                return Err(Rejection::new("parts", why));
            };
            if full.iter().any(|known: &DncPart| known.list == *name) {
                return Err(Rejection::new("parts", format!("{name} is named twice")));
            }
            full.push(DncPart {
                list: name.clone(),
                part: *part,
                country: list.settings.country,
                max_age: list.settings.max_age,
                obtained_at: obtained.at,
            });
        }
        if self.dnc_base(base.id).is_some() {
            let why = format!("{} is known already, and made of something else", base.id);
            return Err(Rejection::new("base", why));
        }
        let id = base.id;
        let done = self.stage_base(base)?;
        self.dnc_lists.parts.insert(id, full);
        Ok(done)
    }
}
