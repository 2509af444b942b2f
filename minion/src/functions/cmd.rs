//! `cmd.*`: commands of the operating system.
//!
//! A text goes to a shell, as Salt's command line does it; a list, or `python_shell=False`, is an
//! argument vector. Commands, input and environment are never logged: they carry secrets.

mod account;

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access, geteuid};
use serde_json::{Map, Value, json};

use self::account::{Account, look_up, setpriv};
use super::bind::Bound;
use super::process::{Finished, Launch, launch};
use super::{Context, Fault, Function, Outcome, Parameter, keyword, required, text_of};

const SHELL: &str = "/bin/sh";

/// What a service manager tells the minion and nobody else: a child that answers in its place
/// would confuse the two.
pub(crate) const NOT_INHERITED: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    // A secret of the minion's own.
    crate::enrolment::TOKEN_VARIABLE,
    "INVOCATION_ID",
];

const PARAMETERS: &[Parameter] = &[
    required("cmd", "the command; a text for the shell, or a list of program and arguments (text or list)"),
    keyword("cwd", "null", "absolute folder to run in; the user's home when not given (text)"),
    keyword("env", "null", "environment variables on top of the minion's (map)"),
    keyword("runas", "null", "user to run as (text)"),
    keyword("shell", "null", "shell to use, /bin/sh when not given (text)"),
    keyword("python_shell", "null", "False splits a text into words and runs it without a shell (boolean)"),
    keyword("stdin", "null", "what the command reads; nothing when not given (text)"),
    keyword("timeout", "null", "kill it and its children after so long (seconds)"),
    keyword("umask", "null", "permission bits to withhold, in octal, as 077 (number or text)"),
];

/// Which part of what a command left behind is the value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Merged,
    All,
    Stdout,
    Stderr,
    Retcode,
}

pub(super) fn functions() -> Vec<Function> {
    macro_rules! function {
        ($name:literal, $answer:ident, $is_shell:literal, $summary:literal, $returns:literal, $example:literal) => {
            Function::new(
                $name,
                |context, bound| Box::pin(run(context, bound, Answer::$answer, $is_shell)),
                $summary,
            )
            .takes(PARAMETERS)
            .returns($returns)
            .example($example)
        };
    }
    vec![
        function!(
            "cmd.run",
            Merged,
            false,
            "Runs a command and returns its output.",
            "stdout and stderr in the order of writing (text); the retcode is the command's",
            "cmd.run 'uname -r'"
        ),
        function!(
            "cmd.shell",
            Merged,
            true,
            "Runs a command in a shell, always, and returns its output as cmd.run does.",
            "stdout and stderr in the order of writing (text); the retcode is the command's",
            "cmd.shell 'ls /tmp | wc -l'"
        ),
        function!(
            "cmd.run_all",
            All,
            false,
            "Runs a command and returns all that came of it.",
            "{pid, retcode, stdout, stderr}",
            "cmd.run_all 'ls /nowhere'"
        ),
        function!(
            "cmd.run_stdout",
            Stdout,
            false,
            "Runs a command and returns its standard output only.",
            "text",
            "cmd.run_stdout 'df -h /'"
        ),
        function!(
            "cmd.run_stderr",
            Stderr,
            false,
            "Runs a command and returns its standard error only.",
            "text",
            "cmd.run_stderr 'ls /nowhere'"
        ),
        function!(
            "cmd.retcode",
            Retcode,
            false,
            "Runs a command and returns its exit code.",
            "integer; -N when signal N ended it. It is what was asked for and no failure: the job's retcode is 0 unless the command timed out",
            "cmd.retcode 'test -e /etc/motd'"
        ),
        Function::new(
            "cmd.which",
            |context, bound| Box::pin(which(context, bound)),
            "Returns where a program is.",
        )
        .takes(PROGRAM)
        .returns("its path (text); None when it is in no folder of the search path")
        .example("cmd.which sh"),
        Function::new(
            "cmd.has_exec",
            |context, bound| Box::pin(has_exec(context, bound)),
            "Returns whether a program is there.",
        )
        .takes(PROGRAM)
        .example("cmd.has_exec sh"),
        Function::new(
            "cmd.which_bin",
            |context, bound| Box::pin(which_bin(context, bound)),
            "Returns where the first of several programs is.",
        )
        .takes(const { &[required("cmds", "names of programs (list)")] })
        .returns("its path (text); None when there is none of them")
        .example("cmd.which_bin '[pip3, pip]'"),
    ]
}

const PROGRAM: &[Parameter] = &[required("cmd", "name of the program (text)")];

async fn which(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(path_of(&bound.text("cmd")?, &context)))
}

async fn has_exec(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(!path_of(&bound.text("cmd")?, &context).is_null()))
}

async fn which_bin(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let Value::Array(names) = bound.value("cmds") else {
        return Err(Fault::Invocation("'cmds' needs a list of names".to_owned()));
    };
    let found = names.iter().map(|name| path_of(&text_of(name), &context)).find(|path| !path.is_null());
    Ok(Outcome::from(found.unwrap_or_default()))
}

fn path_of(program: &str, context: &Context) -> Value {
    super::tool::find(program, &context.path).map_or(Value::Null, |path| json!(path.display().to_string()))
}

async fn run(context: Context, mut bound: Bound, answer: Answer, is_shell: bool) -> Result<Outcome, Fault> {
    let request = Request::read(&mut bound, is_shell)?;
    let account = match &request.runas {
        Some(name) => Some(look_up(name.clone()).await?),
        None => None,
    };
    let home = match &account {
        Some(account) => Some(account.home.clone()),
        None => std::env::var_os("HOME").map(PathBuf::from),
    };
    let become_user = account.as_ref().filter(|account| account.uid != geteuid().as_raw());
    let setpriv = match become_user {
        Some(account) => Some(setpriv(account)?),
        None => None,
    };
    let cwd = folder(request.cwd.as_deref(), home.as_deref())?;
    let mut env = Vec::new();
    if std::env::var_os("PATH").is_none() {
        env.push(("PATH".to_owned(), super::tool::PATH.to_owned()));
    }
    env.extend(context.environment.set());
    if let Some(account) = &account {
        env.extend(account.environment());
    }
    env.extend(request.env.iter().cloned());
    env.extend(context.marker.iter().cloned());
    let start = Launch {
        argv: request.argv(become_user, setpriv.as_deref()),
        cwd,
        env,
        env_remove: NOT_INHERITED.map(str::to_owned).into_iter().chain(context.environment.unset()).collect(),
        stdin: request.stdin.clone(),
        is_merged: answer == Answer::Merged,
        timeout: request.timeout.as_ref().map(|(limit, _)| *limit).filter(|limit| !limit.is_zero()),
        output_max: context.output_max,
    };
    let folder = start.cwd.display().to_string();
    let finished = launch(start, &context.on_pid).await.map_err(|reason| {
        let command: String = request.command.chars().take(200).collect();
        Fault::Execution(format!("Unable to run command '{command}' in {folder}, reason: {reason}"))
    })?;
    Ok(value(&request, &finished, answer))
}

fn value(request: &Request, finished: &Finished, answer: Answer) -> Outcome {
    let timed_out = finished.retcode.is_none();
    let retcode = finished.retcode.unwrap_or(1);
    let (stdout, stderr) = if timed_out {
        let limit = request.timeout.as_ref().map_or("", |(_, written)| written.as_str());
        let said = format!("{} : Timed out after {limit} seconds", request.command);
        // Salt leaves run_stderr empty here; a timeout that nobody is told of helps nobody.
        let stderr = if answer == Answer::Stderr { said.clone() } else { String::new() };
        (said, stderr)
    } else {
        (finished.stdout.text(), finished.stderr.text())
    };
    let value = match answer {
        Answer::Merged | Answer::Stdout => json!(stdout),
        Answer::Stderr => json!(stderr),
        Answer::Retcode => json!(retcode),
        Answer::All => {
            json!({"pid": finished.pid, "retcode": retcode, "stdout": stdout, "stderr": stderr})
        }
    };
    let is_cut = match answer {
        Answer::Merged | Answer::Stdout => finished.stdout.is_cut,
        Answer::Stderr => finished.stderr.is_cut,
        Answer::All => finished.stdout.is_cut || finished.stderr.is_cut,
        Answer::Retcode => false,
    };
    // Who asks for an exit code gets it as an answer, whatever it is.
    let is_answer = answer == Answer::Retcode && !timed_out;
    Outcome { value, retcode: if is_answer { 0 } else { retcode }, truncated: is_cut && !timed_out }
}

/// The arguments, understood.
#[derive(Debug, PartialEq)]
struct Request {
    /// The command as it is named in messages.
    command: String,
    words: Vec<String>,
    cwd: Option<String>,
    env: Vec<(String, String)>,
    runas: Option<String>,
    stdin: Option<String>,
    timeout: Option<(Duration, String)>,
    umask: Option<u32>,
}

impl Request {
    fn read(bound: &mut Bound, is_shell: bool) -> Result<Self, Fault> {
        let invalid = |why: &str| Fault::Invocation(why.to_owned());
        let command = bound.value("cmd");
        let shell = bound.maybe_text("shell")?.unwrap_or_else(|| SHELL.to_owned());
        let with_shell = match bound.value("python_shell") {
            Value::Null => true,
            Value::Bool(flag) => flag || is_shell,
            _ => return Err(invalid("'python_shell' is either True or False")),
        };
        let (command, words) = match &command {
            Value::Array(_) if is_shell => {
                return Err(invalid("'cmd' needs a text for the shell, not a list"));
            }
            Value::Array(list) => {
                let words: Vec<String> = list.iter().map(word).collect::<Result<_, _>>()?;
                (words.join(" "), words)
            }
            single => {
                let text = word(single)?;
                let words = if with_shell {
                    vec![shell, "-c".to_owned(), text.clone()]
                } else {
                    shlex::split(&text).ok_or_else(|| invalid("'cmd' has a quote that is not closed"))?
                };
                (text, words)
            }
        };
        if words.is_empty() || words[0].is_empty() {
            return Err(invalid("'cmd' names no program"));
        }
        Ok(Self {
            command,
            words,
            cwd: bound.maybe_text("cwd")?,
            env: environment(&bound.value("env"))?,
            runas: bound.maybe_text("runas")?,
            stdin: bound.maybe_text("stdin")?,
            timeout: bound.seconds("timeout")?,
            umask: umask(bound.maybe_text("umask")?)?,
        })
    }

    /// The argument vector, from the outside in: change the user, set the umask, run the command.
    /// Both are done by other programs, since between fork and exec nothing of ours may run.
    fn argv(&self, account: Option<&Account>, setpriv: Option<&Path>) -> Vec<String> {
        let mut argv = Vec::new();
        if let (Some(account), Some(setpriv)) = (account, setpriv) {
            argv.extend([
                setpriv.display().to_string(),
                "--reuid".to_owned(),
                account.uid.to_string(),
                "--regid".to_owned(),
                account.gid.to_string(),
                "--init-groups".to_owned(),
                "--".to_owned(),
            ]);
        }
        if let Some(umask) = self.umask {
            argv.extend([SHELL, "-c"].map(str::to_owned));
            argv.push(format!("umask {umask:04o} && exec \"$@\""));
            argv.push("sh".to_owned());
        }
        argv.extend(self.words.iter().cloned());
        argv
    }
}

/// A word of the command. Numbers are what was typed. So are truth values, unlike in Salt, where
/// the program `true` becomes `True` and is not found.
fn word(value: &Value) -> Result<String, Fault> {
    match value {
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::String(_) | Value::Number(_) => Ok(text_of(value)),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(Fault::Invocation("'cmd' needs a text, or a list of texts".to_owned()))
        }
    }
}

/// A map of variables, or a list of such maps as states write it.
fn environment(value: &Value) -> Result<Vec<(String, String)>, Fault> {
    let invalid = |why: String| Fault::Invocation(why);
    let entry = |(name, value): (&String, &Value)| {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(invalid("'env' has a name that is empty or contains '='".to_owned()));
        }
        match value {
            Value::Null => Ok((name.clone(), String::new())),
            Value::Array(_) | Value::Object(_) => Err(invalid(format!("'env' needs a text for {name}"))),
            scalar => Ok((name.clone(), text_of(scalar))),
        }
    };
    let maps: Vec<&Map<String, Value>> = match value {
        Value::Null => Vec::new(),
        Value::Object(map) => vec![map],
        Value::Array(list) if list.iter().all(Value::is_object) => {
            list.iter().filter_map(Value::as_object).collect()
        }
        _ => {
            return Err(invalid("'env' needs a map of names and values, as env='{NAME: value}'".to_owned()));
        }
    };
    maps.into_iter().flatten().map(entry).collect()
}

/// Digits are octal however they arrive: YAML hands `077` on as the number 77.
fn umask(text: Option<String>) -> Result<Option<u32>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let digits = text.strip_prefix("0o").unwrap_or(&text);
    match u32::from_str_radix(digits, 8) {
        Ok(bits) if bits <= 0o777 => Ok(Some(bits)),
        _ => Err(Fault::Invocation(format!("'umask' needs octal digits up to 0777, not {text:?}"))),
    }
}

/// The folder that was asked for; else the home of the user, or `/` where that cannot be entered.
fn folder(asked: Option<&str>, home: Option<&Path>) -> Result<PathBuf, Fault> {
    match asked {
        Some(cwd) if cwd.starts_with('/') && Path::new(cwd).is_dir() => Ok(PathBuf::from(cwd)),
        Some(cwd) => {
            let why = format!("Specified cwd '{cwd}' either not absolute or does not exist");
            Err(Fault::Execution(why))
        }
        None => Ok(home
            .filter(|home| home.is_absolute() && home.is_dir() && access(*home, AccessFlags::X_OK).is_ok())
            .map_or_else(|| PathBuf::from("/"), Path::to_owned)),
    }
}

#[cfg(test)]
mod tests;
