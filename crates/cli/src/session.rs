//! What every verb of one command shares.

use crate::{
    client::Client,
    context::Contexts,
    failure::Failure,
    output::{self, Column, Form},
};
use anyhow::Result;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// The flags that hold for every verb.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Session {
    /// How results are printed: a table on a terminal, JSON elsewhere, when not given.
    #[arg(
        short = 'o',
        long = "output",
        global = true,
        value_enum,
        value_name = "FORM"
    )]
    pub(crate) output: Option<Form>,
    /// The mesh to speak to, by its name in `dialmesh context ls`.
    #[arg(long, global = true, env = "DIALMESH_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Do not ask before something is destroyed.
    #[arg(short = 'y', long, global = true)]
    pub(crate) yes: bool,
}

impl Session {
    /// The form of results.
    pub(crate) fn form(&self) -> Form {
        Form::choose(self.output)
    }

    /// The API of the chosen context.
    pub(crate) fn client(&self) -> Result<Client> {
        Client::new(&Contexts::load()?.pick(self.context.as_deref())?)
    }

    /// Prints an object.
    pub(crate) fn show(&self, value: &Value) -> Result<()> {
        output::one(self.form(), value)
    }

    /// Prints a list.
    pub(crate) fn rows(&self, columns: &[Column], rows: &Value) -> Result<()> {
        output::rows(self.form(), columns, rows)
    }

    /// Says what was done; where nobody looks, only the exit code does.
    pub(crate) fn done(&self, text: &str) -> Result<()> {
        if self.form() == Form::Table {
            output::lines(&[text.to_owned()])
        } else {
            Ok(())
        }
    }

    /// Asks before something is destroyed; refuses where nobody can be asked.
    pub(crate) fn confirm(&self, what: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Failure::usage(format!(
                "this would {what}, and there is no terminal to ask at; add --yes if it is meant"
            ))
            .into());
        }
        eprint!("This will {what}. Go on? [y/N] ");
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::refused("nothing was changed").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_destroyed_without_yes() {
        let mut session = Session {
            output: None,
            context: None,
            yes: false,
        };
        // Under cargo test standard input is a terminal only when a person runs it by hand.
        if !io::stdin().is_terminal() {
            let refused = session.confirm("end it").unwrap_err().to_string();
            assert!(refused.contains("end it") && refused.contains("--yes"));
        }
        session.yes = true;
        session.confirm("end it").unwrap();
    }
}
