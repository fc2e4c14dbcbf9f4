//! A pattern and freezes, from the command line to what the carrier sees: not dialed while they
//! hold, dialed after they are removed, lifted, or over.

use super::*;
use simulations::carrier::witness::{self, Event};

/// A segment of Beijing's mobile numbers, and one of Shanghai's.
const PATTERN: &str = "+86139010";
const FROZEN: &str = "+86139016";
/// A segment of Shenzhen's, forbidden while it is dialed.
const LATE: &str = "+86136025";
/// So many of the leads agreed to be called.
const AGREED: usize = 550;
/// How long the short freeze lasts: longer than the mesh needs to dial everybody around it.
const SHORT: Duration = Duration::from_secs(25);

/// When the carrier saw INVITEs to these numbers.
fn seen(world: &World, concerned: impl Fn(&str) -> bool) -> Result<Vec<i64>> {
    let log = witness::read(&world.carrier_log())?;
    Ok((log.iter())
        .filter(|entry| matches!(entry.event, Event::Invite { .. }))
        .filter(|entry| concerned(&format!("+{}", entry.number.trim_start_matches('+'))))
        .map(|entry| entry.wall_ms)
        .collect())
}

async fn until_seen(
    world: &World,
    what: &str,
    concerned: impl Fn(&str) -> bool + Copy,
) -> Result<()> {
    let dialed = world.until(what, PATIENCE, async |w| {
        seen(w, concerned).is_ok_and(|times| !times.is_empty())
    });
    println!("{what}: after {:.1?}", dialed.await?);
    Ok(())
}

pub(super) async fn story() -> Result<()> {
    let mut config = WorldConfig::new(env!("CARGO_BIN_EXE_dialmesh"), 12);
    config.agents_per_city = 4;
    config.session_ttl = PERMIT;
    config.freshness = PERMIT;
    config.campaign = json!({"dial_level": 1.5, "retry": [], "requires_consent": true});
    let mut world = World::build(config, |step| println!("{step}")).await?;
    let csv = world.folder().join("leads.csv");
    let people = PopulationConfig::new(12, 600, &City::CHINA).write_file(&csv)?;
    let by_pattern = |number: &str| number.starts_with(PATTERN);
    let frozen = |number: &str| number.starts_with(FROZEN);

    // Without consent no row is taken; with it they are, and the rest still is not.
    let (agreed, others) = people.numbers.split_at(AGREED);
    let operation = world.import(&csv).await?;
    ensure!(operation["counts"]["no_consent"] == 600, "{operation}");
    let list = world.folder().join("consents.csv");
    fs::write(&list, format!("number\n{}\n", agreed.join("\n")))?;
    let list = list.to_string_lossy().into_owned();
    let words = [
        "consent",
        "import",
        &list,
        "--kind",
        "form",
        "--source",
        "form 3",
        "--place",
        "example.com",
        "--given-at",
        "1d",
        "--until",
        "30d",
    ];
    let counted = said(&world, &[&words[..], &["--dry-run"]].concat())?;
    ensure!(counted["counts"]["accepted"] == AGREED, "{counted}");
    let import = words;
    let taken = said(&world, &import)?;
    ensure!(taken["counts"]["accepted"] == AGREED, "{taken}");
    let checked = said(&world, &["consent", "check", &agreed[0]])?;
    let consent = &checked["consents"][0];
    ensure!(
        consent["good"] == true && consent["source"] == "form 3",
        "{checked}"
    );
    let covered = agreed.iter().filter(|n| by_pattern(n)).count();
    let resting = agreed.iter().filter(|n| frozen(n)).count();
    ensure!(covered > 5 && resting > 5, "{covered}, {resting}");
    // Early rows of the file, so that they would be dialed first.
    let mut free = (agreed.iter()).filter(|n| !by_pattern(n) && !frozen(n) && !n.starts_with(LATE));
    let listed: Vec<String> = free.by_ref().take(4).cloned().collect();
    let (liftable, short, refuser) = (free.next(), free.next(), free.next());
    let refuser = refuser.context("a lead")?;
    let (liftable, short) = (liftable.context("a lead")?, short.context("a lead")?);
    let operation = world.import(&csv).await?;
    ensure!(operation["counts"]["accepted"] == AGREED, "{operation}");
    ensure!(
        operation["counts"]["no_consent"] == others.len(),
        "{operation}"
    );
    world.expect_leads(&Population {
        numbers: agreed.to_vec(),
        ..Population::default()
    });
    world.expect_never(others.to_vec());
    // Who agrees no more is not dialed.
    let words = [
        "consent",
        "withdraw",
        refuser,
        "--reason",
        "wrote to us",
        "--yes",
    ];
    let withdrawn = said(&world, &words)?;
    ensure!(withdrawn["state"] == "effective", "{withdrawn}");
    ensure!(withdrawn["withdrawn"] == 1, "{withdrawn}");
    world.expect_never([refuser.clone()]);
    // Not even when the file of what they once agreed to comes again.
    let again = said(&world, &import)?;
    ensure!(
        again["counts"]["withdrawn"] == 1 && again["counts"]["renewed"] == AGREED - 1,
        "{again}"
    );
    let checked = said(&world, &["consent", "check", refuser])?;
    let consent = &checked["consents"][0];
    ensure!(
        consent["good"] == false && consent["withdrawn_at"].is_string(),
        "{checked}"
    );

    // A pattern of the campaign, around numbers that nothing else is about.
    let others_of =
        |n: &String| by_pattern(n) || frozen(n) || listed.contains(n) || n.starts_with(LATE);
    let alone = |digits: &str| {
        let begins = |n: &String| n.starts_with(digits);
        !([liftable, short, refuser].into_iter().any(begins))
            && !agreed.iter().any(|n| begins(n) && others_of(n))
    };
    let mut prefixes = agreed.iter().rev().map(|n| &n[..11]);
    let scoped = prefixes.find(|digits| alone(digits)).context("a prefix")?;
    let in_scope = |number: &str| number.starts_with(scoped);
    let words = [
        "dnc", "pattern", "add", scoped, "--reason", "by law", "--yes",
    ];
    let campaign = ["--campaign", world.campaign()];
    let added = said(&world, &[&words[..], &campaign].concat())?;
    ensure!(added["state"] == "effective", "{added}");
    let known = said(&world, &["dnc", "pattern", "ls"])?;
    ensure!(known[0]["scope"]["campaign"] == world.campaign(), "{known}");
    let scoped_numbers: Vec<String> = agreed.iter().filter(|n| in_scope(n)).cloned().collect();
    let checked = said(&world, &["dnc", "check", &scoped_numbers[0]])?;
    ensure!(
        checked["scoped_patterns"][0]["reason"] == "by law",
        "{checked}"
    );
    let covered = covered + scoped_numbers.len();
    world.expect_never(scoped_numbers);
    // A publisher's list. One number of it will be lifted.
    lists::in_use(&world, &listed).await?;
    world.expect_never(listed[1..].to_vec());
    let lifted = &listed[0];

    // What is refused, with the reason.
    for (words, why) in [
        (
            &["dnc", "pattern", "add", "+86x", "--reason", "r"][..],
            "not a digit",
        ),
        (
            &["dnc", "pattern", "add", PATTERN, "--reason", "r"],
            "--yes",
        ),
        (
            &["dnc", "pattern", "rm", "+7", "--reason", "r", "--yes"],
            "no do-not-call pattern",
        ),
        (
            &[
                "freeze", "add", liftable, "--until", "400d", "--reason", "r",
            ],
            "366 days",
        ),
        (
            &["freeze", "lift", liftable, "--reason", "r", "--yes"],
            "no freeze",
        ),
        (
            &[
                "freeze",
                "add",
                "--pattern",
                FROZEN,
                "--until",
                "1d",
                "--reason",
                "r",
            ],
            "--yes",
        ),
    ] {
        let said = refused(&world, words)?;
        ensure!(said.contains(why), "{words:?}: {said}");
    }

    let words = [
        "dnc", "pattern", "add", PATTERN, "--reason", "a test", "--yes",
    ];
    let added = said(&world, &words)?;
    ensure!(added["state"] == "effective", "{added}");
    let freeze = |what: &[&str], until: &str| -> Result<()> {
        let words = [
            &["freeze", "add"],
            what,
            &["--until", until, "--reason", "a test", "--yes"],
        ]
        .concat();
        let added = said(&world, &words)?;
        ensure!(added["state"] == "effective", "{added}");
        Ok(())
    };
    freeze(&["--pattern", FROZEN], "1d")?;
    freeze(&[liftable], "1d")?;
    let over = wall_ms() + i64::try_from(SHORT.as_millis())?;
    freeze(&[short], &format!("{}s", SHORT.as_secs()))?;
    let checked = said(&world, &["dnc", "check", &people.numbers[0]])?;
    ensure!(
        checked["pattern"] == PATTERN && checked["listed"] == true,
        "{checked}"
    );
    let checked = said(&world, &["dnc", "check", liftable])?;
    ensure!(
        checked["freezes"][0]["reason"] == "a test" && checked["listed"] == false,
        "{checked}"
    );
    let listed = said(&world, &["freeze", "ls"])?;
    ensure!(listed.as_array().is_some_and(|l| l.len() == 3), "{listed}");
    let path = format!("/campaigns/{}/stats", world.campaign());
    let aside = world.until("leads are set aside", PATIENCE, async |w| {
        let stats = w.api().get(&path).await.unwrap_or_default();
        let leads = &stats["leads"];
        leads["do_not_call"] == covered
            && leads["frozen"] == resting + 2
            && leads["no_consent"] == 1
    });
    aside.await?;

    world.seat_agents().await?;
    world.start_campaign().await?;
    for city in ["beijing", "shanghai", "shenzhen"] {
        until_dialing(&world, city).await?;
    }
    // Another pattern and a withdrawal while all three dial: what rings is cancelled, hoppers are
    // emptied, and nobody else of them is called.
    let words = ["dnc", "pattern", "add", LATE, "--reason", "a test", "--yes"];
    let added = said(&world, &words)?;
    ensure!(added["state"] == "effective", "{added}");
    let at = wall_ms();
    for number in agreed.iter().filter(|n| n.starts_with(LATE)) {
        world.expect_never_since(number, at);
    }
    // Of the file's end, so that it waits yet.
    let called: BTreeSet<String> = (witness::read(&world.carrier_log())?.iter())
        .map(|entry| format!("+{}", entry.number.trim_start_matches('+')))
        .collect();
    let free = |n: &&String| !by_pattern(n) && !frozen(n) && !n.starts_with(LATE);
    let mut waiting = (agreed.iter().rev().filter(free)).filter(|n| !called.contains(*n));
    let late = waiting.next().context("a lead waits")?;
    let words = [
        "consent",
        "withdraw",
        late,
        "--reason",
        "wrote to us",
        "--yes",
    ];
    let withdrawn = said(&world, &words)?;
    ensure!(withdrawn["withdrawn"] == 1, "{withdrawn}");
    world.expect_never_since(late, wall_ms());
    // The short one ends by itself.
    until_seen(&world, "the short freeze is over", |number| number == short).await?;
    let first = seen(&world, |number| number == short)?[0];
    ensure!(
        first >= over - 1000,
        "dialed {} ms before its end",
        over - first
    );
    println!("dialed {} ms after its end", first - over);
    let at = wall_ms();
    let barred = |number: &str| by_pattern(number) || frozen(number) || number == liftable;
    let early = seen(&world, barred)?;
    ensure!(
        early.is_empty(),
        "{} barred numbers were dialed",
        early.len()
    );

    ensure!(
        seen(&world, |number| number == lifted)?.is_empty(),
        "listed"
    );
    let words = ["dnc", "rm", lifted, "--reason", "a customer", "--yes"];
    said(&world, &words)?;
    let checked = said(&world, &["dnc", "check", lifted])?;
    ensure!(
        checked["listed"] == false && checked["lifted_for"] == "a customer",
        "{checked}"
    );
    until_seen(&world, "lifted from the base", |number| number == lifted).await?;

    // Lifted and removed: they are dialed.
    said(
        &world,
        &["freeze", "lift", liftable, "--reason", "a test", "--yes"],
    )?;
    until_seen(&world, "lifted", |number| number == liftable).await?;
    let words = [
        "freeze",
        "lift",
        "--pattern",
        FROZEN,
        "--reason",
        "a test",
        "--yes",
    ];
    said(&world, &words)?;
    until_seen(&world, "lifted by pattern", frozen).await?;
    ensure!(
        seen(&world, by_pattern)?.is_empty(),
        "the pattern still holds"
    );
    let words = [
        "dnc", "pattern", "rm", PATTERN, "--reason", "a test", "--yes",
    ];
    said(&world, &words)?;
    until_seen(&world, "the pattern is gone", by_pattern).await?;
    let first = seen(&world, barred)?.into_iter().min();
    ensure!(
        first.is_some_and(|first| first >= at),
        "{first:?} is before {at}"
    );

    let evidence = world.finish(Duration::from_secs(40)).await?;
    let mut verdict = evidence.judge(20)?;
    let named = (evidence.records.lines())
        .filter(|line| line.contains("\"consent\":\"cons_"))
        .count();
    verdict
        .checks
        .push(at_least("records that name a consent", named as u64, 20));
    println!("{verdict}");
    ensure!(verdict.passed(), "not everything held");
    world.shut_down().await;
    Ok(())
}
