use std::os::unix::fs::{MetadataExt, PermissionsExt};

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::bind::bind;
use super::super::find;
use super::super::testing::{assert_shape, call, context, returned};
use super::text::{add, has, remove, set};
use super::*;

const TEXT: &str =
    "# static\n\n127.0.0.1\tlocalhost me # this one\n::1 localhost\n  10.0.0.1   a  b\tc\n10.0.0.1 d\n";

fn names(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn one_line_changes_and_no_other() {
    let check = |new: Vec<u8>, old: &str, line: &str| {
        assert!(TEXT.contains(old));
        assert_eq!(String::from_utf8(new).unwrap(), TEXT.replacen(old, line, 1));
    };
    let text = TEXT.as_bytes();
    check(add(text, "127.0.0.1", &names("x localhost y x")), "me #", "me x y #");
    check(add(text, "10.0.0.1", &names("a d")), "", "");
    check(add(text, "10.0.0.2", &names("a")), "10.0.0.1 d\n", "10.0.0.1 d\n10.0.0.2\t\ta\n");
    check(remove(text, "127.0.0.1", &names("me")), "localhost me #", "localhost #");
    check(remove(text, "127.0.0.1", &names("localhost")), "\tlocalhost me", "\tme");
    check(remove(text, "::1", &names("localhost")), "::1 localhost\n", "");
    check(remove(text, "10.0.0.1", &names("b")), "a  b\tc", "a\tc");
    check(remove(text, "10.0.0.1", &names("a c")), "a  b\tc", "b");
    check(remove(text, "10.0.0.1", &names("d x")), "10.0.0.1 d\n", "");
    check(remove(text, "10.0.0.9", &names("a")), "", "");
    check(
        set(text, "127.0.0.1", &names("a b"), None),
        "127.0.0.1\tlocalhost me # this one\n",
        "127.0.0.1\t\ta b\t\t# this one\n",
    );
    check(
        set(text, "127.0.0.1", &names("localhost me"), Some("other")),
        "127.0.0.1\tlocalhost me # this one\n",
        "127.0.0.1\t\tlocalhost me\t\t# other\n",
    );
    check(set(text, "127.0.0.1", &names("localhost me"), Some("this one")), "", "");
    check(set(text, "10.0.0.1", &names("z"), None), "  10.0.0.1   a  b\tc\n10.0.0.1 d\n", "10.0.0.1\t\tz\n");
    check(set(text, "10.0.0.1", &[], None), "  10.0.0.1   a  b\tc\n10.0.0.1 d\n", "");
    check(
        set(text, "10.0.0.2", &names("z"), Some("new")),
        "10.0.0.1 d\n",
        "10.0.0.1 d\n10.0.0.2\t\tz\t\t# new\n",
    );
    assert_eq!(add(b"1.1.1.1 a", "::1", &names("b")), b"1.1.1.1 a\n::1\t\tb\n");
    assert_eq!(add(b"1.1.1.1", "1.1.1.1", &names("b")), b"1.1.1.1\t\tb");
    assert_eq!(add(b"1.1.1.1 a\xff#\xfe", "1.1.1.1", &names("b")), b"1.1.1.1 a\xff b#\xfe");
}

/// The functions on a file of the test's own, by the parameters of the real ones.
struct Hosts {
    folder: TempDir,
}

type On<F> = fn(PathBuf, Bound) -> F;

impl Hosts {
    fn file(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }

    async fn gives<F: Future<Output = Result<Outcome, Fault>>>(
        &self,
        name: &str,
        body: On<F>,
        arguments: Value,
    ) -> Result<Value, Fault> {
        let bound = bind(&find(name).unwrap().signature(), &call(name, arguments, json!({})))?;
        let outcome = body(self.file(), bound).await?;
        assert_eq!(outcome.retcode, 0, "{name}");
        assert_shape(name, &outcome.value);
        Ok(outcome.value)
    }
}

#[tokio::test]
async fn a_file_is_made_filled_and_emptied() {
    let hosts = Hosts { folder: tempfile::tempdir().unwrap() };
    let list = async || {
        let value = list_hosts(hosts.file()).await.unwrap().value;
        assert_shape("hosts.list_hosts", &value);
        value
    };
    let text = || fs::read_to_string(hosts.file()).unwrap();
    assert_eq!(list().await, json!({}));
    assert_eq!(hosts.gives("hosts.rm_host", rm_host, json!(["::1", "a"])).await, Ok(json!(true)));
    assert!(!hosts.file().exists(), "nothing was to be done");

    assert_eq!(hosts.gives("hosts.add_host", add_host, json!(["192.0.2.7", "db1"])).await, Ok(json!(true)));
    assert_eq!(fs::metadata(hosts.file()).unwrap().permissions().mode() & 0o7777, MODE);
    assert_eq!(text(), "192.0.2.7\t\tdb1\n");
    fs::write(hosts.file(), TEXT).unwrap();
    let before = fs::metadata(hosts.file()).unwrap().ino();
    for (ip, alias) in [("::1", json!("localhost")), ("10.0.0.1", json!(["d", "a"]))] {
        assert_eq!(hosts.gives("hosts.add_host", add_host, json!([ip, alias])).await, Ok(json!(true)));
        assert_eq!(hosts.gives("hosts.has_pair", has_pair, json!([ip, alias])).await, Ok(json!(true)));
    }
    assert_eq!(fs::metadata(hosts.file()).unwrap().ino(), before, "what is there is not written again");
    assert_eq!(
        list().await,
        json!({
            "comment-0": ["# static"],
            "127.0.0.1": {"aliases": ["localhost", "me"], "comment": "this one"},
            "::1": {"aliases": ["localhost"]},
            "10.0.0.1": {"aliases": ["a", "b", "c", "d"]},
        })
    );
    assert_eq!(hosts.gives("hosts.get_ip", get_ip, json!(["localhost"])).await, Ok(json!("127.0.0.1")));
    assert_eq!(hosts.gives("hosts.get_ip", get_ip, json!(["nosuch"])).await, Ok(json!("")));
    assert_eq!(hosts.gives("hosts.get_alias", get_alias, json!(["::1"])).await, Ok(json!(["localhost"])));
    assert_eq!(hosts.gives("hosts.get_alias", get_alias, json!(["::2"])).await, Ok(json!([])));
    assert_eq!(
        hosts.gives("hosts.has_pair", has_pair, json!(["::1", ["localhost", "x"]])).await,
        Ok(json!(false))
    );
    assert_eq!(hosts.gives("hosts.rm_host", rm_host, json!(["10.0.0.1", "a b c d"])).await, Ok(json!(true)));
    let arguments = json!(["::1", "six localhost", "new"]);
    assert_eq!(hosts.gives("hosts.set_host", set_host, arguments).await, Ok(json!(true)));
    assert_eq!(text(), "# static\n\n127.0.0.1\tlocalhost me # this one\n::1\t\tsix localhost\t\t# new\n");

    // A line that is called as a comment is shown is no trouble.
    fs::write(hosts.file(), "#\ncomment-0 a # b\n\t\n#\n").unwrap();
    assert_eq!(list().await, json!({"comment-0": ["#"], "comment-1": ["#"]}));
}

#[tokio::test]
async fn what_is_no_line_is_refused() {
    let hosts = Hosts { folder: tempfile::tempdir().unwrap() };
    fs::write(hosts.file(), TEXT).unwrap();
    for (ip, alias) in [
        ("localhost", json!("a")),
        ("1.2.3", json!("a")),
        ("1.2.3.4%eth0", json!("a")),
        ("fe80::1%", json!("a")),
        ("::1\n::2 x", json!("a")),
        ("# ::1", json!("a")),
        ("::1", json!("a#b")),
        ("::1", json!(["a b"])),
        ("::1", json!(["a\n"])),
        ("::1", json!("-a")),
        ("::1", json!([["a"]])),
        ("::1", json!(null)),
        ("::1", json!("x".repeat(254))),
    ] {
        for (name, result) in [
            ("hosts.add_host", hosts.gives("hosts.add_host", add_host, json!([ip, alias])).await),
            ("hosts.set_host", hosts.gives("hosts.set_host", set_host, json!([ip, alias])).await),
            ("hosts.rm_host", hosts.gives("hosts.rm_host", rm_host, json!([ip, alias])).await),
        ] {
            assert!(matches!(result, Err(Fault::Invocation(_))), "{name} {ip} {alias}: {result:?}");
        }
    }
    let arguments = json!(["::1", "a", "b\n::2 x"]);
    assert!(matches!(hosts.gives("hosts.set_host", set_host, arguments).await, Err(Fault::Invocation(_))));
    assert!(matches!(
        hosts.gives("hosts.add_host", add_host, json!(["::1", " "])).await,
        Err(Fault::Invocation(_))
    ));
    assert_eq!(fs::read_to_string(hosts.file()).unwrap(), TEXT);
    assert_eq!(hosts.gives("hosts.add_host", add_host, json!(["fe80::1%eth0", "a"])).await, Ok(json!(true)));
}

#[tokio::test]
async fn the_file_of_this_machine() {
    let ask = async |name: &str, arguments: Value| {
        let result = returned(&[call(name, arguments, json!({}))], &context()).await;
        assert_eq!(result.retcode, 0, "{name}: {}", result.value);
        assert_shape(name, &result.value);
        result.value
    };
    let listed = ask("hosts.list_hosts", json!([])).await;
    for (address, host) in listed.as_object().unwrap().iter().filter(|(_, host)| host.is_object()) {
        assert_eq!(ask("hosts.get_alias", json!([address])).await, host["aliases"]);
        for name in host["aliases"].as_array().unwrap() {
            assert_eq!(ask("hosts.has_pair", json!([address, name])).await, json!(true));
            let first = ask("hosts.get_ip", json!([name])).await;
            assert!(listed[first.as_str().unwrap()]["aliases"].as_array().unwrap().contains(name), "{first}");
        }
    }
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] =
        &[b"1.1.1.1", b"::1", b"a", b"b", b"ab", b"#", b" ", b"\t", b"\r", b"\n", b"\n", b"\xff"];
    let piece = prop::sample::select(PIECES);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// The lines that an address does not have.
fn others(text: &[u8]) -> Vec<Vec<u8>> {
    let is_of = |line: &&[u8]| {
        let said = line.split(|b| *b == b'#').next().unwrap_or_default();
        let mut words = said.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.next() == Some(b"1.1.1.1".as_slice())
    };
    let lines = text.split(|b| *b == b'\n').filter(|line| !is_of(line));
    lines.map(<[u8]>::to_vec).collect()
}

proptest! {
    /// Whatever a file holds: what is said of others stays, and what was asked for holds.
    #[test]
    fn the_rest_stays(text in any_text(), which in prop::sample::subsequence(vec!["a", "b", "c"], 1..=3)) {
        let which: Vec<String> = which.into_iter().map(str::to_owned).collect();
        let ends = |text: &[u8]| text.is_empty() || text.ends_with(b"\n");
        let mut kept = others(&text);

        let added = add(&text, "1.1.1.1", &which);
        prop_assert!(has(&added, "1.1.1.1", &which));
        prop_assert_eq!(add(&added, "1.1.1.1", &which), added.clone());
        let lone = set(&text, "1.1.1.1", &which, None);
        prop_assert!(has(&lone, "1.1.1.1", &which));
        prop_assert_eq!(set(&lone, "1.1.1.1", &which, None), lone.clone());
        let removed = remove(&text, "1.1.1.1", &which);
        prop_assert!(which.iter().all(|name| !has(&removed, "1.1.1.1", std::slice::from_ref(name))));

        // What comes behind the last line gives it an end, which is seen as one more empty line here.
        let trim = |lines: &mut Vec<Vec<u8>>| while lines.last().is_some_and(Vec::is_empty) { lines.pop(); };
        trim(&mut kept);
        for new in [&added, &lone, &removed] {
            let mut now = others(new);
            trim(&mut now);
            prop_assert_eq!(&now, &kept);
        }
        if ends(&text) {
            prop_assert!(ends(&added) && ends(&removed));
            prop_assert!(others(&removed).len() == others(&text).len());
        }
    }
}
