use super::*;

const BEFORE: &str = "install ok installed\tbase-files\t12.4\tamd64\nhold ok installed\tnginx\t1.22\tall\n\
                      deinstall ok config-files\tmc\t4.8\tamd64\n";
const AFTER: &str = "install ok installed\tbase-files\t12.4\tamd64\nhold ok installed\tnginx\t1.24\tall\n\
                     install ok installed\tmc\t4.9\tamd64\n";

const APT_GET: &str = "apt-get -q -y -o DPkg::Lock::Timeout=0 -o Dpkg::Use-Pty=0 -o DPkg::Options::=--force-confdef -o DPkg::Options::=--force-confold";

/// A machine whose packages are listed so, one listing after the other.
fn debian(listings: &[&str]) -> Fakes {
    let mut fakes = Fakes::new();
    let replies: Vec<(i32, &str, &str)> = listings.iter().map(|listing| (0, *listing, "")).collect();
    fakes.answer("dpkg", "--print-architecture", &[(0, "amd64\n", "")]).answer(
        "dpkg-query",
        "--show",
        &replies,
    );
    fakes
}

/// The calls that changed something or fetched something, without what all have in common.
fn deeds(fakes: &Fakes) -> Vec<String> {
    let is_deed = |call: &String| !call.contains("--print-architecture") && !call.contains("dpkg-query");
    let short = |call: String| call.replace(APT_GET, "apt-get");
    fakes.calls().into_iter().filter(is_deed).map(short).collect()
}

async fn apt(fakes: &Fakes, function: &str, arguments: Value, keywords: Value) -> (Value, i32) {
    run(fakes, "Debian", function, arguments, keywords).await
}

#[tokio::test]
async fn what_is_installed() {
    let fakes = debian(&[BEFORE]);
    for (function, arguments, keywords, expected) in [
        ("pkg.list_pkgs", json!([]), json!({}), json!({"base-files": "12.4", "nginx": "1.22"})),
        (
            "pkg.list_pkgs",
            json!([]),
            json!({"versions_as_list": true}),
            json!({"base-files": ["12.4"], "nginx": ["1.22"]}),
        ),
        ("pkg.list_pkgs", json!([]), json!({"removed": true}), json!({"mc": "4.8"})),
        ("pkg.list_pkgs", json!([]), json!({"purge_desired": true}), json!({})),
        ("pkg.version", json!(["nginx"]), json!({}), json!("1.22")),
        ("pkg.version", json!(["nginx"]), json!({"versions_as_list": true}), json!(["1.22"])),
        ("pkg.version", json!(["mc"]), json!({}), json!("")),
        ("pkg.version", json!(["mc", "nginx"]), json!({}), json!({"mc": "", "nginx": "1.22"})),
        ("pkg.version", json!(["ng*"]), json!({}), json!({"nginx": "1.22"})),
        ("pkg.version", json!(["no*"]), json!({}), json!({})),
        ("pkg.version", json!([]), json!({}), json!({})),
    ] {
        let (value, retcode) = apt(&fakes, function, arguments, keywords).await;
        assert_eq!((value, retcode), (expected, 0), "{function}");
    }
    let calls = fakes.calls();
    let query = r"dpkg-query --show --showformat=${Status}\t${Package}\t${Version}\t${Architecture}\n";
    assert_eq!(calls[..2], ["dpkg --print-architecture", query]);
}

#[tokio::test]
async fn installing_and_its_arguments() {
    let both = json!({"mc": {"old": "", "new": "4.9"}, "nginx": {"old": "1.22", "new": "1.24"}});
    for (arguments, keywords, expected) in [
        (json!(["mc"]), json!({}), "apt-get install -- mc"),
        (json!(["mc"]), json!({"version": "4.9"}), "apt-get --allow-downgrades install -- mc=4.9"),
        (
            json!([]),
            json!({"pkgs": ["mc", {"vim": "2:9*"}], "lock_timeout": 0, "only_upgrade": true}),
            "apt-get --only-upgrade --allow-downgrades install -- mc vim=2:9*",
        ),
        (
            json!(["mc"]),
            json!({"fromrepo": "bookworm-backports", "install_recommends": false, "lock_timeout": null}),
            "apt-get --no-install-recommends -t bookworm-backports install -- mc",
        ),
    ] {
        let mut fakes = debian(&[BEFORE, AFTER]);
        fakes.answer("apt-get", "install", &[(0, "", "")]);
        let (value, retcode) = apt(&fakes, "pkg.install", arguments, keywords).await;
        assert_eq!((value, retcode), (both.clone(), 0));
        assert_eq!(deeds(&fakes), [expected]);
    }
}

#[tokio::test]
async fn one_that_is_held_is_held_again() {
    for (retcode, said) in [(0, ""), (100, "E: Unable to fetch some archives")] {
        let mut fakes = debian(&[BEFORE, AFTER]);
        fakes.answer("apt-get", "install", &[(retcode, "", said)]).answer("dpkg", "--set", &[(0, "", "")]);
        apt(&fakes, "pkg.install", json!(["nginx"]), json!({"lock_timeout": 0})).await;
        let install = "apt-get install -- nginx";
        assert_eq!(deeds(&fakes), ["dpkg --set-selections", install, "dpkg --set-selections"]);
    }
}

#[tokio::test]
async fn a_failure_tells_what_changed() {
    let after = format!("{AFTER}install ok half-configured\tbroken\t1.0\tall\n");
    let mut fakes = debian(&[BEFORE, &after]);
    let said = "dpkg: error processing package broken (--configure):\nE: Sub-process /usr/bin/dpkg returned an error \
                code (1)";
    fakes.answer("apt-get", "", &[(100, "", said)]);
    let (value, retcode) = apt(&fakes, "pkg.upgrade", json!([]), json!({"refresh": false})).await;
    let text = "ERROR: Problem encountered upgrading packages. Additional info follows:\n\nchanges:\n    \
                mc: (none) -> 4.9\n    nginx: 1.22 -> 1.24\nerrors:\n    \
                dpkg: error processing package broken (--configure):\n    \
                E: Sub-process /usr/bin/dpkg returned an error code (1)\nunfinished:\n    \
                broken 1.0 (half-configured)";
    assert_eq!((value, retcode), (json!(text), 1));
}

#[tokio::test]
async fn locks_and_broken_off_runs() {
    let lock = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\n\
                E: Unable to lock directory /var/lib/apt/lists/";
    let mut fakes = debian(&[BEFORE]);
    fakes.answer("apt-get", "update", &[(100, "", lock), (0, "Hit:1 http://x y InRelease\n", "")]);
    let (value, _) = apt(&fakes, "pkg.refresh_db", json!([]), json!({"lock_timeout": 0})).await;
    let held = "ERROR: the lock /var/lib/apt/lists/lock is held by process 7 (apt-get), and was for 0 seconds: nothing \
                was changed, try again when it is free";
    assert_eq!(value, held);

    // Somebody who waits gets it.
    let mut fakes = debian(&[BEFORE]);
    fakes.answer("apt-get", "update", &[(100, "", lock), (0, "Hit:1 http://x y InRelease\n", "")]);
    let (value, retcode) = apt(&fakes, "pkg.refresh_db", json!([]), json!({})).await;
    assert_eq!((value, retcode), (json!({"http://x y InRelease": null}), 0));
    assert_eq!(deeds(&fakes).len(), 2);

    let mut fakes = debian(&[BEFORE]);
    let said =
        "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. ";
    fakes.answer("apt-get", "", &[(100, "", said)]);
    let (value, retcode) = apt(&fakes, "pkg.install", json!(["mc"]), json!({})).await;
    let text = "ERROR: dpkg was interrupted by an earlier run, and refuses any other until that one is finished: run \
                'dpkg --configure -a' on the minion";
    assert_eq!((value, retcode), (json!(text), 1));
}

#[tokio::test]
async fn removing_and_purging() {
    let bare = "install ok installed\tbase-files\t12.4\tamd64\n";
    let mut fakes = debian(&[BEFORE, bare]);
    fakes.answer("apt-get", "", &[(0, "", "")]);
    let (value, _) = apt(&fakes, "pkg.remove", json!(["ng*"]), json!({"lock_timeout": 0})).await;
    assert_eq!(value, json!({"nginx": {"old": "1.22", "new": ""}}));
    assert_eq!(deeds(&fakes), ["apt-get remove -- nginx"]);

    let mut fakes = debian(&[BEFORE, bare]);
    fakes.answer("apt-get", "", &[(0, "", "")]);
    let pkgs = json!({"pkgs": ["nginx:all", "mc"], "lock_timeout": 0});
    let (value, _) = apt(&fakes, "pkg.purge", json!([]), pkgs).await;
    let expected = json!({
        "installed": {"nginx": {"old": "1.22", "new": ""}},
        "removed": {"mc": {"old": "4.8", "new": ""}},
    });
    assert_eq!(value, expected);
    assert_eq!(deeds(&fakes), ["apt-get purge -- nginx mc"]);

    let fakes = debian(&[BEFORE]);
    for function in ["pkg.remove", "pkg.purge"] {
        assert_eq!(apt(&fakes, function, json!(["nosuch"]), json!({})).await, (json!({}), 0));
    }
    assert_eq!(apt(&fakes, "pkg.remove", json!(["mc"]), json!({})).await, (json!({}), 0));
    assert!(deeds(&fakes).is_empty());
}

const POLICY: &str = "bash:\n  Installed: 5.1\n  Candidate: 5.2\nnginx:\n  Installed: 1.22\n  Candidate: 1.22\n\
                      old:\n  Installed: 2\n  Candidate: 1\nvim:\n  Installed: (none)\n  Candidate: 2:9.0\n";

#[tokio::test]
async fn what_is_newer() {
    let mut fakes = debian(&[BEFORE]);
    fakes
        .answer("apt-cache", "policy", &[(0, POLICY, "")])
        .answer("dpkg", "--compare-versions 5.2 gt 5.1", &[(0, "", "")])
        .answer("dpkg", "--compare-versions 1 gt 2", &[(1, "", "")])
        .answer("apt-get", "update", &[(0, "", "")])
        .answer("apt-get", "--just-print", &[(0, "Conf bash (5.2 Debian:12/stable [amd64])\n", "")]);
    let still = json!({"refresh": false});
    for (function, arguments, expected) in [
        ("pkg.latest_version", json!(["bash"]), json!("5.2")),
        ("pkg.available_version", json!(["bash:amd64"]), json!("5.2")),
        ("pkg.latest_version", json!(["nginx"]), json!("")),
        ("pkg.latest_version", json!(["vim", "old", "gone"]), json!({"vim": "2:9.0", "old": "", "gone": ""})),
        ("pkg.latest_version", json!([]), json!("")),
        ("pkg.upgrade_available", json!(["bash"]), json!(true)),
        ("pkg.upgrade_available", json!(["nginx"]), json!(false)),
        ("pkg.list_upgrades", json!([]), json!({"bash": "5.2"})),
    ] {
        let (value, retcode) = apt(&fakes, function, arguments, still.clone()).await;
        assert_eq!((value, retcode), (expected, 0), "{function}");
    }
    assert!(deeds(&fakes).contains(&"apt-cache -q policy -- vim old gone".to_owned()));
    apt(&fakes, "pkg.list_upgrades", json!([]), json!({"dist_upgrade": false, "lock_timeout": 0})).await;
    let refreshed = "apt-get update";
    assert_eq!(deeds(&fakes), [refreshed, "apt-get --just-print upgrade"]);
    apt(&fakes, "pkg.upgrade_available", json!(["bash"]), json!({"lock_timeout": 0})).await;
    assert_eq!(deeds(&fakes)[0], refreshed);
}

#[tokio::test]
async fn refreshing_that_fails() {
    let mut fakes = Fakes::new();
    let said = "E: The repository 'http://x y Release' does not have a Release file.";
    let output = "Err:1 http://x y InRelease\nHit:2 http://z y InRelease\n";
    fakes.answer("apt-get", "update", &[(0, output, "W: Some index files failed"), (100, output, said)]);
    let (value, retcode) = apt(&fakes, "pkg.refresh_db", json!([]), json!({"failhard": true})).await;
    assert_eq!((value, retcode), (json!("ERROR: Error getting repos: http://x y InRelease"), 1));
    let (value, retcode) = apt(&fakes, "pkg.refresh_db", json!([]), json!({})).await;
    assert_eq!((value, retcode), (json!(format!("ERROR: {said}")), 1));
}

#[tokio::test]
async fn holding() {
    let mut fakes = Fakes::new();
    let selections = "base-files\t\t\t\tinstall\nlibc6:amd64\t\t\tinstall\nnginx\t\t\t\thold\n";
    fakes.answer("dpkg", "--get-selections", &[(0, selections, "")]).answer(
        "dpkg",
        "--set-selections",
        &[(0, "", "")],
    );
    let answer = |name: &str, changes: Value, result: bool, comment: &str| json!({"name": name, "changes": changes, "result": result, "comment": comment});
    let pkgs = json!({"pkgs": ["base-files", "libc6", "nginx", "nosuch"]});
    let (value, retcode) = apt(&fakes, "pkg.hold", json!([]), pkgs.clone()).await;
    let new = json!({"old": "install", "new": "hold"});
    let expected = json!({
        "base-files": answer("base-files", new.clone(), true, "Package base-files is now being held."),
        "libc6": answer("libc6", new, true, "Package libc6 is now being held."),
        "nginx": answer("nginx", json!({}), true, "Package nginx is already set to be held."),
        "nosuch": answer("nosuch", json!({}), false, "Package nosuch does not have a state."),
    });
    assert_eq!((value, retcode), (expected, 1));
    assert_shape("pkg.hold", &apt(&fakes, "pkg.hold", json!(["nosuch"]), json!({})).await.0);

    let (value, retcode) = apt(&fakes, "pkg.unhold", json!(["nginx,base-files"]), json!({})).await;
    let old = json!({"old": "hold", "new": "install"});
    let expected = json!({
        "nginx": answer("nginx", old, true, "Package nginx is no longer being held."),
        "base-files": answer("base-files", json!({}), true, "Package base-files is already set not to be held."),
    });
    assert_eq!((value, retcode), (expected, 0));
}
