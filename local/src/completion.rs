//! Shell completion: `PROGRAM completion SHELL` prints a few lines for the shell, which ask the program
//! again for each Tab, so that what there is at the moment can be offered.
//!
//! **Invariant:** a Tab never waits for longer than [`PATIENCE`], never changes anything, and never
//! says what went wrong: without a master there is just nothing of it to offer.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Command, Subcommand};
use clap_complete::CompleteEnv;
pub use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;

use crate::Paths;

/// What the shell sets when it asks: its own name.
const VARIABLE: &str = "BRINE_COMPLETE";

/// How long a Tab may wait for the master.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// The shells there are lines for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Shell {
    /// For bash
    Bash,
    /// For zsh
    Zsh,
    /// For fish
    Fish,
}

/// What the help of a program's `completion` ends with: where its lines go.
#[macro_export]
macro_rules! completion_examples {
    ($program:literal) => {
        concat!(
            "Examples:\n  in ~/.bashrc:                 source <(",
            $program,
            " completion bash)\n  in ~/.zshrc, after compinit:  source <(",
            $program,
            " completion zsh)\n  once, for fish:               ",
            $program,
            " completion fish \\\n                                  > ~/.config/fish/completions/",
            $program,
            ".fish"
        )
    };
}

/// Answers a shell, if it is one that asks; `line` is what the program was started with.
///
/// To be called before anything is printed.
#[must_use]
pub fn serve(program: &str, line: &[OsString], command: fn() -> Command) -> bool {
    if std::env::var_os(VARIABLE).is_none_or(|shell| shell.is_empty()) {
        return false;
    }
    let folder = std::env::current_dir().ok();
    // An error message would land in the middle of a line that somebody types.
    let _ = CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .bin(program)
        .try_complete(line.iter().cloned(), folder.as_deref());
    true
}

/// What the shell has to read once.
///
/// # Errors
/// The lines cannot be made.
pub fn script(program: &str, shell: Shell) -> io::Result<String> {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let shells = Shells::builtins();
    let writer = shells.completer(name).expect("the three shells are built in");
    let mut text = Vec::new();
    writer.write_registration(VARIABLE, program, program, program, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What a Tab knows of the half-typed line: which master it means, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    root_dir: Option<PathBuf>,
    config_dir: Option<PathBuf>,
    /// The name that is acted under.
    pub act_as: Option<String>,
}

impl Place {
    /// Where the master's files are.
    #[must_use]
    pub fn paths(&self) -> Paths {
        Paths::new(self.root_dir.as_deref(), self.config_dir.as_deref())
    }

    fn of(words: &[OsString]) -> Self {
        let value = |option: &str| {
            let mut words = words.iter().filter_map(|word| word.to_str());
            while let Some(word) = words.next() {
                if word == option {
                    return words.next().map(str::to_owned);
                }
                let rest = word.strip_prefix(option);
                let rest = if option.starts_with("--") {
                    rest.and_then(|rest| rest.strip_prefix('='))
                } else {
                    rest
                };
                if let Some(rest) = rest {
                    return Some(rest.to_owned());
                }
            }
            None
        };
        let folder = |option| value(option).map(PathBuf::from);
        Self {
            root_dir: folder("--root-dir"),
            config_dir: folder("--config-dir").or_else(|| folder("-c")),
            act_as: value("--as"),
        }
    }
}

/// The half-typed line of the shell that asks.
#[must_use]
pub fn typed() -> Vec<OsString> {
    std::env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

/// The answer to a question to the master that the half-typed line means; none where there is no
/// master, no right to ask, or no time.
pub fn ask<T, E>(question: impl AsyncFnOnce(Place) -> Result<T, E>) -> Option<T> {
    let place = Place::of(&typed());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async { tokio::time::timeout(PATIENCE, question(place)).await.ok()?.ok() })
}

/// Those that begin like the word that is being typed.
pub fn begun<S: AsRef<str>>(current: &OsStr, words: impl IntoIterator<Item = S>) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let words = words.into_iter().filter(|word| word.as_ref().starts_with(current));
    words.map(|word| CompletionCandidate::new(word.as_ref())).collect()
}

/// The same for the last word of a comma list, with what stands in front of it.
pub fn in_list(
    current: &OsStr,
    words: impl FnOnce(&OsStr) -> Vec<CompletionCandidate>,
) -> Vec<CompletionCandidate> {
    let Some(text) = current.to_str() else { return Vec::new() };
    let at = text.rfind(',').map_or(0, |comma| comma + 1);
    let (before, last) = text.split_at(at);
    words(OsStr::new(last)).into_iter().map(|word| word.add_prefix(before)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_that_is_meant() {
        let place = |line: &str| Place::of(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let (root_dir, config_dir) = (Some(PathBuf::from("/r")), Some(PathBuf::from("/c")));
        for line in ["brine --root-dir /r -c /c --as ana we", "brine we -c/c --as=ana --root-dir=/r"] {
            let expected = Place {
                root_dir: root_dir.clone(),
                config_dir: config_dir.clone(),
                act_as: Some("ana".to_owned()),
            };
            assert_eq!(place(line), expected, "{line}");
        }
        assert_eq!(place("brine --root-dirx /r --root-dir"), Place::default());
    }

    #[test]
    fn words_that_begin_so() {
        let texts = |offered: Vec<CompletionCandidate>| -> Vec<String> {
            offered.iter().map(|word| word.get_value().to_string_lossy().into_owned()).collect()
        };
        let ids = ["web1", "web2", "db"];
        assert_eq!(texts(begun(OsStr::new("we"), ids)), ["web1", "web2"]);
        assert_eq!(texts(in_list(OsStr::new("db,web"), |last| begun(last, ids))), ["db,web1", "db,web2"]);
        assert_eq!(texts(in_list(OsStr::new("x"), |last| begun(last, ids))), [""; 0]);
    }

    #[test]
    fn lines_name_their_program() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script("brine-key", shell).expect("lines");
            assert!(script.contains("brine-key") && script.contains(VARIABLE), "{script}");
        }
        assert!(completion_examples!("brine-key").contains("source <(brine-key completion bash)"));
    }
}
