//! Imports of do-not-call numbers.

use super::{
    DRY_RUN_NUMBERS, Failure, country, end, mapping::Mapping, rejects::Rejects, rows::Rows,
};
use crate::{
    backend::{Backend, audit},
    dnc,
    operations::Running,
};
use dialmesh_http::{
    admin::{Answer, ByteStream},
    auth::Caller,
    dto::{DncImportOptions, Operation},
    problem::BackendError,
};
use domain::{DncEntry, DncScope, DncSource, PhoneNumber, limits};
use ledger::{Change, DirectoryReply};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::oneshot;

struct Import {
    backend: Arc<Backend>,
    scope: DncScope,
    source: DncSource,
    country: Option<String>,
    waiting: BTreeSet<PhoneNumber>,
    /// Every number of a dry run.
    seen: BTreeSet<PhoneNumber>,
    accepted: u64,
    duplicate: u64,
    invalid: u64,
    /// Index of the last batch.
    index: Option<u64>,
    running: Running,
}

/// Reads a file of numbers to its end, then waits until they are effective.
pub(crate) async fn start(
    backend: &Arc<Backend>,
    by: &Caller,
    options: DncImportOptions,
    length: Option<u64>,
    rows: ByteStream,
) -> Answer<Operation> {
    let scope = options
        .scope()
        .map_err(|error| BackendError::Invalid(vec![error]))?;
    dnc::check_scope(backend, scope.into())?;
    let country = country(options.default_country)?;
    audit(
        by,
        "import_do_not_call",
        &format!("scope={scope:?} dry_run={}", options.dry_run),
    );
    let running = backend
        .operations
        .begin("do_not_call_import", options.dry_run, length);
    let import = Import {
        backend: Arc::clone(backend),
        scope: scope.into(),
        source: match options.registry {
            true => DncSource::Registry,
            false => DncSource::Admin,
        },
        country,
        waiting: BTreeSet::new(),
        seen: BTreeSet::new(),
        accepted: 0,
        duplicate: 0,
        invalid: 0,
        index: None,
        running: running.map_err(|e| BackendError::Internal(e.to_string()))?,
    };
    let (tell, told) = oneshot::channel();
    backend.tasks.spawn("do_not_call_import", async move {
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
        if let (Ok(()), Some(index)) = (&result, self.index)
            && let Err(error) = self.backend.effective(index).await
        {
            self.running.operation.error = Some(format!("agreed on, but {error}"));
        }
        end(self.running, result)
    }

    fn progress(&mut self, rows: &Rows) {
        let operation = &mut self.running.operation;
        operation.bytes_done = rows.bytes_done;
        operation.rows = rows.rows.saturating_sub(1);
        let counts = [
            ("accepted", self.accepted),
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
        let mut rejects = Rejects::new(self.running.rejects_file(), &heading.fields);
        let taken = self.take_rows(rows, &mapping, &mut rejects).await;
        rejects.finish()?;
        self.running.operation.has_rejects = rejects.any();
        taken
    }

    async fn take_rows(
        &mut self,
        rows: &mut Rows,
        mapping: &Mapping,
        rejects: &mut Rejects,
    ) -> Result<(), Failure> {
        while let Some(row) = rows.next().await? {
            match mapping.number(&row.fields, self.country.as_deref()) {
                Ok(number) if self.came_before(number)? => self.duplicate += 1,
                Ok(number) => _ = self.waiting.insert(number),
                Err(problem) => {
                    self.invalid += 1;
                    rejects.add(row.number, "invalid", &problem.to_string(), &row.fields)?;
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
            return Ok(self.waiting.contains(&number));
        }
        let new = self.seen.insert(number);
        if self.seen.len() > DRY_RUN_NUMBERS {
            Err(Failure::DryRun)
        } else {
            Ok(!new)
        }
    }

    /// Every number that waits becomes an entry; those that were there are renewed.
    async fn propose(&mut self) -> Result<(), Failure> {
        let numbers = std::mem::take(&mut self.waiting);
        if numbers.is_empty() {
            return Ok(());
        }
        let scope = self.scope;
        if self.running.operation.dry_run {
            let directory = self.backend.member.directory();
            let known = directory.read(|d| {
                numbers
                    .iter()
                    .filter(|number| d.dnc_entry(**number, scope).is_some())
                    .count() as u64
            });
            self.duplicate += known;
            self.accepted += numbers.len() as u64 - known;
            return Ok(());
        }
        let (added_at, source) = (service::clock::wall(), self.source);
        let entry = |number| DncEntry {
            number,
            scope,
            source,
            added_at,
        };
        let add = numbers.into_iter().map(entry).collect();
        let change = Change::ChangeDnc {
            add,
            remove: Vec::new(),
            reason: String::new(),
        };
        let committed = self
            .backend
            .change(change)
            .await
            .map_err(Failure::Backend)?;
        match committed.reply {
            DirectoryReply::Dnc {
                index,
                added,
                renewed,
                ..
            } => {
                self.accepted += u64::from(added);
                self.duplicate += u64::from(renewed);
                self.index = Some(index);
                Ok(())
            }
            other => Err(Failure::Backend(crate::backend::unexpected(&other))),
        }
    }
}
