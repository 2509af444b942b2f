//! `brine-key ledger`: checking and mending the record of trust while no master holds it.

use std::time::Duration;

use brine_client::Exit;
use brine_local::Paths;
use brine_local::file::FileError;
use brine_local::output::screen::Screen;
use brine_pki::ledger::{FileLedger, LedgerError, Log, repair as mend};

use crate::failure::Failure;
use crate::options::LedgerVerb;
use crate::source::principal;

/// A master that was just stopped lets go of the ledger within this time.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn run(verb: LedgerVerb, paths: &Paths, screen: &mut Screen) -> Result<Exit, Failure> {
    match verb {
        LedgerVerb::Verify => verify(paths, screen),
        LedgerVerb::Repair => repair(paths, screen),
    }
}

fn verify(paths: &Paths, screen: &mut Screen) -> Result<Exit, Failure> {
    let path = existing(paths)?;
    let opened = FileLedger::open(&path, PATIENCE).map_err(held)?;
    if let Some(torn) = &opened.torn {
        eprintln!("brine-key: {torn}");
    }
    screen.print(&format!(
        "{} is whole: {} entries, head {}\n",
        path.display(),
        opened.entries.len(),
        opened.ledger.head().short()
    ))?;
    Ok(Exit::Ok)
}

fn repair(paths: &Paths, screen: &mut Screen) -> Result<Exit, Failure> {
    let path = existing(paths)?;
    let Some(repaired) = mend(&path, &principal(), brine_local::clock::wall(), PATIENCE).map_err(held)?
    else {
        screen.print(&format!("{} is whole: nothing to repair\n", path.display()))?;
        return Ok(Exit::Ok);
    };
    let removed: Vec<String> = repaired.removed.iter().map(u64::to_string).collect();
    let lines = if removed.is_empty() {
        "no line was".to_owned()
    } else {
        format!("lines {} were", removed.join(", "))
    };
    let aside = repaired.aside.map(|aside| format!(" and put into {}", aside.display())).unwrap_or_default();
    screen.print(&format!(
        "{} is mended: {lines} taken out{aside}; entry {} says who accepted the damage\n",
        path.display(),
        repaired.entry.seq
    ))?;
    Ok(Exit::Ok)
}

fn existing(paths: &Paths) -> Result<std::path::PathBuf, Failure> {
    let path = paths.ledger();
    if path.exists() {
        Ok(path)
    } else {
        Err(Failure::Usage(format!(
            "there is no ledger {}; say where the master lives with --root-dir",
            path.display()
        )))
    }
}

fn held(error: LedgerError) -> Failure {
    match error {
        LedgerError::File(error @ FileError::Locked { .. }) => {
            Failure::Refused(format!("{error}; stop the master first"))
        }
        other => other.into(),
    }
}
