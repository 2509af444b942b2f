//! Against programs that only pretend: how they are called, and what is made of what they say.
//! The real apt is met in `tests/system/packages.rs`.

mod apt;
mod dnf;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::Context;
use super::super::Fault;
use super::super::testing::fakes::Fakes;
use super::super::testing::{assert_shape, call, context, returned};
use super::super::tool::Done;
use super::entire;
use crate::grains::Grains;

/// The context of a machine of this family of distributions.
fn machine(family: &str) -> Context {
    let grains = Map::from_iter([("os_family".to_owned(), json!(family))]);
    let grains = Grains::load("m1".parse().unwrap(), grains, None).unwrap();
    Context { grains: Arc::new(grains), ..context() }
}

/// What the function gives, with its retcode.
async fn run(fakes: &Fakes, family: &str, function: &str, arguments: Value, keywords: Value) -> (Value, i32) {
    let context = fakes.context(machine(family));
    let result = returned(&[call(function, arguments, keywords)], &context).await;
    if result.retcode == 0 {
        assert_shape(function, &result.value);
    }
    (result.value, result.retcode)
}

#[tokio::test]
async fn other_families_are_told_so() {
    for function in ["pkg.list_pkgs", "pkg.refresh_db", "pkg.upgrade"] {
        let (value, retcode) = run(&Fakes::new(), "Arch", function, json!([]), json!({})).await;
        let why = "ERROR: packages are handled with apt (os_family Debian) and with dnf (RedHat), and the os_family \
                   of this machine is Arch";
        assert_eq!((value, retcode), (json!(why), 1));
    }
    let (value, _) = run(&Fakes::new(), "Debian", "pkg.list_pkgs", json!([]), json!({})).await;
    assert_eq!(value, "ERROR: this needs the program \"dpkg\", which is not installed");
    let (value, _) = run(&Fakes::new(), "RedHat", "pkg.list_pkgs", json!([]), json!({})).await;
    assert_eq!(value, "ERROR: this needs the program \"rpm\", which is not installed");
}

#[tokio::test]
async fn arguments_that_make_no_sense() {
    let fakes = Fakes::new();
    for (function, arguments, keywords, words) in [
        ("pkg.install", json!([]), json!({}), "One of name or pkgs must be specified."),
        ("pkg.hold", json!([]), json!({}), "One of name or pkgs must be specified."),
        ("pkg.install", json!(["-oDir::Etc=/tmp"]), json!({}), "no name of a package"),
        ("pkg.install", json!(["vim"]), json!({"fromrepo": "-oX"}), "no name of a release or repository"),
        ("pkg.install", json!(["vim"]), json!({"install_recommends": 3}), "either True or False"),
        ("pkg.install", json!(["vim"]), json!({"hold": true}), "not valid: hold=True"),
        ("pkg.version", json!(["vim"]), json!({"x": 1}), "not valid: x=1"),
        ("pkg.latest_version", json!(["-x"]), json!({}), "no name of a package"),
        // Salt takes the name for `refresh`, and upgrades everything.
        ("pkg.upgrade", json!(["nginx"]), json!({}), "'refresh' is either True or False"),
    ] {
        let (value, retcode) = run(&fakes, "Debian", function, arguments, keywords).await;
        assert_eq!(retcode, 1);
        assert!(value.as_str().unwrap().contains(words), "{value}");
    }
    assert!(fakes.calls().is_empty());
    let (value, retcode) = run(&fakes, "Debian", "pkg.install", json!([]), json!({"pkgs": []})).await;
    assert_eq!((value, retcode), (json!({}), 0));
}

#[test]
fn half_a_list_is_no_list() {
    let done = |is_cut| Done { retcode: Some(0), stdout: "vim".to_owned(), stderr: String::new(), is_cut };
    assert_eq!(entire(done(false)), Ok("vim".to_owned()));
    let why = "the package manager lists more than 16777216 bytes".to_owned();
    assert_eq!(entire(done(true)), Err(Fault::Execution(why)));
}
