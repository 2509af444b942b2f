//! What a custom module says of itself: read from its JSON, checked, and given in the words that
//! the table's own functions use.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::signature::{Signature, Slot};

/// Most functions of a module, most parameters of a function, longest name of either.
const FUNCTIONS_MAX: usize = 256;
const PARAMETERS_MAX: usize = 64;
const NAME_MAX: usize = 64;

/// A module as it described itself.
#[derive(Debug)]
pub(in super::super) struct Description {
    /// Where its file is.
    pub(super) path: PathBuf,
    /// Its functions, by name.
    pub(in super::super) functions: Vec<CustomFunction>,
}

/// A function of a custom module.
#[derive(Debug)]
pub(in super::super) struct CustomFunction {
    /// `module.function`.
    pub(in super::super) name: String,
    doc: String,
    parameters: Vec<CustomParameter>,
    rest: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    functions: BTreeMap<String, ToldFunction>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldFunction {
    doc: String,
    #[serde(default)]
    parameters: Vec<CustomParameter>,
    rest: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomParameter {
    name: String,
    /// None when it was not there at all: null is a default.
    #[serde(default, deserialize_with = "given")]
    default: Option<Value>,
    #[serde(default)]
    keyword: bool,
    doc: String,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Description {
    /// Reads what the file of `module` printed.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub(super) fn read(module: &str, path: &Path, text: &str) -> Result<Self, String> {
        let told: Told = serde_json::from_str(text)
            .map_err(|error| format!("describe has to print {{\"functions\": {{…}}}} as JSON: {error}"))?;
        if told.functions.len() > FUNCTIONS_MAX {
            return Err(format!(
                "it describes {} functions, more than {FUNCTIONS_MAX}",
                told.functions.len()
            ));
        }
        let functions = told.functions.into_iter().map(|(name, told)| {
            if !is_name(&name) {
                return Err(format!("it calls a function {name:?}, which is not a name"));
            }
            check(&told.parameters).map_err(|what| format!("of its function {name}, {what}"))?;
            let ToldFunction { doc, parameters, rest } = told;
            Ok(CustomFunction { name: format!("{module}.{name}"), doc, parameters, rest })
        });
        Ok(Self { path: path.to_owned(), functions: functions.collect::<Result<_, _>>()? })
    }
}

fn check(parameters: &[CustomParameter]) -> Result<(), String> {
    if parameters.len() > PARAMETERS_MAX {
        return Err(format!("it describes {} parameters, more than {PARAMETERS_MAX}", parameters.len()));
    }
    for (at, CustomParameter { name, .. }) in parameters.iter().enumerate() {
        if !is_name(name) {
            return Err(format!("it calls a parameter {name:?}, which is not a name"));
        }
        if parameters[..at].iter().any(|before| before.name == *name) {
            return Err(format!("it describes the parameter {name} twice"));
        }
    }
    let positional = |p: &&CustomParameter| !p.keyword;
    let is_ordered = parameters.is_sorted_by_key(|p| p.keyword)
        && parameters.iter().filter(positional).is_sorted_by_key(|p| p.default.is_some());
    if is_ordered {
        Ok(())
    } else {
        Err("parameters without a default come first, those with one next, those by keyword last".to_owned())
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl CustomFunction {
    /// What it takes and says of itself.
    pub(in super::super) fn signature(&self) -> Signature<'_> {
        let needed = self.parameters.iter().filter(|parameter| parameter.default.is_none());
        let arguments = needed.map(|CustomParameter { name, keyword, .. }| {
            let value = name.to_uppercase();
            if *keyword { format!("{name}={value}") } else { value }
        });
        let example: Vec<String> = std::iter::once(self.name.clone()).chain(arguments).collect();
        Signature {
            name: &self.name,
            summary: &self.doc,
            slots: self
                .parameters
                .iter()
                .map(|parameter| Slot {
                    name: &parameter.name,
                    default: parameter.default.clone(),
                    is_keyword_only: parameter.keyword,
                    doc: &parameter.doc,
                })
                .collect(),
            rest: self.rest.as_deref(),
            returns: "",
            example: Cow::Owned(example.join(" ")),
        }
    }
}
