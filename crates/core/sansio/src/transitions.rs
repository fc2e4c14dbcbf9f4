//! Transition tables: states as data, with a drawing beside them.
//!
//! A machine lists its transitions once; the table is checked at run time on each move and
//! drawn for the documentation, so that code, table and picture cannot disagree.

use std::fmt::{self, Write};

/// One allowed move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition<State, Event> {
    /// From this state,
    pub from: State,
    /// on this event,
    pub on: Event,
    /// to this one.
    pub to: State,
}

/// A machine's whole table.
#[derive(Clone, Copy, Debug)]
pub struct Table<State: 'static, Event: 'static> {
    /// What the machine is called in drawings.
    pub name: &'static str,
    /// Every allowed move.
    pub moves: &'static [Transition<State, Event>],
}

impl<State: Copy + PartialEq + fmt::Debug, Event: Copy + PartialEq + fmt::Debug>
    Table<State, Event>
{
    /// Where `event` leads from `state`; `None` when it is not allowed there.
    pub fn next(&self, state: State, event: Event) -> Option<State> {
        self.moves
            .iter()
            .find(|m| m.from == state && m.on == event)
            .map(|m| m.to)
    }

    /// The table as a Mermaid state diagram, for `docs/protocols`.
    pub fn drawing(&self) -> String {
        let mut text = format!("```mermaid\nstateDiagram-v2\n    %% {}\n", self.name);
        for m in self.moves {
            writeln!(text, "    {:?} --> {:?}: {:?}", m.from, m.to, m.on)
                .expect("writing to a String cannot fail");
        }
        text.push_str("```\n");
        text
    }
}

/// Writes a [`Table`]: `table!("name", State, Event; A: X => B, B: Y => C)`.
#[macro_export]
macro_rules! table {
    ($name:literal, $state:ident, $event:ident; $($from:ident : $on:ident => $to:ident),+ $(,)?) => {
        $crate::transitions::Table {
            name: $name,
            moves: &[$($crate::transitions::Transition {
                from: $state::$from, on: $event::$on, to: $state::$to,
            }),+],
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum State {
        Off,
        On,
    }
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Event {
        Press,
    }
    const LAMP: Table<State, Event> = table!("lamp", State, Event;
        Off: Press => On,
        On: Press => Off,
    );

    #[test]
    fn tables_answer_and_draw() {
        assert_eq!(LAMP.next(State::Off, Event::Press), Some(State::On));
        assert!(LAMP.drawing().contains("On --> Off: Press"));
    }
}
