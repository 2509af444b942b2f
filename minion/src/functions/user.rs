//! `user.*`: users, as `getent` names them, and as the tools of the system change them.

mod change;
mod database;

use serde_json::{Value, json};

pub(super) use self::change::change;
pub(super) use self::database::{Account, Group, check_name, group, groups, named, user, users};
use super::bind::Bound;
use super::{Context, Fault, Function, Outcome, Parameter, keyword, optional, required};

const NAME: Parameter = required("name", "name of the user (text)");

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "user.info",
            |context, bound| Box::pin(info(context, bound)),
            "Returns what is known of a user.",
        )
        .takes(const { &[NAME] })
        .returns(
            "{name, uid, gid, groups, home, shell, passwd, fullname, roomnumber, workphone, homephone, other}; an \
             empty map when there is no such user",
        )
        .example("user.info root"),
        Function::new("user.getent", |context, _| Box::pin(getent(context)), "Returns what is known of all users.")
            .returns("a list of what user.info returns"),
        Function::new("user.list_users", |context, _| Box::pin(list_users(context)), "Returns the names of all users, sorted."),
        Function::new(
            "user.list_groups",
            |context, bound| Box::pin(list_groups(context, bound)),
            "Returns the names of the groups of a user, sorted, the primary one too.",
        )
        .takes(const { &[NAME] })
        .example("user.list_groups www-data"),
        Function::new("user.add", |context, bound| Box::pin(change::add(context, bound)), "Adds a user.")
            .takes(
                const {
                    &[
                        NAME,
                        optional("uid", "null", "its number; the next free one when not given (integer)"),
                        optional("gid", "null", "its primary group, by name or number (text or integer)"),
                        optional("groups", "null", "further groups (list, or names with commas)"),
                        optional("home", "null", "its home folder (text)"),
                        optional("shell", "null", "its shell (text)"),
                        keyword("unique", "true", "False lets the number be one that is taken (boolean)"),
                        keyword("system", "false", "True takes a number of the system's (boolean)"),
                        keyword("fullname", "\"\"", "its full name (text)"),
                        keyword("createhome", "true", "whether the home folder is made (boolean)"),
                    ]
                },
            )
            .returns("True; fails with what useradd says")
            .example("user.add ann 1200 users shell=/bin/bash"),
        Function::new("user.delete", |context, bound| Box::pin(change::delete(context, bound)), "Removes a user.")
            .takes(
                const {
                    &[
                        NAME,
                        optional("remove", "false", "True removes the home folder as well (boolean)"),
                        optional("force", "false", "True removes one that is logged in (boolean)"),
                    ]
                },
            )
            .returns("True; fails with what userdel says")
            .example("user.delete ann remove=True"),
        Function::new("user.chshell", |context, bound| Box::pin(change::shell(context, bound)), "Changes the shell of a user.")
            .takes(const { &[NAME, required("shell", "the shell (text)")] })
            .returns("True; fails with what usermod says")
            .example("user.chshell ann /bin/zsh"),
        Function::new("user.chhome", |context, bound| Box::pin(change::home(context, bound)), "Changes the home folder of a user.")
            .takes(
                const {
                    &[
                        NAME,
                        required("home", "the home folder (text)"),
                        optional("persist", "false", "True moves what is in the old one (boolean)"),
                    ]
                },
            )
            .returns("True; fails with what usermod says")
            .example("user.chhome ann /srv/ann persist=True"),
        Function::new("user.chgroups", |context, bound| Box::pin(change::groups(context, bound)), "Changes the groups of a user.")
            .takes(
                const {
                    &[
                        NAME,
                        required("groups", "the groups (list, or names with commas)"),
                        optional("append", "false", "True keeps those it is in (boolean)"),
                    ]
                },
            )
            .returns("True; fails with what usermod says")
            .example("user.chgroups ann wheel,audio append=True"),
    ]
}

/// What `user.info` shows.
fn show(user: &Account, groups: &[Group]) -> Value {
    let mut about = user.gecos.splitn(5, ',').map(str::to_owned);
    let mut next = || about.next().unwrap_or_default();
    let (fullname, room, work, home_phone, other) = (next(), next(), next(), next(), next());
    json!({
        "gid": user.gid,
        "groups": groups_of(user, groups),
        "home": user.home,
        "name": user.name,
        "passwd": user.passwd,
        "shell": user.shell,
        "uid": user.uid,
        "fullname": fullname,
        "roomnumber": room,
        "workphone": work,
        "homephone": home_phone,
        "other": other,
    })
}

/// The names of a user's groups, sorted.
fn groups_of(user: &Account, groups: &[Group]) -> Vec<String> {
    let is_in = |group: &&Group| group.gid == user.gid || group.members.contains(&user.name);
    let mut names: Vec<String> = groups.iter().filter(is_in).map(|group| group.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

async fn info(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let name = bound.text("name")?;
    match user(&context, &name).await? {
        Some(user) => Ok(Outcome::from(show(&user, &groups(&context).await?))),
        None => Ok(Outcome::from(json!({}))),
    }
}

async fn getent(context: Context) -> Result<Outcome, Fault> {
    let groups = groups(&context).await?;
    Ok(Outcome::from(users(&context).await?.iter().map(|user| show(user, &groups)).collect::<Vec<_>>()))
}

async fn list_users(context: Context) -> Result<Outcome, Fault> {
    let mut names: Vec<String> = users(&context).await?.into_iter().map(|user| user.name).collect();
    names.sort();
    names.dedup();
    Ok(Outcome::from(names))
}

async fn list_groups(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let name = bound.text("name")?;
    let user = user(&context, &name).await?;
    let user = user.ok_or_else(|| Fault::Execution(format!("User '{name}' does not exist")))?;
    Ok(Outcome::from(groups_of(&user, &groups(&context).await?)))
}

#[cfg(test)]
mod tests;
