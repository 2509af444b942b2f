//! `sys.*`: what this minion can do.

use brine_protocol::glob;
use brine_protocol::job::canonical;
use serde_json::{Map, Value, json};

use super::bind::Bound;
use super::{Fault, Function, Outcome, table, text_of};

pub(super) fn functions() -> Vec<Function> {
    const NAMES: &str = "names or globs, separate; all when none is given (text)";
    vec![
        Function::new(
            "sys.doc",
            |_, bound| Box::pin(doc(bound)),
            "Returns the documentation of functions, chosen by module or function.",
        )
        .takes_more(NAMES)
        .returns("{function: text}")
        .example("sys.doc test.ping cmd"),
        Function::new(
            "sys.list_functions",
            |_, bound| Box::pin(list_functions(bound)),
            "Returns the names of functions, chosen by module or function.",
        )
        .takes_more(NAMES)
        .example("sys.list_functions file"),
        Function::new(
            "sys.list_modules",
            |_, bound| Box::pin(list_modules(bound)),
            "Returns the names of modules.",
        )
        .takes_more(NAMES),
        Function::new(
            "sys.argspec",
            |_, bound| Box::pin(argspec(bound)),
            "Returns what functions take, chosen by module or function.",
        )
        .takes_more(NAMES)
        .returns("{function: {args: [name…], defaults: [value…] or None, varargs, kwargs: True or None}}")
        .example("sys.argspec test.echo"),
    ]
}

async fn doc(bound: Bound) -> Result<Outcome, Fault> {
    let wanted = wanted(&bound)?;
    let docs: Map<String, Value> = table()
        .iter()
        .filter(|function| is_wanted(function.name, &wanted))
        .map(|function| (function.name.to_owned(), Value::from(function.doc())))
        .collect();
    Ok(Outcome::from(Value::Object(docs)))
}

async fn argspec(bound: Bound) -> Result<Outcome, Fault> {
    let wanted = wanted(&bound)?;
    let specs = table().iter().filter(|function| is_wanted(function.name, &wanted)).map(|function| {
        let names: Vec<&str> = function.parameters.iter().map(|parameter| parameter.name).collect();
        let read = |json| serde_json::from_str::<Value>(json).expect("defaults in the table are JSON");
        let defaults: Vec<Value> = function.parameters.iter().filter_map(|p| p.default.map(read)).collect();
        let rest = function.rest.map(|_| true);
        let spec = json!({
            "args": names,
            "defaults": Some(defaults).filter(|defaults| !defaults.is_empty()),
            "varargs": rest,
            "kwargs": rest,
        });
        (function.name.to_owned(), spec)
    });
    Ok(Outcome::from(Value::Object(specs.collect())))
}

async fn list_functions(bound: Bound) -> Result<Outcome, Fault> {
    let wanted = wanted(&bound)?;
    let names = table().iter().map(|function| function.name);
    Ok(Outcome::from(names.filter(|name| is_wanted(name, &wanted)).collect::<Vec<_>>()))
}

async fn list_modules(bound: Bound) -> Result<Outcome, Fault> {
    let wanted = wanted(&bound)?;
    let mut modules: Vec<&str> = table().iter().map(|function| module(function.name)).collect();
    modules.dedup();
    modules.retain(|module| wanted.is_empty() || wanted.iter().any(|pattern| glob::matches(pattern, module)));
    Ok(Outcome::from(modules))
}

fn wanted(bound: &Bound) -> Result<Vec<String>, Fault> {
    if let Some((name, value)) = bound.extra.iter().next() {
        let why = format!("The following keyword arguments are not valid: {name}={}", text_of(value));
        return Err(Fault::Invocation(why));
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    bound
        .rest
        .iter()
        .map(|value| {
            text(value).ok_or_else(|| Fault::Invocation("modules and functions are texts".to_owned()))
        })
        .map(|name| {
            name.map(
                |name| if name == "saltutil" { "brine".to_owned() } else { canonical(&name).into_owned() },
            )
        })
        .collect()
}

/// A name without a dot is a module; globs are over whole function names, as in Salt, so that
/// `test.*` and `*ping` both work.
fn is_wanted(function: &str, wanted: &[String]) -> bool {
    wanted.is_empty()
        || wanted.iter().any(|pattern| pattern == module(function) || glob::matches(pattern, function))
}

fn module(function: &str) -> &str {
    function.split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{assert_shape, call, context, returned};

    #[tokio::test]
    async fn lists() {
        let context = context();
        for (function, args, expected) in [
            ("sys.list_modules", json!(["cm*", "sys"]), json!(["cmd", "sys"])),
            (
                "sys.list_functions",
                json!(["sys"]),
                json!(["sys.argspec", "sys.doc", "sys.list_functions", "sys.list_modules"]),
            ),
            (
                "sys.list_functions",
                json!(["test.f*", "*t.ping"]),
                json!(["test.false", "test.fib", "test.ping"]),
            ),
            ("sys.list_functions", json!(["nosuch"]), json!([])),
            (
                "sys.argspec",
                json!(["test.echo", "test.arg", "grains.get"]),
                json!({
                    "grains.get": {"args": ["key", "default", "delimiter"], "defaults": ["", ":"], "varargs": null, "kwargs": null},
                    "test.arg": {"args": [], "defaults": null, "varargs": true, "kwargs": true},
                    "test.echo": {"args": ["text"], "defaults": null, "varargs": null, "kwargs": null},
                }),
            ),
        ] {
            let result = returned(&[call(function, args.clone(), json!({}))], &context).await;
            assert_shape(function, &result.value);
            assert_eq!((result.value, result.retcode), (expected, 0), "{function} {args}");
        }
        let modules = returned(&[call("sys.list_modules", json!([]), json!({}))], &context).await.value;
        assert!(modules.as_array().unwrap().len() >= 20, "{modules}");
    }

    #[tokio::test]
    async fn docs_have_their_example() {
        let docs = returned(&[call("sys.doc", json!([]), json!({}))], &context()).await.value;
        assert_shape("sys.doc", &docs);
        let docs = docs.as_object().unwrap();
        assert_eq!(docs.len(), super::table().len());
        for (name, doc) in docs {
            let doc = doc.as_str().unwrap();
            assert!(doc.contains(&format!("\n    brine '*' {name}")), "{name} has no example");
            assert!(doc.lines().next().unwrap().ends_with('.'), "{name} does not begin with a sentence");
        }
        let one = returned(&[call("sys.doc", json!(["test.ping"]), json!({}))], &context()).await.value;
        assert_eq!(one.as_object().unwrap().keys().collect::<Vec<_>>(), ["test.ping"]);
        let bad = returned(&[call("sys.doc", json!([]), json!({"x": 1}))], &context()).await;
        assert_eq!(
            bad.value,
            "ERROR executing 'sys.doc': The following keyword arguments are not valid: x=1"
        );
    }
}
