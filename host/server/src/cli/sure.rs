//! Asking before something is done that cannot be taken back.

use crate::exit::Exit;
use crate::language::spoken;
use anyhow::Context as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use wares_model::Language;

/// Whether to ask.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Sure {
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

impl Sure {
    /// Goes on if that is wanted: it is said already, or somebody at a terminal says it now.
    pub(super) fn confirm(self, what: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Exit::Usage.error(format!("{what}: add --yes if that is what you want")));
        }
        let mut asked = io::stderr().lock();
        let question = match spoken() {
            Language::English => format!("{what}. Go on? [y/N] "),
            Language::Chinese => format!("{}。继续吗？[y/N] ", spoken().say(what)),
        };
        write!(asked, "{question}").and_then(|()| asked.flush()).context("standard error")?;
        drop(asked);
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).context("standard input")?;
        match is_yes(&answer) {
            true => Ok(()),
            false => Err(Exit::Failed.error("nothing was changed")),
        }
    }
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes", "是"].contains(&answer.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        for (answer, expected) in
            [("y\n", true), (" YES \n", true), ("是\n", true), ("\n", false), ("no\n", false), ("yet\n", false)]
        {
            assert_eq!(is_yes(answer), expected, "{answer:?}");
        }
    }
}
