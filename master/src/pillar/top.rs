//! The top file: which targets get which files. Pure.

use brine_local::config::yaml::{Key, Node, read_plain};
use brine_local::text::escape;
use brine_protocol::target::{Expression, Nodegroups, Target, TargetKind};
use serde_json::Value;

use super::roots::BASE;

/// The most targets of a top file.
const TARGETS_MAX: usize = 10_000;

/// The most files of one target, and of one `include`.
const NAMES_MAX: usize = 1000;

/// The longest name of a file.
const NAME_MAX: usize = 255;

/// What is wrong, and on which line.
pub(super) type Wrong = (u64, String);

/// A name of a file, and the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) line: u64,
    pub(super) name: String,
}

/// One target, and what it gets.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) expression: Expression,
    pub(super) names: Vec<Name>,
}

/// Reads a document of plain YAML.
pub(super) fn document(text: &str) -> Result<Node, Wrong> {
    if let Some((line, what)) = template(text) {
        return Err((line, format!("{what}: pillar files are plain YAML here, and no templates")));
    }
    read_plain(text).map_err(|(line, fault)| (line, fault.to_string()))
}

/// The first sign of a template language, outside of lines that are comments.
fn template(text: &str) -> Option<Wrong> {
    for (number, line) in (1..).zip(text.lines()) {
        let is_renderer = number == 1 && line.starts_with("#!");
        if is_renderer && line.trim_end() != "#!yaml" {
            return Some((1, format!("another renderer, {:?}", escape(line.trim_end()))));
        }
        if !line.trim_start().starts_with('#')
            && let Some(sign) = ["{%", "{{"].into_iter().find(|sign| line.contains(sign))
        {
            return Some((number, format!("Jinja ({sign})")));
        }
    }
    None
}

/// Reads the top file.
pub(super) fn read(text: &str, groups: &Nodegroups) -> Result<Vec<Line>, Wrong> {
    let entries = match document(text)? {
        Node::Map { entries, .. } => entries,
        Node::Scalar { value: Value::Null, .. } => return Ok(Vec::new()),
        other => return Err((other.line(), "expected targets, each with a list of file names".to_owned())),
    };
    let entries = without_base(entries)?;
    if entries.len() > TARGETS_MAX {
        return Err((1, format!("{} targets, more than {TARGETS_MAX}", entries.len())));
    }
    entries.iter().map(|(key, node)| target(key, node, groups)).collect()
}

/// What is under `base:`, if that level is there.
fn without_base(entries: Vec<(Key, Node)>) -> Result<Vec<(Key, Node)>, Wrong> {
    let is_environment = |(_, node): &(Key, Node)| matches!(node, Node::Map { .. });
    if !entries.iter().any(is_environment) {
        return Ok(entries);
    }
    let mut targets = Vec::new();
    for ((name, line), node) in entries {
        match node {
            Node::Map { entries, .. } if name == BASE => targets.extend(entries),
            Node::Map { .. } => {
                let name = escape(&name);
                return Err((line, format!("there is one environment, base, and none called {name:?}")));
            }
            Node::Scalar { .. } | Node::Seq { .. } => {
                let name = escape(&name);
                return Err((line, format!("the target {name:?} stands beside base:, it belongs under it")));
            }
        }
    }
    Ok(targets)
}

fn target((text, line): &Key, node: &Node, groups: &Nodegroups) -> Result<Line, Wrong> {
    let shown = escape(text);
    let wrong = |what: String| (*line, format!("target {shown:?}: {what}"));
    let Node::Seq { items, .. } = node else {
        return Err(wrong("expected a list of file names".to_owned()));
    };
    let mut kind = None;
    let mut names = Vec::new();
    for item in items {
        match item {
            Node::Map { entries, line } => {
                let found = kind_of(entries).map_err(|what| (*line, format!("target {shown:?}: {what}")))?;
                if kind.replace(found).is_some() {
                    return Err((*line, format!("target {shown:?} says match: twice")));
                }
            }
            other => names.push(name(other)?),
        }
    }
    if names.len() > NAMES_MAX {
        return Err(wrong(format!("{} files, more than {NAMES_MAX}", names.len())));
    }
    let target = Target::new(kind.unwrap_or(TargetKind::Compound), text);
    let expression = Expression::parse(&target, groups)
        .map_err(|error| wrong(format!("{} (column {})", error.what, error.column)))?;
    if expression.uses().pillar {
        return Err(wrong("who gets which pillar cannot depend on pillar (I@, J@)".to_owned()));
    }
    Ok(Line { expression, names })
}

/// What `- match: grain` says.
fn kind_of(entries: &[(Key, Node)]) -> Result<TargetKind, String> {
    let [((key, _), Node::Scalar { value: Value::String(kind), .. })] = entries else {
        return Err("expected file names, and match: with the kind of target".to_owned());
    };
    if key != "match" {
        return Err(format!("unknown {:?}; expected file names and match:", escape(key)));
    }
    Ok(match kind.as_str() {
        "compound" => TargetKind::Compound,
        "glob" => TargetKind::Glob,
        "pcre" => TargetKind::Pcre,
        "list" => TargetKind::List,
        "grain" => TargetKind::Grain,
        "grain_pcre" => TargetKind::GrainPcre,
        "ipcidr" => TargetKind::Ipcidr,
        "nodegroup" => TargetKind::Nodegroup,
        "pillar" | "pillar_exact" => TargetKind::Pillar,
        "pillar_pcre" => TargetKind::PillarPcre,
        other => {
            return Err(format!(
                "unknown match: {:?}; expected compound, glob, pcre, list, grain, grain_pcre, ipcidr or nodegroup",
                escape(other)
            ));
        }
    })
}

/// Reads a name such as `web.tls`: folders and a file, without its ending.
pub(super) fn name(node: &Node) -> Result<Name, Wrong> {
    let line = node.line();
    let Node::Scalar { value, .. } = node else {
        return Err((line, "expected the name of a pillar file".to_owned()));
    };
    let name = match value {
        Value::String(name) => name.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err((line, "expected the name of a pillar file (quote it to make it text)".to_owned()));
        }
    };
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '+'))
    };
    if name.len() > NAME_MAX || !name.split('.').all(is_part) {
        let shown: String = escape(&name).chars().take(NAME_MAX).collect();
        return Err((
            line,
            format!(
                "{shown:?} is no name of a pillar file: a.b stands for a/b.yaml, and has letters, digits, _, - and +"
            ),
        ));
    }
    Ok(Name { line, name })
}

/// The names of an `include:`.
pub(super) fn included(node: &Node) -> Result<Vec<Name>, Wrong> {
    let Node::Seq { items, line } = node else {
        return Err((node.line(), "include: expected a list of file names".to_owned()));
    };
    if items.len() > NAMES_MAX {
        return Err((*line, format!("include: {} files, more than {NAMES_MAX}", items.len())));
    }
    let plain = |item: &Node| match item {
        Node::Map { line, .. } => {
            Err((*line, "include: only names of files, without key: and defaults:".to_owned()))
        }
        other => name(other),
    };
    items.iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(String, Vec<String>)> {
        let lines = read(text, &Nodegroups::new()).unwrap_or_else(|(line, what)| panic!("{line}: {what}"));
        let names = |line: &Line| line.names.iter().map(|name| name.name.clone()).collect();
        lines.iter().map(|line| (format!("{:?}", line.expression.uses().grains), names(line))).collect()
    }

    #[test]
    fn forms() {
        let both = [
            ("false".to_owned(), vec!["common".to_owned()]),
            ("true".to_owned(), vec!["web.tls".to_owned(), "db".to_owned()]),
        ];
        for text in [
            "'*': [common]\n'G@os:Debian and web*':\n  - web.tls\n  - db\n",
            "base:\n  '*': [common]\n  'os:Debian':\n    - match: grain\n    - web.tls\n    - db\n",
            "#!yaml\n# {{ a comment }}\nbase:\n  '*':\n    - common\n  'os:Deb.*': [web.tls, match: grain_pcre, db]\n",
        ] {
            assert_eq!(lines(text), both, "{text}");
        }
        assert!(lines("").is_empty() && lines("base: {}").is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line, what) in [
            ("- a", 1, "expected targets"),
            ("'*': common", 1, "a list of file names"),
            ("base:\n  '*': {a: b}", 2, "a list of file names"),
            ("base:\n  '*': [a]\nprod:\n  '*': [a]", 3, "one environment, base"),
            ("base:\n  '*': [a]\n'web*': [a]", 3, "stands beside base:"),
            ("'*':\n  - match: nonsense", 2, "unknown match: \"nonsense\""),
            ("'*':\n  - match: glob\n  - match: list", 3, "twice"),
            ("'*':\n  - ignore_missing: true", 2, "match:"),
            ("'*':\n  - a/b", 2, "\"a/b\" is no name"),
            ("'*':\n  - ..", 2, "is no name"),
            ("'*':\n  - .a", 2, "is no name"),
            ("'*':\n  - '*'", 2, "is no name"),
            ("'*':\n  - true", 2, "quote it"),
            ("'*':\n  - [a]", 2, "the name of a pillar file"),
            ("'a':\n  - x\n'I@role:web':\n  - x", 3, "cannot depend on pillar"),
            ("'role:web':\n  - match: pillar\n  - x", 1, "cannot depend on pillar"),
            ("'( a':\n  - x", 1, "column"),
            ("{% if x %}\n'*': [a]", 1, "Jinja ({%)"),
            ("'*':\n  - {{ a }}", 2, "Jinja ({{)"),
            ("#!jinja|yaml\n'*': [a]", 1, "another renderer"),
            ("'*': [a", 1, ""),
        ] {
            let (at, said) = read(text, &Nodegroups::new()).map(|lines| lines.len()).expect_err(text);
            assert!(said.contains(what) && !said.contains('\n'), "{text}: {said}");
            assert_eq!(at, line, "{text}: {said}");
        }
    }

    #[test]
    fn includes() {
        let include = |text: &str| included(&document(text).expect("YAML"));
        let names = include("[a.b, c]").expect("names");
        assert_eq!(names.iter().map(|name| name.name.as_str()).collect::<Vec<_>>(), ["a.b", "c"]);
        for (text, what) in [("a", "a list"), ("[{a: {key: b}}]", "without key:"), ("[.a]", "is no name")] {
            assert!(include(text).expect_err(text).1.contains(what), "{text}");
        }
    }
}
