//! A daemon's options from its environment: `BRINE_RET_PORT=5506` is `ret_port: 5506`.
//!
//! For containers, where a variable is easier to give than a file. A value is YAML, so that lists
//! and maps can be written; where that is not what the option takes, the value is taken as plain
//! text, so that text never needs quotes. A variable that is empty, or that YAML takes for nothing
//! (`~`, a comment), counts as not given: it never takes away what a file says.
//!
//! **Invariant:** a variable that names no option is never an error: container platforms put
//! their own beside ours.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::yaml::{self, Node};
use super::{
    ConfigError, FILE_MAX, Fault, Said, check, defaults, folder_is_there, from_files, nearest, together,
};
use crate::Paths;
use crate::text::escape;

/// What all variables of options begin with.
const PREFIX: &str = "BRINE_";

/// Variables of our own that are no options: the marks on a job's processes, which a minion that
/// such a job starts inherits.
const OWN: [&str; 2] = ["BRINE_JID", "BRINE_JOURNAL"];

/// What only the command line says, though a variable might be thought to.
const FLAGS: [(&str, &str); 2] = [("BRINE_CONFIG_DIR", "--config-dir"), ("BRINE_ROOT_DIR", "--root-dir")];

/// The variables that may hold options, in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct Environment(Vec<(String, OsString)>);

impl Environment {
    /// That of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(std::env::vars_os())
    }

    /// One of these variables.
    #[must_use]
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        let is_ours = |(name, value): &(String, OsString)| name.starts_with(PREFIX) && !value.is_empty();
        let mut ours: Vec<_> = variables.into_iter().filter_map(named).filter(is_ours).collect();
        ours.sort();
        Self(ours)
    }
}

/// Options as a daemon has them.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The options.
    pub options: T,
    /// The variables that give some of them.
    pub variables: Vec<String>,
    /// What should be said about other variables, one sentence each.
    pub notices: Vec<String>,
    /// The main file and the folder of further ones, as far as something was read there.
    pub read: Vec<PathBuf>,
    nothing: BTreeMap<String, (PathBuf, u64)>,
}

impl<T> Loaded<T> {
    /// Where options come from, for an error about all of them together.
    #[must_use]
    pub fn place(&self, file: &Path) -> String {
        match &self.variables[..] {
            [] => file.display().to_string(),
            given => format!("{} and the environment ({})", file.display(), given.join(", ")),
        }
    }

    /// Whether all is there that was `read` before. A single file of the folder may go: that is how
    /// its options are taken back.
    ///
    /// # Errors
    /// It is not, so that what it said would be lost without anybody meaning it.
    pub fn has_all_of(&self, read: &[PathBuf]) -> Result<(), ConfigError> {
        match read.iter().find(|path| !self.read.contains(path)) {
            Some(gone) => Err(ConfigError::Gone(gone.clone())),
            None => Ok(()),
        }
    }

    /// The file and line that says nothing for this option, unless something else says more.
    #[must_use]
    pub fn says_nothing(&self, option: &str) -> Option<&(PathBuf, u64)> {
        self.nothing.get(option)
    }

    /// Says in the log what came from the environment, and what did not.
    pub fn log(&self) {
        if !self.variables.is_empty() {
            tracing::info!(variables = self.variables.join(", "), "options come from the environment");
        }
        for notice in &self.notices {
            tracing::warn!("{notice}");
        }
    }
}

/// Reads the options of `program` (`master` or `minion`) as its daemon has them: from where
/// `paths` says, then from the environment.
///
/// # Errors
/// The first thing found wrong, with its file and line or its variable.
pub fn load_daemon<T>(
    paths: &Paths,
    program: &str,
    environment: &Environment,
) -> Result<Loaded<T>, ConfigError>
where
    T: Default + Serialize + DeserializeOwned,
{
    folder_is_there(paths)?;
    let defaults = defaults::<T>();
    let file = paths.config_file(program);
    let Said { mut options, read, mut nothing } =
        from_files::<T>(&defaults, &file, &paths.config_folder(program))?;
    let (mut variables, mut notices) = (Vec::new(), Vec::new());
    for (name, value) in &environment.0 {
        match option_of(name, &defaults) {
            Meant::Option(option) => match given::<T>(&defaults, &option, value) {
                Ok(None) => notices.push(format!(
                    "the environment variable {name} holds nothing but a null or a comment of YAML, and counts as \
                     not given; quote it to make it text"
                )),
                Ok(Some(value)) => {
                    nothing.remove(&option);
                    options.insert(option, value);
                    variables.push(name.clone());
                }
                Err(_) if is_of_a_platform(name, value) => {
                    notices.push(format!(
                        "the environment variable {name} holds the address of a service, as container platforms \
                         set it for a service of that name, and is ignored"
                    ));
                }
                Err(fault) => return Err(ConfigError::Variable { name: name.clone(), fault }),
            },
            Meant::Probably(option) => notices.push(format!(
                "the environment variable {} is no option and is ignored; did you mean {PREFIX}{}?",
                escape(name),
                option.to_ascii_uppercase()
            )),
            Meant::Flag(flag) => {
                notices.push(format!("the environment variable {name} is not read; use {flag}"));
            }
            Meant::Nothing => {}
        }
    }
    Ok(Loaded { options: together(options, &file)?, variables, notices, read, nothing })
}

enum Meant {
    Option(String),
    Probably(String),
    Flag(&'static str),
    Nothing,
}

fn option_of(variable: &str, known: &Map<String, Value>) -> Meant {
    let name = variable.strip_prefix(PREFIX).unwrap_or_default();
    let option = name.to_ascii_lowercase();
    if known.contains_key(&option) && name == name.to_ascii_uppercase() {
        return Meant::Option(option);
    }
    if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == variable) {
        return Meant::Flag(flag);
    }
    match nearest(&option, known) {
        Some(nearest) if !OWN.contains(&variable) => Meant::Probably(nearest.clone()),
        Some(_) | None => Meant::Nothing,
    }
}

/// The option's value from a variable's; None if that says nothing.
fn given<T: DeserializeOwned>(
    defaults: &Map<String, Value>,
    option: &str,
    value: &OsString,
) -> Result<Option<Value>, Fault> {
    let Some(text) = value.to_str() else {
        return Err(ill_typed(option, "the value is not UTF-8"));
    };
    if text.len() as u64 > FILE_MAX {
        return Err(ill_typed(option, &format!("the value is larger than {FILE_MAX} bytes")));
    }
    let key = (option.to_owned(), 1);
    let one =
        |node: &Node| check::<T>(defaults, &key, node).map(|(_, value)| value).map_err(|(_, fault)| fault);
    let as_yaml = match yaml::read(text) {
        Ok(Node::Scalar { value: Value::Null, .. }) => return Ok(None),
        Ok(node) => one(&node),
        Err((_, fault)) => Err(fault),
    };
    let value = as_yaml.or_else(|fault| {
        let as_text = Node::Scalar { value: Value::String(text.to_owned()), line: 1 };
        one(&as_text).map_err(|of_text| if takes_text(&of_text) { of_text } else { fault })
    })?;
    Ok(Some(value))
}

/// Whether this fault of a text comes from an option that takes text. Such a one says itself what is
/// wrong, and alone knows whether it may be shown: an error of YAML might quote a secret.
fn takes_text(fault: &Fault) -> bool {
    !matches!(fault, Fault::IllTyped { what, .. } if what.contains(", found \""))
}

fn ill_typed(option: &str, what: &str) -> Fault {
    Fault::IllTyped { option: option.to_owned(), what: what.to_owned() }
}

/// Kubernetes and old Docker links tell every container of a service `brine-master` in
/// `BRINE_MASTER_PORT=tcp://10.0.0.1:4505`: no fault of whoever runs a minion there.
fn is_of_a_platform(name: &str, value: &OsString) -> bool {
    let is_address = |text: &str| ["tcp://", "udp://", "sctp://"].iter().any(|start| text.starts_with(start));
    name.ends_with("_PORT") && value.to_str().is_some_and(is_address)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Options {
        master: String,
        master_port: Option<u16>,
        ret_port: u16,
        id: Option<String>,
        heartbeat: f64,
        auto_accept: bool,
        exempt: Vec<String>,
        roles: BTreeMap<String, BTreeMap<String, String>>,
        log_level: String,
        secret: Option<Secret>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(try_from = "Value")]
    struct Secret(String);

    impl TryFrom<Value> for Secret {
        type Error = &'static str;

        fn try_from(_: Value) -> Result<Self, &'static str> {
            Err("no secret")
        }
    }

    impl Default for Options {
        fn default() -> Self {
            Self {
                master: "brine".into(),
                master_port: None,
                ret_port: 4506,
                id: None,
                heartbeat: 10.0,
                auto_accept: false,
                exempt: Vec::new(),
                roles: BTreeMap::new(),
                log_level: "info".into(),
                secret: None,
            }
        }
    }

    fn read(yaml: &str, variables: &[(&str, &str)]) -> Result<Loaded<Options>, String> {
        let environment = Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())));
        read_with(yaml, &environment)
    }

    fn read_with(yaml: &str, environment: &Environment) -> Result<Loaded<Options>, String> {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(root.path()), None);
        std::fs::create_dir_all(paths.etc()).unwrap();
        std::fs::write(paths.config_file("minion"), yaml).unwrap();
        load_daemon(&paths, "minion", environment).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_win_over_files_and_are_typed() {
        let loaded = read(
            "ret_port: 1\nheartbeat: 1\nexempt: [x]\n",
            &[
                ("BRINE_RET_PORT", "5506"),
                ("BRINE_AUTO_ACCEPT", "true"),
                ("BRINE_EXEMPT", "[10.0.0.1, '::1']"),
                ("BRINE_ROLES", "{alice: {role: operator}}"),
                ("PATH", "/bin"),
            ],
        )
        .unwrap();
        let roles = [("alice".to_owned(), [("role".to_owned(), "operator".to_owned())].into())].into();
        let exempt = vec!["10.0.0.1".to_owned(), "::1".to_owned()];
        let expected = Options {
            ret_port: 5506,
            heartbeat: 1.0,
            auto_accept: true,
            exempt,
            roles,
            ..Options::default()
        };
        assert_eq!(loaded.options, expected);
        assert_eq!(loaded.variables, ["BRINE_AUTO_ACCEPT", "BRINE_EXEMPT", "BRINE_RET_PORT", "BRINE_ROLES"]);
        assert_eq!(loaded.notices, [""; 0]);
        let place = loaded.place(Path::new("m.yaml"));
        assert!(place.starts_with("m.yaml and the environment (BRINE_AUTO_ACCEPT, "), "{place}");
    }

    #[test]
    fn text_needs_no_quotes_and_may_have_them() {
        for (value, id) in [
            ("web1", "web1"),
            ("\"web1\"", "web1"),
            ("12", "12"),
            ("1.50", "1.50"),
            ("012", "012"),
            ("true", "true"),
            ("[::1]", "[::1]"),
            ("a: b: c", "a: b: c"),
            ("{", "{"),
            ("- ", "- "),
        ] {
            let loaded = read("id: file\n", &[("BRINE_ID", value)]).unwrap();
            assert_eq!(loaded.options.id.as_deref(), Some(id), "{value:?}");
        }
        assert_eq!(read("id: file\n", &[("BRINE_ID", "")]).unwrap().options.id.as_deref(), Some("file"));
    }

    #[test]
    fn a_wrong_value_names_its_variable() {
        for (name, value, expected) in [
            (
                "BRINE_RET_PORT",
                "seven",
                "the environment variable BRINE_RET_PORT: option \"ret_port\": expected a whole number from 0 to \
                 65535, found \"seven\"",
            ),
            (
                "BRINE_EXEMPT",
                "a",
                "the environment variable BRINE_EXEMPT: option \"exempt\": expected a list, found \"a\"",
            ),
            (
                "BRINE_EXEMPT",
                "[a, [b]]",
                "the environment variable BRINE_EXEMPT: option \"exempt[1]\": expected text, found a list",
            ),
            (
                "BRINE_AUTO_ACCEPT",
                "{a: b: c}",
                "the environment variable BRINE_AUTO_ACCEPT: while parsing a flow mapping, did not find expected ',' or '}'",
            ),
        ] {
            assert_eq!(read("", &[(name, value)]).unwrap_err(), expected, "{name}={value}");
        }
        // What YAML would quote may be a secret that the option itself does not show.
        let error = read("", &[("BRINE_SECRET", "{8317: 1, 8317: 2}")]).unwrap_err();
        assert_eq!(error, "the environment variable BRINE_SECRET: option \"secret\": no secret");
        let foreign = Environment::new([("BRINE_ID".into(), OsString::from_vec(vec![0xff]))]);
        let error = read_with("", &foreign).unwrap_err();
        assert_eq!(error, "the environment variable BRINE_ID: option \"id\": the value is not UTF-8");
        let bomb = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read("", &[("BRINE_EXEMPT", &bomb)]).unwrap_err().starts_with("the environment variable"));
    }

    #[test]
    fn what_says_nothing_takes_nothing_away() {
        for value in ["~", "null", "# a comment", "  ", "---"] {
            let loaded = read("id: file\n", &[("BRINE_ID", value), ("BRINE_LOG_LEVEL", value)]).unwrap();
            assert_eq!(loaded.options.id.as_deref(), Some("file"), "{value:?}");
            assert_eq!((loaded.options.log_level.as_str(), loaded.variables.len()), ("info", 0));
            assert!(loaded.notices[0].contains("BRINE_ID holds nothing"), "{:?}", loaded.notices);
        }
        let line = |yaml: &str, variables: &[(&str, &str)]| {
            read(yaml, variables).unwrap().says_nothing("id").map(|(_, line)| *line)
        };
        assert_eq!((line("id: web1\n", &[]), line("\nid: ~\n", &[])), (None, Some(2)));
        assert_eq!(line("id:\n", &[("BRINE_ID", "web1")]), None);
        assert_eq!(line("id:\n", &[("BRINE_ID", "~")]), Some(1));
    }

    #[test]
    fn what_was_read_has_to_stay() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(root.path()), None);
        let (file, folder) = (paths.config_file("master"), paths.config_folder("master"));
        std::fs::create_dir_all(&folder).unwrap();
        let load = || load_daemon::<Options>(&paths, "master", &Environment::default()).unwrap();
        assert_eq!(load().read, [""; 0].map(PathBuf::from));
        for path in [&file, &folder.join("1.yaml"), &folder.join("2.yaml")] {
            std::fs::write(path, "ret_port: 1\n").unwrap();
        }
        let before = load().read;
        assert_eq!(before, [file.clone(), folder.clone()]);
        std::fs::remove_file(folder.join("2.yaml")).unwrap();
        assert!(load().has_all_of(&before).is_ok(), "options taken back");
        std::fs::remove_file(&file).unwrap();
        let gone = load().has_all_of(&before).unwrap_err().to_string();
        assert!(gone.starts_with(&format!("{} was read before and is gone", file.display())), "{gone}");
        std::fs::write(&file, "").unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(load().has_all_of(&before).unwrap_err().to_string().contains("master.d was read before"));
    }

    #[test]
    fn what_a_platform_puts_there_is_no_error() {
        let strange = [
            ("BRINE_SERVICE_HOST", "10.0.0.1"),
            ("BRINE_SERVICE_PORT", "4505"),
            ("BRINE_PORT", "tcp://10.0.0.1:4505"),
            ("BRINE_PORT_4505_TCP_ADDR", "10.0.0.1"),
            ("BRINE_MASTER_SERVICE_HOST", "10.0.0.1"),
            ("BRINE_JID", "1"),
            ("BRINE_", "x"),
            ("BRINE_SOMETHING_ELSE", "\u{1b}[31m"),
        ];
        let loaded = read("", &strange).unwrap();
        assert_eq!((&loaded.options, loaded.notices.len()), (&Options::default(), 0), "{:?}", loaded.notices);
        let loaded = read("master_port: 7\n", &[("BRINE_MASTER_PORT", "tcp://10.0.0.1:4505")]).unwrap();
        assert_eq!((loaded.options.master_port, loaded.variables.len()), (Some(7), 0));
        assert!(
            loaded.notices[0].starts_with("the environment variable BRINE_MASTER_PORT holds the address")
        );
        assert!(read("", &[("BRINE_MASTER_PORT", "4506x")]).is_err());
    }

    #[test]
    fn a_slip_of_the_pen_is_told() {
        for (name, meant) in [
            ("BRINE_RETPORT", "BRINE_RET_PORT"),
            ("BRINE_MASTR", "BRINE_MASTER"),
            ("BRINE_Ret_Port", "BRINE_RET_PORT"),
            ("BRINE_LOGLEVEL", "BRINE_LOG_LEVEL"),
        ] {
            let loaded = read("", &[(name, "1")]).unwrap();
            assert_eq!(loaded.options, Options::default());
            let expected =
                format!("the environment variable {name} is no option and is ignored; did you mean {meant}?");
            assert_eq!(loaded.notices, [expected]);
        }
        let folder = read("", &[("BRINE_CONFIG_DIR", "/c"), ("BRINE_ROOT_DIR", "/r")]).unwrap();
        let expected =
            |name: &str, flag: &str| format!("the environment variable {name} is not read; use {flag}");
        assert_eq!(
            folder.notices,
            [expected("BRINE_CONFIG_DIR", "--config-dir"), expected("BRINE_ROOT_DIR", "--root-dir")]
        );
    }
}
