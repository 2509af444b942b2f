//! `brine server`: records of servers, and the minions that are linked to them.
//!
//! What is decided here is pure (`choose`, `show`, `read`, `script`); the rest asks the master.
//! **Invariant:** a private key or a token goes to the one place that was named for it, and to
//! no message.

mod change;
mod choose;
mod import;
mod link;
mod parcel;
mod preseed;
mod read;
mod resolve;
mod script;
mod show;
#[cfg(test)]
pub(super) mod tests;

use std::io::{self, BufRead, Write};

use brine_client::prompt::{self, Answer};
use brine_client::{Client, Exit};
use brine_local::output::{Format, Style, render_value};
use brine_protocol::control::{Server, ServersQuery};
use brine_protocol::target::{Target, TargetKind};
use serde::Serialize;

use super::document;
use super::failure::Failure;
use super::options::servers::ServerVerb;
pub use import::{Imported, imported_records};
pub(super) use parcel::is_exposed;
pub(super) use preseed::wait;
pub(super) use resolve::resolve;
pub(super) use show::{called, second};

/// Where a command asks and writes.
pub(super) struct Desk<'a> {
    pub(super) client: &'a Client,
    pub(super) style: Style,
    pub(super) input: &'a mut dyn BufRead,
    pub(super) out: &'a mut dyn Write,
    pub(super) err: &'a mut dyn Write,
    /// Whether `out` is a file that others may read.
    pub(super) is_exposed: bool,
}

impl Desk<'_> {
    /// Words for people, or the thing itself for programs.
    pub(super) fn show(&mut self, text: &str, thing: &impl Serialize) -> io::Result<()> {
        match self.style.format {
            Format::Nested | Format::Txt => self.print(text),
            _ => self.print(&render_value(&document(thing), &self.style)),
        }
    }

    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// A line beside what was asked for.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.err, "{text}")
    }

    /// Called before a secret is written to `out`.
    pub(super) fn warn_exposed(&mut self, instead: &str) {
        if self.is_exposed {
            // The secret is there already, and matters more than this line.
            let _ = self.note(&format!(
                "warning: the standard output is a file that others may read, and there is a secret in it: \
                 remove it, and {instead}"
            ));
        }
    }

    /// Says what is going to be done, and asks unless that is settled. Stays off stdout, which may
    /// be a document.
    fn agree(&mut self, what: &str, is_settled: bool, default_yes: bool) -> Result<bool, Failure> {
        self.note(what)?;
        if is_settled {
            return Ok(true);
        }
        match prompt::proceed(&mut self.input, &mut self.err, default_yes)? {
            Answer::Yes => Ok(true),
            Answer::No => Ok(false),
            Answer::NoInput => {
                Err(Failure::Nothing("no answer, so nothing was changed; -y answers yes".to_owned()))
            }
        }
    }
}

pub(super) async fn run(mut desk: Desk<'_>, verb: Option<ServerVerb>) -> Result<Exit, Failure> {
    let desk = &mut desk;
    match verb.unwrap_or(ServerVerb::List { linked: false, unlinked: false }) {
        ServerVerb::Create(what) => change::create(desk, &what).await,
        ServerVerb::List { linked, unlinked } => {
            let linked = (linked || unlinked).then_some(linked);
            list(desk, &ServersQuery { linked, ..ServersQuery::default() }).await
        }
        ServerVerb::Find { terms } => {
            list(desk, &ServersQuery { find: terms, ..ServersQuery::default() }).await
        }
        ServerVerb::Show { server } => {
            let server = resolve(desk.client, &server).await?;
            desk.show(&show::page(&server), &server)?;
            Ok(Exit::Ok)
        }
        ServerVerb::Update(what) => change::update(desk, &what).await,
        ServerVerb::Delete { server, parting } => change::delete(desk, &server, &parting).await,
        ServerVerb::History { server } => history(desk, &server).await,
        ServerVerb::Import(what) => import::run(desk, &what).await,
        ServerVerb::Pair(what) => link::pair(desk, &what).await,
        ServerVerb::Unpair { server, parting } => link::unpair(desk, &server, &parting).await,
        ServerVerb::Preseed(what) => preseed::run(desk, &what).await,
        ServerVerb::Bundle { server, out_file } => preseed::bundle(desk, &server, &out_file).await,
        ServerVerb::Run(_) => unreachable!("an order is given like every other, by the caller"),
        ServerVerb::ConnectScript(what) => script::run(desk, &what).await,
    }
}

async fn list(desk: &mut Desk<'_>, query: &ServersQuery) -> Result<Exit, Failure> {
    let servers = desk.client.servers(query).await?;
    desk.show(&show::list(&servers), &servers)?;
    Ok(Exit::Ok)
}

async fn history(desk: &mut Desk<'_>, text: &str) -> Result<Exit, Failure> {
    let id = resolve::resolve_past(desk.client, text).await?;
    let decisions = desk.client.server_history(id).await?;
    desk.show(&show::history(&decisions), &decisions)?;
    Ok(Exit::Ok)
}

/// The minion of a record, as a target.
pub(super) async fn minion_of(client: &Client, text: &str) -> Result<Target, Failure> {
    let server = resolve(client, text).await?;
    if server.link.is_none() {
        return Err(Failure::Usage(format!(
            "{} has no minion; link one with: brine server pair {} MINION-ID",
            called(&server),
            server.id
        )));
    }
    // The record and not the minion: who is linked when the order is given is whom it is for.
    Ok(Target::new(TargetKind::Record, &format!("id:{}", server.id)))
}

/// Says where to look after a change of which no answer tells whether it was made.
fn in_doubt(desk: &mut Desk<'_>, error: brine_client::ClientError, look: &str) -> Failure {
    if error.leaves_doubt() {
        // The error itself is what matters, should this line not reach anybody.
        let _ = desk.note(&format!("whether it was done is not known; look with: {look}"));
    }
    error.into()
}

fn linked_minion(server: &Server) -> Result<&brine_protocol::control::Link, Failure> {
    server.link.as_ref().ok_or_else(|| Failure::Refused(format!("{} has no minion", called(server))))
}
