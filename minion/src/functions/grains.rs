//! `grains.*`: reading and setting grains.

use serde_json::{Map, Value, json};

use super::bind::Bound;
use super::{Context, Fault, Function, Outcome, Parameter, keyword, optional, required, text_of};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("grains.items", |context, _| Box::pin(items(context)), "Returns all grains."),
        Function::new("grains.ls", |context, _| Box::pin(ls(context)), "Returns the names of all grains."),
        Function::new(
            "grains.get",
            |context, bound| Box::pin(get(context, bound)),
            "Returns a grain, or what is inside of it.",
        )
        .takes(
            const {
                &[
                    required("key", "name of the grain; further names and list positions behind ':' (text)"),
                    optional(
                        "default",
                        "\"\"",
                        "returned when there is none, an empty text when not given (any)",
                    ),
                    optional("delimiter", "\":\"", "what separates names, ':' when not given (text)"),
                ]
            },
        )
        .example("grains.get ip4_interfaces:lo"),
        Function::new(
            "grains.setval",
            |context, bound| Box::pin(setval(context, bound)),
            "Sets a grain in the minion's grains file.",
        )
        .takes(
            const {
                &[
                    required("key", "name of the grain (text)"),
                    required("val", "its value (any)"),
                    keyword("destructive", "false", "True makes a val of None remove the grain (boolean)"),
                ]
            },
        )
        .returns("{grain: value}")
        .example("grains.setval roles '[web, db]'"),
        Function::new(
            "grains.item",
            |context, bound| Box::pin(item(context, bound)),
            "Returns some grains by name.",
        )
        .takes(
            const {
                &[
                    keyword("default", "\"\"", "the value of those that there are not (any)"),
                    keyword("delimiter", "\":\"", "what separates names, ':' when not given (text)"),
                ]
            },
        )
        .takes_more("names of grains, further names behind ':' (text)")
        .returns("{name: value}")
        .example("grains.item os osrelease"),
        Function::new(
            "grains.has_value",
            |context, bound| Box::pin(has_value(context, bound)),
            "Returns whether a grain is there and is not empty, 0 or False.",
        )
        .takes(KEY)
        .example("grains.has_value os"),
        Function::new(
            "grains.equals",
            |context, bound| Box::pin(equals(context, bound)),
            "Returns whether a grain has this value, compared as text.",
        )
        .takes(const { &[KEY_ONLY, required("value", "the value (any)")] })
        .example("grains.equals os Debian"),
        Function::new(
            "grains.setvals",
            |context, bound| Box::pin(setvals(context, bound)),
            "Sets several grains in the minion's grains file.",
        )
        .takes(
            const {
                &[
                    required("grains", "names and values (map)"),
                    keyword("destructive", "false", "True makes a value of None remove the grain (boolean)"),
                ]
            },
        )
        .returns("{grain: value}")
        .example("grains.setvals '{role: web, tier: gold}'"),
        Function::new(
            "grains.append",
            |context, bound| Box::pin(append(context, bound)),
            "Puts a value at the end of a grain that is a list.",
        )
        .takes(
            const {
                &[
                    KEY_ONLY,
                    required("val", "the value (any)"),
                    optional("convert", "false", "True makes a list of a grain that is none (boolean)"),
                ]
            },
        )
        .returns("{grain: list}, or a sentence when nothing was to be done")
        .example("grains.append roles db"),
        Function::new(
            "grains.remove",
            |context, bound| Box::pin(remove(context, bound)),
            "Takes a value out of a grain that is a list.",
        )
        .takes(const { &[KEY_ONLY, required("val", "the value (any)")] })
        .returns("{grain: list}, or a sentence when nothing was to be done")
        .example("grains.remove roles db"),
        Function::new(
            "grains.delval",
            |context, bound| Box::pin(delete(context, bound, false)),
            "Sets a grain to None in the minion's grains file.",
        )
        .takes(KEY)
        .returns("{comment, changes: {grain: None}, result: True}")
        .example("grains.delval role"),
        Function::new(
            "grains.delkey",
            |context, bound| Box::pin(delete(context, bound, true)),
            "Takes a grain out of the minion's grains file.",
        )
        .takes(KEY)
        .returns("{comment, changes: {grain: None}, result: True}")
        .example("grains.delkey role"),
    ]
}

const KEY_ONLY: Parameter = required("key", "name of the grain; further names behind ':' (text)");

const KEY: &[Parameter] = &[KEY_ONLY];

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
pub(super) fn traverse<'a>(tree: &'a Map<String, Value>, key: &str, delimiter: &str) -> Option<&'a Value> {
    let mut names = key.split(delimiter);
    let first = tree.get(names.next()?)?;
    names.try_fold(first, |value, name| match value {
        Value::Object(map) => map.get(name),
        Value::Array(list) => match name.parse::<usize>() {
            Ok(position) => list.get(position),
            Err(_) => list.iter().find_map(|entry| entry.get(name)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

async fn item(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (default, delimiter) = (bound.value("default"), bound.text("delimiter")?);
    if let Some((name, value)) = bound.extra.iter().next() {
        let why = format!("The following keyword arguments are not valid: {name}={}", text_of(value));
        return Err(Fault::Invocation(why));
    }
    let grains = context.grains.all();
    let wanted = bound.rest.iter().map(|name| {
        let name = text_of(name);
        let value = traverse(&grains, &name, &delimiter).cloned().unwrap_or_else(|| default.clone());
        (name, value)
    });
    Ok(Outcome::from(Value::Object(wanted.collect())))
}

async fn has_value(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (key, grains) = (bound.text("key")?, context.grains.all());
    let has_value = traverse(&grains, &key, ":").is_some_and(|value| match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    });
    Ok(Outcome::from(has_value))
}

async fn equals(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (key, value, grains) = (bound.text("key")?, bound.value("value"), context.grains.all());
    Ok(Outcome::from(traverse(&grains, &key, ":").is_some_and(|found| text_of(found) == text_of(&value))))
}

async fn setval(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (key, value, destructive) = (bound.text("key")?, bound.value("val"), bound.flag("destructive")?);
    set(&context, key.clone(), value.clone(), destructive).await?;
    Ok(one(key, value))
}

async fn setvals(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let Value::Object(grains) = bound.value("grains") else {
        return Err(Fault::Invocation("'grains' needs a map of names and values".to_owned()));
    };
    let destructive = bound.flag("destructive")?;
    for (key, value) in &grains {
        set(&context, key.clone(), value.clone(), destructive).await?;
    }
    Ok(Outcome::from(Value::Object(grains)))
}

async fn append(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (key, val, convert) = (bound.text("key")?, bound.value("val"), bound.flag("convert")?);
    let mut list = match context.grains.all().get(&key) {
        None => Vec::new(),
        Some(Value::Array(list)) => list.clone(),
        Some(other) if convert => vec![other.clone()],
        Some(_) => return Ok(Outcome::from(format!("The key {key} is not a valid list"))),
    };
    if list.contains(&val) {
        return Ok(Outcome::from(format!("The val {} was already in the list {key}", text_of(&val))));
    }
    list.push(val);
    set(&context, key.clone(), Value::Array(list.clone()), false).await?;
    Ok(one(key, Value::Array(list)))
}

async fn remove(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (key, val) = (bound.text("key")?, bound.value("val"));
    let mut list = match context.grains.all().get(&key) {
        None => Vec::new(),
        Some(Value::Array(list)) => list.clone(),
        Some(_) => return Ok(Outcome::from(format!("The key {key} is not a valid list"))),
    };
    let Some(at) = list.iter().position(|member| *member == val) else {
        return Ok(Outcome::from(format!("The val {} was not in the list {key}", text_of(&val))));
    };
    list.remove(at);
    set(&context, key.clone(), Value::Array(list.clone()), false).await?;
    Ok(one(key, Value::Array(list)))
}

async fn delete(context: Context, mut bound: Bound, destructive: bool) -> Result<Outcome, Fault> {
    let key = bound.text("key")?;
    set(&context, key.clone(), Value::Null, destructive).await?;
    Ok(Outcome::from(json!({"comment": "", "changes": {key: null}, "result": true})))
}

fn one(key: String, value: Value) -> Outcome {
    Outcome::from(Value::Object([(key, value)].into_iter().collect()))
}

/// Writes a grain; null takes it out where that is asked for.
async fn set(context: &Context, key: String, value: Value, destructive: bool) -> Result<(), Fault> {
    let grains = context.grains.clone();
    let kept = (!destructive || !value.is_null()).then_some(value);
    // It waits for the disk, and is done as a whole even when nobody waits any more.
    match tokio::task::spawn_blocking(move || grains.set(&key, kept)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(why)) => Err(Fault::Execution(why.to_string())),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Fault::Execution("the minion is stopping".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_shape, call, context, returned};
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

    #[tokio::test]
    async fn lists_and_values_change_as_in_salt() {
        let context = context();
        for (function, args, keywords, expected) in [
            (
                "grains.setvals",
                json!([{"role": "web", "tier": "gold"}]),
                json!({}),
                json!({"role": "web", "tier": "gold"}),
            ),
            (
                "grains.item",
                json!(["role", "nosuch"]),
                json!({"default": 0}),
                json!({"role": "web", "nosuch": 0}),
            ),
            ("grains.has_value", json!(["role"]), json!({}), json!(true)),
            ("grains.has_value", json!(["nosuch"]), json!({}), json!(false)),
            ("grains.equals", json!(["role", "web"]), json!({}), json!(true)),
            ("grains.equals", json!(["role", "db"]), json!({}), json!(false)),
            ("grains.append", json!(["role", "db"]), json!({}), json!("The key role is not a valid list")),
            ("grains.append", json!(["role", "db", true]), json!({}), json!({"role": ["web", "db"]})),
            (
                "grains.append",
                json!(["role", "db"]),
                json!({}),
                json!("The val db was already in the list role"),
            ),
            ("grains.remove", json!(["role", "web"]), json!({}), json!({"role": ["db"]})),
            (
                "grains.remove",
                json!(["role", "web"]),
                json!({}),
                json!("The val web was not in the list role"),
            ),
            (
                "grains.delval",
                json!(["role"]),
                json!({}),
                json!({"comment": "", "changes": {"role": null}, "result": true}),
            ),
            ("grains.item", json!(["role"]), json!({}), json!({"role": null})),
            (
                "grains.delkey",
                json!(["role"]),
                json!({}),
                json!({"comment": "", "changes": {"role": null}, "result": true}),
            ),
            ("grains.item", json!(["role"]), json!({}), json!({"role": ""})),
        ] {
            let result = returned(&[call(function, args.clone(), keywords)], &context).await;
            assert_eq!((result.value.clone(), result.retcode), (expected, 0), "{function} {args}");
            assert_shape(function, &result.value);
        }
        for function in ["grains.items", "grains.ls"] {
            assert_shape(function, &returned(&[call(function, json!([]), json!({}))], &context).await.value);
        }
        assert!(!context.grains.all().contains_key("role"));
    }
}
