//! Who a minion is meant to be: the server record it claims, and the token that lets it in.
//!
//! A claim is text and decides nothing. A token opens the door to whoever has it, so it is told to
//! a master that is pinned and to no other. **Invariant:** the token is in no log, error or
//! `Debug`, whatever was written in its place.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use brine_local::Paths;
use brine_local::file;
use brine_pki::handshake::minion::Pin;
use brine_protocol::Secret;
use brine_protocol::message::CLAIM_MAX;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Options;

/// The longest token, in bytes. Brine's own have 68.
const TOKEN_MAX: usize = 256;

/// What tokens begin with.
const TOKEN_START: &str = "brt_";

/// The largest file of a token, in bytes.
const FILE_MAX: u64 = 4096;

/// The variable that may hold the token of a minion in a container. Jobs do not inherit it.
pub const TOKEN_VARIABLE: &str = "BRINE_ENROLMENT_TOKEN";

/// The server record that a minion says it is: a UUID, an external id or a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Claim(String);

impl Claim {
    /// As it is told to the master.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Claim {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.trim().is_empty() || text.len() > CLAIM_MAX || text.chars().any(char::is_control) {
            return Err(format!(
                "expected a server's uuid, external id or name, of at most {CLAIM_MAX} bytes on one line"
            ));
        }
        Ok(Self(text))
    }
}

/// An enrolment token, as `brine token create` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct Token(Secret);

impl Token {
    fn read(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > TOKEN_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("expected a token as `brine token create` prints it (it is not shown here)");
        }
        Ok(Self(Secret::from(text.to_owned())))
    }
}

/// From any value, so that an error about one that is no text does not show it.
impl TryFrom<Value> for Token {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, &'static str> {
        Self::read(value.as_str().unwrap_or_default())
    }
}

/// A file with an enrolment token; never the token itself, which errors about the file would show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PathBuf")]
pub struct TokenFile(PathBuf);

impl TryFrom<PathBuf> for TokenFile {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, String> {
        let text = path.to_string_lossy();
        let is_hex =
            |rest: &str| rest.len() >= 16 && rest.bytes().take(16).all(|byte| byte.is_ascii_hexdigit());
        if text.trim_start().starts_with(TOKEN_START) || text.split(TOKEN_START).skip(1).any(is_hex) {
            return Err(format!(
                "expected a file, and this looks like a token (it is not shown here), which is for the option \
                 enrolment_token; a file of such a name is written ./{TOKEN_START}…"
            ));
        }
        Ok(Self(path))
    }
}

/// The token that the options give, from wherever they say; a relative file is in `folder`, that of
/// the configuration. A file that is gone is no fault once
/// this minion has been accepted: the token has done what it was for.
///
/// # Errors
/// The file cannot be read, is open to others, or holds no token.
pub fn token(options: &Options, folder: &Path, was_accepted: bool) -> Result<Option<Secret>> {
    let Some(path) = &options.enrolment_token_file else {
        return Ok(options.enrolment_token.clone().map(|token| token.0));
    };
    let path = &folder.join(&path.0);
    let text = match file::read_text(path, FILE_MAX).map(zeroize::Zeroizing::new) {
        Ok(text) => text,
        Err(error) if error.is_not_found() && was_accepted => {
            tracing::debug!(file = %path.display(), "no enrolment token any more; this minion was accepted before");
            return Ok(None);
        }
        Err(error) => return Err(error).context("cannot use the option enrolment_token_file"),
    };
    file::check_private(path)?;
    match Token::read(text.trim()) {
        Ok(token) => Ok(Some(token.0)),
        Err(why) => bail!("{}: {why}", path.display()),
    }
}

/// Why a minion with a token does not talk to a master that is not pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an enrolment token is told to a pinned master only, and none is pinned here: set the option master_finger \
     to what `brine-key -F master` shows on the master"
)]
pub struct Unpinned;

/// Whether a session may be opened under this pin by a minion that has a token, or has none.
///
/// # Errors
/// It has one, and any master would be trusted.
pub fn check(has_token: bool, pin: &Pin) -> Result<(), Unpinned> {
    if has_token && *pin == Pin::FirstUse { Err(Unpinned) } else { Ok(()) }
}

/// Says in the log which configuration file shows its token to other users.
pub fn say_readable(paths: &Paths) {
    let further = fs::read_dir(paths.config_folder("minion")).into_iter().flatten().flatten();
    let files = [paths.config_file("minion")].into_iter().chain(further.map(|entry| entry.path()));
    for path in files.filter(|path| has_token(path) && file::check_private(path).is_err()) {
        tracing::warn!(
            file = %path.display(),
            "other users can read the enrolment token in this file: chmod 600 it"
        );
    }
}

fn has_token(path: &Path) -> bool {
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml");
    let text = is_yaml.then(|| file::read_text(path, 1024 * 1024).ok()).flatten();
    text.is_some_and(|text| text.lines().any(|line| line.starts_with("enrolment_token:")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use brine_protocol::Fingerprint;

    use super::*;

    const TOKEN: &str = "brt_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn options(yaml: &str) -> Result<Options, String> {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(root.path()), None);
        fs::create_dir_all(paths.etc()).unwrap();
        fs::write(paths.config_file("minion"), yaml).unwrap();
        crate::config::load(&paths).map_err(|error| error.to_string())
    }

    #[test]
    fn a_claim_stays_on_its_line() {
        let claimed =
            |yaml: &str| options(yaml).map(|options| options.server.map(|claim| claim.as_str().to_owned()));
        assert_eq!(claimed("server: 'Lycée Dijon'\n"), Ok(Some("Lycée Dijon".to_owned())));
        assert_eq!(claimed(""), Ok(None));
        for yaml in [
            "server: ''\n".to_owned(),
            "server: \"a\\nb\"\n".to_owned(),
            format!("server: {}\n", "x".repeat(257)),
        ] {
            let error = claimed(yaml.as_str()).unwrap_err();
            assert!(error.contains("minion.yaml:1: option \"server\": expected a server's uuid"), "{error}");
        }
    }

    #[test]
    fn a_token_is_shown_by_nothing() {
        let given = options(&format!("enrolment_token: {TOKEN}\n")).unwrap();
        assert_eq!(token(&given, Path::new("/"), false).unwrap().unwrap().expose(), TOKEN);
        assert!(!format!("{given:?}").contains("brt_"));
        // What was meant to be one is not shown either.
        for wrong in ["8317421983471", "[83174219]", "'8317 4219'", "''", "true", "{8317: 1}", "\"\\e8317\""]
        {
            let error = options(&format!("enrolment_token: {wrong}\n")).unwrap_err();
            assert!(
                error.contains("option \"enrolment_token") && error.contains("brine token create"),
                "{error}"
            );
            assert!(!error.contains("8317"), "{error}");
        }
        let both = format!("enrolment_token: {TOKEN}\nenrolment_token_file: /t\n");
        assert!(options(&both).unwrap_err().contains("give one of"), "{both}");
    }

    #[test]
    fn a_token_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let given = options("enrolment_token_file: token\n").unwrap();
        let token = |was_accepted| token(&given, folder.path(), was_accepted);
        let refused = |was_accepted| format!("{:#}", token(was_accepted).unwrap_err());
        assert!(refused(false).contains("enrolment_token_file") && refused(false).contains("token:"));
        assert_eq!(token(true).unwrap(), None, "its minion is in");

        file::replace(&path, format!("{TOKEN}\n").as_bytes(), 0o600).unwrap();
        assert_eq!(token(false).unwrap().unwrap().expose(), TOKEN);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refused(true).contains("chmod 600"), "{}", refused(true));
        file::replace(&path, b"8317 4219\n", 0o600).unwrap();
        assert!(refused(false).contains("brine token create") && !refused(false).contains("8317"));
    }

    #[test]
    fn a_token_in_place_of_its_file_is_not_shown() {
        for given in [TOKEN.to_owned(), format!("' {TOKEN} x'"), format!("\"{TOKEN}\\nx\"")] {
            let error = options(&format!("enrolment_token_file: {given}\n")).unwrap_err();
            assert!(error.contains("for the option enrolment_token;") && !error.contains("0123"), "{error}");
        }
        for variable in ["BRINE_ENROLMENT_TOKEN_FILE", TOKEN_VARIABLE] {
            for given in
                [format!("{TOKEN}: 1 "), format!("{{{TOKEN}: 1, {TOKEN}: 2}}"), format!("{TOKEN}: {{")]
            {
                let root = tempfile::tempdir().unwrap();
                let environment = brine_local::config::Environment::new([(variable.into(), given.into())]);
                let paths = Paths::new(Some(root.path()), None);
                let error = crate::config::load_with(&paths, &environment).unwrap_err().to_string();
                assert!(error.contains(variable) && !error.contains("0123"), "{error}");
            }
        }
        let folder = tempfile::tempdir().unwrap();
        file::replace(&folder.path().join("brt_file"), TOKEN.as_bytes(), 0o600).unwrap();
        let given = options("enrolment_token_file: ./brt_file\n").unwrap();
        assert!(token(&given, folder.path(), false).unwrap().is_some());
    }

    #[test]
    fn a_token_needs_a_pin() {
        let known = Pin::Known { trust_key: Fingerprint([1; 32]), serial: 1, successor: None };
        for (has_token, pin, is_fine) in [
            (true, Pin::FirstUse, false),
            (true, Pin::Fingerprint(Fingerprint([1; 32])), true),
            (true, known.clone(), true),
            (false, Pin::FirstUse, true),
            (false, known, true),
        ] {
            assert_eq!(check(has_token, &pin).is_ok(), is_fine, "{has_token} {pin:?}");
        }
        assert!(Unpinned.to_string().contains("master_finger"));
    }

    #[test]
    fn a_file_that_shows_its_token_is_found() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("60-enrolment.yaml");
        fs::write(&path, format!("# why\nenrolment_token: {TOKEN}\n")).unwrap();
        assert!(has_token(&path));
        fs::write(&path, "# enrolment_token: x\nenrolment_token_file: /t\n").unwrap();
        assert!(!has_token(&path) && !has_token(&root.path().join("none.yaml")));
    }
}
