//! Changing users, through the tools of the system.

use std::time::Duration;

use serde_json::Value;

use super::super::bind::Bound;
use super::super::tool::Tool;
use super::super::{Context, Fault, Outcome, text_of};
use super::{check_name, named};

/// The tools wait for the lock of the files at most some seconds; moving a home folder takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs a tool that says nothing when all is well.
pub(in crate::functions) async fn change(
    context: &Context,
    program: &str,
    arguments: Vec<String>,
) -> Result<Outcome, Fault> {
    Tool::new(program, arguments).timeout(LIMIT).output(context).await?;
    Ok(Outcome::from(true))
}

/// An argument that has no line ends and colons, which would be fields of the files.
fn field(what: &str, text: String) -> Result<String, Fault> {
    if text.contains([':', '\n', '\0']) {
        return Err(Fault::Invocation(format!("'{what}' cannot hold colons and line ends")));
    }
    Ok(text)
}

fn number_or_name(what: &str, value: &Value) -> Result<Option<String>, Fault> {
    match value {
        Value::Null => Ok(None),
        other => {
            let text = text_of(other);
            check_name(what, &text)?;
            Ok(Some(text))
        }
    }
}

pub(super) async fn add(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let name = bound.text("name")?;
    check_name("user", &name)?;
    let mut arguments: Vec<String> = Vec::new();
    let mut option = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            arguments.extend([flag.to_owned(), value]);
        }
    };
    let uid = bound.value("uid");
    if !uid.is_null() && uid.as_u64().and_then(|uid| u32::try_from(uid).ok()).is_none() {
        return Err(Fault::Invocation("'uid' needs a whole number".to_owned()));
    }
    option("-u", (!uid.is_null()).then(|| text_of(&uid)));
    option("-g", number_or_name("group", &bound.value("gid"))?);
    let groups = named("group", &bound.value("groups"))?;
    option("-G", (!groups.is_empty()).then(|| groups.join(",")));
    option("-d", bound.maybe_text("home")?.map(|home| field("home", home)).transpose()?);
    option("-s", bound.maybe_text("shell")?.map(|shell| field("shell", shell)).transpose()?);
    let fullname = field("fullname", bound.text("fullname")?)?;
    option("-c", Some(fullname).filter(|text| !text.is_empty()));
    let mut flag = |flag: &str, is_on: bool| arguments.extend(is_on.then(|| flag.to_owned()));
    flag("-o", !bound.flag("unique")? && !uid.is_null());
    flag("-r", bound.flag("system")?);
    let has_home = bound.flag("createhome")?;
    flag("-m", has_home);
    flag("-M", !has_home);
    arguments.extend(["--".to_owned(), name]);
    change(&context, "useradd", arguments).await
}

pub(super) async fn delete(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let name = bound.text("name")?;
    check_name("user", &name)?;
    let flags = [("-r", bound.flag("remove")?), ("-f", bound.flag("force")?)];
    let mut arguments: Vec<String> =
        flags.into_iter().filter(|(_, is_on)| *is_on).map(|(flag, _)| flag.to_owned()).collect();
    arguments.extend(["--".to_owned(), name]);
    change(&context, "userdel", arguments).await
}

pub(super) async fn shell(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let shell = field("shell", bound.text("shell")?)?;
    modify(context, bound, vec!["-s".to_owned(), shell]).await
}

pub(super) async fn home(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let home = field("home", bound.text("home")?)?;
    let mut arguments = vec!["-d".to_owned(), home];
    arguments.extend(bound.flag("persist")?.then(|| "-m".to_owned()));
    modify(context, bound, arguments).await
}

pub(super) async fn groups(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let groups = named("group", &bound.value("groups"))?;
    let mut arguments: Vec<String> = bound.flag("append")?.then(|| "-a".to_owned()).into_iter().collect();
    arguments.extend(["-G".to_owned(), groups.join(",")]);
    modify(context, bound, arguments).await
}

async fn modify(context: Context, mut bound: Bound, mut arguments: Vec<String>) -> Result<Outcome, Fault> {
    let name = bound.text("name")?;
    check_name("user", &name)?;
    arguments.extend(["--".to_owned(), name]);
    change(&context, "usermod", arguments).await
}
