use serde_json::json;

use super::super::testing::fakes::Fakes;
use super::super::testing::{assert_shape, call, context, returned};
use super::database::{read_account, read_group};
use super::*;

#[tokio::test]
async fn users_of_this_machine() {
    let context = context();
    let ask = async |function: &str, args: Value| {
        let result = returned(&[call(function, args, json!({}))], &context).await;
        assert_eq!(result.retcode, 0, "{function}: {}", result.value);
        assert_shape(function, &result.value);
        result.value
    };
    let root = ask("user.info", json!(["root"])).await;
    assert_eq!((&root["uid"], &root["name"]), (&json!(0), &json!("root")), "{root}");
    assert!(root["groups"].as_array().unwrap().contains(&json!("root")), "{root}");
    assert!(ask("user.getent", json!([])).await.as_array().unwrap().contains(&root));
    assert!(ask("user.list_users", json!([])).await.as_array().unwrap().contains(&json!("root")));
    assert_eq!(ask("user.list_groups", json!(["root"])).await, root["groups"]);
    for nobody in ["nosuch-user", "0", "-x", "a:b", "../x", ""] {
        assert_eq!(ask("user.info", json!([nobody])).await, json!({}), "{nobody:?}");
    }
    let none = returned(&[call("user.list_groups", json!(["nosuch-user"]), json!({}))], &context).await;
    assert_eq!((none.value, none.retcode), (json!("ERROR: User 'nosuch-user' does not exist"), 1));
}

#[test]
fn lines_of_the_databases() {
    let user = read_account("ann:x:1000:1000:Ann A.,12,34,56,and more:/home/ann:/bin/bash").unwrap();
    let groups: Vec<Group> =
        ["ann:x:1000:", "audio:x:29:bob,ann", "adm:x:4:bob"].into_iter().filter_map(read_group).collect();
    let shown = show(&user, &groups);
    assert_eq!(shown["groups"], json!(["ann", "audio"]));
    assert_eq!((&shown["fullname"], &shown["homephone"]), (&json!("Ann A."), &json!("56")));
    assert_eq!(shown["other"], "and more");
    for broken in ["", "ann", "ann:x:1000:1000:Ann:/home/ann", "ann:x:-1:0:::", "a:b:c:d:e:f:g:h"] {
        assert_eq!(read_account(broken), None, "{broken:?}");
    }
    assert_eq!(read_group("x:y:z:"), None);
}

#[tokio::test]
async fn tools_are_called_with_vectors() {
    let mut fakes = Fakes::new();
    for program in ["useradd", "userdel", "usermod", "groupadd", "groupdel", "gpasswd"] {
        fakes.answer(program, "", &[(0, "", "")]);
    }
    let context = fakes.context(context());
    for (function, args, keywords, expected) in [
        ("user.add", json!(["ann"]), json!({}), "useradd -m -- ann"),
        (
            "user.add",
            json!(["ann", 1200, "users", "audio,adm", "/srv/ann", "/bin/sh"]),
            json!({"unique": false, "system": true, "fullname": "Ann A.", "createhome": false}),
            "useradd -u 1200 -g users -G audio,adm -d /srv/ann -s /bin/sh -c Ann A. -o -r -M -- ann",
        ),
        ("user.delete", json!(["ann"]), json!({}), "userdel -- ann"),
        ("user.delete", json!(["ann", true, true]), json!({}), "userdel -r -f -- ann"),
        ("user.chshell", json!(["ann", "/bin/sh"]), json!({}), "usermod -s /bin/sh -- ann"),
        (
            "user.chhome",
            json!(["ann", "/srv/ann"]),
            json!({"persist": true}),
            "usermod -d /srv/ann -m -- ann",
        ),
        ("user.chgroups", json!(["ann", ["a", "b"]]), json!({}), "usermod -G a,b -- ann"),
        ("user.chgroups", json!(["ann", "a, b", true]), json!({}), "usermod -a -G a,b -- ann"),
        ("group.add", json!(["staff", 3456]), json!({}), "groupadd -g 3456 -- staff"),
        ("group.delete", json!(["staff"]), json!({}), "groupdel -- staff"),
        ("group.adduser", json!(["staff", "ann"]), json!({}), "gpasswd -a ann staff"),
        ("group.deluser", json!(["staff", "ann"]), json!({}), "gpasswd -d ann staff"),
        ("group.members", json!(["staff", "ann,bob"]), json!({}), "gpasswd -M ann,bob staff"),
    ] {
        let result = returned(&[call(function, args.clone(), keywords)], &context).await;
        assert_eq!((&result.value, result.retcode), (&json!(true), 0), "{function} {args}");
        assert_shape(function, &result.value);
        assert_eq!(fakes.calls(), [expected]);
    }
    for (function, args) in [
        ("user.add", json!(["-ann"])),
        ("user.add", json!(["ann", "x"])),
        ("user.add", json!(["ann", null, "-g"])),
        ("user.add", json!(["ann", null, null, ["a", "-b"]])),
        ("user.add", json!(["ann", null, null, null, "/a:b"])),
        ("user.delete", json!(["a b"])),
        ("group.add", json!(["a\nb"])),
        ("group.adduser", json!(["staff", "--root=/tmp"])),
    ] {
        let result = returned(&[call(function, args.clone(), json!({}))], &context).await;
        assert_eq!(result.retcode, 1, "{function} {args}: {}", result.value);
    }
    assert_eq!(fakes.calls(), Vec::<String>::new(), "nothing was run");
}

#[tokio::test]
async fn what_a_tool_says_is_told() {
    let mut fakes = Fakes::new();
    fakes.answer("useradd", "", &[(9, "", "useradd: user 'ann' already exists")]);
    let failed = returned(&[call("user.add", json!(["ann"]), json!({}))], &fakes.context(context())).await;
    assert_eq!(failed.value, "ERROR: useradd ended with 9: useradd: user 'ann' already exists");
}
