//! Words of a command line as function calls: Salt's typing of arguments.
//!
//! A word means what YAML 1.1 makes of it, as long as that is a scalar or stands in brackets;
//! otherwise it is text. `name=value` is a keyword argument, `name:=value` one in JSON, and `@file` stands
//! for the text of a file.

mod flow;
pub mod form;
pub mod input;

use brine_protocol::job::{CALLS_MAX, Call};
use serde_json::{Map, Value};

use form::Part;
use input::{InputError, Inputs};

/// What is wrong with a function and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// An empty name between commas, or none at all.
    #[error("{0:?} is not a function; write module.function, such as test.ping")]
    Function(String),
    /// A bracket or a quote without its other half.
    #[error(
        "{0:?} is not a call; write module.function(argument, name=value), with each bracket and quote closed"
    )]
    Form(String),
    /// Arguments in two places.
    #[error("the arguments of {0:?} stand in its brackets; nothing may stand behind them")]
    BehindForm(String),
    /// More or fewer groups of arguments than functions.
    #[error(
        "{functions} functions have {groups} groups of arguments; between the groups stands {separator:?}, \
         as in: test.ping,test.echo {separator} text"
    )]
    Groups {
        /// How many functions were named.
        functions: usize,
        /// How many groups of arguments were found.
        groups: usize,
        /// What stands between groups.
        separator: String,
    },
    /// Too many functions.
    #[error("a job has at most {CALLS_MAX} functions, this one has {0}")]
    TooMany(usize),
    /// Nothing stands between groups of arguments.
    #[error("the separator of arguments cannot be empty")]
    Separator,
    /// `name:=` with something else behind it.
    #[error("the value of {name} is not JSON: {why}; for a text write {name}=text")]
    Json {
        /// The keyword.
        name: String,
        /// What the reader of JSON says; it repeats nothing of the text.
        why: String,
    },
    /// A file or the standard input.
    #[error(transparent)]
    Input(#[from] InputError),
}

/// How words are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<'a> {
    /// Keywords whose values keep their text as it is.
    pub unparsed: &'a [String],
    /// What stands between the arguments of several functions.
    pub separator: &'a str,
}

impl Default for Reading<'_> {
    fn default() -> Self {
        Self { unparsed: &[], separator: "," }
    }
}

/// Makes calls of a function word and the words behind it.
///
/// Several functions are joined by commas, their arguments separated by a word `,`; if there are not as
/// many of those as it takes, by every comma, as in `test.ping,cmd.run ,uptime`. Without any arguments
/// none of them takes one. `module.function(argument, name=value)` is a whole call in one word.
///
/// # Errors
/// A function has no name, there are not as many groups of arguments as functions, or an argument
/// cannot be read.
pub fn calls(
    function: &str,
    words: &[String],
    reading: &Reading<'_>,
    inputs: &mut Inputs,
) -> Result<Vec<Call>, ArgsError> {
    if function.contains('(') {
        return whole_call(function, words, inputs).map(|call| vec![call]);
    }
    let names: Vec<&str> = function.split(',').map(str::trim).collect();
    if names.iter().any(|name| name.is_empty() || name.contains(char::is_whitespace)) {
        return Err(ArgsError::Function(function.to_owned()));
    }
    if names.len() > CALLS_MAX {
        return Err(ArgsError::TooMany(names.len()));
    }
    let groups = groups(names.len(), words, reading.separator)?;
    let call = |(name, words): (&str, Vec<String>)| {
        let (arguments, keywords) = arguments(&words, reading.unparsed, inputs)?;
        Ok(Call { function: name.to_owned(), arguments, keywords })
    };
    names.into_iter().zip(groups).map(call).collect()
}

/// The words of each function.
fn groups(functions: usize, words: &[String], separator: &str) -> Result<Vec<Vec<String>>, ArgsError> {
    if separator.is_empty() {
        return Err(ArgsError::Separator);
    }
    if functions == 1 {
        return Ok(vec![words.to_vec()]);
    }
    if words.is_empty() {
        return Ok(vec![Vec::new(); functions]);
    }
    let separators = words.iter().filter(|&word| word == separator).count();
    let groups: Vec<Vec<String>> = if separators + 1 == functions {
        words.split(|word| word == separator).map(<[String]>::to_vec).collect()
    } else {
        let mut groups = vec![Vec::new()];
        for word in words {
            for (i, part) in word.split(separator).enumerate() {
                if i > 0 {
                    groups.push(Vec::new());
                }
                // What is empty between two separators is no argument; a word that is empty is one.
                if !part.is_empty() || word.is_empty() {
                    groups.last_mut().expect("it began with one").push(part.to_owned());
                }
            }
        }
        groups
    };
    if groups.len() == functions {
        Ok(groups)
    } else {
        Err(ArgsError::Groups { functions, groups: groups.len(), separator: separator.to_owned() })
    }
}

fn whole_call(word: &str, more: &[String], inputs: &mut Inputs) -> Result<Call, ArgsError> {
    let form = form::parse(word).ok_or_else(|| ArgsError::Form(word.to_owned()))?;
    if !more.is_empty() {
        return Err(ArgsError::BehindForm(word.to_owned()));
    }
    let mut value = |part: Part| match part.is_quoted {
        true => Ok(Value::String(part.text)),
        false => value_of(&part.text, inputs),
    };
    Ok(Call {
        function: form.function,
        arguments: form
            .arguments
            .into_iter()
            .map(|part| value(part).map(without_jid))
            .collect::<Result<_, ArgsError>>()?,
        keywords: form
            .keywords
            .into_iter()
            .map(|(name, part)| Ok((name, value(part)?)))
            .collect::<Result<_, ArgsError>>()?,
    })
}

fn arguments(
    words: &[String],
    unparsed: &[String],
    inputs: &mut Inputs,
) -> Result<(Vec<Value>, Map<String, Value>), ArgsError> {
    let mut arguments = Vec::new();
    let mut keywords = Map::new();
    for word in words {
        if let Some((name, text)) = json_keyword(word) {
            keywords.insert(name.to_owned(), json(name, text, inputs)?);
            continue;
        }
        match keyword(word) {
            Some((name, value)) if unparsed.iter().any(|u| u == name) => {
                keywords.insert(name.to_owned(), Value::String(value.to_owned()));
            }
            Some((name, value)) => {
                keywords.insert(name.to_owned(), value_of(value, inputs)?);
            }
            None => arguments.push(without_jid(value_of(word, inputs)?)),
        }
    }
    Ok((arguments, keywords))
}

/// Splits `name=value`: a name begins with a letter or `_` and goes on with letters, digits, `_`,
/// `.` and `-`; `==` is a comparison in somebody's shell code, and a value has one line.
fn keyword(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let value_line = value.strip_suffix('\n').unwrap_or(value);
    let is_keyword = is_name(name) && !value.starts_with('=') && !value_line.contains('\n');
    is_keyword.then_some((name, value_line))
}

/// Splits `name:=value`.
fn json_keyword(word: &str) -> Option<(&str, &str)> {
    word.split_once(":=").filter(|(name, _)| is_name(name))
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn json(name: &str, text: &str, inputs: &mut Inputs) -> Result<Value, ArgsError> {
    let from_file = text.strip_prefix('@').map(|file| inputs.text(file)).transpose()?;
    serde_json::from_str(from_file.as_deref().unwrap_or(text))
        .map_err(|error| ArgsError::Json { name: name.to_owned(), why: error.to_string() })
}

/// The value of a word: `@name` is the text of a file, `@@text` a text that begins with `@`.
fn value_of(word: &str, inputs: &mut Inputs) -> Result<Value, ArgsError> {
    match word.strip_prefix('@') {
        None | Some("") => Ok(typed(word)),
        Some(literal) if literal.starts_with('@') => Ok(Value::String(literal.to_owned())),
        Some(name) => Ok(Value::String(inputs.text(name)?)),
    }
}

/// A number of twenty digits is the id of a job, and those are texts.
fn without_jid(value: Value) -> Value {
    let digits = value.as_u64().map(|number| number.to_string()).filter(|digits| digits.len() == 20);
    digits.map_or(value, Value::String)
}

/// The value of one word.
#[must_use]
pub fn typed(word: &str) -> Value {
    let text = || Value::String(word.to_owned());
    let bare = word.trim();
    let is_digits_and_underscores =
        word.contains('_') && bare.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    // YAML would fold or refuse these; what a word is must not hang on a character nobody sees.
    let has_breaks = word.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
    if bare.is_empty() || is_digits_and_underscores || has_breaks || matches!(word, "|" | "!") {
        return text();
    }
    if word == "None" {
        return Value::Null;
    }
    match flow::document(word) {
        None => text(),
        // A comment may never eat a part of a text; around a list, map or number it is one.
        Some(Value::String(_) | Value::Null) if word.contains('#') => text(),
        Some(Value::Array(_)) if !word.starts_with('[') => text(),
        Some(Value::Object(_)) if !word.starts_with('{') => text(),
        Some(value) => value,
    }
}

#[cfg(test)]
mod tests;
