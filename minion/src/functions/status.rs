//! `status.*`: the machine's load and state, most of it as `/proc` tells it.

mod files;
mod machine;
mod people;
mod processes;

use serde_json::{Map, Value, json};

use self::files::File;
use super::file::blocking;
use super::{Context, Fault, Function, Outcome, optional, required};

pub(super) fn functions() -> Vec<Function> {
    [of_files(), of_machine(), of_processes()].concat()
}

fn of_files() -> Vec<Function> {
    macro_rules! function {
        ($name:literal, $file:ident, $summary:literal, $returns:literal) => {
            Function::new($name, |_, _| Box::pin(read(File::$file)), $summary).returns($returns)
        };
    }
    vec![
        function!(
            "status.loadavg",
            Loadavg,
            "Returns how many processes computed or waited for disks, on average.",
            "{1-min, 5-min, 15-min: number}"
        ),
        function!(
            "status.meminfo",
            Meminfo,
            "Returns what the kernel tells about memory.",
            "{name: {value: text, unit: text}}; the unit is kB (KiB), and counts have none"
        ),
        function!(
            "status.cpuinfo",
            Cpuinfo,
            "Returns what the kernel tells about the processors.",
            "{name: text}, of the last processor where they differ, and flags: [text]"
        ),
        function!(
            "status.cpustats",
            Cpustats,
            "Returns what the processors have done since boot.",
            "{cpu: {user, nice, system, idle, iowait, irq, softirq, steal: integer, in ticks of the kernel}, intr: \
             {total: integer, irqs: [integer]}, softirq: {total: integer, softirqs: [integer]}, name: integer}"
        ),
        function!(
            "status.vmstats",
            Vmstats,
            "Returns the kernel's counters of virtual memory.",
            "{name: integer}, in pages or events"
        ),
        function!(
            "status.netstats",
            Netstats,
            "Returns the kernel's counters of its network protocols.",
            "{protocol: {name: integer}}"
        ),
        function!(
            "status.netdev",
            Netdev,
            "Returns what the network interfaces have sent and received since boot.",
            "{interface: {iface: text, name: integer}}; names begin with rx (received) or tx (sent) and end with \
             bytes, packets, or what went wrong with them"
        ),
        function!(
            "status.diskstats",
            Diskstats,
            "Returns what the disks have done since boot.",
            "{device: {device: text, name: integer}}; sectors have 512 bytes, and times are milliseconds"
        ),
        function!("status.version", Version, "Returns the version of the kernel.", "text"),
    ]
}

fn of_machine() -> Vec<Function> {
    vec![
        Function::new(
            "status.uptime",
            |context, _| Box::pin(machine::uptime(context)),
            "Returns how long the machine has been up.",
        )
        .returns(
            "{seconds: integer, since_iso: text, since_t: integer, days: integer, time: text, users: integer}; since_t \
             is in seconds since 1970, since_iso the same as a date in UTC, time the hours and minutes beyond the days, \
             and users how many sessions `who` lists, missing where there is no such program",
        ),
        Function::new(
            "status.diskusage",
            |context, bound| Box::pin(machine::diskusage(context, bound.rest)),
            "Returns how much room file systems have.",
        )
        .takes_more("paths, and types of file systems as globs, separate; all that is mounted when none is given (text)")
        .returns(
            "{path: {total: integer, available: integer}}, in bytes; null instead of numbers for one that does not \
             answer within ten seconds",
        )
        .example("status.diskusage / 'ext?'"),
        Function::new("status.nproc", |_, _| Box::pin(machine::nproc()), "Returns how many processors this minion may use.")
            .returns("integer"),
        Function::new("status.time", |_, bound| Box::pin(machine::time(bound)), "Returns the machine's time.")
            .takes(
                const {
                    &[optional("format", "\"%A, %d. %B %Y %I:%M%p\"", "a format as of strftime (text)")]
                },
            )
            .returns("text, in the machine's time zone; an error for a format that is none")
            .example("status.time '%s'"),
        Function::new("status.w", |context, _| Box::pin(people::w(context)), "Returns who is logged in. Needs the program w.")
            .returns("[{user, tty, login, idle, jcpu, pcpu, what}], all texts; an error when w is not installed"),
        Function::new(
            "status.all_status",
            |context, _| Box::pin(all_status(context)),
            "Returns the values of cpuinfo, cpustats, diskstats, diskusage, loadavg, meminfo, netdev, netstats, uptime, \
             vmstats and w of this module together.",
        )
        .returns("{name: value}; a text that says why in place of a value that cannot be had"),
    ]
}

fn of_processes() -> Vec<Function> {
    vec![
        Function::new(
            "status.procs",
            |context, _| Box::pin(processes::procs(context)),
            "Returns the command line and the user of every process.",
        )
        .returns(
            "{number of the process: {cmd: text, user: text}}; a name in brackets where there is no command line. More \
             than fit into a return are left out, and it is marked truncated",
        ),
        Function::new(
            "status.pid",
            |_, bound| Box::pin(processes::pid(bound)),
            "Returns the numbers of the processes whose command line a regular expression finds.",
        )
        .takes(const { &[required("sig", "the regular expression (text)")] })
        .returns("text, a number on each line; empty when there is none. An error when it is no regular expression")
        .example("status.pid 'sshd.*listener'"),
    ]
}

async fn read(file: File) -> Result<Outcome, Fault> {
    blocking(move |_| file.read().map(Outcome::from)).await
}

async fn all_status(context: Context) -> Result<Outcome, Fault> {
    let mut all = Map::new();
    let mut add = |name: &str, part: Result<Outcome, Fault>| {
        let value = part.map_or_else(|fault| json!(reason(fault)), |outcome| outcome.value);
        all.insert(name.to_owned(), value);
    };
    add("cpuinfo", read(File::Cpuinfo).await);
    add("cpustats", read(File::Cpustats).await);
    add("diskstats", read(File::Diskstats).await);
    add("diskusage", machine::diskusage(context.clone(), Vec::new()).await);
    add("loadavg", read(File::Loadavg).await);
    add("meminfo", read(File::Meminfo).await);
    add("netdev", read(File::Netdev).await);
    add("netstats", read(File::Netstats).await);
    add("uptime", machine::uptime(context.clone()).await);
    add("vmstats", read(File::Vmstats).await);
    add("w", people::w(context).await);
    Ok(Outcome::from(Value::Object(all)))
}

fn reason(fault: Fault) -> String {
    match fault {
        Fault::Arguments(why) | Fault::Invocation(why) | Fault::Execution(why) => why,
    }
}

#[cfg(test)]
mod tests;
