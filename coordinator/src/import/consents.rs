//! Imports of consents.

use super::{
    DRY_RUN_NUMBERS, Failure, country, end, mapping::Mapping, rejects::Rejects, rows::Rows,
};
use crate::{
    backend::{Backend, audit, missing, unexpected},
    operations::Running,
};
use dialmesh_http::{
    admin::{Answer, ByteStream},
    auth::Caller,
    dto::{ConsentImportOptions, Operation, Timestamp},
    problem::BackendError,
};
use domain::{Consent, ConsentKind, ConsentProof, PhoneNumber, WallTime, limits};
use ledger::{Change, DirectoryReply};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::oneshot;

/// Columns beside the number, and what holds where they are empty.
struct Columns {
    options: ConsentImportOptions,
    places: [Option<usize>; 5],
}

const NAMES: [&str; 5] = ["kind", "source", "place", "given_at", "until"];

impl Columns {
    fn of(options: ConsentImportOptions, heading: &[String]) -> Self {
        let place = |name: &str| heading.iter().position(|h| h.trim().to_lowercase() == name);
        Self {
            options,
            places: NAMES.map(place),
        }
    }

    /// What a row says in a column, or what holds for all.
    fn text<'a>(&'a self, fields: &'a [String], at: usize) -> Option<&'a str> {
        let ConsentImportOptions {
            kind,
            source,
            place,
            given_at,
            until,
            ..
        } = &self.options;
        let default = [kind, source, place, given_at, until][at].as_deref();
        let own = (self.places[at].and_then(|place| fields.get(place))).map(|text| text.trim());
        own.filter(|text| !text.is_empty()).or(default)
    }

    fn time(&self, fields: &[String], at: usize) -> Result<Option<WallTime>, String> {
        let text = self
            .text(fields, at)
            .map(str::parse::<Timestamp>)
            .transpose();
        text.map(|time| time.map(|time| time.0))
            .map_err(|why| format!("{}: {why}", NAMES[at]))
    }

    fn name(&self, fields: &[String], at: usize) -> Result<String, String> {
        let (text, max) = (
            self.text(fields, at).unwrap_or_default(),
            limits::NAME_BYTES,
        );
        match text.len() {
            0 => Err(format!(
                "{} is missing; give it in the row or for the whole file",
                NAMES[at]
            )),
            n if n > max => Err(format!("{} has {n} bytes; at most {max}", NAMES[at])),
            _ if text.chars().any(char::is_control) => {
                Err(format!("{} holds control characters", NAMES[at]))
            }
            _ => Ok(text.to_owned()),
        }
    }

    /// A row as a consent.
    fn consent(&self, number: PhoneNumber, fields: &[String]) -> Result<Consent, String> {
        let kind: ConsentKind = (self.text(fields, 0).unwrap_or_default().parse())
            .map_err(|why| format!("kind {why}"))?;
        let proof = ConsentProof {
            kind,
            source: self.name(fields, 1)?,
            place: self.name(fields, 2)?,
        };
        let given_at = self.time(fields, 3)?;
        let given_at = given_at.ok_or("given_at is missing; write when it was given")?;
        let until = self.time(fields, 4)?;
        let now = service::clock::wall();
        if given_at > now {
            return Err("given_at is in the future".to_owned());
        }
        if until.is_some_and(|until| until <= now) {
            return Err("until is past: this consent is over".to_owned());
        }
        Ok(Consent {
            number,
            campaign: self.options.campaign,
            proof,
            given_at,
            until,
        })
    }
}

struct Import {
    backend: Arc<Backend>,
    options: ConsentImportOptions,
    country: Option<String>,
    waiting: BTreeMap<PhoneNumber, Consent>,
    /// Every number of a dry run.
    seen: BTreeSet<PhoneNumber>,
    accepted: u64,
    renewed: u64,
    duplicate: u64,
    invalid: u64,
    running: Running,
}

/// Reads a file of consents to its end.
pub(crate) async fn start(
    backend: &Arc<Backend>,
    by: &Caller,
    options: ConsentImportOptions,
    length: Option<u64>,
    rows: ByteStream,
) -> Answer<Operation> {
    if let Some(id) = options.campaign {
        let known = (backend.member.directory()).read(|d| d.campaign(id).is_some());
        known.then_some(()).ok_or_else(|| missing("campaign", id))?;
    }
    let country = country(options.default_country.clone())?;
    let detail = format!(
        "campaign={:?} dry_run={}",
        options.campaign, options.dry_run
    );
    audit(by, "import_consents", &detail);
    let running = (backend.operations).begin("consent_import", options.dry_run, length);
    let import = Import {
        backend: Arc::clone(backend),
        options,
        country,
        waiting: BTreeMap::new(),
        seen: BTreeSet::new(),
        accepted: 0,
        renewed: 0,
        duplicate: 0,
        invalid: 0,
        running: running.map_err(|e| BackendError::Internal(e.to_string()))?,
    };
    let (tell, told) = oneshot::channel();
    backend.tasks.spawn("consent_import", async move {
        // The importer may have gone; the operation is listed all the same.
        drop(tell.send(import.run(Rows::new(rows)).await));
    });
    told.await
        .unwrap_or_else(|_| Err(BackendError::Internal("the import was cut off".to_owned())))
}

impl Import {
    async fn run(mut self, mut rows: Rows) -> Answer<Operation> {
        let result = self.take_all(&mut rows).await;
        self.progress(&rows);
        end(self.running, result)
    }

    fn progress(&mut self, rows: &Rows) {
        let operation = &mut self.running.operation;
        operation.bytes_done = rows.bytes_done;
        operation.rows = rows.rows.saturating_sub(1);
        let counts = [
            ("accepted", self.accepted),
            ("renewed", self.renewed),
            ("duplicate", self.duplicate),
            ("invalid", self.invalid),
        ];
        let counts = counts.into_iter().filter(|(_, n)| *n > 0);
        operation.counts = counts.map(|(result, n)| (result.to_owned(), n)).collect();
        self.running.tell();
    }

    async fn take_all(&mut self, rows: &mut Rows) -> Result<(), Failure> {
        let Some(heading) = rows.next().await? else {
            return Err(Failure::Heading(
                "the file is empty; its first row names the columns".into(),
            ));
        };
        let mapping = Mapping::of(&heading.fields).map_err(Failure::Heading)?;
        let columns = Columns::of(self.options.clone(), &heading.fields);
        let mut rejects = Rejects::new(self.running.rejects_file(), &heading.fields);
        let taken = self.take_rows(rows, &mapping, &columns, &mut rejects).await;
        rejects.finish()?;
        self.running.operation.has_rejects = rejects.any();
        taken
    }

    async fn take_rows(
        &mut self,
        rows: &mut Rows,
        mapping: &Mapping,
        columns: &Columns,
        rejects: &mut Rejects,
    ) -> Result<(), Failure> {
        while let Some(row) = rows.next().await? {
            let number = mapping.number(&row.fields, self.country.as_deref());
            let consent = (number.map_err(|problem| problem.to_string()))
                .and_then(|number| columns.consent(number, &row.fields));
            match consent {
                Ok(consent) if self.came_before(consent.number)? => self.duplicate += 1,
                Ok(consent) => _ = self.waiting.insert(consent.number, consent),
                Err(remedy) => {
                    self.invalid += 1;
                    rejects.add(row.number, "invalid", &remedy, &row.fields)?;
                }
            }
            if self.waiting.len() == limits::DNC_BATCH {
                self.propose().await?;
                self.progress(rows);
            }
        }
        self.propose().await
    }

    fn came_before(&mut self, number: PhoneNumber) -> Result<bool, Failure> {
        if !self.running.operation.dry_run {
            return Ok(self.waiting.contains_key(&number));
        }
        let new = self.seen.insert(number);
        if self.seen.len() > DRY_RUN_NUMBERS {
            Err(Failure::DryRun)
        } else {
            Ok(!new)
        }
    }

    async fn propose(&mut self) -> Result<(), Failure> {
        let add: Vec<Consent> = std::mem::take(&mut self.waiting).into_values().collect();
        if add.is_empty() {
            return Ok(());
        }
        let rows = add.len() as u64;
        if self.running.operation.dry_run {
            let known = |d: &ledger::Directory, consent: &Consent| {
                (d.consents_of(consent.number).iter()).any(|(_, c)| c.campaign == consent.campaign)
            };
            let directory = self.backend.member.directory();
            let renewed = directory.read(|d| add.iter().filter(|c| known(d, c)).count() as u64);
            self.renewed += renewed;
            self.accepted += rows - renewed;
            return Ok(());
        }
        let change = Change::ChangeConsents {
            add,
            withdraw: Vec::new(),
            reason: String::new(),
        };
        let committed = (self.backend.change(change).await).map_err(Failure::Backend)?;
        match committed.reply {
            DirectoryReply::Clearance { added, .. } => {
                self.accepted += u64::from(added);
                self.renewed += rows - u64::from(added);
                Ok(())
            }
            other => Err(Failure::Backend(unexpected(&other))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(fields: &[&str]) -> Vec<String> {
        fields.iter().map(|f| (*f).to_owned()).collect()
    }

    #[test]
    fn a_row_goes_before_what_holds_for_the_file() {
        let number: PhoneNumber = "+14155550134".parse().unwrap();
        let options = ConsentImportOptions {
            kind: Some("form".into()),
            source: Some("form 3".into()),
            place: Some("example.com".into()),
            given_at: Some("2026-01-01T00:00:00Z".into()),
            ..ConsentImportOptions::default()
        };
        let columns = Columns::of(options, &texts(&["number", "Kind", "until"]));
        let consent = |fields: &[&str]| columns.consent(number, &texts(fields));
        let plain = consent(&["", "", ""]).unwrap();
        assert_eq!(
            (plain.proof.kind, plain.proof.source.as_str(), plain.until),
            (ConsentKind::Form, "form 3", None)
        );
        let own = consent(&["", "spoken", "2999-01-01T00:00:00Z"]).unwrap();
        assert_eq!(own.proof.kind, ConsentKind::Spoken);
        assert!(own.until.is_some());
        for (fields, why) in [
            (["", "shouted", ""], "kind is not"),
            (["", "", "soon"], "until"),
            (["", "", "2020-01-01T00:00:00Z"], "over"),
        ] {
            let said = consent(&fields).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        let bare = Columns::of(ConsentImportOptions::default(), &texts(&["number", "kind"]));
        let said = bare.consent(number, &texts(&["", "form"])).unwrap_err();
        assert!(said.contains("source is missing"), "{said}");
    }
}
