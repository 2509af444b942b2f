use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Options {
    interface: std::net::IpAddr,
    publish_port: u16,
    ret_port: u16,
    auto_accept: bool,
    id: Option<String>,
    heartbeat: f64,
    keysize: usize,
    exempt: Vec<String>,
    nodegroups: BTreeMap<String, String>,
    limits: Limits,
    log_level: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Limits {
    message_max: usize,
    frames_max: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interface: [0, 0, 0, 0].into(),
            publish_port: 4505,
            ret_port: 4506,
            auto_accept: false,
            id: None,
            heartbeat: 10.0,
            keysize: 4096,
            exempt: Vec::new(),
            nodegroups: BTreeMap::new(),
            limits: Limits { message_max: 1024, frames_max: 8 },
            log_level: "info".into(),
        }
    }
}

fn read(text: &str) -> Result<Options, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("master.yaml");
    fs::write(&file, text).unwrap();
    load(&file, &dir.path().join("master.d"))
        .map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

#[test]
fn nothing_is_the_default() {
    for text in ["", "# only\n  # comments\n\n", "---\n", "{}\n", "---\n# x\n...\n"] {
        assert_eq!(read(text), Ok(Options::default()), "{text:?}");
    }
    assert_eq!(load::<Options>(Path::new("/no/such"), Path::new("/no/such.d")).unwrap(), Options::default());
}

#[test]
fn reads_options() {
    let text = "interface: '::1'\nret_port: 0\nauto_accept: True\nid: web-01\nheartbeat: 2\nexempt: [10.0.0.0/8]\n\
                nodegroups:\n  web: 'web*'\n  7: db1\nlimits:\n  frames_max: 2\nlog_level: debug\n";
    let options = read(text).unwrap();
    let expected = Options {
        interface: std::net::Ipv6Addr::LOCALHOST.into(),
        ret_port: 0,
        auto_accept: true,
        id: Some("web-01".into()),
        heartbeat: 2.0,
        exempt: vec!["10.0.0.0/8".into()],
        nodegroups: [("web".into(), "web*".into()), ("7".into(), "db1".into())].into(),
        limits: Limits { message_max: 1024, frames_max: 2 },
        log_level: "debug".into(),
        ..Options::default()
    };
    assert_eq!(options, expected);
}

#[test]
fn later_files_win_per_option() {
    let dir = tempfile::tempdir().unwrap();
    let (file, folder) = (dir.path().join("master.yaml"), dir.path().join("master.d"));
    fs::create_dir(&folder).unwrap();
    fs::write(&file, "publish_port: 1\nret_port: 1\nkeysize: 1\nnodegroups: {a: b}\n").unwrap();
    fs::write(folder.join("20.yaml"), "publish_port: 3\n").unwrap();
    fs::write(folder.join("10.yaml"), "publish_port: 2\nret_port: 2\nnodegroups: {c: d}\n").unwrap();
    fs::write(folder.join("30.yaml.bak"), "nonsense").unwrap();
    fs::write(folder.join(".40.yaml"), "nonsense").unwrap();
    let options: Options = load(&file, &folder).unwrap();
    assert_eq!((options.publish_port, options.ret_port, options.keysize), (3, 2, 1));
    assert_eq!(options.nodegroups, [("c".to_owned(), "d".to_owned())].into());
    fs::write(folder.join("15.yaml"), "\nport: 3\n").unwrap();
    let error = load::<Options>(&file, &folder).unwrap_err().to_string();
    assert_eq!(error, format!("{}/15.yaml:2: unknown option \"port\"", folder.display()));
}

#[test]
fn errors_name_the_place() {
    for (text, expected) in [
        ("intreface: 1\n", "master.yaml:1: unknown option \"intreface\"; did you mean \"interface\"?"),
        ("a: 1\n", "master.yaml:1: unknown option \"a\""),
        (
            "\n\nPublish_port: 1",
            "master.yaml:3: unknown option \"Publish_port\"; did you mean \"publish_port\"?",
        ),
        ("\"\\e[31mx\": 1\n", "master.yaml:1: unknown option \"\\u{1b}[31mx\""),
        (
            "ret_port: 1\nlimits:\n  # c\n  frame_max: 1\n",
            "master.yaml:4: unknown option \"limits.frame_max\"; did you mean \"frames_max\"?",
        ),
        (
            "id: a\nret_port: seven\n",
            "master.yaml:2: option \"ret_port\": expected a whole number from 0 to 65535, found \"seven\"",
        ),
        (
            "ret_port: 65536\n",
            "master.yaml:1: option \"ret_port\": expected a whole number from 0 to 65535, found `65536`",
        ),
        (
            "ret_port: -1\n",
            "master.yaml:1: option \"ret_port\": expected a whole number from 0 to 65535, found `-1`",
        ),
        (
            "ret_port: 1.5\n",
            "master.yaml:1: option \"ret_port\": expected a whole number from 0 to 65535, found `1.5`",
        ),
        (
            "ret_port:\n",
            "master.yaml:1: option \"ret_port\": expected a whole number from 0 to 65535, found nothing",
        ),
        (
            "keysize: []\n",
            "master.yaml:1: option \"keysize\": expected a whole number that is not negative, found a list",
        ),
        (
            "auto_accept: maybe\n",
            "master.yaml:1: option \"auto_accept\": expected true or false, found \"maybe\"",
        ),
        ("id: 12\n", "master.yaml:1: option \"id\": expected text, found `12` (quote it to make it text)"),
        ("id: {a: b}\n", "master.yaml:1: option \"id\": expected text, found a mapping"),
        ("heartbeat: x\n", "master.yaml:1: option \"heartbeat\": expected a number, found \"x\""),
        ("interface: nowhere\n", "master.yaml:1: option \"interface\": invalid IP address syntax"),
        ("exempt:\n- a\n- [b]\n", "master.yaml:3: option \"exempt[1]\": expected text, found a list"),
        ("exempt: a\n", "master.yaml:1: option \"exempt\": expected a list, found \"a\""),
        (
            "nodegroups:\n  a: b\n  c: 1\n",
            "master.yaml:3: option \"nodegroups.c\": expected text, found `1` (quote it to make it text)",
        ),
        (
            "limits:\n  message_max: 1\n  frames_max: 256\n",
            "master.yaml:3: option \"limits.frames_max\": expected a whole number from 0 to 255, found `256`",
        ),
        ("limits: 1\n", "master.yaml:1: option \"limits\": expected a mapping, found `1`"),
        ("- a\n", "master.yaml:1: expected `option: value` lines, found a list"),
        ("hello\n", "master.yaml:1: expected `option: value` lines, found a single value"),
        ("id: a\nret_port: 1\nid: b\n", "master.yaml:3: duplicate mapping key `id` is not allowed here"),
        (
            "limits: {frames_max: 1, frames_max: 1}\n",
            "master.yaml:1: duplicate mapping key `frames_max` is not allowed here",
        ),
        ("id: *nobody\n", "master.yaml:1: reference to unknown value"),
        ("id: [a\nret_port: 1\n", "master.yaml:2: illegal placement of ':' indicator"),
        ("id: a\n\tret_port: 1\n", "master.yaml:1: while scanning a plain scalar, found a tab"),
        (
            "id: a\n---\nid: b\n",
            "master.yaml:2: YAML document too large or too complex: limits breached: Documents { documents: 2 }",
        ),
        ("heartbeat: .nan\n", "master.yaml:1: value `.nan` is not a finite number"),
        ("a\0b: 1\n", "master.yaml:1: unexpected character: `\\u{0}'"),
        ("id: 'a\n", "master.yaml:2: invalid indentation in multiline quoted scalar"),
        ("id: a: b\n", "master.yaml:1: mapping values are not allowed in this context"),
        ("[a]: 1\n", "master.yaml:1: expected string scalar"),
    ] {
        assert_eq!(read(text).unwrap_err(), expected, "{text:?}");
    }
}

#[test]
fn bombs_are_bounded() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..30 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(",");
        text.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    let started = std::time::Instant::now();
    let error = read(&text).unwrap_err();
    assert!(error.starts_with("master.yaml:"), "{error}");
    assert!(started.elapsed().as_secs() < 5);
    assert!(read(&"[".repeat(100_000)).is_err());
    assert!(read(&"# \n".repeat(400_000)).unwrap_err().ends_with("is larger than 1048576 bytes"));
}

#[test]
fn a_given_folder_has_to_exist() {
    let dir = tempfile::tempdir().unwrap();
    let given = dir.path().join("conf");
    let paths = Paths::new(Some(dir.path()), Some(&given));
    let error = load_for::<Options>(&paths, "master").unwrap_err().to_string();
    assert_eq!(error, format!("the configuration folder {} does not exist", given.display()));
    fs::create_dir(&given).unwrap();
    assert_eq!(load_for::<Options>(&paths, "master").unwrap(), Options::default());
    assert_eq!(load_for::<Options>(&Paths::new(Some(&given), None), "minion").unwrap(), Options::default());
    fs::create_dir(given.join("master.yaml")).unwrap();
    let error = load_for::<Options>(&paths, "master").unwrap_err().to_string();
    assert_eq!(
        error,
        format!("cannot read {}: Is a directory (os error 21)", given.join("master.yaml").display())
    );
}
