//! The terminal: a table drawn in place, and keys. Put back as it was when dropped.

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    execute, queue,
    style::Print,
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
        enable_raw_mode,
    },
};
use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::mpsc;

/// A terminal in raw mode with a screen of its own.
#[derive(Debug)]
pub(super) struct Screen {
    stop: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal; pressed keys come from the receiver, Ctrl-C as `q`.
    pub(super) fn open() -> io::Result<(Self, mpsc::Receiver<char>)> {
        enable_raw_mode()?;
        // From here on the drop puts everything back.
        let screen = Self {
            stop: Arc::default(),
        };
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        let (keys, pressed) = mpsc::channel(16);
        let stop = Arc::clone(&screen.stop);
        thread::Builder::new()
            .name("keys".into())
            .spawn(move || read_keys(&keys, &stop))?;
        Ok((screen, pressed))
    }

    /// Shows these lines and nothing else.
    pub(super) fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        queue!(out, MoveTo(0, 0))?;
        for line in lines {
            queue!(
                out,
                Print(line),
                Clear(ClearType::UntilNewLine),
                Print("\r\n")
            )?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        execute!(io::stdout(), Show, LeaveAlternateScreen).ok();
        disable_raw_mode().ok();
    }
}

fn read_keys(keys: &mpsc::Sender<char>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match event::poll(Duration::from_millis(100)) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(_) => return,
        }
        let Ok(Event::Key(key)) = event::read() else {
            continue;
        };
        if key.kind != KeyEventKind::Press {
            continue;
        }
        let pressed = match key.code {
            // Raw mode turns the signal into a key.
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => 'q',
            KeyCode::Char(pressed) => pressed.to_ascii_lowercase(),
            KeyCode::Esc => 'q',
            _ => continue,
        };
        if keys.blocking_send(pressed).is_err() {
            return;
        }
    }
}

/// How many columns a text takes: Chinese characters take two.
pub(super) fn width(text: &str) -> usize {
    text.chars()
        .map(|c| if c >= '\u{1100}' { 2 } else { 1 })
        .sum()
}

/// Rows under a heading, columns wide enough; the first two to the left, figures to the right.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let widths: Vec<usize> = (0..heading.len())
        .map(|at| {
            let cells = rows
                .iter()
                .filter_map(|row| row.get(at))
                .map(|cell| width(cell));
            cells.max().unwrap_or(0).max(width(heading[at]))
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (at, (cell, wide)) in cells.zip(&widths).enumerate() {
            let blank = " ".repeat(wide - width(cell));
            text += &if at < 2 {
                format!("{cell}{blank}  ")
            } else {
                format!("{blank}{cell}  ")
            };
        }
        text.trim_end().to_owned()
    };
    let mut lines = vec![line(&mut heading.iter().copied())];
    lines.extend(
        rows.iter()
            .map(|row| line(&mut row.iter().map(String::as_str))),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_in_both_scripts() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let lines = table(
            &["城市", "mode", "n"],
            &[row(["beijing", "在线", "7"]), row(["x", "y", "123"])],
        );
        assert_eq!(lines[0], "城市     mode    n");
        assert_eq!(lines[1], "beijing  在线    7");
        assert_eq!(lines[2], "x        y     123");
        assert!(lines.iter().all(|line| width(line) == width(&lines[0])));
    }
}
