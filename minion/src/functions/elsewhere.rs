//! What Salt users look for and Brine does otherwise: one sentence that names the nearest thing.

/// Functions, or modules with `.*` behind them, and where to look instead.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "state.*",
        "there are no states here; run the steps one by one with pkg.install, file.write, service.restart \
         and cmd.run, on as many minions as the target names",
    ),
    ("cp.push", "no files are sent to the master; file.read returns a small one"),
    (
        "cp.*",
        "the master serves no files here; file.write puts a small one in place, and cmd.run with curl fetches \
         a large one",
    ),
    (
        "mine.*",
        "there is no mine here; ask the minions themselves with grains.get or network.ip_addrs, or keep what \
         others need in pillar",
    ),
    ("schedule.*", "nothing is scheduled by the minion itself; cron.set_job makes cron do it"),
    (
        "event.*",
        "a minion sends no events of its own here; what it returns is one, see brine events on the master",
    ),
    (
        "beacons.*",
        "there are no beacons here; look at status.all_status, disk.usage and service.status from the master",
    ),
    ("publish.*", "minions give each other no orders here; run it with brine on the master"),
    ("data.*", "there is no data store of its own here; grains.setval and grains.get keep and read values"),
    (
        "config.*",
        "the options are in minion.yaml; what functions should know is read with grains.get and pillar.get",
    ),
    ("match.*", "ask the master: brine target get shows who matches a target, and why"),
    ("minion.list", "ask the master: brine minions list"),
    ("minion.restart", "cmd.run 'systemctl restart brine-minion' does it; the session comes back by itself"),
    ("key.finger", "brine-key -f on the master shows the fingerprint of a minion's key"),
    ("key.finger_master", "brine-key -F master on the master shows its fingerprint"),
    ("manage.*", "it is asked of the master: brine minions list"),
    ("jobs.*", "it is asked of the master: brine jobs list"),
    ("git.*", "cmd.run runs git, as cmd.run 'git -C /srv/app pull'"),
    ("pip.*", "cmd.run runs pip, as cmd.run 'python3 -m pip list'"),
    ("docker.*", "cmd.run runs docker, as cmd.run 'docker ps'"),
    ("iptables.*", "cmd.run runs iptables and nft, as cmd.run 'nft list ruleset'"),
    ("timezone.*", "cmd.run runs timedatectl, as cmd.run 'timedatectl set-timezone Europe/Paris'"),
    ("pkgrepo.*", "file.write puts a list of packages in place, and pkg.refresh_db reads it"),
    ("brine.regen_keys", "brine.rotate_key makes a new key, which takes over while the session goes on"),
    ("brine.revoke_auth", "brine-key -d on the master takes a minion's key out"),
    (
        "brine.refresh_grains",
        "grains.setval takes effect at once, and what is collected is collected anew every ten minutes",
    ),
    ("brine.refresh_modules", "new functions are there as soon as they are in place"),
    (
        "brine.clear_cache",
        "nothing is cached that could be out of date; brine.refresh_pillar reads the pillar anew",
    ),
    ("brine.clear_job_cache", "returns are forgotten as soon as the master has them"),
    (
        "brine.find_cached_job",
        "brine jobs show on the master has every return; brine.find_job shows what runs",
    ),
    ("brine.runner", "there are no runners here; run it with brine on the master"),
    ("brine.wheel", "there is no wheel here; brine-key on the master decides about keys"),
    ("brine.cmd", "minions give each other no orders here; run it with brine on the master"),
    ("brine.cmd_iter", "minions give each other no orders here; run it with brine on the master"),
];

/// The sentence for a function that is not there, if there is something near.
pub(super) fn nearest(function: &str) -> Option<&'static str> {
    let is_meant = |pattern: &str| match pattern.strip_suffix('*') {
        Some(module) => function.starts_with(module),
        None => function == pattern,
    };
    ELSEWHERE.iter().find(|(pattern, _)| is_meant(pattern)).map(|(_, nearest)| *nearest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{call, context, returned};
    use super::super::{UNAVAILABLE, find, table};
    use super::*;

    #[tokio::test]
    async fn what_salt_has_and_is_not_here_is_answered_with_one_sentence() {
        let context = context();
        for (function, named) in [
            ("state.apply", "pkg.install"),
            ("state.highstate", "pkg.install"),
            ("cp.get_file", "file.write"),
            ("cp.push", "file.read"),
            ("mine.get", "pillar"),
            ("event.send", "brine events"),
            ("saltutil.regen_keys", "brine.rotate_key"),
        ] {
            let returned = returned(&[call(function, json!(["x"]), json!({"y": 1}))], &context).await;
            let said = returned.value.as_str().unwrap();
            assert_eq!(returned.retcode, UNAVAILABLE, "{said}");
            assert!(said.starts_with(&format!("'{function}' is not available: ")), "{said}");
            assert!(said.contains(named) && said.ends_with('.') && !said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn nothing_that_is_here_is_said_to_be_elsewhere() {
        for function in table() {
            assert_eq!(nearest(function.name), None, "{}", function.name);
        }
    }

    #[test]
    fn what_is_named_is_here() {
        let modules: Vec<&str> = table().iter().filter_map(|f| f.name.split('.').next()).collect();
        for (pattern, sentence) in ELSEWHERE {
            let words = sentence.split([' ', ',', ';', ':', '\'']);
            for word in words.filter(|word| word.split_once('.').is_some_and(|(m, _)| modules.contains(&m))) {
                assert!(find(word).is_some(), "{pattern} names {word}");
            }
        }
    }
}
