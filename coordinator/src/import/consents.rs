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
use ledger::{Change, ConsentRefusal, Directory, DirectoryReply};
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

/// Bytes of rows that wait; beyond, they are proposed.
const WAITING_BYTES: usize = 8 << 20;

/// A row that waits to be proposed, as it came, for the file of rejects.
struct Waiting {
    row: u64,
    fields: Vec<String>,
    consent: Consent,
}

impl Waiting {
    /// Why it is not taken, in a word and with what to do.
    fn refusal(&self, directory: &Directory) -> Option<(&'static str, String)> {
        Some(match directory.consent_refusal(&self.consent)? {
            ConsentRefusal::Withdrawn(at) => {
                let remedy = format!("withdrawn on {at}; a consent given after that is taken");
                ("withdrawn", remedy)
            }
            ConsentRefusal::Older(at) => {
                let remedy = format!("one given on {at} is known; nothing is to be done");
                ("older", remedy)
            }
        })
    }
}

struct Import {
    backend: Arc<Backend>,
    options: ConsentImportOptions,
    country: Option<String>,
    waiting: BTreeMap<PhoneNumber, Waiting>,
    waiting_bytes: usize,
    /// Every number of a dry run.
    seen: BTreeSet<PhoneNumber>,
    /// Every proof of a dry run that is not known, until there are too many.
    proofs: BTreeSet<ConsentProof>,
    /// What became of rows.
    counts: BTreeMap<&'static str, u64>,
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
        waiting_bytes: 0,
        seen: BTreeSet::new(),
        proofs: BTreeSet::new(),
        counts: BTreeMap::new(),
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
        let counts = self.counts.iter().filter(|(_, n)| **n > 0);
        operation.counts = counts
            .map(|(result, n)| ((*result).to_owned(), *n))
            .collect();
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
                Ok(consent) => self.wait(row.number, row.fields, consent)?,
                Err(remedy) => {
                    self.count("invalid", 1);
                    rejects.add(row.number, "invalid", &remedy, &row.fields)?;
                }
            }
            if self.waiting.len() == limits::DNC_BATCH || self.waiting_bytes >= WAITING_BYTES {
                self.propose(rejects).await?;
                self.progress(rows);
            }
        }
        self.propose(rejects).await
    }

    fn count(&mut self, result: &'static str, rows: u64) {
        *self.counts.entry(result).or_default() += rows;
    }

    /// Lets a row wait for its batch. Of two rows of one number the consent given later counts.
    fn wait(&mut self, row: u64, fields: Vec<String>, consent: Consent) -> Result<(), Failure> {
        let number = consent.number;
        if self.running.operation.dry_run && !self.seen.insert(number) {
            self.count("duplicate", 1);
            return Ok(());
        }
        if self.seen.len() > DRY_RUN_NUMBERS {
            return Err(Failure::DryRun);
        }
        let earlier = self.waiting.get(&number).map(|one| one.consent.given_at);
        self.count("duplicate", u64::from(earlier.is_some()));
        if earlier.is_some_and(|at| at >= consent.given_at) {
            return Ok(());
        }
        self.waiting_bytes += fields.iter().map(|f| f.len() + 48).sum::<usize>() + 64;
        let waiting = Waiting {
            row,
            fields,
            consent,
        };
        // What it takes the place of stays counted until the batch goes.
        self.waiting.insert(number, waiting);
        Ok(())
    }

    async fn propose(&mut self, rejects: &mut Rejects) -> Result<(), Failure> {
        self.waiting_bytes = 0;
        let waiting: Vec<Waiting> = std::mem::take(&mut self.waiting).into_values().collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let added = if self.running.operation.dry_run {
            self.would_add(&waiting)?
        } else {
            self.add(&waiting).await?
        };
        // Looked up once they are in: what was withdrawn meanwhile is told as well.
        let directory = self.backend.member.directory();
        let refusals: Vec<_> = directory.read(|d| {
            let refused = |one: &Waiting| one.refusal(d);
            waiting.iter().map(refused).collect()
        });
        let mut taken = waiting.len() as u64;
        for (one, refusal) in waiting.iter().zip(refusals) {
            if let Some((result, remedy)) = refusal {
                taken -= 1;
                self.count(result, 1);
                rejects.add(one.row, result, &remedy, &one.fields)?;
            }
        }
        self.count("accepted", added.min(taken));
        self.count("renewed", taken.saturating_sub(added));
        Ok(())
    }

    /// How many of these would be new. Fails where the import would.
    fn would_add(&mut self, waiting: &[Waiting]) -> Result<u64, Failure> {
        let proofs = &mut self.proofs;
        self.backend.member.directory().read(|directory| {
            let unknown = waiting.iter().map(|one| &one.consent.proof);
            let unknown = unknown
                .filter(|proof| !directory.knows_proof(proof))
                .cloned();
            let before = proofs.len();
            proofs.extend(unknown);
            if proofs.len() > before && !directory.has_room_for_proofs(proofs.len()) {
                let limit = limits::CONSENT_PROOFS as u64;
                let what = "different proofs of consents; use one source for one form, and not one \
                            for each answer";
                return Err(Failure::Backend(BackendError::Limit { what, limit }));
            }
            let new = |one: &&Waiting| {
                let key = (one.consent.number, one.consent.campaign);
                !directory.has_consent(key) && directory.consent_refusal(&one.consent).is_none()
            };
            Ok(waiting.iter().filter(new).count() as u64)
        })
    }

    /// Proposes these; how many were new.
    async fn add(&self, waiting: &[Waiting]) -> Result<u64, Failure> {
        let change = Change::ChangeConsents {
            add: waiting.iter().map(|one| one.consent.clone()).collect(),
            withdraw: Vec::new(),
            reason: String::new(),
        };
        let committed = (self.backend.change(change).await).map_err(Failure::Backend)?;
        match committed.reply {
            DirectoryReply::Clearance { added, .. } => Ok(u64::from(added)),
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
