use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::testing::{assert_shape, call, context, returned};
use super::line::Manager;
use super::*;

/// A `crontab` that keeps the table of anybody in one file, and writes down how it is called.
struct Crontab {
    folder: TempDir,
    context: Context,
}

impl Crontab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display();
        let script = format!(
            "#!/bin/sh\necho \"$*\" >>'{here}/calls'\ncase \"$*\" in\n\
             *nosuch*) echo \"crontab:  user \\`nosuch' unknown\" >&2; exit 1;;\n\
             *' -l') [ -e '{here}/table' ] && exec /bin/cat '{here}/table'; echo 'no crontab for ann' >&2; exit 1;;\n\
             *' -') /bin/cat >'{here}/new'; ! /bin/grep -q refused '{here}/new' || \
             {{ echo '\"-\":1: bad minute' >&2; exit 1; }}; exec /bin/mv '{here}/new' '{here}/table';;\n\
             esac\nexit 99\n"
        );
        // Who is not root is asked for.
        for (name, script) in [("crontab", script.as_str()), ("getent", "#!/bin/sh\nexit 2\n")] {
            // Renamed into place: a program that is open for writing cannot be run.
            let draft = folder.path().join("draft");
            fs::write(&draft, script).unwrap();
            fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(&draft, folder.path().join(name)).unwrap();
        }
        let context = Context { path: here.to_string(), ..context() };
        Self { folder, context }
    }

    fn table(&self) -> String {
        fs::read_to_string(self.folder.path().join("table")).unwrap_or_default()
    }

    fn put(&self, table: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join("table"), table).unwrap();
    }

    fn calls(&self) -> Vec<String> {
        let file = self.folder.path().join("calls");
        let calls = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        calls.lines().map(str::to_owned).collect()
    }

    async fn run(&self, function: &str, arguments: Value, keywords: Value) -> (Value, i32) {
        let result = returned(&[call(function, arguments, keywords)], &self.context).await;
        (result.value, result.retcode)
    }

    async fn gives(&self, function: &str, arguments: Value, keywords: Value) -> Value {
        let (value, retcode) = self.run(function, arguments.clone(), keywords).await;
        assert_eq!(retcode, 0, "{function} {arguments}: {value}");
        assert_shape(function, &value);
        value
    }
}

const BY_HAND: &str = "# mine\nPATH = /bin\n\n*/7  *\t* * *   ls | wc\r\n";

#[tokio::test]
async fn jobs_come_change_and_go() {
    let cron = Crontab::new();
    assert_eq!(
        cron.gives("cron.list_tab", json!(["ann"]), json!({})).await,
        json!({"pre": [], "crons": [], "special": [], "env": []})
    );
    assert_eq!(cron.gives("cron.raw_cron", json!(["ann"]), json!({})).await, "");
    assert_eq!(cron.calls(), ["-u ann -l", "-u ann -l"]);

    cron.put(BY_HAND);
    let job = |minute: Value, cmd: &str| json!(["ann", minute, "*", "*", "*", "MON", cmd]);
    let set = async |arguments: Value, keywords: Value| cron.gives("cron.set_job", arguments, keywords).await;
    assert_eq!(set(job(json!(5), "echo '%'"), json!({})).await, "new");
    assert_eq!(cron.calls(), ["-u ann -l", "-u ann -"]);
    assert_eq!(set(job(json!("5"), "  echo '%'"), json!({})).await, "present");
    assert_eq!(cron.calls(), ["-u ann -l"], "nothing was written");
    assert_eq!(set(job(json!("*/2"), "echo '%'"), json!({"comment": "# why "})).await, "updated");
    assert_eq!(
        set(job(json!("*/2"), "echo '%'"), json!({"comment": "why", "identifier": 1})).await,
        "updated"
    );
    assert_eq!(set(job(json!("*/2"), "echo 2"), json!({"identifier": 1})).await, "updated");
    assert_eq!(set(job(json!("*/2"), "echo 2"), json!({"identifier": "1"})).await, "present");
    assert_eq!(set(job(json!("*/2"), "echo 2"), json!({})).await, "new", "the other one is named");
    assert_eq!(set(job(json!("*/2"), "echo 2"), json!({"commented": true})).await, "updated");
    let special = json!(["ann", "@daily", "echo 3"]);
    assert_eq!(cron.gives("cron.set_special", special.clone(), json!({})).await, "new");
    assert_eq!(cron.gives("cron.set_special", special, json!({})).await, "present");
    let special = json!(["ann", "@hourly", "echo 3"]);
    assert_eq!(cron.gives("cron.set_special", special, json!({"identifier": "x y"})).await, "updated");
    let mail =
        async |value: Value| cron.gives("cron.set_env", json!(["ann", "MAILTO", value]), json!({})).await;
    assert_eq!(mail(json!("ann")).await, "new");
    assert_eq!(mail(json!(null)).await, "updated");
    assert_eq!(mail(json!("")).await, "present");
    let table = format!(
        "{BY_HAND}# Lines below here are managed by Brine, do not edit\nMAILTO=\"\"\n\
         # why BRINE_CRON_IDENTIFIER:1\n*/2 * * * mon echo 2\n#DISABLED#*/2 * * * mon echo 2\n\
         # BRINE_CRON_IDENTIFIER:x y\n@hourly echo 3\n"
    );
    assert_eq!(cron.table(), table);
    assert_eq!(cron.gives("cron.raw_cron", json!(["ann"]), json!({})).await, table);
    let listed = cron.gives("cron.list_tab", json!(["ann"]), json!({})).await;
    let entry = |comment: Value, identifier: Value, commented: bool| {
        json!({
            "minute": "*/2", "hour": "*", "daymonth": "*", "month": "*", "dayweek": "mon", "cmd": "echo 2",
            "comment": comment, "identifier": identifier, "commented": commented
        })
    };
    assert_eq!(
        listed,
        json!({
            "pre": ["# mine", "PATH = /bin", "", "*/7  *\t* * *   ls | wc\r"],
            "crons": [entry(json!("why"), json!("1"), false), entry(json!(null), json!(null), true)],
            "special": [{"spec": "@hourly", "cmd": "echo 3", "comment": "", "identifier": "x y", "commented": false}],
            "env": [{"name": "MAILTO", "value": "\"\""}],
        })
    );
    assert_eq!(cron.gives("cron.ls", json!(["ann"]), json!({})).await, listed);

    let rm = async |function: &str, arguments: Value, keywords: Value| {
        let first = cron.gives(function, arguments.clone(), keywords.clone()).await;
        assert_eq!(cron.gives(function, arguments, keywords).await, "absent");
        first
    };
    assert_eq!(rm("cron.rm_job", json!(["ann", "echo 2", 3]), json!({})).await, "absent");
    assert_eq!(
        rm("cron.rm_job", json!(["ann", "other"]), json!({"identifier": "1", "minute": "random"})).await,
        "removed"
    );
    assert_eq!(rm("cron.rm_job", json!(["ann", "echo 2"]), json!({"dayweek": "Mon"})).await, "removed");
    assert_eq!(rm("cron.rm_special", json!(["ann", "echo 3"]), json!({})).await, "absent");
    assert_eq!(
        rm("cron.rm_special", json!(["ann", "echo 3", "@daily"]), json!({"identifier": "x y"})).await,
        "absent"
    );
    assert_eq!(
        rm("cron.rm_special", json!(["ann", "echo 3"]), json!({"identifier": "x y"})).await,
        "removed"
    );
    assert_eq!(rm("cron.rm_env", json!(["ann", "MAILTO"]), json!({})).await, "removed");
    assert_eq!(cron.table(), format!("{BY_HAND}# Lines below here are managed by Brine, do not edit\n"));
}

#[tokio::test]
async fn a_time_that_was_drawn_stays() {
    let cron = Crontab::new();
    let job = json!(["ann", "random", "2:4", "RANDOM", "random", "random", "true"]);
    assert_eq!(cron.gives("cron.set_job", job.clone(), json!({})).await, "new");
    let drawn = cron.gives("cron.ls", json!(["ann"]), json!({})).await;
    for (name, low, high) in
        [("minute", 0, 59), ("hour", 2, 4), ("daymonth", 1, 31), ("month", 1, 12), ("dayweek", 0, 6)]
    {
        let number: u32 = drawn["crons"][0][name].as_str().unwrap().parse().unwrap();
        assert!((low..=high).contains(&number), "{name} {number}");
    }
    assert_eq!(cron.gives("cron.set_job", job, json!({})).await, "present");
    for random in [0, 1, 59, 60, u32::MAX] {
        assert!((2..=4).contains(&draw(2, 4, random)));
    }
    assert_eq!([0, 1, 2, 3].map(|random| draw(2, 4, random)), [2, 3, 4, 2]);
}

#[tokio::test]
async fn salts_tables_are_taken_on() {
    let cron = Crontab::new();
    let salts = "# Lines below here are managed by Salt, do not edit\nA=1\n# a\n# b SALT_CRON_IDENTIFIER:x\n\
                 0 0 * * * old\n# note\n\n# SALT_CRON_IDENTIFIER:NO ID SET\n@reboot boot\n";
    cron.put(format!("x\n{salts}"));
    let listed = cron.gives("cron.list_tab", json!(["ann"]), json!({})).await;
    assert_eq!((&listed["pre"], &listed["crons"][0]["comment"]), (&json!(["x"]), &json!("a\nb")));
    assert_eq!(listed["special"][0]["comment"], "", "a blank line ends a comment");
    let keywords = json!({"identifier": "x"});
    let job = json!(["ann", 0, 0, "*", "*", "*", "new"]);
    assert_eq!(cron.gives("cron.set_job", job, keywords).await, "updated");
    let special = json!(["ann", "@reboot", "boot"]);
    assert_eq!(cron.gives("cron.set_special", special.clone(), json!({})).await, "present");
    assert_eq!(cron.gives("cron.set_special", special, json!({"identifier": "b"})).await, "updated");
    let new = salts.replace("old", "new").replace(":NO ID SET", ":b");
    assert_eq!(cron.table(), format!("x\n{new}"));
}

#[tokio::test]
async fn what_goes_wrong_changes_nothing() {
    let cron = Crontab::new();
    cron.put(BY_HAND);
    for (function, arguments, keywords) in [
        ("cron.list_tab", json!(["-l"]), json!({})),
        ("cron.raw_cron", json!(["a b"]), json!({})),
        ("cron.set_env", json!(["-u", "A", "b"]), json!({})),
        ("cron.set_env", json!(["ann", "A B", "b"]), json!({})),
        ("cron.set_env", json!(["ann", "A", "b\n* * * * * x"]), json!({})),
        ("cron.rm_env", json!(["ann", "A=b"]), json!({})),
        ("cron.set_job", json!(["ann", 1, 1, 1, 1, 1, "a\nb"]), json!({})),
        ("cron.set_job", json!(["ann", 1, 1, 1, 1, 1, " "]), json!({})),
        ("cron.set_job", json!(["ann", 1, 1, 1, 1, "1 x", "a"]), json!({})),
        ("cron.set_job", json!(["ann", "#", 1, 1, 1, 1, "a"]), json!({})),
        ("cron.set_job", json!(["ann", null, 1, 1, 1, 1, "a"]), json!({})),
        ("cron.set_job", json!(["ann", "1:70", 1, 1, 1, 1, "a"]), json!({})),
        ("cron.set_job", json!(["ann", "5:1", 1, 1, 1, 1, "a"]), json!({})),
        ("cron.set_job", json!(["ann", 1, 1, 1, 1, 1, "a"]), json!({"comment": "a\nb"})),
        ("cron.set_job", json!(["ann", 1, 1, 1, 1, 1, "a"]), json!({"comment": "SALT_CRON_IDENTIFIER:x"})),
        (
            "cron.set_job",
            json!(["ann", 1, 1, 1, 1, 1, "a"]),
            json!({"comment": "Lines below here are managed by Salt, do not edit"}),
        ),
        ("cron.set_job", json!(["ann", 1, 1, 1, 1, 1, "a"]), json!({"identifier": "a\rb"})),
        ("cron.set_special", json!(["ann", "daily", "a"]), json!({})),
        ("cron.set_special", json!(["ann", "@daily x", "a"]), json!({})),
        ("cron.rm_special", json!(["ann", "a\n"]), json!({})),
    ] {
        let (value, retcode) = cron.run(function, arguments.clone(), keywords.clone()).await;
        assert_eq!(retcode, 1, "{function} {arguments} {keywords}: {value}");
        assert!(value.as_str().unwrap().starts_with("ERROR executing"), "{value}");
    }
    assert_eq!(cron.calls(), [""; 0], "nothing was run");

    let refused = cron.run("cron.set_job", json!(["ann", 1, 1, 1, 1, 1, "refused"]), json!({})).await;
    assert_eq!(refused, (json!("ERROR: crontab ended with 1: \"-\":1: bad minute"), 1));
    let unknown = "ERROR: crontab ended with 1: crontab:  user `nosuch' unknown";
    assert_eq!(cron.run("cron.ls", json!(["nosuch"]), json!({})).await, (json!(unknown), 1));
    assert_eq!(cron.run("cron.rm_env", json!(["nosuch", "A"]), json!({})).await, (json!(unknown), 1));
    let (why, _) = cron.run("cron.set_env", json!(["ann", "A", "x".repeat(TABLE_MAX)]), json!({})).await;
    assert_eq!(why, "ERROR: the table of 'ann' would be larger than 65536 bytes");
    assert_eq!(cron.table(), BY_HAND);

    cron.put(b"# \xff\n");
    assert_eq!(cron.gives("cron.ls", json!(["ann"]), json!({})).await["pre"], json!(["# \u{fffd}"]));
    let (why, retcode) = cron.run("cron.set_env", json!(["ann", "A", "b"]), json!({})).await;
    assert!(retcode == 1 && why.as_str().unwrap().contains("no UTF-8"), "{why}");
    assert_eq!(fs::read(cron.folder.path().join("table")).unwrap(), b"# \xff\n");
    cron.put(BY_HAND);
    let small = Context { output_max: 30, ..cron.context.clone() };
    let result = returned(&[call("cron.set_env", json!(["ann", "A", "b"]), json!({}))], &small).await;
    assert_eq!(result.value, "ERROR: the table of 'ann' is larger than output_max");
    assert_eq!(cron.table(), BY_HAND);
}

#[test]
fn nobodys_table_is_told_from_a_failure() {
    assert!(has_none("no crontab for ann"));
    assert!(has_none("crontab: can't open 'ann': No such file or directory"));
    assert!(!has_none("crontab:  user `ann' unknown"));
    assert!(!has_none("/var/spool/cron: No such file or directory"));
}

#[test]
fn crons_own_header_is_no_part_of_the_table() {
    let header = "# DO NOT EDIT THIS FILE - edit the master and reinstall.\n";
    let more = "# (/tmp/x installed on Mon)\n# (Cron version)\n";
    assert_eq!(without_header(&format!("{header}{more}# (mine)\nx")), "# (mine)\nx");
    assert_eq!(without_header(&format!("{header}mine\n")), "mine\n");
    assert_eq!(without_header("x\n# DO NOT"), "x\n# DO NOT");
    assert_eq!(without_header(""), "");
}

#[test]
fn a_comment_stays_with_what_it_was_above() {
    let text =
        "# Lines below here are managed by Brine, do not edit\n# of A\nA=1\n* * * * * a\n# at the end\n";
    let mut table = Table::of(text);
    assert_eq!(table.remove_variable("A"), Change::Removed);
    assert_eq!(table.managed().entries[0].comment, None);
    assert_eq!(table.remove_job(false, "a", None, &Filter::default()), Change::Removed);
    assert!(table.text().ends_with("# of A\n\n# at the end\n"), "{}", table.text());
}

fn any_table() -> impl Strategy<Value = String> {
    const LINES: &[&str] = &[
        "# Lines below here are managed by Brine, do not edit",
        "# Lines below here are managed by Salt, do not edit",
        "#",
        "# a note",
        "  # BRINE_CRON_IDENTIFIER:id",
        "# x SALT_CRON_IDENTIFIER:other",
        "",
        " \t",
        "A=1",
        "B = \"2\"",
        "* * * * * cmd",
        "1\t2  3 4 5   cmd  ",
        "#DISABLED#* * * * * old",
        "@daily cmd",
        "@daily",
        "1 2 3 broken\r",
        "é",
    ];
    let lines = prop::collection::vec(prop::sample::select(LINES), 0..12);
    (lines, any::<bool>()).prop_map(|(lines, has_end)| lines.join("\n") + if has_end { "\n" } else { "" })
}

fn job(text: &str, identifier: Option<&str>, comment: Option<&str>) -> wanted::Wanted {
    let own = |text: &str| text.to_owned();
    let function = "cron.set_special";
    let keywords = json!({"identifier": identifier, "comment": comment});
    let call = call(function, json!(["ann", "@weekly", own(text)]), keywords);
    let signature = super::super::find(function).unwrap().signature();
    take_special(&mut super::super::bind::bind(&signature, &call).unwrap()).unwrap()
}

/// Whether all of `lines` are in `text`, in this order.
fn has_lines(text: &str, lines: &str) -> bool {
    let mut there = text.split('\n');
    lines.split('\n').all(|line| there.any(|found| found == line))
}

proptest! {
    /// Whatever somebody wrote: what is set comes to it, is found there, and goes without a trace.
    #[test]
    fn the_rest_stays(
        text in any_table(),
        identifier in prop::option::of(Just("mine")),
        comment in prop::option::of(prop::sample::select(vec!["", "why"])),
    ) {
        let mut table = Table::of(&text);
        let before = (table.managed().entries.len(), table.managed().variables.len());
        let marked = {
            let has_marker = text.lines().any(|line| line::marker(line).is_some());
            let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            let marker = if has_marker { String::new() } else { Manager::Brine.marker().to_owned() + "\n" };
            format!("{text}{gap}{marker}")
        };

        prop_assert_eq!(table.set_job(job("new cmd", identifier, comment), &mut |low, _| low), Change::New);
        prop_assert_eq!(table.managed().entries.len(), before.0 + 1);
        prop_assert!(has_lines(&table.text(), &marked));
        let with = table.text();
        prop_assert_eq!(table.set_job(job("new cmd", identifier, comment), &mut |low, _| low), Change::Present);
        prop_assert_eq!(table.set_variable("NEW", "1"), Change::New);
        prop_assert_eq!(table.set_variable("NEW", "1"), Change::Present);
        prop_assert_eq!(table.managed().variables.len(), before.1 + 1);
        prop_assert!(has_lines(&table.text(), &with));
        prop_assert_eq!(table.set_variable("NEW", "2"), Change::Updated);
        prop_assert_eq!(table.remove_variable("NEW"), Change::Removed);
        prop_assert_eq!(table.text(), with);
        let any = Filter::default();
        prop_assert_eq!(table.remove_job(true, "new cmd", identifier, &any), Change::Removed);
        prop_assert_eq!(table.remove_job(true, "new cmd", identifier, &any), Change::Absent);
        prop_assert_eq!(table.text(), marked);
    }

    /// Jobs that are there change their own lines only.
    #[test]
    fn others_stay_when_one_changes(text in any_table()) {
        let mut table = Table::of(&text);
        let jobs = |table: &Table| -> Vec<(String, Option<String>)> {
            let managed = table.managed().entries.into_iter();
            managed.map(|entry| (entry.job.cmd, entry.identifier)).collect()
        };
        let before = jobs(&table);
        let done = table.remove_job(false, "cmd", Some("id"), &Filter::default());
        let after = jobs(&table);
        let gone = before.len() - after.len();
        prop_assert_eq!(gone, usize::from(done == Change::Removed));
        let mut left = before.iter();
        prop_assert!(after.iter().all(|job| left.any(|old| old == job)), "{:?} {:?}", before, after);
        if done == Change::Absent {
            prop_assert_eq!(table.text(), text);
        } else {
            prop_assert!(has_lines(&(text + "\n"), &table.text()), "{}", table.text());
        }
    }
}
