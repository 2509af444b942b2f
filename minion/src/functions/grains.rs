//! `grains.*`: reading and setting grains.

use serde_json::{Map, Value};

use super::bind::Bound;
use super::{Context, Fault, Function, Outcome, keyword, optional, required};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function {
            name: "grains.items",
            doc: "Returns all grains.\n\nExample:\n    brine '*' grains.items",
            parameters: &[],
            is_variadic: false,
            body: |context, _| Box::pin(items(context)),
        },
        Function {
            name: "grains.ls",
            doc: "Returns the names of all grains.\n\nExample:\n    brine '*' grains.ls",
            parameters: &[],
            is_variadic: false,
            body: |context, _| Box::pin(ls(context)),
        },
        Function {
            name: "grains.get",
            doc: "Returns a grain, or what is inside of it.\n\n\
                  Arguments:\n    key: name of the grain; further names and list positions behind ':' (text)\n    \
                  default: returned when there is none, an empty text when not given (any)\n    \
                  delimiter: what separates names, ':' when not given (text)\n\n\
                  Example:\n    brine '*' grains.get ip4_interfaces:lo",
            parameters: const { &[required("key"), optional("default", "\"\""), optional("delimiter", "\":\"")] },
            is_variadic: false,
            body: |context, bound| Box::pin(get(context, bound)),
        },
        Function {
            name: "grains.setval",
            doc: "Sets a grain in the minion's grains file and returns it.\n\n\
                  Arguments:\n    key: name of the grain (text)\n    val: its value (any)\n    \
                  destructive: True makes a val of None remove the grain (boolean)\n\n\
                  Example:\n    brine '*' grains.setval roles '[web, db]'",
            parameters: const { &[required("key"), required("val"), keyword("destructive", "false")] },
            is_variadic: false,
            body: |context, bound| Box::pin(setval(context, bound)),
        },
    ]
}

async fn items(context: Context) -> Result<Outcome, Fault> {
    Ok(Outcome::from(Value::Object(context.grains.all().as_ref().clone())))
}

async fn ls(context: Context) -> Result<Outcome, Fault> {
    let mut names: Vec<String> = context.grains.all().keys().cloned().collect();
    names.sort();
    Ok(Outcome::from(names))
}

async fn get(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (key, default, delimiter) = (bound.text("key")?, bound.value("default"), bound.text("delimiter")?);
    if delimiter.is_empty() {
        return Err(Fault::Invocation("'delimiter' cannot be empty".to_owned()));
    }
    let grains = context.grains.all();
    Ok(Outcome::from(traverse(&grains, &key, &delimiter).cloned().unwrap_or(default)))
}

/// Follows `key` into maps, by position into lists, and by name into the maps of a list.
fn traverse<'a>(grains: &'a Map<String, Value>, key: &str, delimiter: &str) -> Option<&'a Value> {
    let mut names = key.split(delimiter);
    let first = grains.get(names.next()?)?;
    names.try_fold(first, |value, name| match value {
        Value::Object(map) => map.get(name),
        Value::Array(list) => match name.parse::<usize>() {
            Ok(position) => list.get(position),
            Err(_) => list.iter().find_map(|entry| entry.get(name)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

async fn setval(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (key, value, destructive) = (bound.text("key")?, bound.value("val"), bound.flag("destructive")?);
    let mut answer = Map::new();
    answer.insert(key.clone(), value.clone());
    let grains = context.grains.clone();
    let kept = (!destructive || !value.is_null()).then_some(value);
    // It waits for the disk, and is done as a whole even when nobody waits any more.
    match tokio::task::spawn_blocking(move || grains.set(&key, kept)).await {
        Ok(Ok(())) => Ok(Outcome::from(Value::Object(answer))),
        Ok(Err(why)) => Err(Fault::Execution(why.to_string())),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Fault::Execution("the minion is stopping".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{call, context, returned};
    use super::*;

    #[test]
    fn traversal() {
        let grains = json!({"a": {"b": {"c": 1}}, "l": ["x", {"k": "v"}, {"k": "w"}], "t": "text", "a:b": 2});
        let grains = grains.as_object().unwrap();
        for (key, delimiter, expected) in [
            ("a:b:c", ":", Some(json!(1))),
            ("a|b|c", "|", Some(json!(1))),
            ("a::b", "::", Some(json!({"c": 1}))),
            ("l:0", ":", Some(json!("x"))),
            ("l:k", ":", Some(json!("v"))),
            ("l:9", ":", None),
            ("t:x", ":", None),
            ("a:x", ":", None),
            ("", ":", None),
            ("a:b", "|", Some(json!(2))),
        ] {
            assert_eq!(traverse(grains, key, delimiter), expected.as_ref(), "{key} {delimiter}");
        }
    }

    #[tokio::test]
    async fn get_and_its_defaults() {
        let context = context();
        let get = async |args: Value, keywords: Value| {
            returned(&[call("grains.get", args, keywords)], &context).await
        };
        assert_eq!(get(json!(["nosuch"]), json!({})).await.value, "");
        assert_eq!(get(json!(["nosuch", "dflt"]), json!({})).await.value, "dflt");
        assert_eq!(get(json!(["ip4_interfaces:lo"]), json!({})).await.value, json!(["127.0.0.1"]));
        let by_delimiter = get(json!(["ip4_interfaces|lo"]), json!({"delimiter": "|"})).await;
        assert_eq!(by_delimiter.value, json!(["127.0.0.1"]));
        assert_eq!(get(json!(["id"]), json!({"delimiter": ""})).await.retcode, 1);
        assert_eq!(get(json!(["id"]), json!({})).await.value, "m1");
    }

    #[tokio::test]
    async fn setval_is_seen_by_all() {
        let context = context();
        let set = call("grains.setval", json!(["roles", ["web"]]), json!({}));
        let result = returned(std::slice::from_ref(&set), &context).await;
        assert_eq!((result.value, result.retcode), (json!({"roles": ["web"]}), 0));
        let read = |name: &str| call("grains.get", json!([name]), json!({}));
        assert_eq!(returned(&[read("roles:0")], &context).await.value, "web");
        let items = returned(&[call("grains.items", json!([]), json!({}))], &context).await.value;
        assert_eq!(items["roles"], json!(["web"]));
        let names = returned(&[call("grains.ls", json!([]), json!({}))], &context).await.value;
        assert!(names.as_array().unwrap().contains(&json!("roles")));

        let null = |keywords: Value| call("grains.setval", json!(["roles", null]), keywords);
        returned(&[null(json!({}))], &context).await;
        assert_eq!(returned(&[read("roles")], &context).await.value, Value::Null);
        returned(&[null(json!({"destructive": true}))], &context).await;
        assert_eq!(returned(&[read("roles")], &context).await.value, "");

        let refused = returned(&[call("grains.setval", json!(["id", "x"]), json!({}))], &context).await;
        assert_eq!(refused.value, "ERROR: the grain \"id\" is the minion's id and cannot be set");
        assert_eq!(refused.retcode, 1);
    }
}
