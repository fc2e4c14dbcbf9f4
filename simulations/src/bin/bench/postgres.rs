//! Leads leased and reported, durable: three of our members beside one PostgreSQL with
//! `FOR UPDATE SKIP LOCKED`, on the same disk, one after the other.

use crate::{
    Arguments, cores,
    cpu::load,
    debian,
    member::Order,
    trio::{Sum, Trio},
    word,
};
use anyhow::{Context as _, ensure};
use simulations::world::Process;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// How many times PostgreSQL's rate ours shall be.
const BAR: f64 = 30.0;
/// Leads that one claim takes.
const BATCH: u32 = 100;
const CALLERS: [u64; 2] = [1, 16];
const PATIENCE: Duration = Duration::from_secs(60);
/// Leads a second that PostgreSQL does not lease and report here: half as many again as its best.
const PEER_AT_MOST: u64 = 60_000;
/// Seconds to serving that each million leads may cost.
const RESTART_BAR: f64 = 10.0;

/// As a dialer keeps its leads: those to be called in the order of a partial index, rows with room
/// to be changed in place.
const TABLE: &str = "
DROP TABLE IF EXISTS leads;
CREATE TABLE leads (
    id bigint PRIMARY KEY, number text NOT NULL, state smallint NOT NULL DEFAULT 0,
    due timestamptz NOT NULL DEFAULT now(), attempts smallint NOT NULL DEFAULT 0,
    node int, result smallint
) WITH (fillfactor = 70);
INSERT INTO leads (id, number) SELECT n, (10000000000 + n)::text FROM generate_series(1, :leads) n;
CREATE INDEX waiting ON leads (due, id) WHERE state = 0;
VACUUM ANALYZE leads;
CHECKPOINT;
";

/// One claim and its report, each a transaction of its own.
const SCRIPT: &str = "
WITH taken AS (
    SELECT id FROM leads WHERE state = 0 AND due <= now() ORDER BY due, id LIMIT :batch FOR UPDATE SKIP LOCKED
), leased AS (
    UPDATE leads l SET state = 1, node = :client_id, attempts = attempts + 1 FROM taken WHERE l.id = taken.id
    RETURNING l.id
) SELECT coalesce(string_agg(id::text, ','), '') AS ids FROM leased \\gset
UPDATE leads SET state = 0, result = 2, due = now() + interval '2 hours' WHERE id = ANY ('{:ids}'::bigint[]);
";

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let leads = arguments.leads;
    println!(
        "leads leased and reported, durable: {leads} leads, {BATCH} a claim, claim and report each committed\n  ours: three \
         members as processes, each with fdatasync, sessions at all of them\n  PostgreSQL: one server, no replica, fsync on, \
         pgbench over a Unix socket\n  load of the machine {} before, {} cores",
        load(),
        cores()
    );
    let mut ours = Vec::new();
    for sessions in CALLERS {
        ours.push(measure(leads, sessions, BATCH).await?);
    }
    measure(leads, 16, 500).await?;
    restart(leads).await?;
    let server = Server::start().await?;
    // No line lasts longer than its leads.
    let seconds = arguments.seconds.min(leads / PEER_AT_MOST).max(1);
    let mut ratios = Vec::new();
    for (clients, ours) in CALLERS.iter().zip(&ours) {
        server.query(TABLE, leads)?;
        let rate = server.measure(*clients, seconds)? * f64::from(BATCH);
        println!("  PostgreSQL, {clients} clients    {rate:>9.0} leads/s for {seconds} s");
        ratios.push(ours.rate() / rate);
    }
    let good = ratios.iter().all(|ratio| *ratio >= BAR);
    println!(
        "  {:.1} times PostgreSQL with one session, {:.1} times with 16; load {} after; bar: >= {BAR}: {}",
        ratios[0],
        ratios[1],
        load(),
        word(good)
    );
    Ok(good)
}

async fn measure(leads: u64, sessions: u64, batch: u32) -> anyhow::Result<Sum> {
    let mut trio = Trio::start().await?;
    trio.ask(1, &Order::Import { leads }).await?;
    let order = |sessions| Order::Claim {
        sessions,
        batch,
        seconds: 600,
    };
    let leader = trio.leader().await?;
    let orders: Vec<_> = if sessions == 1 {
        vec![(leader, order(1))]
    } else {
        (1..=3)
            .map(|id| (id, order(sessions / 3 + u64::from(id <= sessions % 3))))
            .collect()
    };
    let sum = trio.all(&orders).await?;
    ensure!(sum.done == leads, "{} of {leads} were leased", sum.done);
    println!(
        "  ours, {sessions} sessions of {batch:<4} {:>9.0} leads/s, a claim p50 {:.2} ms, p99 {:.2} ms, CPU {:.1} us a lead \
         in all three",
        sum.rate(),
        sum.latencies.value_at_quantile(0.5) as f64 / 1000.0,
        sum.latencies.value_at_quantile(0.99) as f64 / 1000.0,
        sum.cpu.as_secs_f64() * 1e6 / sum.done as f64
    );
    Ok(sum)
}

/// A member that holds so many leads is killed and started again.
async fn restart(leads: u64) -> anyhow::Result<()> {
    let mut trio = Trio::start().await?;
    trio.ask(1, &Order::Import { leads }).await?;
    trio.ask(3, &Order::Caught).await?;
    trio.kill(3).await?;
    let began = Instant::now();
    let there = trio.revive(3).await?;
    let took = began.elapsed().as_secs_f64();
    ensure!(there.leads == leads, "{} of {leads} leads", there.leads);
    let limit = RESTART_BAR * leads as f64 / 1e6;
    println!(
        "  ours, killed with {leads} leads: all there again after {took:.1} s; bar: <= {limit:.0} s: {}",
        word(took <= limit)
    );
    Ok(())
}

/// A PostgreSQL of its own.
struct Server {
    _process: Process,
    psql: PathBuf,
    pgbench: PathBuf,
    // After the process.
    folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> anyhow::Result<Self> {
        let initdb = debian::program("initdb", "postgresql")?;
        let postgres = debian::program("postgres", "postgresql")?;
        let psql = debian::program("psql", "postgresql")?;
        let pgbench = debian::program("pgbench", "postgresql")?;
        let folder = tempfile::tempdir().context("a folder for PostgreSQL")?;
        if rustix::process::geteuid().is_root() {
            run_to_end(
                Command::new("chown")
                    .arg("postgres:postgres")
                    .arg(folder.path()),
            )?;
        }
        let data = folder.path().join("data");
        let (program, mut words) = debian::as_postgres(&initdb);
        words.extend(["--auth=trust", "--username=bench", "-E", "UTF8", "-D"].map(str::to_owned));
        run_to_end(Command::new(program).args(words).arg(&data))?;
        let (program, mut words) = debian::as_postgres(&postgres);
        let (data, socket) = (data.to_string_lossy(), folder.path().to_string_lossy());
        words.extend(["-D", &data, "-k", &socket].map(str::to_owned));
        for setting in [
            "listen_addresses=",
            "shared_buffers=1GB",
            "max_wal_size=8GB",
            "checkpoint_timeout=30min",
            "fsync=on",
            "synchronous_commit=on",
        ] {
            words.extend(["-c".to_owned(), setting.to_owned()]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let log = folder.path().join("log");
        let mut process = Process::new("postgres", &program, &words, log);
        process.start()?;
        let server = Self {
            _process: process,
            psql,
            pgbench,
            folder,
        };
        let end = Instant::now() + PATIENCE;
        while let Err(error) = server.query("SELECT 1", 0) {
            ensure!(Instant::now() < end, "PostgreSQL does not serve: {error:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(server)
    }

    fn query(&self, text: &str, leads: u64) -> anyhow::Result<()> {
        let file = self.folder.path().join("query.sql");
        std::fs::write(&file, text)?;
        run_to_end(
            Command::new(&self.psql)
                .args([
                    "-q",
                    "-U",
                    "bench",
                    "-d",
                    "postgres",
                    "-v",
                    "ON_ERROR_STOP=1",
                ])
                .args(["-v", &format!("leads={leads}"), "-h"])
                .arg(self.folder.path())
                .arg("-f")
                .arg(&file),
        )
        .map(drop)
    }

    /// Claims a second, each with its report.
    fn measure(&self, clients: u64, seconds: u64) -> anyhow::Result<f64> {
        let script = self.folder.path().join("claim.sql");
        std::fs::write(&script, SCRIPT)?;
        let said = run_to_end(
            Command::new(&self.pgbench)
                .args(["-n", "-U", "bench", "-h"])
                .arg(self.folder.path())
                .args(["-D", &format!("batch={BATCH}")])
                .args(["-c", &clients.to_string(), "-T", &seconds.to_string()])
                .arg("-f")
                .arg(&script)
                .arg("postgres"),
        )?;
        let rate = said
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
        let rate: f64 = rate.with_context(|| said.clone())?.parse()?;
        // Whoever found nothing to lease would look fast.
        self.left().with_context(|| said.clone())?;
        Ok(rate)
    }

    fn left(&self) -> anyhow::Result<()> {
        let query = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM leads WHERE state = 0 AND due <= now()) THEN RAISE 'no leads are \
                     left: give more with --leads'; END IF; END $$;";
        self.query(query, 0)
    }
}

fn run_to_end(command: &mut Command) -> anyhow::Result<String> {
    let name = Path::new(command.get_program()).display().to_string();
    let done = command
        .output()
        .with_context(|| format!("starting {name}"))?;
    let said = String::from_utf8_lossy(&done.stdout);
    ensure!(
        done.status.success(),
        "{name}: {}\n{said}{}",
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(said.into_owned())
}
