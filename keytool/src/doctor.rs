//! `brine-key doctor`: whether everything about keys is as it should be, and what to do if not.
//!
//! It looks and changes nothing: it takes no lock, makes no file, cuts nothing off.

mod files;
mod keys;
mod master;

use brine_client::{Client, ClientError, Exit};
use brine_local::checkup;
use brine_local::output::screen::Screen;
use brine_protocol::control::Health;

use crate::failure::Failure;
use crate::options::Common;

pub(crate) async fn run(common: &Common, screen: &mut Screen) -> Result<Exit, Failure> {
    let paths = common.paths();
    let client = Client::new(&paths.control_socket()).acting_as(common.act_as.clone());
    let health = client.health().await;
    let mut checks = master::socket(&paths, &health);
    let health = health.ok();
    checks.extend(health.iter().flat_map(master::health));
    let (ledger, entries) = files::ledger(&paths, health.is_some());
    checks.extend(ledger);
    checks.extend(files::waiting(&paths));
    checks.extend(files::master_keys(&paths, health.as_ref(), entries.as_deref()));
    checks.extend(files::room(&paths));
    if health.is_some() {
        checks.extend(keys::judge(client.keys_of(&keys::QUERY).await));
        checks.extend(master::rotation(client.master_rotation().await));
    } else if let Some(entries) = &entries {
        checks.push(keys::of_ledger(entries));
    }
    screen.print(&checkup::page(&checks, &common.style(), common.quiet))?;
    Ok(if checkup::has_failed(&checks) { Exit::Failed } else { Exit::Ok })
}

/// What the master said of itself, or why not.
type Said = Result<Health, ClientError>;
