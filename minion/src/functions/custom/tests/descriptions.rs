//! What modules may say of themselves, and when they are asked.

use std::time::Duration;

use serde_json::Map;

use super::super::super::testing::assert_shape;
use super::super::ask;
use super::super::description::Description;
use super::*;

fn read(description: &Value) -> Result<usize, String> {
    let read = Description::read("m", "/m".as_ref(), &description.to_string());
    read.map(|description| description.functions.len())
}

#[test]
fn shapes() {
    let function = |parameters: Value| json!({"functions": {"f": {"doc": "", "parameters": parameters}}});
    let parameter = |name: &str| json!({"name": name, "doc": ""});
    let keyword = |name: &str| json!({"name": name, "keyword": true, "doc": ""});
    let optional = |name: &str| json!({"name": name, "default": null, "doc": ""});
    assert_eq!(read(&json!({"functions": {}})), Ok(0));
    assert_eq!(read(&function(json!([parameter("a"), optional("b"), keyword("c")]))), Ok(1));
    let order = "of its function f, parameters without a default come first, those with one next, those by \
                 keyword last";
    for (description, part) in [
        (json!([]), "describe has to print"),
        (json!({}), "missing field `functions`"),
        (json!({"functions": {}, "version": 1}), "unknown field `version`"),
        (json!({"functions": {"f": {}}}), "missing field `doc`"),
        (json!({"functions": {"f": "x"}}), "invalid type"),
        (json!({"functions": {"f": {"doc": "", "repeatable": true}}}), "unknown field `repeatable`"),
        (json!({"functions": {"a.b": {"doc": ""}}}), "a function \"a.b\", which is not a name"),
        (json!({"functions": {"": {"doc": ""}}}), "which is not a name"),
        (json!({"functions": {"é": {"doc": ""}}}), "which is not a name"),
        (json!({"functions": {"x".repeat(65): {"doc": ""}}}), "which is not a name"),
        (function(json!([{"name": "a"}])), "missing field `doc`"),
        (function(json!([parameter("1a")])), "a parameter \"1a\", which is not a name"),
        (function(json!([parameter("a"), parameter("a")])), "the parameter a twice"),
        (function(json!([optional("a"), parameter("b")])), order),
        (function(json!([keyword("a"), parameter("b")])), order),
    ] {
        let error = read(&description).unwrap_err();
        assert!(error.contains(part) && !error.contains('\n'), "{description}: {error}");
    }
}

#[test]
fn limits() {
    let functions = |count: usize| {
        let all: Map<String, Value> = (0..count).map(|n| (format!("f{n}"), json!({"doc": ""}))).collect();
        json!({ "functions": all })
    };
    let parameters = |count: usize| {
        let all: Vec<Value> = (0..count).map(|n| json!({"name": format!("p{n}"), "doc": ""})).collect();
        json!({"functions": {"f": {"doc": "", "parameters": all}}})
    };
    assert_eq!((read(&functions(256)), read(&parameters(64))), (Ok(256), Ok(1)));
    assert_eq!(read(&functions(257)), Err("it describes 257 functions, more than 256".to_owned()));
    let many = "of its function f, it describes 65 parameters, more than 64";
    assert_eq!(read(&parameters(65)), Err(many.to_owned()));
}

#[tokio::test]
async fn what_goes_wrong_when_asked() {
    let rig = Rig::new();
    for (describe, expected) in [
        (
            ":",
            "describe has to print {\"functions\": {…}} as JSON: EOF while parsing a value at line 1 column 0",
        ),
        ("echo 'no tape\n\u{1b}[31mdrive' >&2; exit 3", "describe ended with 3: no tape \\u{1b}[31mdrive"),
        ("exit 3", "describe ended with 3: it said nothing"),
        ("head -c 400000 /dev/zero", "it describes itself in more than 262144 bytes"),
    ] {
        rig.script("m.sh", describe, ":");
        assert_eq!(rig.refusal("m.f").await, expected);
    }
    // An error does not repeat all of what a module had to say.
    rig.script("m.sh", "head -c 5000 /dev/zero | tr '\\0' x >&2; exit 1", ":");
    let long = rig.refusal("m.f").await;
    assert!(long.len() < 400 && long.ends_with("x…"), "{long}");
    rig.put("m.sh", "#!/no/such/interpreter\n", 0o700);
    let missing = rig.refusal("m.f").await;
    assert!(missing.contains("cannot be run") && missing.contains("No such file"), "{missing}");
}

#[tokio::test]
async fn one_that_does_not_answer_is_given_up() {
    let rig = Rig::new();
    rig.script("m", "exec sleep 600", ":");
    let candidates = rig.context.modules.candidates(Some("m")).await;
    let asked = ask(&candidates[0], Duration::from_millis(50), &rig.context).await;
    assert_eq!(asked.map(|_| ()), Err("describe did not end within 50ms".to_owned()));
}

#[tokio::test]
async fn asked_once_until_it_changes() {
    let rig = Rig::new();
    let asked = rig.path(".asked");
    let describe = |function: &str| format!("echo >> {}; echo '{}'", asked.display(), one(function));
    let count = || fs::read_to_string(&asked).map_or(0, |text| text.len());
    rig.script("m", &describe("f"), "echo '{\"return\": 1}'");
    for _ in 0..3 {
        assert_eq!(rig.call("m.f", json!([]), json!({})).await, (json!(1), 0));
        assert_eq!(rig.call("sys.list_functions", json!(["m"]), json!({})).await.0, json!(["m.f"]));
    }
    assert_eq!(count(), 1);
    // Nobody else's documentation needs it.
    rig.context.modules.forget();
    assert_eq!(rig.call("sys.list_functions", json!(["test.ping"]), json!({})).await.0, json!(["test.ping"]));
    assert_eq!(count(), 1);
    // Asked before it returns.
    let reloaded = rig.call("sys.reload_modules", json!([]), json!({})).await;
    assert_shape("sys.reload_modules", &reloaded.0);
    assert_eq!((reloaded, count()), ((json!(true), 0), 2));
    rig.script("m", &describe("g"), "echo '{\"return\": 2}'");
    assert_eq!(rig.call("m.g", json!([]), json!({})).await, (json!(2), 0));
    assert_eq!(rig.call("m.f", json!([]), json!({})).await.1, UNAVAILABLE);
    assert_eq!(count(), 3);
    fs::remove_file(rig.path("m")).unwrap();
    let gone = rig.call("m.g", json!([]), json!({})).await;
    assert_eq!(gone, (json!("'m.g' is not available."), UNAVAILABLE));
    // In another folder from now on.
    let other = Rig::new();
    other.module("n", &one("f"), "echo '{\"return\": 3}'");
    rig.context.modules.move_to(other.folder.path().to_owned());
    assert_eq!(rig.call("n.f", json!([]), json!({})).await, (json!(3), 0));
}

#[tokio::test]
async fn one_that_failed_is_not_asked_at_every_turn() {
    let rig = Rig::new();
    let asked = rig.path(".asked");
    rig.script("m", &format!("echo >> {}; exit 1", asked.display()), ":");
    for _ in 0..3 {
        rig.refusal("m.f").await;
    }
    assert_eq!(fs::read_to_string(&asked).unwrap().len(), 1);
    for held in rig.context.modules.lock().held.values_mut() {
        held.until = held.until.and_then(|until| until.checked_sub(Duration::from_secs(61)));
    }
    rig.refusal("m.f").await;
    assert_eq!(fs::read_to_string(&asked).unwrap().len(), 2);
}
