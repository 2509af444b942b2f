//! Which lines of `autosign_file` and `autoreject_file` match an id.

use brine_pki::registry::rules::Expressions;

use crate::{each, is_default_folder};

/// Salt anchors `a|b` as `^a` or `b$`, so that `web1|x` lets `web12` in. Here the whole line is.
fn is_an_alternative(expression: &str) -> bool {
    let mut depth = 0;
    expression.chars().any(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == '|' && depth == 0
    })
}

#[test]
fn lines_match_as_salts_do() {
    let (mut run, mut alternatives, mut stricter) = (0, 0, 0);
    let mut wrong = Vec::new();
    each("expr_match.jsonl", |n, case| {
        let text = |name: &str| case[name].as_str().expect("a text");
        let (value, expression) = (text("value"), text("expr"));
        let salt = case["expect"].as_bool().expect("yes or no");
        let is = Expressions::parse(expression).unwrap().find(value).is_some();
        run += 1;
        alternatives += usize::from(is_an_alternative(expression));
        if is != salt {
            if is_an_alternative(expression) && !is {
                stricter += 1;
            } else {
                wrong.push(format!("n={n}: {expression:?} and {value:?}: {is}, Salt says {salt}"));
            }
        }
    });
    println!("expr_match.jsonl: {run} cases, {stricter} of {alternatives} alternatives stricter than Salt's");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!is_default_folder() || (run > 15 && alternatives > 0), "{run} cases");
}
