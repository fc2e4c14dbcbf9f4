//! The live part: a table each second and keys at a terminal, a line each five seconds elsewhere.

use super::{
    End, is_interactive, say,
    screen::{Screen, table},
    words::Words,
};
use anyhow::Result;
use simulations::world::{CityStatus, DncAnswer, Status, Wait, World, add_do_not_call, wall_ms};
use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, time::MissedTickBehavior};

/// Notices shown under the table.
const NOTICES: usize = 8;

/// Shows the mesh until it is told to end.
pub(super) async fn watch(
    world: &mut World,
    stop: &mut Pin<&mut impl Future<Output = ()>>,
    exit_after: Option<Duration>,
    words: &'static Words,
) -> Result<End> {
    let opened = if is_interactive() {
        Screen::open().ok()
    } else {
        None
    };
    // Without a terminal the sender is kept, so that nobody takes silence for the end of keys.
    let (_kept, silent) = mpsc::channel(1);
    let (screen, mut keys) = match opened {
        Some((screen, keys)) => (Some(screen), keys),
        None => (None, silent),
    };
    let every = Duration::from_secs(if screen.is_some() { 1 } else { 5 });
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let began = Instant::now();
    let forever = Duration::from_secs(10 * 365 * 86_400);
    let over = tokio::time::sleep(exit_after.unwrap_or(forever));
    tokio::pin!(over);
    let (answers, mut answered) = mpsc::channel(8);
    let mut board = Board {
        words,
        chosen: 0,
        notices: Vec::new(),
        status: None,
        answers,
    };
    loop {
        tokio::select! {
            () = stop.as_mut() => return Ok(End::Signal),
            () = &mut over => return Ok(End::Time),
            Some(key) = keys.recv() => {
                if key == 'q' {
                    return Ok(End::Quit);
                }
                board.press(world, key);
            }
            Some((number, answer)) = answered.recv() => board.opted_out(world, &number, answer),
            _ = ticks.tick() => board.refresh(world).await,
        }
        match &screen {
            Some(screen) => screen.draw(&board.lines(world, began.elapsed(), exit_after))?,
            None if board.status.is_some() => {
                say(&board.line(began.elapsed()));
            }
            None => say(words.no_status),
        }
    }
}

/// What is shown.
struct Board {
    words: &'static Words,
    chosen: usize,
    notices: Vec<String>,
    status: Option<Status>,
    answers: mpsc::Sender<(String, Result<DncAnswer>)>,
}

impl Board {
    fn note(&mut self, text: String) {
        self.notices.push(text);
        let above = self.notices.len().saturating_sub(NOTICES);
        self.notices.drain(..above);
    }

    async fn refresh(&mut self, world: &World) {
        let asked = tokio::time::timeout(Duration::from_millis(900), world.status()).await;
        self.status = asked.ok().and_then(Result::ok);
    }

    fn press(&mut self, world: &mut World, key: char) {
        let cities: Vec<String> = world.nodes().iter().map(|n| n.name().to_owned()).collect();
        let Some(city) = cities.get(self.chosen) else {
            return;
        };
        let words = self.words;
        let done = match key {
            '1'..='9' => {
                let place = key as usize - '1' as usize;
                if place < cities.len() {
                    self.chosen = place;
                }
                return;
            }
            'k' => match world.is_alive(city) {
                Ok(true) => world
                    .kill(city)
                    .map(|()| format!("{city}: {}", words.killed)),
                Ok(false) => world
                    .revive(city)
                    .map(|()| format!("{city}: {}", words.restarted)),
                Err(error) => Err(error),
            },
            'c' => world.cut(city).map(|()| format!("{city}: {}", words.cut)),
            'h' => world.heal(None).map(|()| words.healed.to_owned()),
            'd' => match world.waiting_lead(wall_ms().unsigned_abs() as usize) {
                Ok(Some(number)) => {
                    let (api, answers) = (Arc::clone(world.api()), self.answers.clone());
                    let shown = format!("{} {}…", words.opting_out, domain::Masked(&number));
                    // It may take as long as a cut-off city's freshness; the table goes on.
                    tokio::spawn(async move {
                        let answer = add_do_not_call(&api, &number, Wait::Effective).await;
                        answers.send((number, answer)).await.ok();
                    });
                    Ok(shown)
                }
                Ok(None) => Ok(words.nobody_waits.to_owned()),
                Err(error) => Err(error),
            },
            _ => return,
        };
        self.note(done.unwrap_or_else(|error| format!("{error:#}")));
    }

    fn opted_out(&mut self, world: &mut World, number: &str, answer: Result<DncAnswer>) {
        let words = self.words;
        let shown = domain::Masked(number);
        let text = match answer {
            Ok(answer) => {
                if answer.state == "effective" {
                    world.expect_never_since(number, answer.at_ms);
                }
                let took = answer.took.as_millis();
                format!(
                    "{} {shown}: {} {took} ms",
                    words.opting_out, words.effective
                )
            }
            Err(error) => format!("{} {shown}: {error:#}", words.opting_out),
        };
        self.note(text);
    }

    fn lines(&self, world: &World, ran: Duration, exit_after: Option<Duration>) -> Vec<String> {
        let words = self.words;
        let mut lines = vec![match exit_after {
            Some(end) => {
                let left = end.saturating_sub(ran).as_secs();
                format!(
                    "{}   {} s, {} {left} s",
                    world.api().base(),
                    ran.as_secs(),
                    words.left
                )
            }
            None => format!("{}   {} s", world.api().base(), ran.as_secs()),
        }];
        lines.push(String::new());
        match &self.status {
            Some(status) => {
                let rows: Vec<_> = status.cities.iter().map(|city| self.row(city)).collect();
                lines.extend(table(&words.columns, &rows));
            }
            None => lines.push(words.no_status.to_owned()),
        }
        lines.push(String::new());
        let chosen = world
            .nodes()
            .get(self.chosen)
            .map_or("", |node| node.name());
        lines.push(format!("{} {chosen}", words.chosen));
        lines.push(words.keys.to_owned());
        lines.push(String::new());
        lines.extend(self.notices.iter().cloned());
        lines
    }

    fn row(&self, city: &CityStatus) -> Vec<String> {
        let trunk = city.trunks.first().map_or_else(
            || "-".to_owned(),
            |trunk| format!("{} {}/{}", trunk.state, trunk.in_use, trunk.channels),
        );
        let (calls, agents) = (&city.calls, &city.agents);
        vec![
            city.name.clone(),
            self.words.mode(&city.mode).to_owned(),
            trunk,
            calls.dialing.to_string(),
            calls.ringing.to_string(),
            calls.bridged.to_string(),
            format!(
                "{}/{}/{}/{}",
                agents.ready + agents.reserved,
                agents.on_call,
                agents.wrap_up,
                agents.paused
            ),
            city.attempts_total.to_string(),
            city.bridged_total.to_string(),
            format!("{:.1} %", city.abandonment.percent),
            city.queued.to_string(),
            format!("{:.1} s", city.age_ms as f64 / 1_000.0),
        ]
    }

    /// Everything in one line, for logs.
    fn line(&self, ran: Duration) -> String {
        let cities = self.status.as_ref().map_or(&[][..], |s| &s.cities);
        let sum = |figure: fn(&CityStatus) -> u64| cities.iter().map(figure).sum::<u64>();
        let modes: Vec<_> = cities
            .iter()
            .map(|c| format!("{} {}", c.name, c.mode))
            .collect();
        format!(
            "{:>4} s  attempts {:>5}  bridged {:>4}  in the air {:>3}  agents ready {:>2} on call {:>2} wrap-up {:>2}  queued {}  {}",
            ran.as_secs(),
            sum(|c| c.attempts_total),
            sum(|c| c.bridged_total),
            sum(|c| u64::from(c.calls.total())),
            sum(|c| u64::from(c.agents.ready + c.agents.reserved)),
            sum(|c| u64::from(c.agents.on_call)),
            sum(|c| u64::from(c.agents.wrap_up)),
            sum(|c| c.queued),
            modes.join(", ")
        )
    }
}
