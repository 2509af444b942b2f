//! Names of units, and what `systemctl` says about them. Nothing here runs anything.

use std::collections::BTreeMap;

use super::super::Fault;

/// The kinds of unit that count; slices and scopes are nobody's services.
const KINDS: [&str; 9] =
    ["service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer"];

/// The longest name systemd takes, its suffix included.
const NAME_MAX: usize = 255;

/// The name as systemd has it: one without the suffix of a kind is a service.
///
/// A glob would act on whatever runs, so only `service.status` takes one.
pub(super) fn unit(name: &str) -> Result<String, Fault> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let full = if kind(name).is_some() { name.to_owned() } else { format!("{name}.service") };
    if name.is_empty() || full.len() > NAME_MAX || !name.chars().all(is_plain) {
        return Err(Fault::Invocation(format!(
            "{name:?} is no name of a unit: it needs letters, digits and :-_.\\@ only, at most {NAME_MAX} of them"
        )));
    }
    Ok(full)
}

/// The kind of a unit's full name, when it is one that counts.
fn kind(name: &str) -> Option<&str> {
    let (_, kind) = name.rsplit_once('.')?;
    KINDS.contains(&kind).then_some(kind)
}

/// Whether a name stands for several.
pub(super) fn is_glob(name: &str) -> bool {
    let has_class = name.find('[').is_some_and(|at| name[at + 1..].find(']').is_some_and(|end| end > 0));
    name.contains(['*', '?']) || has_class
}

/// Whether the unit is a template without its instance, which nothing can start.
pub(super) fn is_template(unit: &str) -> bool {
    unit.rsplit_once('.').is_some_and(|(stem, _)| stem.ends_with('@'))
}

/// The name as users have it: a service goes without its suffix. None for kinds that do not count.
fn short(unit: &str) -> Option<String> {
    kind(unit)?;
    Some(unit.strip_suffix(".service").unwrap_or(unit).to_owned())
}

/// The units of `systemctl list-unit-files`, by their short names, with their states.
pub(super) fn files(listing: &str) -> BTreeMap<String, String> {
    let read = |line: &str| {
        let mut words = line.split_whitespace();
        Some((short(words.next()?)?, words.next()?.to_owned()))
    };
    listing.lines().filter_map(read).collect()
}

/// What is known of a unit that is loaded.
#[derive(Debug, PartialEq)]
pub(super) struct Loaded {
    /// As `active` or `activating`.
    pub(super) active: String,
    /// As `running` or `exited`.
    pub(super) sub: String,
}

/// The units of `systemctl list-units`, by their short names.
pub(super) fn loaded(listing: &str) -> BTreeMap<String, Loaded> {
    let read = |line: &str| {
        // A mark in front shows a unit that has failed or is not found.
        let mut words = line.split_whitespace().skip_while(|word| ["●", "*", "○", "×"].contains(word));
        let name = short(words.next()?)?;
        let (active, sub) = (words.nth(1)?.to_owned(), words.next()?.to_owned());
        Some((name, Loaded { active, sub }))
    };
    listing.lines().filter_map(read).collect()
}

/// Whether a unit in this state works, as `systemctl is-active` judges it.
pub(super) fn is_active(state: &str) -> bool {
    matches!(state, "active" | "reloading" | "refreshing")
}

/// Whether the state will soon be another.
pub(super) fn is_passing(state: &str) -> bool {
    matches!(state, "activating" | "deactivating" | "reloading" | "refreshing")
}

/// A property in what `systemctl show` says; empty when it is not there.
pub(super) fn property<'a>(shown: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value);
    shown.lines().find_map(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, full) in [
            ("nginx", "nginx.service"),
            ("nginx.service", "nginx.service"),
            ("dbus.socket", "dbus.socket"),
            ("php8.2-fpm", "php8.2-fpm.service"),
            ("getty@tty1", "getty@tty1.service"),
            ("-.mount", "-.mount"),
            (r"dev-disk-by\x2duuid.swap", r"dev-disk-by\x2duuid.swap"),
        ] {
            assert_eq!(unit(name), Ok(full.to_owned()));
        }
        for bad in ["", "*", "a b", "ng?nx", "../x", "a\nb", "ü", &"a".repeat(250)] {
            let Err(Fault::Invocation(why)) = unit(bad) else { panic!("{bad:?}") };
            assert!(why.contains("no name of a unit"), "{why}");
        }
    }

    #[test]
    fn globs_and_templates() {
        assert!(["*", "a?", "a[bc]"].into_iter().all(is_glob));
        assert!(!["a", "a[]", "a]["].into_iter().any(is_glob));
        assert!(is_template("getty@.service"));
        assert!(!is_template("getty@tty1.service") && !is_template("getty.service"));
    }

    const FILES: &str = "\
proc-sys-fs-binfmt_misc.automount      static   -
-.mount                                generated -
cron.service                           enabled  enabled
getty@.service                         enabled  enabled
ssh.service                            disabled enabled
networking.service                     enabled-runtime enabled
dbus.socket                            static   -
user.slice                             static   -
old.service                            masked
";

    #[test]
    fn unit_files() {
        let files = files(FILES);
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        let expected = [
            "-.mount",
            "cron",
            "dbus.socket",
            "getty@",
            "networking",
            "old",
            "proc-sys-fs-binfmt_misc.automount",
            "ssh",
        ];
        assert_eq!(names, expected);
        assert_eq!(files["getty@"], "enabled");
        assert_eq!(files["old"], "masked");
        assert!(super::files("").is_empty() && super::files("x\n.service").is_empty());
    }

    const UNITS: &str = "\
  cron.service loaded active running Regular background program processing daemon
  dbus.socket loaded active running D-Bus System Message Bus Socket
● nginx.service loaded failed failed A high performance web server
  networking.service loaded active exited Raise network interfaces
  slow.service loaded activating start Slow
* gone.service not-found inactive dead gone.service
  init.scope loaded active running System and Service Manager
";

    #[test]
    fn loaded_units() {
        let units = loaded(UNITS);
        assert_eq!(units.len(), 6);
        assert_eq!(units["cron"], Loaded { active: "active".to_owned(), sub: "running".to_owned() });
        assert_eq!(units["nginx"].active, "failed");
        assert_eq!(units["gone"].active, "inactive");
        assert_eq!(units["networking"].sub, "exited");
        assert!(loaded("\n  x.service loaded\n●\n").is_empty());
    }

    #[test]
    fn states_and_properties() {
        assert!(
            is_active("active") && is_active("reloading") && !is_active("activating") && !is_active("failed")
        );
        assert!(is_passing("activating") && is_passing("reloading") && !is_passing("active"));
        let shown = "LoadState=loaded\nNeedDaemonReload=no\nOdd\nA=b=c";
        assert_eq!(property(shown, "LoadState"), "loaded");
        assert_eq!(property(shown, "A"), "b=c");
        assert_eq!(property(shown, "Odd"), "");
    }
}
