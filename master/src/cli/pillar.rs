//! `brine pillar`: what minions get, and whether the files can be used.

use brine_client::{Client, Exit};
use brine_local::output::{Format, Style, escape, render_value};
use brine_protocol::MinionId;
use brine_protocol::control::PillarCheck;
use clap::Subcommand;

use super::failure::Failure;
use super::{document, print};

/// `brine pillar …`
#[derive(Debug, Subcommand)]
pub(super) enum PillarVerb {
    /// What pillar a minion gets, and from which files; for administrators.
    Show {
        /// The minion's id.
        id: String,
    },
    /// Read the pillar files as they are now, and say what is wrong; nothing changes by it.
    Check,
}

pub(super) async fn run(client: &Client, verb: PillarVerb, style: &Style) -> Result<Exit, Failure> {
    match verb {
        PillarVerb::Show { id } => {
            let id: MinionId =
                id.parse().map_err(|error: brine_protocol::id::IdError| Failure::Usage(error.to_string()))?;
            let shown = client.pillar(&id).await?;
            print(&render_value(&document(&shown), style))?;
            Ok(Exit::Ok)
        }
        PillarVerb::Check => {
            let check = client.check_pillar().await?;
            match style.format {
                Format::Nested | Format::Txt => print(&page(&check))?,
                _ => print(&render_value(&document(&check), style))?,
            }
            Ok(if check.problem.is_none() { Exit::Ok } else { Exit::Failed })
        }
    }
}

fn page(check: &PillarCheck) -> String {
    let mut page = match &check.problem {
        Some(problem) => format!("the pillar files cannot be used: {}\n", escape(problem)),
        None => format!("the pillar files can be used: {} targets, {} files\n", check.targets, check.files),
    };
    if let Some(warning) = &check.warning {
        page.push_str(&format!("  but {}\n", escape(warning)));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let check = |problem: Option<&str>, warning: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            page(&PillarCheck { problem: owned(problem), warning: owned(warning), targets: 2, files: 3 })
        };
        assert_eq!(check(None, None), "the pillar files can be used: 2 targets, 3 files\n");
        assert_eq!(
            check(Some("a.yaml:2: unclosed\u{1b} quote"), None),
            "the pillar files cannot be used: a.yaml:2: unclosed\\u{1b} quote\n"
        );
        assert!(check(None, Some("every user can read it")).ends_with("  but every user can read it\n"));
    }
}
