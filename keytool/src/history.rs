//! `brine-key history ID`: every decision about an id.

use brine_client::Exit;
use brine_local::output::screen::Screen;
use brine_local::output::{Format, render_value};
use brine_protocol::MinionId;
use brine_protocol::control::{Key, KeysQuery};
use serde_json::json;

use crate::failure::Failure;
use crate::long;
use crate::options::Common;
use crate::source::Source;

pub(crate) async fn run(
    source: &mut Source,
    id: &MinionId,
    common: &Common,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let decisions = source.history(id).await?;
    let keys = source.find(&KeysQuery { id: Some(id.clone()), public_key: false }).await?;
    let now: Vec<&Key> = keys.iter().filter(|key| key.id == *id).collect();
    let is_known = !decisions.is_empty() || !now.is_empty();
    match common.out {
        None | Some(Format::Nested | Format::Txt) => screen.print(&long::history(&decisions, &now))?,
        Some(_) => screen.print(&render_value(&json!(decisions), &common.style()))?,
    }
    if decisions.is_empty() {
        eprintln!("brine-key: nothing was ever decided about {id}");
    }
    Ok(if is_known { Exit::Ok } else { Exit::Failed })
}
