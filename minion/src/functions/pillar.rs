//! `pillar.*`: the minion's pillar, as its master told it last.

use brine_protocol::pillar::merge;
use serde_json::{Map, Value};

use super::bind::Bound;
use super::grains::traverse;
use super::{Context, Fault, Function, Outcome, Parameter, keyword, optional, required};

const DELIMITER: Parameter = keyword("delimiter", "\":\"", "what separates names, ':' when not given (text)");

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "pillar.items",
            |context, bound| Box::pin(items(context, bound)),
            "Returns the minion's pillar.",
        )
        .takes(const { &[DEFAULT, DELIMITER] })
        .takes_more("keys, to return only these, as pillar.item does (text)")
        .returns("{key: value}")
        .example("pillar.items"),
        Function::new(
            "pillar.item",
            |context, bound| Box::pin(item(context, bound)),
            "Returns some of the pillar.",
        )
        .takes(const { &[DEFAULT, DELIMITER] })
        .takes_more("keys; further names and list positions behind ':' (text)")
        .returns("{key as it was given: value}")
        .example("pillar.item site users:alice"),
        Function::new(
            "pillar.get",
            |context, bound| Box::pin(get(context, bound)),
            "Returns a value of the pillar, or what is inside of it.",
        )
        .takes(
            const {
                &[
                    required("key", "name in the pillar; further names and list positions behind ':' (text)"),
                    optional(
                        "default",
                        "\"\"",
                        "returned when there is none, an empty text when not given (any)",
                    ),
                    keyword(
                        "merge",
                        "false",
                        "True puts the value over the default, where both are maps (boolean)",
                    ),
                    DELIMITER,
                ]
            },
        )
        .returns("the value; never an error when there is none")
        .example("pillar.get users:alice:uid default=1000"),
        Function::new(
            "pillar.keys",
            |context, bound| Box::pin(keys(context, bound)),
            "Returns the names in a map of the pillar.",
        )
        .takes(const { &[required("key", "where the map is; further names behind ':' (text)"), DELIMITER] })
        .returns("[name…]; an error when there is none, or it is no map")
        .example("pillar.keys users"),
        Function::new(
            "pillar.ls",
            |context, bound| Box::pin(ls(context, bound)),
            "Returns the names of the pillar's keys.",
        )
        .takes_more("keys, to return only those of these (text)")
        .returns("[name…]")
        .example("pillar.ls"),
        Function::new(
            "pillar.raw",
            |context, bound| Box::pin(raw(context, bound)),
            "Returns the pillar, or one key of it without looking for ':'.",
        )
        .takes(const { &[optional("key", "null", "name of the key, all of it when not given (text)")] })
        .returns("{key: value}, or the value; an empty map when there is none")
        .example("pillar.raw key=users"),
    ]
}

const DEFAULT: Parameter =
    keyword("default", "\"\"", "stands for a key that is not there, an empty text when not given (any)");

async fn items(context: Context, bound: Bound) -> Result<Outcome, Fault> {
    if !bound.rest.is_empty() {
        return item(context, bound).await;
    }
    no_extra(&bound)?;
    Ok(Outcome::from(Value::Object(Map::clone(&context.pillar.all()))))
}

async fn item(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    no_extra(&bound)?;
    let (default, delimiter) = (bound.value("default"), delimiter(&mut bound)?);
    let pillar = context.pillar.all();
    let found = |key: String| {
        let value = traverse(&pillar, &key, &delimiter).unwrap_or(&default).clone();
        (key, value)
    };
    Ok(Outcome::from(Value::Object(names(&bound.rest)?.into_iter().map(found).collect())))
}

async fn get(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (key, default, is_merged) = (bound.text("key")?, bound.value("default"), bound.flag("merge")?);
    let delimiter = delimiter(&mut bound)?;
    let pillar = context.pillar.all();
    Ok(Outcome::from(match (traverse(&pillar, &key, &delimiter), default) {
        (Some(Value::Object(over)), Value::Object(mut under)) if is_merged => {
            merge(&mut under, over);
            Value::Object(under)
        }
        (Some(value), _) => value.clone(),
        (None, default) => default,
    }))
}

async fn keys(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (key, delimiter) = (bound.text("key")?, delimiter(&mut bound)?);
    match traverse(&context.pillar.all(), &key, &delimiter) {
        Some(Value::Object(map)) => Ok(Outcome::from(map.keys().cloned().collect::<Vec<_>>())),
        Some(_) => Err(Fault::Execution(format!("Pillar value in key {key} is not a dict"))),
        None => Err(Fault::Execution(format!("Pillar key not found: {key}"))),
    }
}

async fn ls(context: Context, bound: Bound) -> Result<Outcome, Fault> {
    no_extra(&bound)?;
    let mut listed = match bound.rest.as_slice() {
        [] => context.pillar.all().keys().cloned().collect(),
        wanted => names(wanted)?,
    };
    listed.sort();
    listed.dedup();
    Ok(Outcome::from(listed))
}

async fn raw(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let pillar = context.pillar.all();
    Ok(Outcome::from(match bound.maybe_text("key")? {
        Some(key) => pillar.get(&key).cloned().unwrap_or_else(|| Value::Object(Map::new())),
        None => Value::Object(Map::clone(&pillar)),
    }))
}

fn delimiter(bound: &mut Bound) -> Result<String, Fault> {
    let delimiter = bound.text("delimiter")?;
    if delimiter.is_empty() {
        return Err(Fault::Invocation("'delimiter' cannot be empty".to_owned()));
    }
    Ok(delimiter)
}

/// A function that takes more arguments would take a keyword that is mistyped without a word.
fn no_extra(bound: &Bound) -> Result<(), Fault> {
    match bound.extra.keys().next() {
        None => Ok(()),
        Some(name) => {
            Err(Fault::Invocation(format!("The following keyword arguments are not valid: {name}")))
        }
    }
}

fn names(values: &[Value]) -> Result<Vec<String>, Fault> {
    let name = |value: &Value| match value {
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(Fault::Invocation("a key is a text".to_owned()))
        }
        scalar => Ok(super::text_of(scalar)),
    };
    values.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use brine_protocol::job::Returned;
    use serde_json::json;

    use super::super::testing::{assert_shape, call, context, returned};
    use super::*;
    use crate::pillar::Pillars;

    fn world() -> Context {
        let pillar = json!({
            "site": "Dijon", "port": 8080, "a:b": 1,
            "users": {"bob": {"uid": 1001}, "alice": {"uid": 1000, "groups": ["adm", "dev"]}},
        });
        let pillars = Pillars::default();
        pillars.set(pillar.as_object().unwrap().clone().into());
        Context { pillar: Arc::new(pillars), ..context() }
    }

    async fn ask(function: &str, arguments: Value, keywords: Value) -> Returned {
        let answer = returned(&[call(function, arguments, keywords)], &world()).await;
        if answer.retcode == 0 {
            assert_shape(function, &answer.value);
        }
        answer
    }

    #[tokio::test]
    async fn get_looks_inside_and_has_defaults() {
        for (arguments, keywords, expected) in [
            (json!(["site"]), json!({}), json!("Dijon")),
            (json!(["users:alice:groups:1"]), json!({}), json!("dev")),
            (json!(["users|bob"]), json!({"delimiter": "|"}), json!({"uid": 1001})),
            (json!(["nosuch"]), json!({}), json!("")),
            (json!(["site:x", 5]), json!({}), json!(5)),
            (json!(["users:carol"]), json!({"default": null}), json!(null)),
            (json!(["a:b"]), json!({"delimiter": "|"}), json!(1)),
            (
                json!(["users:bob", {"uid": 1, "shell": "sh"}]),
                json!({"merge": true}),
                json!({"uid": 1001, "shell": "sh"}),
            ),
            (json!(["users:bob", {"shell": "sh"}]), json!({}), json!({"uid": 1001})),
        ] {
            assert_eq!(ask("pillar.get", arguments.clone(), keywords).await.value, expected, "{arguments}");
        }
        assert_eq!(ask("pillar.get", json!(["site"]), json!({"delimiter": ""})).await.retcode, 1);
        let refused = ask("pillar.get", json!(["site"]), json!({"saltenv": "base"})).await;
        assert!(refused.value.as_str().unwrap().contains("not valid: saltenv=base"), "{}", refused.value);
    }

    #[tokio::test]
    async fn items_and_item() {
        let all = ask("pillar.items", json!([]), json!({})).await.value;
        assert_eq!(all, Value::Object(Map::clone(&world().pillar.all())));
        let some = json!({"site": "Dijon", "users:bob:uid": 1001, "nosuch": ""});
        for function in ["pillar.items", "pillar.item"] {
            let given = json!(["site", "users:bob:uid", "nosuch"]);
            assert_eq!(ask(function, given, json!({})).await.value, some);
            assert_eq!(ask(function, json!(["x"]), json!({"default": 1})).await.value, json!({"x": 1}));
            assert_eq!(ask(function, json!(["x"]), json!({"defualt": 1})).await.retcode, 1);
            assert_eq!(ask(function, json!([["x"]]), json!({})).await.retcode, 1);
        }
        assert_eq!(ask("pillar.item", json!([]), json!({})).await.value, json!({}));
    }

    #[tokio::test]
    async fn keys_ls_and_raw() {
        assert_eq!(ask("pillar.keys", json!(["users"]), json!({})).await.value, json!(["bob", "alice"]));
        let missing = ask("pillar.keys", json!(["nosuch"]), json!({})).await;
        assert_eq!((missing.retcode, missing.value), (1, json!("ERROR: Pillar key not found: nosuch")));
        let text = ask("pillar.keys", json!(["site"]), json!({})).await;
        assert_eq!((text.retcode, text.value), (1, json!("ERROR: Pillar value in key site is not a dict")));
        assert_eq!(
            ask("pillar.ls", json!([]), json!({})).await.value,
            json!(["a:b", "port", "site", "users"])
        );
        assert_eq!(ask("pillar.ls", json!(["site"]), json!({})).await.value, json!(["site"]));
        assert_eq!(ask("pillar.raw", json!([]), json!({})).await.value["port"], 8080);
        assert_eq!(ask("pillar.raw", json!(["a:b"]), json!({})).await.value, 1);
        assert_eq!(ask("pillar.raw", json!(["users:bob"]), json!({})).await.value, json!({}));
    }

    #[tokio::test]
    async fn without_a_master_there_is_none() {
        let items = returned(&[call("pillar.items", json!([]), json!({}))], &context()).await;
        assert_eq!((items.value, items.retcode), (json!({}), 0));
    }
}
