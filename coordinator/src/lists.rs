//! Do-not-call lists that are pulled from their publishers on a schedule.
//!
//! One thing at a time: a pull ([`pull`]), or the making of one base of all lists ([`union`]).
//! [`Lists::run`] looks every few seconds at what is due.

mod address;
mod fetch;
mod folder;
mod pull;
mod union;

use crate::backend::{Backend, audit, missing, unexpected};
use address::Address;
use dialmesh_http::{
    admin::Answer,
    auth::Caller,
    dto::{DncList as Shown, DncListDecision, DncListPullRequest, DncListRequest, Operation, Page},
    problem::{BackendError, FieldError},
};
use domain::limits;
use folder::{Credentials, Folder, State};
use ledger::{Change, DirectoryReply, DncList, DncListChange, DncListSettings};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use storage::DataKeys;
use tokio::sync::Notify;
use union::Standing;

/// How often it is looked at what is due.
const LOOK: Duration = Duration::from_secs(5);
/// How often it is looked at while a base waits for nodes to fetch it.
const LOOK_SOON: Duration = Duration::from_millis(500);
/// How long after a failure the making of a base is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// How long the directory may take to be recovered before it is waited for again.
const RECOVERY: Duration = Duration::from_secs(30);

/// The lists of this coordinator.
#[derive(Debug)]
pub(crate) struct Lists {
    dir: PathBuf,
    keys: DataKeys,
    files: Option<PathBuf>,
    most: u64,
    /// Held by a pull and by the making of a base.
    turn: tokio::sync::Mutex<()>,
    wake: Notify,
    /// Why the base of all lists waits, if it does.
    standing: Mutex<Option<String>>,
}

impl Lists {
    /// Opens what lies in the data directory. What an older key sealed is sealed with the newest.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn open(
        data_dir: &Path,
        keys: &DataKeys,
        config: &crate::config::DoNotCallConfig,
    ) -> io::Result<Self> {
        let dir = data_dir.join("dnc").join("lists");
        fs::create_dir_all(&dir)?;
        let lists = Self {
            dir,
            keys: keys.clone(),
            files: config.files.clone(),
            most: config.list_bytes.unwrap_or(limits::DNC_LIST_BYTES),
            turn: tokio::sync::Mutex::new(()),
            wake: Notify::new(),
            standing: Mutex::new(None),
        };
        for name in lists.folders()? {
            lists.folder(&name).seal_anew()?;
        }
        Ok(lists)
    }

    fn folders(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn folder(&self, name: &str) -> Folder {
        Folder::of(&self.dir, name, &self.keys)
    }

    /// The folder that lists may lie in as files.
    fn files(&self) -> Option<&Path> {
        self.files.as_deref()
    }

    /// Bytes of a list at most.
    const fn most(&self) -> u64 {
        self.most
    }

    /// The lists that this coordinator pulls, by name.
    fn ours(&self, backend: &Backend) -> Vec<(String, DncList)> {
        let id = backend.member.id();
        (backend.member.directory()).read(|d| {
            let ours = d.dnc_lists().filter(|(_, list)| list.kept_by == id);
            ours.map(|(name, list)| (name.to_owned(), list.clone()))
                .collect()
        })
    }

    /// How a list stands here; as never pulled where its file cannot be read, which is logged.
    fn state(&self, name: &str) -> State {
        self.folder(name).state().unwrap_or_else(|error| {
            tracing::error!(list = name, %error, "what is kept of a do-not-call list cannot be read");
            State::default()
        })
    }

    /// Deletes what lies here of lists that are no more.
    async fn sweep(&self, backend: &Backend) -> io::Result<()> {
        let _edit = backend.edit.lock().await;
        let ours: BTreeSet<String> = self
            .ours(backend)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        for name in self.folders()? {
            if !ours.contains(&name) {
                self.folder(&name).remove()?;
                gauges(&name, f64::NAN, false);
            }
        }
        Ok(())
    }

    /// Pulls what is due and makes bases, for as long as the process lives.
    pub(crate) async fn run(backend: Arc<Backend>) {
        let lists = Arc::clone(&backend.lists);
        while let Err(error) = backend.member.directory().recovered(RECOVERY).await {
            tracing::debug!(%error, "do-not-call lists wait for the directory");
        }
        let mut failed: Option<Instant> = None;
        loop {
            let turn = lists.turn.lock().await;
            if let Err(error) = lists.sweep(&backend).await {
                tracing::warn!(%error, "what is left of a do-not-call list stays");
            }
            lists.pull_due(&backend).await;
            let mut pause = LOOK;
            if failed.is_none_or(|at| at.elapsed() > AGAIN) {
                let standing = union::look(&backend).await;
                let later = matches!(standing, Err(_) | Ok(Standing::Refused(_)));
                failed = later.then(Instant::now);
                if matches!(standing, Ok(Standing::Waits(_))) {
                    pause = LOOK_SOON;
                }
                lists.stands(standing);
            }
            lists.measure(&backend);
            drop(turn);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Somebody asks: what failed is tried at once.
                () = lists.wake.notified() => failed = None,
            }
        }
    }

    async fn pull_due(&self, backend: &Backend) {
        for (name, list) in self.ours(backend) {
            let state = self.state(&name);
            // Its numbers were lost: they are asked for at once, and after a failure on time.
            let lost = state.failures == 0 && self.folder(&name).has_lost(&state);
            let due = lost || pull::next_pull(&list, &state) <= service::clock::wall();
            if list.paused || !due {
                continue;
            }
            match backend.operations.begin("do_not_call_pull", false, None) {
                Ok(running) => pull::pull(backend, &name, running).await,
                Err(error) => {
                    tracing::error!(list = name, %error, "a do-not-call list is not pulled");
                }
            }
        }
    }

    /// Logs what has changed about the base of all lists.
    fn stands(&self, standing: Result<Standing, String>) {
        let why = match standing {
            Ok(Standing::Settled) => None,
            Ok(Standing::NeedsApproval(why) | Standing::Refused(why)) => {
                Some(format!("needs an approval: {why}"))
            }
            Ok(Standing::Waits(nodes)) => Some(format!("waits for {nodes} to fetch it")),
            Err(error) => Some(format!("cannot be made: {error}")),
        };
        let mut before = self.standing.lock();
        if *before != why {
            match &why {
                Some(why) => tracing::warn!("the do-not-call base of all lists {why}"),
                None => tracing::info!("the do-not-call base of all lists is in use"),
            }
            *before = why;
        }
        let needs = before.as_ref().is_some_and(|why| why.starts_with("needs"));
        metrics::gauge!("dialmesh_dnc_list_needs_approval", "list" => "base")
            .set(f64::from(u8::from(needs)));
    }

    fn measure(&self, backend: &Backend) {
        let now = service::clock::wall();
        for (name, list) in self.ours(backend) {
            let since = list
                .obtained
                .map_or(list.declared_at, |obtained| obtained.at);
            let waits = self.state(&name).waiting.is_some();
            gauges(&name, now.since(since).as_secs_f64(), waits);
        }
    }
}

fn gauges(name: &str, age: f64, waits: bool) {
    metrics::gauge!("dialmesh_dnc_list_age_seconds", "list" => name.to_owned()).set(age);
    metrics::gauge!("dialmesh_dnc_list_needs_approval", "list" => name.to_owned())
        .set(f64::from(u8::from(waits)));
}

fn disk(error: &io::Error) -> BackendError {
    BackendError::Internal(format!("the disk refused: {error}"))
}

/// A list of the directory.
fn known(backend: &Backend, name: &str) -> Answer<DncList> {
    let known = (backend.member.directory()).read(|d| d.dnc_list(name).cloned());
    known.ok_or_else(|| missing("do-not-call list", name))
}

/// A list that this coordinator pulls.
fn ours(backend: &Backend, name: &str) -> Answer<DncList> {
    let list = known(backend, name)?;
    if list.kept_by == backend.member.id() {
        return Ok(list);
    }
    let keeper = keeper(backend, &list);
    let why = format!("{name} is pulled by the coordinator {keeper}; ask there");
    Err(BackendError::Conflict(why))
}

fn keeper(backend: &Backend, list: &DncList) -> String {
    let keeper =
        (backend.member.directory()).read(|d| d.member(list.kept_by).map(|m| m.name.clone()));
    keeper.unwrap_or_else(|| list.kept_by.to_string())
}

fn shown(backend: &Backend, name: &str, list: &DncList, pulls: usize) -> Shown {
    let ours = list.kept_by == backend.member.id();
    let state = match ours {
        true => backend.lists.state(name),
        false => State::default(),
    };
    let in_use = (backend.member.directory()).read(|d| {
        let parts = d.dnc_base_in_use().map_or(&[][..], |id| d.dnc_parts(id));
        let part = parts.iter().find(|part| part.list == name);
        part.is_some_and(|part| Some(part.part) == list.obtained.map(|obtained| obtained.part))
    });
    let (settings, now) = (&list.settings, service::clock::wall());
    let next = (ours && !list.paused).then(|| pull::next_pull(list, &state));
    Shown {
        name: name.to_owned(),
        from: settings.from.clone(),
        every_seconds: settings.every.as_secs(),
        country: settings.country.map(|country| country.to_string()),
        max_age_seconds: settings.max_age.as_secs(),
        shrink_permille: settings.shrink_permille,
        invalid_permille: settings.invalid_permille,
        kept_by: keeper(backend, list),
        paused: list.paused,
        declared_at: list.declared_at.into(),
        obtained_at: list.obtained.map(|obtained| obtained.at.into()),
        age_seconds: list
            .obtained
            .map(|obtained| now.since(obtained.at).as_secs()),
        numbers: list.obtained.map(|obtained| obtained.numbers),
        in_use,
        next_pull_at: next.map(Into::into),
        waiting: state.waiting.as_ref().map(|waiting| waiting.reason.clone()),
        pulls: state.pulls().take(pulls).cloned().collect(),
    }
}

/// Every list.
pub(crate) fn list(backend: &Backend) -> Page<Shown> {
    let all: Vec<(String, DncList)> = (backend.member.directory()).read(|d| {
        let all = d.dnc_lists();
        all.map(|(name, list)| (name.to_owned(), list.clone()))
            .collect()
    });
    let all = all.iter().map(|(name, list)| shown(backend, name, list, 1));
    Page::new(all.collect(), None)
}

/// One list with all that is remembered of its pulls.
pub(crate) fn show(backend: &Backend, name: &str) -> Answer<Shown> {
    let list = known(backend, name)?;
    Ok(shown(backend, name, &list, limits::DNC_LIST_PULLS))
}

async fn change(backend: &Backend, name: &str, change: DncListChange) -> Answer<()> {
    let name = name.to_owned();
    match backend
        .change(Change::ChangeDncList { name, change })
        .await?
        .reply
    {
        DirectoryReply::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// Declares a list; it is pulled at once.
pub(crate) async fn declare(
    backend: &Backend,
    by: &Caller,
    request: DncListRequest,
) -> Answer<Shown> {
    let lists = &backend.lists;
    let invalid = |pointer: &str, why: String| {
        Err(BackendError::Invalid(vec![FieldError::new(pointer, why)]))
    };
    let address = match Address::parse(&request.from, lists.files()) {
        Ok(address) => address,
        Err(why) => return invalid("/from", why),
    };
    if request.ca.is_some() && !address.is_encrypted() {
        return invalid(
            "/ca",
            "is given for an address that is not https".to_owned(),
        );
    }
    let country = match request.country.as_deref() {
        None => None,
        Some(code) => match code.parse() {
            Ok(country) => Some(country),
            Err(error) => return invalid("/country", format!("is {error}")),
        },
    };
    if let Some(code) = &country
        && let Err(numbering::ParseError::UnknownCountry { .. }) =
            numbering::parse("1", domain::CountryCode::as_str(code))
    {
        return invalid(
            "/country",
            format!("is {code}, which has no telephone numbers"),
        );
    }
    let name = request.name;
    audit(
        by,
        "declare_do_not_call_list",
        &format!("{name} from {}", request.from),
    );
    let settings = DncListSettings {
        from: request.from,
        every: Duration::from_secs(request.every_seconds),
        country,
        max_age: Duration::from_secs(request.max_age_seconds),
        shrink_permille: request.shrink_permille,
        invalid_permille: request.invalid_permille,
    };
    {
        let _edit = backend.edit.lock().await;
        if (backend.member.directory()).read(|d| d.dnc_list(&name).is_some()) {
            let why = format!("{name} is declared already; remove it first");
            return Err(BackendError::Conflict(why));
        }
        // What it is asked with lies here before anybody knows of it.
        let folder = lists.folder(&name);
        let credentials = Credentials {
            header: request.header,
            ca: request.ca,
        };
        let made = tokio::task::spawn_blocking(move || folder.make(&credentials)).await;
        made.map_err(io::Error::other)
            .flatten()
            .map_err(|e| disk(&e))?;
        let kept_by = backend.member.id();
        let settings = Box::new(settings);
        change(backend, &name, DncListChange::Declare { settings, kept_by }).await?;
    }
    lists.wake.notify_one();
    show(backend, &name)
}

/// Forgets a list. The next base is made without it.
pub(crate) async fn remove(backend: &Backend, by: &Caller, name: &str) -> Answer<()> {
    known(backend, name)?;
    audit(by, "remove_do_not_call_list", name);
    change(backend, name, DncListChange::Remove).await?;
    backend.lists.wake.notify_one();
    Ok(())
}

/// Lets the pulls of a list rest, or go on.
pub(crate) async fn pause(backend: &Backend, by: &Caller, name: &str, on: bool) -> Answer<Shown> {
    known(backend, name)?;
    let what = match on {
        true => "pause_do_not_call_list",
        false => "resume_do_not_call_list",
    };
    audit(by, what, name);
    change(backend, name, DncListChange::Pause(on)).await?;
    backend.lists.wake.notify_one();
    show(backend, name)
}

/// Begins to pull a list now.
pub(crate) async fn begin_pull(
    backend: &Arc<Backend>,
    by: &Caller,
    name: &str,
    request: DncListPullRequest,
) -> Answer<Operation> {
    ours(backend, name)?;
    audit(
        by,
        "pull_do_not_call_list",
        &format!("{name} dry_run={}", request.dry_run),
    );
    let running = (backend.operations).begin("do_not_call_pull", request.dry_run, None);
    let running = running.map_err(|e| BackendError::Internal(e.to_string()))?;
    let begun = running.operation.clone();
    let (backend_too, name) = (Arc::clone(backend), name.to_owned());
    backend.tasks.spawn("do_not_call_pull", async move {
        let turn = backend_too.lists.turn.lock().await;
        pull::pull(&backend_too, &name, running).await;
        drop(turn);
        backend_too.lists.wake.notify_one();
    });
    Ok(begun)
}

/// Takes what waits for an approval, or drops it.
pub(crate) async fn decide(
    backend: &Backend,
    by: &Caller,
    name: &str,
    take: bool,
    decision: DncListDecision,
) -> Answer<Shown> {
    ours(backend, name)?;
    let lists = &backend.lists;
    {
        let _turn = lists.turn.try_lock().map_err(|_| {
            let why = "a list is being pulled, or a base made; try again once that has ended \
                       (`dialmesh dnc list show`)";
            BackendError::Conflict(why.to_owned())
        })?;
        let folder = lists.folder(name);
        let mut state = folder.state().map_err(|error| disk(&error))?;
        let Some(waiting) = state.waiting.take() else {
            let why = format!("nothing of {name} waits for an approval");
            return Err(BackendError::Conflict(why));
        };
        let (what, end) = match take {
            true => ("approve_do_not_call_list", Ok(())),
            false => (
                "reject_do_not_call_list",
                Err(format!("rejected: {}", decision.reason)),
            ),
        };
        let detail = format!("{name}: {} ({})", decision.reason, waiting.reason);
        audit(by, what, &detail);
        if take {
            state.accepted = Some(waiting.text.clone());
        }
        let kept = state.clone();
        let kept = tokio::task::spawn_blocking(move || folder.keep(&kept)).await;
        kept.map_err(io::Error::other)
            .flatten()
            .map_err(|e| disk(&e))?;
        backend.operations.decide(&waiting.operation, end);
        if let Err(error) = pull::tell(backend, name, &state).await {
            // The next look tells it.
            tracing::warn!(list = name, %error, "the directory has not heard of an approval yet");
        }
    }
    lists.wake.notify_one();
    show(backend, name)
}
