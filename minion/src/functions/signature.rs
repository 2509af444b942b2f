//! What a function takes and says of itself, whether it is of the table or of a custom module:
//! what the binder, `sys.doc` and `sys.argspec` work with.

use std::borrow::Cow;

use serde_json::{Value, json};

/// Everything there is to know of a function before calling it.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    /// `module.function`.
    pub(super) name: &'a str,
    /// What it does.
    pub(super) summary: &'a str,
    /// Its named parameters, positional ones first.
    pub(super) slots: Vec<Slot<'a>>,
    /// What any further arguments are; none when it takes none.
    pub(super) rest: Option<&'a str>,
    /// What comes back; empty where the summary says it.
    pub(super) returns: &'a str,
    /// Function and arguments of an example, as behind `brine '*'`.
    pub(super) example: Cow<'a, str>,
}

/// A named parameter.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    pub(super) name: &'a str,
    /// None when a value has to be given.
    pub(super) default: Option<Value>,
    pub(super) is_keyword_only: bool,
    pub(super) doc: &'a str,
}

impl Signature<'_> {
    /// The module it is in.
    pub(super) fn module(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// Its name behind the module, as in a Python traceback.
    pub(super) fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// Whether it takes more arguments than it names.
    pub(super) fn is_variadic(&self) -> bool {
        self.rest.is_some()
    }

    /// As `sys.doc` shows it.
    pub(super) fn doc(&self) -> String {
        let mut doc = self.summary.to_owned();
        if !self.slots.is_empty() || self.rest.is_some() {
            doc.push_str("\n\nArguments:");
            for Slot { name, doc: what, .. } in &self.slots {
                doc.push_str(&format!("\n    {name}: {what}"));
            }
            if let Some(rest) = self.rest {
                doc.push_str(&format!("\n    {rest}"));
            }
        }
        if !self.returns.is_empty() {
            doc.push_str(&format!("\n\nReturns:\n    {}", self.returns));
        }
        doc + &format!("\n\nExample:\n    brine '*' {}", self.example)
    }

    /// As `sys.argspec` shows it.
    pub(super) fn argspec(&self) -> Value {
        let names: Vec<&str> = self.slots.iter().map(|slot| slot.name).collect();
        let defaults: Vec<&Value> = self.slots.iter().filter_map(|slot| slot.default.as_ref()).collect();
        let rest = self.rest.map(|_| true);
        json!({
            "args": names,
            "defaults": Some(defaults).filter(|defaults| !defaults.is_empty()),
            "varargs": rest,
            "kwargs": rest,
        })
    }
}
