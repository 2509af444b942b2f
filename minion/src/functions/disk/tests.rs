use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::Context;
use super::super::testing::{assert_shape, call, context, returned};
use super::super::tool::Tool;

async fn value(function: &str, arguments: Value) -> Value {
    let result = returned(&[call(function, arguments, json!({}))], &context()).await;
    assert_eq!(result.retcode, 0, "{function}: {}", result.value);
    assert_shape(function, &result.value);
    result.value
}

/// What `df` says: mount point, then its other columns.
async fn df(letters: &str) -> BTreeMap<String, Vec<String>> {
    let text = Tool::new("df", [letters]).output(&context()).await.unwrap();
    let row = |line: &str| {
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        words.pop().map(|point| (point, words))
    };
    text.lines().skip(1).filter_map(row).collect()
}

#[tokio::test]
async fn usage_is_that_of_df() {
    let before = df("-P").await;
    let found = value("disk.usage", json!([])).await;
    let after = df("-P").await;
    // Others may mount something while we look.
    let points = || found.as_object().unwrap().keys();
    assert!(points().all(|point| before.contains_key(point) || after.contains_key(point)), "{found}");
    for (point, columns) in before.iter().filter(|(point, _)| after.contains_key(*point)) {
        // What is used changes all the time.
        let entry = &found[point];
        let expected = (&json!(columns[0]), &json!(columns[1]));
        assert_eq!((&entry["filesystem"], &entry["1K-blocks"]), expected, "{point}");
        assert!(entry["capacity"].as_str().unwrap().ends_with(['%', '-']), "{entry}");
    }
    let all = value("disk.usage", json!(["-ah"])).await;
    assert!(all.as_object().unwrap().contains_key("/proc"), "{all}");
    assert_eq!(all["/proc"]["1K-blocks"], "0");
    let bad = returned(&[call("disk.usage", json!(["x; rm"]), json!({}))], &context()).await;
    assert_eq!(bad.retcode, 1);
}

#[tokio::test]
async fn inodes_are_those_of_df() {
    let found = value("disk.inodeusage", json!([])).await;
    let df = df("-iP").await;
    assert_eq!(found["/"]["filesystem"], df["/"][0]);
    let root = &found["/"];
    let number = |name: &str| root[name].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(number("inodes"), number("used") + number("free"));
}

#[tokio::test]
async fn percent_of_all_or_one() {
    let all = value("disk.percent", json!([])).await;
    let root = value("disk.percent", json!(["/"])).await;
    assert!(all["/"].is_string() && root.as_str().unwrap().ends_with('%'), "{root}");
    let none = returned(&[call("disk.percent", json!(["/nowhere"]), json!({}))], &context()).await;
    assert_eq!((none.value, none.retcode), (json!("ERROR: no file system is mounted at \"/nowhere\""), 1));
}

#[tokio::test]
async fn more_than_fits_is_cut_and_marked() {
    let small = Context { output_max: 10, ..context() };
    let cut = returned(&[call("disk.usage", json!(["a"]), json!({}))], &small).await;
    assert!(cut.truncated && cut.value == json!({}), "{}", cut.value);
}
