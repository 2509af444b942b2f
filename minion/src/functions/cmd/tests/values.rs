//! What the functions return for what arguments.

use nix::unistd::User;

use super::super::super::testing::{call, context, returned};
use super::super::*;
use super::check;

#[tokio::test]
async fn values_are_those_of_salt() {
    check("cmd.run", json!(["exit 3"]), json!({}), json!(""), 3).await;
    check("cmd.run", json!(["echo a; echo b >&2; exit 4"]), json!({}), json!("a\nb"), 4).await;
    check("cmd.retcode", json!(["exit 3"]), json!({}), json!(3), 0).await;
    check("cmd.retcode", json!(["true"]), json!({}), json!(0), 0).await;
    check("cmd.run_stdout", json!(["echo o; echo e >&2"]), json!({}), json!("o"), 0).await;
    check("cmd.run_stderr", json!(["echo o; echo e >&2; exit 1"]), json!({}), json!("e"), 1).await;
    check("cmd.run", json!(["echo $0"]), json!({}), json!("/bin/sh"), 0).await;
    check("cmd.run", json!(["pwd"]), json!({"cwd": "/usr"}), json!("/usr"), 0).await;
    check("cmd.run", json!(["echo $X"]), json!({"env": {"X": 7}}), json!("7"), 0).await;
    check("cmd.run", json!(["echo a | tr a b"]), json!({}), json!("b"), 0).await;
    check("cmd.run", json!(["echo a | tr a b"]), json!({"python_shell": false}), json!("a | tr a b"), 0)
        .await;
    check("cmd.shell", json!(["echo a | tr a b"]), json!({"python_shell": false}), json!("b"), 0).await;
    check("cmd.run", json!([["printf", "%s-", "a b", 3]]), json!({}), json!("a b-3-"), 0).await;
    check("cmd.run", json!(["printf '%s-' 'a b' c"]), json!({"python_shell": false}), json!("a b-c-"), 0)
        .await;
    check("cmd.run", json!([true]), json!({}), json!(""), 0).await;
    check("cmd.run", json!(["kill -TERM $$"]), json!({}), json!(""), -15).await;
    check("cmd.run", json!(["echo o; echo e >&2; echo o; echo e >&2"]), json!({}), json!("o\ne\no\ne"), 0)
        .await;
    check("cmd.run", json!(["nosuchcommand 2>/dev/null"]), json!({}), json!(""), 127).await;
    let all =
        returned(&[call("cmd.run_all", json!(["echo o; echo e >&2; exit 5"]), json!({}))], &context()).await;
    assert!(all.value["pid"].as_u64().unwrap() > 1);
    assert_eq!(all.value, json!({"pid": all.value["pid"], "retcode": 5, "stdout": "o", "stderr": "e"}));
    assert_eq!(all.retcode, 5);
}

#[tokio::test]
async fn input_environment_and_umask() {
    check("cmd.run", json!(["cat"]), json!({"stdin": "a\nb"}), json!("a\nb"), 0).await;
    check("cmd.run", json!(["cat; echo end"]), json!({}), json!("end"), 0).await;
    check("cmd.run", json!(["wc -c"]), json!({"stdin": "x".repeat(300_000)}), json!("300000"), 0).await;
    check("cmd.run", json!(["echo ignored"]), json!({"stdin": "x".repeat(300_000)}), json!("ignored"), 0)
        .await;
    let env = json!([{"A": "1"}, {"B": null, "C": true}]);
    check("cmd.run", json!(["echo \"$A-$B-$C\""]), json!({"env": env}), json!("1--True"), 0).await;
    for (given, shown) in [(json!(77), "0077"), (json!("027"), "0027"), (json!(0), "0000")] {
        check("cmd.run", json!(["umask"]), json!({"umask": given}), json!(shown), 0).await;
    }
    let args = json!([["sh", "-c", "umask; echo \"$1\"", "x", "a  b"]]);
    check("cmd.run", args, json!({"umask": 22}), json!("0022\na  b"), 0).await;
    let context = Context { marker: vec![("BRINE_JID".to_owned(), "42".to_owned())], ..context() };
    let marked = returned(&[call("cmd.run", json!(["echo $BRINE_JID"]), json!({}))], &context).await;
    assert_eq!(marked.value, "42");
}

#[tokio::test]
async fn what_makes_no_sense_is_said() {
    let invalid = |why: &str| json!(format!("ERROR executing 'cmd.run': {why}"));
    for (args, keywords, value) in [
        (
            json!(["ls"]),
            json!({"cwd": "/nosuch"}),
            json!("ERROR: Specified cwd '/nosuch' either not absolute or does not exist"),
        ),
        (
            json!(["ls"]),
            json!({"cwd": "usr"}),
            json!("ERROR: Specified cwd 'usr' either not absolute or does not exist"),
        ),
        (
            json!(["ls"]),
            json!({"runas": "no-such-user"}),
            json!("ERROR: User 'no-such-user' is not available"),
        ),
        (json!([""]), json!({"python_shell": false}), invalid("'cmd' names no program")),
        (json!([[]]), json!({}), invalid("'cmd' names no program")),
        (json!(["a 'b"]), json!({"python_shell": false}), invalid("'cmd' has a quote that is not closed")),
        (json!([null]), json!({}), invalid("'cmd' needs a text, or a list of texts")),
        (
            json!(["ls"]),
            json!({"env": "A=1"}),
            invalid("'env' needs a map of names and values, as env='{NAME: value}'"),
        ),
        (json!(["ls"]), json!({"env": {"A=": 1}}), invalid("'env' has a name that is empty or contains '='")),
        (json!(["ls"]), json!({"umask": 99}), invalid("'umask' needs octal digits up to 0777, not \"99\"")),
        (
            json!(["ls"]),
            json!({"umask": 7777}),
            invalid("'umask' needs octal digits up to 0777, not \"7777\""),
        ),
        (json!(["ls"]), json!({"timeout": "x"}), invalid("'timeout' needs a number of seconds, 0 or more")),
        (json!(["ls"]), json!({"python_shell": "no"}), invalid("'python_shell' is either True or False")),
    ] {
        check("cmd.run", args, keywords, value, 1).await;
    }
    let result =
        returned(&[call("cmd.run", json!([["/nosuch/program", "x"]]), json!({"cwd": "/"}))], &context())
            .await;
    let text = result.value.as_str().unwrap();
    assert!(text.starts_with("ERROR: Unable to run command '/nosuch/program x' in /, reason: "), "{text}");
    let nul = returned(&[call("cmd.run", json!(["echo \0"]), json!({}))], &context()).await;
    assert_eq!(nul.retcode, 1);
    check(
        "cmd.shell",
        json!([["ls"]]),
        json!({}),
        json!("ERROR executing 'cmd.shell': 'cmd' needs a text for the shell, not a list"),
        1,
    )
    .await;
}

#[tokio::test]
async fn output_that_is_no_text_is_shown_anyway() {
    check("cmd.run", json!(["printf '\\377ok'"]), json!({}), json!("\u{fffd}ok"), 0).await;
}

#[tokio::test]
async fn runas_oneself_needs_no_rights() {
    let own = User::from_uid(geteuid()).unwrap().unwrap();
    let expected = json!(format!("{} {}", own.name, own.dir.display()));
    check("cmd.run", json!(["echo $USER $HOME"]), json!({"runas": own.name, "cwd": "/"}), expected, 0).await;
}

/// Root becomes the user, with a login's environment; anybody else is told why not.
#[tokio::test]
async fn runas_another_user() {
    let script = "id -un; id -Gn; echo $HOME $USER; umask; pwd";
    let runas = async |name: &str| {
        let keywords = json!({"runas": name, "umask": 27, "cwd": "/"});
        let result = returned(&[call("cmd.run", json!([script]), keywords)], &context()).await;
        (result.value, result.retcode)
    };
    if geteuid().is_root() {
        let nobody = User::from_name("nobody").unwrap().unwrap();
        let group = nix::unistd::Group::from_gid(nobody.gid).unwrap().unwrap();
        let expected = format!("nobody\n{}\n{} nobody\n0027\n/", group.name, nobody.dir.display());
        assert_eq!(runas("nobody").await, (json!(expected), 0));
    } else {
        let expected = "ERROR: runas: only a minion that runs as root can become the user 'root'";
        assert_eq!(runas("root").await, (json!(expected), 1));
    }
}

fn account() -> Account {
    Account {
        name: "alice".to_owned(),
        uid: 1000,
        gid: 1001,
        home: PathBuf::from("/home/alice"),
        shell: PathBuf::from("/bin/bash"),
    }
}

#[test]
fn argument_vectors() {
    let request = |umask| Request {
        command: "ls".to_owned(),
        words: ["/bin/sh", "-c", "ls"].map(str::to_owned).to_vec(),
        cwd: None,
        env: Vec::new(),
        runas: None,
        stdin: None,
        timeout: None,
        umask,
    };
    let (alice, setpriv) = (account(), Path::new("/usr/bin/setpriv"));
    let check = |request: Request, account, setpriv, expected: &[&str]| {
        assert_eq!(request.argv(account, setpriv), expected);
    };
    check(request(None), None, None, &["/bin/sh", "-c", "ls"]);
    let umasked = ["/bin/sh", "-c", "umask 0027 && exec \"$@\"", "sh", "/bin/sh", "-c", "ls"];
    check(request(Some(0o27)), None, None, &umasked);
    let changed = ["/usr/bin/setpriv", "--reuid", "1000", "--regid", "1001", "--init-groups", "--"];
    check(request(Some(0o27)), Some(&alice), Some(setpriv), &[&changed[..], &umasked[..]].concat());
}

#[test]
fn folders() {
    assert_eq!(folder(Some("/usr"), None), Ok(PathBuf::from("/usr")));
    assert_eq!(folder(None, Some(Path::new("/usr"))), Ok(PathBuf::from("/usr")));
    assert_eq!(folder(None, Some(Path::new("/nosuch"))), Ok(PathBuf::from("/")));
    assert_eq!(folder(None, Some(Path::new("usr"))), Ok(PathBuf::from("/")));
    assert_eq!(folder(None, None), Ok(PathBuf::from("/")));
    assert!(folder(Some("."), None).is_err());
}
