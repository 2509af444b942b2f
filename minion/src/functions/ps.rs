//! `ps.*`: processes, read from `/proc`.
//!
//! **Invariant:** no function here ends the minion itself or the machine's first process.

mod info;
mod kill;
mod machine;
mod top;

use self::info::ATTRIBUTES;
pub(super) use self::info::Users;
use super::bind::Bound;
use super::file::blocking;
use super::fit::keep_first;
use super::{Context, Fault, Function, Outcome, optional, required};
use procfs::process::all_processes;
use serde_json::{Value, json};

pub(super) fn functions() -> Vec<Function> {
    [about_processes(), about_ending(), machine::functions()].concat()
}

const SIGNAL: &str = "the signal, a number or a name as HUP (integer or text)";

fn about_processes() -> Vec<Function> {
    vec![
        Function::new(
            "ps.top",
            |context, bound| Box::pin(top::top(context, bound)),
            "Returns the processes that used the most processor time while it looked.",
        )
        .takes(
            const {
                &[
                    optional("num_processes", "5", "how many; all when 0 (integer)"),
                    optional("interval", "3", "how long to look (seconds)"),
                ]
            },
        )
        .returns(
            "[{cmd: [text] or text, user: text, status: text, pid: integer, create_time: number, \
             cpu: {user, system, children_user, children_system, iowait}, mem: {rss, vms, shared, text, lib, data, \
             dirty}}], the busiest first; times are seconds since the process started, the creation is seconds since \
             1970, and memory is in bytes. `cmd` is a name where there are no arguments to tell",
        )
        .example("ps.top num_processes=3 interval=1"),
        Function::new(
            "ps.proc_info",
            |_, bound| Box::pin(proc_info(bound)),
            "Returns what there is to know about a process.",
        )
        .takes(
            const {
                &[
                    required("pid", "the process (integer)"),
                    optional("attrs", "null", "which attributes; all but environ when null (list of texts)"),
                ]
            },
        )
        .returns(
            "{attribute: value}, null for what the minion may not know. Attributes: cmdline, cpu_affinity, cpu_num, \
             cpu_times (seconds: user, system, children's user and system, waiting for disks), create_time (seconds \
             since 1970), cwd, environ, exe, gids and uids (real, effective, saved), io_counters (reads, writes, \
             bytes read and written on disks, characters read and written), memory_info (bytes: rss, vms, shared, \
             text, lib, data, dirty), memory_percent, name, nice, num_ctx_switches (voluntary, involuntary), num_fds, \
             num_threads, open_files, pid, ppid, status, terminal, threads, username. An error when there is no such \
             process or attribute",
        )
        .example("ps.proc_info 1 attrs='[name, status]'"),
        Function::new(
            "ps.get_pid_list",
            |context, _| Box::pin(get_pid_list(context)),
            "Returns the numbers of all processes.",
        )
        .returns("[integer], ascending"),
        Function::new(
            "ps.pgrep",
            |_, bound| Box::pin(kill::pgrep(bound)),
            "Returns the numbers of the processes whose name contains a text.",
        )
        .takes(
            const {
                &[
                    required("pattern", "what the name contains (text)"),
                    optional("user", "null", "only processes of this user (text)"),
                    optional("full", "false", "whether to look at the whole command line (boolean)"),
                    optional("pattern_is_regex", "false", "whether the pattern is a regular expression (boolean)"),
                ]
            },
        )
        .returns("[integer], ascending; null when there is none. An error for a regular expression that is none")
        .example("ps.pgrep httpd user=www-data"),
    ]
}

fn about_ending() -> Vec<Function> {
    vec![
        Function::new(
            "ps.kill_pid",
            |_, bound| Box::pin(kill::kill_pid(bound)),
            "Sends a signal to a process, never to the minion itself or to the machine's first process.",
        )
        .takes(const { &[required("pid", "the process (integer)"), optional("signal", "15", SIGNAL)] })
        .returns("true; false when there is no such process. An error when it may not be sent to that one")
        .example("ps.kill_pid 2000 signal=9"),
        Function::new(
            "ps.pkill",
            |_, bound| Box::pin(kill::pkill(bound)),
            "Sends a signal to the processes whose name contains a text, but to the minion and the machine's first \
             process.",
        )
        .takes(
            const {
                &[
                    required("pattern", "what the name contains (text)"),
                    optional("user", "null", "only processes of this user (text)"),
                    optional("signal", "15", SIGNAL),
                    optional("full", "false", "whether to look at the whole command line (boolean)"),
                ]
            },
        )
        .returns("{killed: [integer]}; null when there was none. An error when the signal is none")
        .example("ps.pkill httpd signal=HUP"),
    ]
}

async fn proc_info(mut bound: Bound) -> Result<Outcome, Fault> {
    let pid = take_pid(&mut bound)?;
    let names: Vec<String> = match bound.value("attrs") {
        Value::Null => {
            ATTRIBUTES.iter().filter(|name| **name != "environ").map(|name| (*name).to_owned()).collect()
        }
        Value::String(name) => vec![name],
        Value::Array(list) => list.iter().map(super::text_of).collect(),
        _ => return Err(Fault::Invocation("'attrs' needs a list of texts".to_owned())),
    };
    if let Some(name) = names.iter().find(|name| !ATTRIBUTES.contains(&name.as_str())) {
        let known = ATTRIBUTES.join(", ");
        return Err(Fault::Invocation(format!("no attribute is called {name:?}; there are {known}")));
    }
    blocking(move |_| info::about(pid, &names).map(Outcome::from)).await
}

async fn get_pid_list(context: Context) -> Result<Outcome, Fault> {
    blocking(move |_| {
        let mut pids: Vec<i32> =
            all_processes().into_iter().flatten().flatten().map(|process| process.pid).collect();
        pids.sort_unstable();
        let mut value = json!(pids);
        let truncated = keep_first(&mut value, context.output_max);
        Ok(Outcome { truncated, ..Outcome::from(value) })
    })
    .await
}

/// Takes the parameter `pid`.
fn take_pid(bound: &mut Bound) -> Result<i32, Fault> {
    let pid = bound.text("pid")?.parse::<i32>().ok().filter(|pid| *pid >= 0);
    pid.ok_or_else(|| Fault::Invocation("'pid' needs the number of a process".to_owned()))
}

#[cfg(test)]
mod tests;
