//! `hosts.*`: the hosts file.

mod text;

use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use self::text::Line;
use super::bind::Bound;
use super::file::{Place, blocking, failed, put, read_text};
use super::{Fault, Function, Outcome, Parameter, optional, required, text_of};

const FILE: &str = "/etc/hosts";

/// Every program of the machine reads it, whatever the minion's own files are.
const MODE: u32 = 0o644;

/// The longest name that the resolver takes.
const NAME_MAX: usize = 253;

/// Held from reading the file until it is written, so that no job undoes what another one did.
static CHANGING: Mutex<()> = Mutex::new(());

const IP: Parameter = required("ip", "the address, IPv4 or IPv6 (text)");
const ALIAS: Parameter =
    required("alias", "the name; several with blanks between them, or a list (text or list)");

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "hosts.list_hosts",
            |_, _| Box::pin(list_hosts(PathBuf::from(FILE))),
            "Returns what the hosts file says.",
        )
        .returns(
            "{address: {aliases: [text], comment: text}}, without `comment` where there is none; lines that are \
             comments are {comment-N: [text]}, counted from 0",
        ),
        Function::new(
            "hosts.get_ip",
            |_, bound| Box::pin(get_ip(PathBuf::from(FILE), bound)),
            "Returns the first address that has a name in the hosts file.",
        )
        .takes(const { &[required("host", "the name (text)")] })
        .returns("text; empty when there is none")
        .example("hosts.get_ip localhost"),
        Function::new(
            "hosts.get_alias",
            |_, bound| Box::pin(get_alias(PathBuf::from(FILE), bound)),
            "Returns the names that an address has in the hosts file.",
        )
        .takes(const { &[IP] })
        .returns("list of texts; empty when there are none")
        .example("hosts.get_alias 127.0.0.1"),
        Function::new(
            "hosts.has_pair",
            |_, bound| Box::pin(has_pair(PathBuf::from(FILE), bound)),
            "Tells whether an address has a name in the hosts file.",
        )
        .takes(const { &[IP, ALIAS] })
        .returns("boolean; with several names, whether it has all of them")
        .example("hosts.has_pair 127.0.0.1 localhost"),
        Function::new(
            "hosts.add_host",
            |_, bound| Box::pin(add_host(PathBuf::from(FILE), bound)),
            "Gives an address a name in the hosts file; the names it has stay.",
        )
        .takes(const { &[IP, ALIAS] })
        .returns("True; fails with the system's reason")
        .example("hosts.add_host 192.0.2.7 db1"),
        Function::new(
            "hosts.rm_host",
            |_, bound| Box::pin(rm_host(PathBuf::from(FILE), bound)),
            "Takes a name from an address in the hosts file; the last one with its line.",
        )
        .takes(const { &[IP, ALIAS] })
        .returns("True, also when it was not there; fails with the system's reason")
        .example("hosts.rm_host 192.0.2.7 db1"),
        Function::new(
            "hosts.set_host",
            |_, bound| Box::pin(set_host(PathBuf::from(FILE), bound)),
            "Gives an address these names and no others in the hosts file; an empty text removes it.",
        )
        .takes(
            const {
                &[
                    IP,
                    ALIAS,
                    optional("comment", "null", "what is written behind it; None leaves what is there (text)"),
                ]
            },
        )
        .returns("True; fails with the system's reason")
        .example("hosts.set_host 192.0.2.7 'db1 db1.example.com'"),
    ]
}

/// An address; one of IPv6 may name the interface it is good for.
fn take_ip(bound: &mut Bound) -> Result<String, Fault> {
    let text = bound.text("ip")?;
    let (address, zone) = text.split_once('%').unwrap_or((&text, "0"));
    let is_zone = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_address = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => address.len() == text.len(),
        Ok(IpAddr::V6(_)) => !zone.is_empty() && zone.chars().all(is_zone),
        Err(_) => false,
    };
    if is_address {
        return Ok(text);
    }
    let text = brine_local::text::escape(&text);
    Err(Fault::Invocation(format!("'{text}' is not an address, as 192.0.2.7 or 2001:db8::7")))
}

/// Names, in a text with blanks or in a list.
fn take_names(bound: &mut Bound) -> Result<Vec<String>, Fault> {
    let names: Vec<String> = match bound.value("alias") {
        Value::Array(list) if list.iter().all(|name| !name.is_array() && !name.is_object()) => {
            list.iter().map(text_of).collect()
        }
        Value::Array(_) | Value::Object(_) | Value::Null => {
            return Err(Fault::Invocation("'alias' needs a name, or a list of names".to_owned()));
        }
        one => text_of(&one).split_whitespace().map(str::to_owned).collect(),
    };
    match names.iter().find(|name| !is_name(name)) {
        None => Ok(names),
        Some(name) => {
            let name = brine_local::text::escape(name);
            Err(Fault::Invocation(format!("'{name}' is not the name of a host")))
        }
    }
}

/// As [`take_names`], and there is one at least.
fn take_some_names(bound: &mut Bound) -> Result<Vec<String>, Fault> {
    match take_names(bound)? {
        names if names.is_empty() => Err(Fault::Invocation("'alias' is empty; give a name".to_owned())),
        names => Ok(names),
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=NAME_MAX).contains(&name.len()) && !name.starts_with(['-', '.']) && name.chars().all(is_letter)
}

/// The text of the file; none when there is no such file.
fn read(file: &Path) -> Result<Option<Vec<u8>>, Fault> {
    if fs::symlink_metadata(file).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    read_text(file).map(Some)
}

/// Lets `look` see the file, on a thread that may wait.
async fn look<T: Send + 'static>(
    file: PathBuf,
    look: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<T, Fault> {
    blocking(move |_| Ok(look(&read(&file)?.unwrap_or_default()))).await
}

/// Writes what `change` makes of the file. It is written beside and renamed; in a container, where
/// the file is a mount of its own and busy (EBUSY), it is written in place.
async fn change(
    file: PathBuf,
    change: impl FnOnce(&[u8]) -> Vec<u8> + Send + 'static,
) -> Result<Outcome, Fault> {
    blocking(move |_| {
        let _held = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        let old = read(&file)?;
        let text = old.as_deref().unwrap_or_default();
        let new = change(text);
        if new == text {
            return Ok(());
        }
        put(&file, &new, Place::Kept)?;
        if old.is_none() {
            fs::set_permissions(&file, Permissions::from_mode(MODE)).map_err(failed(&file))?;
        }
        Ok(())
    })
    .await?;
    Ok(Outcome::from(true))
}

/// What the lines say, as one map. An address that has several lines has all their names.
fn show(lines: Vec<Line>) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut comments = 0;
    for line in lines {
        match line {
            Line::Comment(text) => {
                shown.insert(format!("comment-{comments}"), json!([text]));
                comments += 1;
            }
            Line::Host { address, names, comment } => {
                let host = shown.entry(address).or_insert_with(|| json!({"aliases": []}));
                // No address is called as a comment is, but a broken line may be.
                let Some(host) = host.as_object_mut() else { continue };
                if let Some(Value::Array(aliases)) = host.get_mut("aliases") {
                    aliases.extend(names.into_iter().map(Value::from));
                }
                if let Some(comment) = comment {
                    host.insert("comment".to_owned(), json!(comment));
                }
            }
        }
    }
    shown
}

async fn list_hosts(file: PathBuf) -> Result<Outcome, Fault> {
    Ok(Outcome::from(look(file, |text| show(text::read(text))).await?))
}

async fn get_ip(file: PathBuf, mut bound: Bound) -> Result<Outcome, Fault> {
    let host = bound.text("host")?;
    let found = look(file, move |text| {
        text::read(text).into_iter().find_map(|line| match line {
            Line::Host { address, names, .. } if names.contains(&host) => Some(address),
            _ => None,
        })
    });
    Ok(Outcome::from(found.await?.unwrap_or_default()))
}

async fn get_alias(file: PathBuf, mut bound: Bound) -> Result<Outcome, Fault> {
    let ip = take_ip(&mut bound)?;
    let names = look(file, move |text| {
        let of_it = |line| match line {
            Line::Host { address, names, .. } if address == ip => names,
            _ => Vec::new(),
        };
        text::read(text).into_iter().flat_map(of_it).collect::<Vec<_>>()
    });
    Ok(Outcome::from(names.await?))
}

async fn has_pair(file: PathBuf, mut bound: Bound) -> Result<Outcome, Fault> {
    let (ip, names) = (take_ip(&mut bound)?, take_some_names(&mut bound)?);
    Ok(Outcome::from(look(file, move |text| text::has(text, &ip, &names)).await?))
}

async fn add_host(file: PathBuf, mut bound: Bound) -> Result<Outcome, Fault> {
    let (ip, names) = (take_ip(&mut bound)?, take_some_names(&mut bound)?);
    change(file, move |text| text::add(text, &ip, &names)).await
}

async fn rm_host(file: PathBuf, mut bound: Bound) -> Result<Outcome, Fault> {
    let (ip, names) = (take_ip(&mut bound)?, take_some_names(&mut bound)?);
    change(file, move |text| text::remove(text, &ip, &names)).await
}

async fn set_host(file: PathBuf, mut bound: Bound) -> Result<Outcome, Fault> {
    let (ip, names) = (take_ip(&mut bound)?, take_names(&mut bound)?);
    let comment = bound.maybe_text("comment")?.map(|comment| comment.trim().to_owned());
    let comment = comment.filter(|comment| !comment.is_empty());
    if comment.as_ref().is_some_and(|comment| comment.contains(['\n', '\r', '\0'])) {
        return Err(Fault::Invocation("'comment' is one line and cannot hold line ends".to_owned()));
    }
    change(file, move |text| text::set(text, &ip, &names, comment.as_deref())).await
}

#[cfg(test)]
mod tests;
