use super::*;

const BEFORE: &str = "bash\t(none)\t5.1.8\t9.el9\tx86_64\nnginx\t1\t1.20.1\t14.el9\tx86_64\n";
const AFTER: &str =
    "bash\t(none)\t5.1.8\t9.el9\tx86_64\nnginx\t1\t1.24.0\t1.el9\tx86_64\nmc\t1\t4.8\t2.el9\tx86_64\n";
const DNF: &str = "dnf --quiet --assumeyes --setopt=exit_on_lock=True";

fn redhat(listings: &[&str]) -> Fakes {
    let mut fakes = Fakes::new();
    let replies: Vec<(i32, &str, &str)> = listings.iter().map(|listing| (0, *listing, "")).collect();
    fakes.answer("rpm", "--eval %{_host_cpu}", &[(0, "x86_64\n", "")]).answer(
        "rpm",
        "--query --all",
        &replies,
    );
    fakes
}

/// How dnf was called, without what all calls have in common.
fn deeds(fakes: &Fakes) -> Vec<String> {
    let deed = |call: String| call.strip_prefix(DNF).map(|rest| rest.trim().to_owned());
    fakes.calls().into_iter().filter_map(deed).collect()
}

async fn dnf(fakes: &Fakes, function: &str, arguments: Value, keywords: Value) -> (Value, i32) {
    run(fakes, "RedHat", function, arguments, keywords).await
}

#[tokio::test]
async fn what_is_installed() {
    let fakes = redhat(&[BEFORE]);
    let (value, _) = dnf(&fakes, "pkg.list_pkgs", json!([]), json!({})).await;
    assert_eq!(value, json!({"bash": "5.1.8-9.el9", "nginx": "1:1.20.1-14.el9"}));
    let query = r"rpm --query --all --nodigest --nosignature --queryformat=%{NAME}\t%{EPOCH}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\n";
    assert_eq!(fakes.calls(), [query, "rpm --eval %{_host_cpu}"]);
    for listed in ["removed", "purge_desired"] {
        assert_eq!(dnf(&fakes, "pkg.list_pkgs", json!([]), json!({listed: true})).await, (json!({}), 0));
    }
    assert_eq!(dnf(&fakes, "pkg.version", json!(["bash"]), json!({})).await, (json!("5.1.8-9.el9"), 0));
}

#[tokio::test]
async fn changes_and_their_arguments() {
    let changed = json!({
        "mc": {"old": "", "new": "1:4.8-2.el9"},
        "nginx": {"old": "1:1.20.1-14.el9", "new": "1:1.24.0-1.el9"},
    });
    for (function, arguments, keywords, expected) in [
        ("pkg.install", json!(["mc"]), json!({}), "install mc"),
        ("pkg.install", json!(["mc"]), json!({"version": "4.8-2.el9"}), "install mc-4.8-2.el9"),
        (
            "pkg.install",
            json!([]),
            json!({"pkgs": [{"glibc.i686": "2.34-100.el9"}, {"java-1.8": "1"}], "install_recommends": false}),
            "--setopt=install_weak_deps=False install glibc-2.34-100.el9.i686 java-1.8-1",
        ),
        (
            "pkg.install",
            json!(["mc"]),
            json!({"fromrepo": "epel"}),
            "--disablerepo=* --enablerepo=epel install mc",
        ),
        ("pkg.install", json!(["nginx,mc"]), json!({"only_upgrade": true}), "upgrade nginx"),
        ("pkg.remove", json!(["ng*"]), json!({}), "remove nginx"),
        ("pkg.purge", json!(["bash"]), json!({}), "remove bash"),
        ("pkg.upgrade", json!([]), json!({"refresh": false}), "upgrade"),
    ] {
        let mut fakes = redhat(&[BEFORE, AFTER]);
        fakes.answer("dnf", "", &[(0, "", "")]);
        let (value, retcode) = dnf(&fakes, function, arguments, keywords).await;
        assert_eq!((value, retcode), (changed.clone(), 0), "{function}");
        assert_eq!(deeds(&fakes), [expected], "{function}");
    }
    let fakes = redhat(&[BEFORE]);
    assert_eq!(dnf(&fakes, "pkg.remove", json!(["mc"]), json!({})).await, (json!({}), 0));
    let only = json!({"only_upgrade": true});
    assert_eq!(dnf(&fakes, "pkg.install", json!(["mc"]), only).await, (json!({}), 0));
    assert!(deeds(&fakes).is_empty());
}

#[tokio::test]
async fn failures_and_locks() {
    let mut fakes = redhat(&[BEFORE, AFTER]);
    fakes.answer("dnf", "install", &[(1, "", "Error: Unable to find a match: nosuch")]);
    let (value, retcode) = dnf(&fakes, "pkg.install", json!(["nosuch"]), json!({})).await;
    let text = "ERROR: Problem encountered installing package(s). Additional info follows:\n\nchanges:\n    \
                mc: (none) -> 1:4.8-2.el9\n    nginx: 1:1.20.1-14.el9 -> 1:1.24.0-1.el9\nerrors:\n    \
                Error: Unable to find a match: nosuch";
    assert_eq!((value, retcode), (json!(text), 1));

    let lock = "Existing lock /var/lib/dnf/rpmdb_lock.pid: another copy is running as pid 9.";
    let mut fakes = redhat(&[BEFORE]);
    fakes.answer("dnf", "", &[(200, "", lock)]);
    let (value, retcode) = dnf(&fakes, "pkg.remove", json!(["bash"]), json!({"lock_timeout": 0})).await;
    let text = format!(
        "ERROR: dnf's lock was held by another process for 0 seconds: nothing was changed, try again when it is free \
         ({lock})"
    );
    assert_eq!((value, retcode), (json!(text), 1));
}

#[tokio::test]
async fn refreshing_and_what_is_newer() {
    let mut fakes = redhat(&[BEFORE]);
    let upgrades = "Available Upgrades\nnginx.x86_64  1:1.24.0-1.el9  appstream\n";
    let available = "Available Packages\nmc.x86_64  1:4.8-2.el9  appstream\n";
    fakes
        .answer("dnf", "clean expire-cache", &[(0, "", "")])
        .answer("dnf", "check-update", &[(100, upgrades, ""), (0, "", ""), (1, "", "Error: no network")])
        .answer("dnf", "list --upgrades bash", &[(1, "", "Error: No matching Packages to list")])
        .answer("dnf", "list --upgrades", &[(0, upgrades, "")])
        .answer("dnf", "list --available", &[(0, available, "")]);
    for expected in [(json!(true), 0), (json!(null), 0), (json!("ERROR: Error: no network"), 1)] {
        assert_eq!(dnf(&fakes, "pkg.refresh_db", json!([]), json!({})).await, expected);
        assert_eq!(deeds(&fakes), ["clean expire-cache", "check-update"]);
    }
    let still = json!({"refresh": false});
    for (function, arguments, expected, calls) in [
        ("pkg.list_upgrades", json!([]), json!({"nginx": "1:1.24.0-1.el9"}), &["list --upgrades"][..]),
        ("pkg.latest_version", json!(["nginx"]), json!("1:1.24.0-1.el9"), &["list --upgrades nginx"]),
        (
            "pkg.available_version",
            json!(["nginx", "mc"]),
            json!({"nginx": "1:1.24.0-1.el9", "mc": "1:4.8-2.el9"}),
            &["list --upgrades nginx", "list --available mc"],
        ),
        ("pkg.upgrade_available", json!(["bash"]), json!(false), &["list --upgrades bash"]),
    ] {
        let (value, retcode) = dnf(&fakes, function, arguments, still.clone()).await;
        assert_eq!((value, retcode), (expected, 0), "{function}");
        assert_eq!(deeds(&fakes), calls);
    }
}

#[tokio::test]
async fn holding() {
    let mut fakes = Fakes::new();
    fakes
        .answer("dnf", "versionlock list", &[(0, "nginx-1:1.20.1-14.el9.*\n", "")])
        .answer("dnf", "versionlock add gone", &[(1, "", "No package found for: gone")])
        .answer("dnf", "versionlock", &[(0, "", "")]);
    let answer = |name: &str, changes: Value, result: bool, comment: &str| json!({"name": name, "changes": changes, "result": result, "comment": comment});
    let (value, retcode) = dnf(&fakes, "pkg.hold", json!(["mc,nginx,gone"]), json!({})).await;
    let why = "Package gone was unable to be held: No package found for: gone";
    let expected = json!({
        "mc": answer("mc", json!({"old": "", "new": "hold"}), true, "Package mc is now being held."),
        "nginx": answer("nginx", json!({}), true, "Package nginx is already set to be held."),
        "gone": answer("gone", json!({}), false, why),
    });
    assert_eq!((value, retcode), (expected, 1));
    assert_eq!(deeds(&fakes), ["versionlock list", "versionlock add mc", "versionlock add gone"]);
    let (value, retcode) = dnf(&fakes, "pkg.unhold", json!(["mc,nginx"]), json!({})).await;
    let expected = json!({
        "mc": answer("mc", json!({}), true, "Package mc is not being held."),
        "nginx": answer("nginx", json!({"old": "hold", "new": ""}), true, "Package nginx is no longer held."),
    });
    assert_eq!((value, retcode), (expected, 0));
    assert_eq!(deeds(&fakes), ["versionlock list", "versionlock delete nginx"]);

    let mut fakes = Fakes::new();
    fakes.answer("dnf", "", &[(1, "", "No such command: versionlock. Please use /usr/bin/dnf --help")]);
    let (value, retcode) = dnf(&fakes, "pkg.hold", json!(["mc"]), json!({})).await;
    assert!(retcode == 1 && value.as_str().unwrap().contains("python3-dnf-plugin-versionlock"), "{value}");
}
