//! `dialmesh top`: the live picture of the mesh.

use crate::{
    client::Client,
    output,
    session::Session,
    verbs::status::{ask, degraded, mode, picture},
};
use anyhow::{Context, Result};
use clap::Args;
use crossterm::{
    cursor,
    event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    execute, queue,
    style::Print,
    terminal::{self, Clear, ClearType},
};
use dialmesh_http::dto::Status;
use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// What the table is made of.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// How often to ask.
    #[arg(long, default_value = "1s", value_parser = service::config::parse_duration)]
    every: Duration,
    /// End after so many times.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

pub(crate) async fn run(args: &Top, session: &Session) -> Result<()> {
    let client = session.client()?;
    let every = args.every.max(Duration::from_millis(100));
    let count = args.count.unwrap_or(u64::MAX);
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        live(&client, every, count).await
    } else {
        plain(&client, every, count).await
    }
}

/// One line for each city each time, for logs and pipes.
async fn plain(client: &Client, every: Duration, count: u64) -> Result<()> {
    for turn in 0..count {
        if turn > 0 {
            tokio::time::sleep(every).await;
        }
        let status: Status = client.get("/status").await?;
        output::lines(&plain_lines(&status))?;
    }
    Ok(())
}

fn plain_lines(status: &Status) -> Vec<String> {
    let mut lines: Vec<String> = status
        .cities
        .iter()
        .map(|city| {
            format!(
                "{} city={} mode={} dialing={} ringing={} waiting={} bridged={} ready={} on_call={} queued={} \
                 hopper={} attempts={} bridged_total={} abandoned_percent={:.2} age_ms={}",
                status.as_of,
                city.name,
                mode(city.mode).to_lowercase(),
                city.calls.dialing,
                city.calls.ringing,
                city.calls.waiting,
                city.calls.bridged,
                city.agents.ready,
                city.agents.reserved + city.agents.on_call,
                city.queued,
                city.hopper,
                city.attempts_total,
                city.bridged_total,
                city.abandonment.percent,
                city.age_ms,
            )
        })
        .collect();
    lines.extend(
        degraded(status)
            .iter()
            .map(|reason| format!("{} degraded: {reason}", status.as_of)),
    );
    lines
}

/// The terminal in our hands; it is given back as it was, come what may.
struct Screen;

impl Screen {
    fn take() -> Result<Self> {
        terminal::enable_raw_mode()
            .context("this terminal cannot be drawn on; pipe the output instead")?;
        let screen = Self;
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    fn draw(&self, lines: &[String]) -> Result<()> {
        let (width, height) = terminal::size()?;
        let mut out = io::stdout().lock();
        for (at, line) in lines.iter().take(usize::from(height)).enumerate() {
            let cut: String = line.chars().take(usize::from(width)).collect();
            queue!(
                out,
                cursor::MoveTo(0, at as u16),
                Print(cut),
                Clear(ClearType::UntilNewLine)
            )?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody to tell if the terminal is gone.
        drop(execute!(
            io::stdout(),
            cursor::Show,
            terminal::LeaveAlternateScreen
        ));
        drop(terminal::disable_raw_mode());
    }
}

async fn live(client: &Client, every: Duration, count: u64) -> Result<()> {
    let screen = Screen::take()?;
    for _ in 0..count {
        let next = Instant::now() + every;
        // A coordinator that restarts comes back: the picture waits for it.
        let mut lines = match ask(client).await {
            Ok((status, members)) => {
                let mut lines = picture(&status, &members);
                lines.push(String::new());
                lines.extend(
                    degraded(&status)
                        .iter()
                        .map(|reason| format!("degraded: {reason}")),
                );
                lines
            }
            Err(error) => vec![format!("{error}")],
        };
        lines.push("q ends".to_owned());
        loop {
            screen.draw(&lines)?;
            let wait = next.saturating_duration_since(Instant::now());
            match tokio::task::spawn_blocking(move || key(wait)).await?? {
                Key::Quit => return Ok(()),
                Key::Redraw => {}
                Key::None => break,
            }
        }
    }
    Ok(())
}

enum Key {
    Quit,
    Redraw,
    None,
}

fn key(wait: Duration) -> io::Result<Key> {
    if !event::poll(wait)? {
        return Ok(Key::None);
    }
    Ok(match event::read()? {
        Event::Key(key) if key.kind == KeyEventKind::Press => {
            let interrupt =
                key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                Key::Quit
            } else {
                Key::Redraw
            }
        }
        _ => Key::Redraw,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::status::tests::sample;

    #[test]
    fn plain_lines_can_be_read_by_programs() {
        let lines = plain_lines(&sample("local", None));
        assert!(
            lines[0].contains(" city=shenzhen mode=local ") && lines[0].ends_with("age_ms=400")
        );
        assert_eq!(lines.len(), 3);
        assert!(lines[1..].iter().all(|line| line.contains("degraded: ")));
    }
}
