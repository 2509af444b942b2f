//! Programs of the system that functions rest on: found, run without a shell, and named when they
//! are not there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use super::process::{Launch, launch};
use super::{Context, Fault};

/// Where programs are looked for when the minion itself was given no `PATH`.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The folders that programs are looked for in: the minion's own, and those of administrators,
/// which a service is not always given.
#[must_use]
pub fn search_path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    let known: Vec<&str> = own.split(':').filter(|folder| folder.starts_with('/')).collect();
    let more = PATH.split(':').filter(|folder| !known.contains(folder));
    known.iter().copied().chain(more).collect::<Vec<_>>().join(":")
}

/// A program with its arguments. Runs in `/` with the minion's environment and `LC_ALL=C`, so that
/// what it says can be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Tool {
    program: String,
    arguments: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Option<String>,
    timeout: Option<Duration>,
    cwd: Option<PathBuf>,
    is_on_its_own: bool,
}

/// What a tool left behind.
#[derive(Debug)]
pub(super) struct Done {
    /// None when its timeout ended it.
    pub(super) retcode: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// Whether more came than [`Context::output_max`].
    pub(super) is_cut: bool,
}

impl Done {
    pub(super) fn is_ok(&self) -> bool {
        self.retcode == Some(0)
    }

    /// What it complained of: its last words on stderr, or on stdout when there are none.
    pub(super) fn complaint(&self) -> &str {
        if self.stderr.is_empty() { &self.stdout } else { &self.stderr }
    }
}

impl Tool {
    /// A program, by its name or absolute path.
    pub(super) fn new<S: Into<String>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.to_owned(), arguments, ..Self::default() }
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn stdin(self, text: String) -> Self {
        Self { stdin: Some(text), ..self }
    }

    pub(super) fn timeout(self, limit: Duration) -> Self {
        Self { timeout: Some(limit), ..self }
    }

    /// What it leaves behind is no part of the job, and not ended with it.
    pub(super) fn on_its_own(self) -> Self {
        Self { is_on_its_own: true, ..self }
    }

    pub(super) fn cwd(self, folder: &Path) -> Self {
        Self { cwd: Some(folder.to_owned()), ..self }
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// The program is not there, or cannot be started.
    pub(super) async fn run(self, context: &Context) -> Result<Done, Fault> {
        Ok(self.run_exact(context).await?.0)
    }

    /// As [`Tool::run`], with the standard output byte for byte as well.
    ///
    /// # Errors
    /// As [`Tool::run`].
    pub(super) async fn run_exact(self, context: &Context) -> Result<(Done, Vec<u8>), Fault> {
        let path = find(&self.program, &context.path).ok_or_else(|| {
            Fault::Execution(format!("this needs the program {:?}, which is not installed", self.program))
        })?;
        let mut env = context.environment.set();
        env.extend([("LC_ALL".to_owned(), "C".to_owned()), ("PATH".to_owned(), context.path.clone())]);
        env.extend(self.env);
        if !self.is_on_its_own {
            env.extend(context.marker.iter().cloned());
        }
        let start = Launch {
            argv: std::iter::once(path.display().to_string()).chain(self.arguments).collect(),
            cwd: self.cwd.unwrap_or_else(|| PathBuf::from("/")),
            env,
            env_remove: super::cmd::NOT_INHERITED
                .map(str::to_owned)
                .into_iter()
                .chain(context.environment.unset())
                .collect(),
            stdin: self.stdin,
            is_merged: false,
            timeout: self.timeout,
            output_max: context.output_max,
        };
        let finished = launch(start, &context.on_pid)
            .await
            .map_err(|reason| Fault::Execution(format!("{} cannot be run: {reason}", self.program)))?;
        let done = Done {
            retcode: finished.retcode,
            is_cut: finished.stdout.is_cut || finished.stderr.is_cut,
            stdout: finished.stdout.text(),
            stderr: finished.stderr.text(),
        };
        Ok((done, finished.stdout.into_bytes()))
    }

    /// Runs it and wants it to end with 0; gives its standard output.
    ///
    /// # Errors
    /// As [`Tool::run`], and with what the tool complained of when it ended otherwise.
    pub(super) async fn output(self, context: &Context) -> Result<String, Fault> {
        let program = self.program.clone();
        let done = self.run(context).await?;
        match done.retcode {
            Some(0) => Ok(done.stdout),
            Some(code) => Err(Fault::Execution(format!("{program} ended with {code}: {}", done.complaint()))),
            None => Err(Fault::Execution(format!("{program} was killed: it ran too long"))),
        }
    }
}

/// Where a program is; none when it is in none of the folders or may not be run.
pub(super) fn find(program: &str, path: &str) -> Option<PathBuf> {
    let is_program = |file: &PathBuf| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(is_program);
    }
    path.split(':').map(|folder| Path::new(folder).join(program)).find(is_program)
}

#[cfg(test)]
mod tests {
    use super::super::testing::context;
    use super::*;

    #[tokio::test]
    async fn a_tool_says_what_it_said() {
        let context = context();
        assert_eq!(Tool::new("echo", ["a  b"]).output(&context).await, Ok("a  b".to_owned()));
        assert_eq!(
            Tool::new("cat", [] as [&str; 0]).stdin("x".to_owned()).output(&context).await,
            Ok("x".to_owned())
        );
        let locale = Tool::new("sh", ["-c", "echo $LC_ALL $A"]).env("A", "1").output(&context).await;
        assert_eq!(locale, Ok("C 1".to_owned()));
        let bad = Tool::new("sh", ["-c", "echo no >&2; exit 3"]).output(&context).await;
        assert_eq!(bad, Err(Fault::Execution("sh ended with 3: no".to_owned())));
        let slow = Tool::new("sleep", ["60"]).timeout(Duration::from_millis(20)).output(&context).await;
        assert_eq!(slow, Err(Fault::Execution("sleep was killed: it ran too long".to_owned())));
    }

    #[tokio::test]
    async fn what_is_left_behind_is_the_jobs_unless_it_is_on_its_own() {
        let context = Context { marker: vec![("MARK".to_owned(), "7".to_owned())], ..context() };
        let tool = || Tool::new("sh", ["-c", "echo \"<$MARK>\""]);
        assert_eq!(tool().output(&context).await, Ok("<7>".to_owned()));
        assert_eq!(tool().on_its_own().output(&context).await, Ok("<>".to_owned()));
    }

    #[tokio::test]
    async fn a_missing_tool_is_named() {
        let context = Context { path: "/nowhere".to_owned(), ..context() };
        let missing = Tool::new("systemctl", ["status"]).run(&context).await.map(|_| ());
        assert_eq!(
            missing,
            Err(Fault::Execution("this needs the program \"systemctl\", which is not installed".to_owned()))
        );
    }
}
