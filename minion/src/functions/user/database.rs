//! What the system knows of users and groups: the lines of `getent`, which asks every source that
//! the machine is set up to ask.

use std::time::Duration;

use super::super::tool::Tool;
use super::super::{Context, Fault};

/// A source over the network may be slow, or not answer at all.
const LIMIT: Duration = Duration::from_secs(30);

/// `getent` ends so when there is no such entry.
const NO_SUCH: i32 = 2;

/// A line of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::functions) struct Account {
    pub(in crate::functions) name: String,
    pub(in crate::functions) passwd: String,
    pub(in crate::functions) uid: u32,
    pub(in crate::functions) gid: u32,
    pub(in crate::functions) gecos: String,
    pub(in crate::functions) home: String,
    pub(in crate::functions) shell: String,
}

/// A line of group(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::functions) struct Group {
    pub(in crate::functions) name: String,
    pub(in crate::functions) passwd: String,
    pub(in crate::functions) gid: u32,
    pub(in crate::functions) members: Vec<String>,
}

pub(in crate::functions) fn read_account(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, passwd, uid, gid, gecos, home, shell] = fields.as_slice() else { return None };
    Some(Account {
        name: (*name).to_owned(),
        passwd: (*passwd).to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        gecos: (*gecos).to_owned(),
        home: (*home).to_owned(),
        shell: (*shell).to_owned(),
    })
}

pub(in crate::functions) fn read_group(line: &str) -> Option<Group> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, passwd, gid, members] = fields.as_slice() else { return None };
    let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned);
    Some(Group {
        name: (*name).to_owned(),
        passwd: (*passwd).to_owned(),
        gid: gid.parse().ok()?,
        members: members.collect(),
    })
}

/// All users. Lines that are none are passed over.
pub(in crate::functions) async fn users(context: &Context) -> Result<Vec<Account>, Fault> {
    Ok(ask(context, &["passwd"]).await?.lines().filter_map(read_account).collect())
}

/// All groups. Lines that are none are passed over.
pub(in crate::functions) async fn groups(context: &Context) -> Result<Vec<Group>, Fault> {
    Ok(ask(context, &["group"]).await?.lines().filter_map(read_group).collect())
}

/// The user of this name. A number is a name here, as everywhere in Salt.
pub(in crate::functions) async fn user(context: &Context, name: &str) -> Result<Option<Account>, Fault> {
    if check_name("user", name).is_err() {
        return Ok(None);
    }
    let found = ask(context, &["passwd", "--", name]).await?;
    Ok(found.lines().filter_map(read_account).find(|user| user.name == name))
}

/// The group of this name.
pub(in crate::functions) async fn group(context: &Context, name: &str) -> Result<Option<Group>, Fault> {
    if check_name("group", name).is_err() {
        return Ok(None);
    }
    let found = ask(context, &["group", "--", name]).await?;
    Ok(found.lines().filter_map(read_group).find(|group| group.name == name))
}

async fn ask(context: &Context, what: &[&str]) -> Result<String, Fault> {
    let done = Tool::new("getent", what.iter().copied()).timeout(LIMIT).run(context).await?;
    if done.is_cut {
        return Err(Fault::Execution("getent says more than output_max takes".to_owned()));
    }
    match done.retcode {
        Some(0) => Ok(done.stdout),
        Some(NO_SUCH) => Ok(String::new()),
        Some(code) => Err(Fault::Execution(format!("getent ended with {code}: {}", done.complaint()))),
        None => Err(Fault::Execution("getent was killed: it ran too long".to_owned())),
    }
}

/// A name that no tool could take for an option, a path or a line of its own.
pub(in crate::functions) fn check_name(what: &str, name: &str) -> Result<(), Fault> {
    let is_letter =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$' | b'@' | b'\\');
    let is_name = !name.is_empty()
        && name.len() <= 256
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|b| is_letter(b) || b >= 0x80);
    if is_name {
        return Ok(());
    }
    let name = brine_local::text::escape(name);
    Err(Fault::Invocation(format!("'{name}' is not the name of a {what}")))
}

/// Names in a list, or in a text with commas.
pub(in crate::functions) fn named(what: &str, value: &serde_json::Value) -> Result<Vec<String>, Fault> {
    let names: Vec<String> = match value {
        serde_json::Value::Null => Vec::new(),
        serde_json::Value::Array(list) => list.iter().map(super::super::text_of).collect(),
        one => super::super::text_of(one).split(',').map(|name| name.trim().to_owned()).collect(),
    };
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    names.iter().try_for_each(|name| check_name(what, name))?;
    Ok(names)
}
