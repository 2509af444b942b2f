//! `group.*`: groups of users.

use serde_json::{Value, json};

use super::bind::Bound;
use super::user::{Group, change, check_name, group, groups, named};
use super::{Context, Fault, Function, Outcome, Parameter, optional, required, text_of};

const NAME: Parameter = required("name", "name of the group (text)");

const MEMBER: &[Parameter] = &[NAME, required("username", "name of the user (text)")];

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "group.info",
            |context, bound| Box::pin(info(context, bound)),
            "Returns what is known of a group.",
        )
        .takes(const { &[NAME] })
        .returns("{name, passwd, gid, members}; an empty map when there is no such group")
        .example("group.info adm"),
        Function::new(
            "group.getent",
            |context, _| Box::pin(getent(context)),
            "Returns what is known of all groups.",
        )
        .returns("a list of what group.info returns"),
        Function::new("group.add", |context, bound| Box::pin(add(context, bound)), "Adds a group.")
            .takes(
                const {
                    &[
                        NAME,
                        optional("gid", "null", "its number; the next free one when not given (integer)"),
                        optional("system", "false", "True takes a number of the system's (boolean)"),
                    ]
                },
            )
            .returns("True; fails with what groupadd says")
            .example("group.add staff 3456"),
        Function::new("group.delete", |context, bound| Box::pin(delete(context, bound)), "Removes a group.")
            .takes(const { &[NAME] })
            .returns("True; fails with what groupdel says")
            .example("group.delete staff"),
        Function::new(
            "group.adduser",
            |context, bound| Box::pin(member(context, bound, "-a")),
            "Puts a user into a group.",
        )
        .takes(MEMBER)
        .returns("True; fails with what gpasswd says")
        .example("group.adduser staff ann"),
        Function::new(
            "group.deluser",
            |context, bound| Box::pin(member(context, bound, "-d")),
            "Takes a user out of a group.",
        )
        .takes(MEMBER)
        .returns("True; fails with what gpasswd says")
        .example("group.deluser staff ann"),
        Function::new(
            "group.members",
            |context, bound| Box::pin(members(context, bound)),
            "Makes these users the members of a group, and no others.",
        )
        .takes(const { &[NAME, required("members_list", "the users (list, or names with commas)")] })
        .returns("True; fails with what gpasswd says")
        .example("group.members staff ann,bob"),
    ]
}

fn show(group: &Group) -> Value {
    json!({"name": group.name, "passwd": group.passwd, "gid": group.gid, "members": group.members})
}

async fn info(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let found = group(&context, &bound.text("name")?).await?;
    Ok(Outcome::from(found.map_or_else(|| json!({}), |group| show(&group))))
}

async fn getent(context: Context) -> Result<Outcome, Fault> {
    Ok(Outcome::from(groups(&context).await?.iter().map(show).collect::<Vec<_>>()))
}

async fn add(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (name, gid) = (name(&mut bound)?, bound.value("gid"));
    if !gid.is_null() && gid.as_u64().and_then(|gid| u32::try_from(gid).ok()).is_none() {
        return Err(Fault::Invocation("'gid' needs a whole number".to_owned()));
    }
    let mut arguments: Vec<String> = Vec::new();
    if !gid.is_null() {
        arguments.extend(["-g".to_owned(), text_of(&gid)]);
    }
    arguments.extend(bound.flag("system")?.then(|| "-r".to_owned()));
    arguments.extend(["--".to_owned(), name]);
    change(&context, "groupadd", arguments).await
}

async fn delete(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let name = name(&mut bound)?;
    change(&context, "groupdel", vec!["--".to_owned(), name]).await
}

async fn member(context: Context, mut bound: Bound, flag: &str) -> Result<Outcome, Fault> {
    let (name, user) = (name(&mut bound)?, bound.text("username")?);
    check_name("user", &user)?;
    change(&context, "gpasswd", vec![flag.to_owned(), user, name]).await
}

async fn members(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (name, users) = (name(&mut bound)?, named("user", &bound.value("members_list"))?);
    change(&context, "gpasswd", vec!["-M".to_owned(), users.join(","), name]).await
}

fn name(bound: &mut Bound) -> Result<String, Fault> {
    let name = bound.text("name")?;
    check_name("group", &name)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{assert_shape, call, context, returned};

    #[tokio::test]
    async fn groups_of_this_machine() {
        let context = context();
        let root = returned(&[call("group.info", json!(["root"]), json!({}))], &context).await.value;
        assert_eq!((&root["name"], &root["gid"]), (&json!("root"), &json!(0)), "{root}");
        assert_shape("group.info", &root);
        let all = returned(&[call("group.getent", json!([]), json!({}))], &context).await.value;
        assert!(all.as_array().unwrap().contains(&root), "{all}");
        assert_shape("group.getent", &all);
        for nobody in ["nosuch-group", "-x", "a:b", ""] {
            let none = returned(&[call("group.info", json!([nobody]), json!({}))], &context).await;
            assert_eq!((none.value, none.retcode), (json!({}), 0), "{nobody:?}");
        }
    }
}
