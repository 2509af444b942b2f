//! Where Brine does otherwise than salt-key; why is in `our-deviations.toml`. No rule knows a case by
//! its number.

use serde_json::Value;

use super::case::{Action, Case, Keys};
use crate::adapter::Deviation;

use super::meant::{done_to_selected, lost, missing, possible, selected, several, swaps};
use super::shown::{Stdout, results, strike, strike_results, value};
use super::world::can_exist;

/// What has to come out.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) code: Code,
    pub(super) stdout: Stdout,
    /// Whether there has to be a message.
    pub(super) says_why: bool,
    pub(super) after: Keys,
    /// Files that have to be in the working directory.
    pub(super) files: Vec<String>,
}

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Is(i32),
    Failure,
}

impl Code {
    pub(super) fn is(self, code: i32) -> bool {
        match self {
            Code::Is(expected) => code == expected,
            Code::Failure => (1..64).contains(&code),
        }
    }
}

/// Something that Brine does otherwise.
pub(super) struct Rule {
    pub(super) name: &'static str,
    applies: fn(&Case) -> bool,
    change: fn(&Case, &mut Expected),
}

/// Every difference. Later rules see what earlier ones made of it.
pub(super) const RULES: [Rule; 22] = [
    Rule { name: "usage is 2", applies: |case| case.code == 64, change: refuse },
    Rule {
        name: "words too many are refused",
        applies: |case| case.code != 64 && !case.words.is_empty() && case.words != ["master"],
        change: refuse,
    },
    Rule {
        name: "help and version are our own",
        applies: |case| case.action() == Action::About,
        change: |case, expected| {
            let is_help = case.has(&["-h", "--help"]);
            let actions = "-l, -L, -a, -A, -r, -R, -d, -D, -p, -P, -f, -F, --include-all --include-accepted \
                           --include-rejected --include-denied --gen-keys --gen-keys-dir --keysize -q, -y, --out";
            let parts = if is_help { actions } else { "brine-key" };
            expected.stdout = Stdout::Parts(parts.split_whitespace().map(str::to_owned).collect());
        },
    },
    Rule {
        name: "outputters are named or refused",
        applies: |case| {
            case.code == 0
                && case
                    .out()
                    .is_some_and(|out| !["nested", "json", "yaml", "txt", "raw", "pprint"].contains(&out))
        },
        change: |case, expected| {
            if case.out() == Some("quiet") {
                expected.stdout = Stdout::Text(String::new());
                expected.says_why = false;
            } else {
                refuse(case, expected);
            }
        },
    },
    Rule {
        name: "--gen-keys makes the keys",
        applies: |case| case.code == 0 && case.action() == Action::GenKeys && bits(case) <= 4096,
        change: |case, expected| {
            let name = case.value(&["--gen-keys"]).unwrap_or_default();
            let folder =
                case.value(&["--gen-keys-dir"]).map(|folder| format!("{folder}/")).unwrap_or_default();
            expected.files = ["pem", "pub"].map(|end| format!("{folder}{name}.{end}")).to_vec();
            expected.stdout = Stdout::Parts(vec![format!("{name}.pub")]);
            expected.says_why = false;
        },
    },
    Rule {
        name: "keys have at most 4096 bits",
        applies: |case| case.code == 0 && case.action() == Action::GenKeys && bits(case) > 4096,
        change: refuse,
    },
    Rule {
        name: "no signature file",
        applies: |case| case.code == 0 && case.action() == Action::GenSignature,
        change: refuse,
    },
    Rule {
        name: "no external authentication",
        applies: |case| {
            case.code == 0
                && case.has(&[
                    "--auth",
                    "--eauth",
                    "--external-auth",
                    "-T",
                    "--make-token",
                    "--username",
                    "--password",
                ])
        },
        change: refuse,
    },
    Rule {
        name: "only keys and ids can be here",
        applies: |case| lost(case).next().is_some(),
        change: |case, expected| {
            let is_lost = |folder: &str, id: &str| lost(case).any(|lost| lost == (folder, id));
            for (folder, of_state) in &mut expected.after {
                of_state.retain(|id, letter| can_exist(id, letter) && !is_lost(folder, id));
            }
            expected.says_why = false;
            if let Stdout::Document(document) = &expected.stdout {
                expected.stdout = Stdout::Document(without(document, is_lost));
            }
            let Stdout::Text(text) = &expected.stdout else { return };
            // An id of several lines is none that a list's lines could show.
            let broken = lost(case).filter(|(_, id)| id.contains('\n'));
            let text = broken.fold(text.clone(), |text, (_, id)| text.replace(&format!("{id}\n"), ""));
            let text = strike(case, &text, is_lost);
            let text = strike_results(&text, |id| lost(case).any(|(_, lost)| lost == id));
            expected.stdout = Stdout::Text(text);
            if case.action().is_act() && selected(case).next().is_none() {
                expected.stdout = Stdout::NoMatch(case.pattern().to_owned());
                expected.code = Code::Is(1);
            }
        },
    },
    Rule {
        name: "suspended keys are listed by their own name",
        applies: |case| {
            case.code == 0
                && case.action() == Action::List
                && value(&case.stdout).is_some_and(|all| {
                    ["minions", "minions_denied"].iter().all(|state| all[state].is_array())
                })
        },
        change: |_, expected| {
            if let Stdout::Document(document) = &expected.stdout
                && let Some(mut all) = value(document)
            {
                all["minions_suspended"] = Value::Array(Vec::new());
                expected.stdout = Stdout::Document(all.to_string());
            }
        },
    },
    Rule {
        name: "nothing matched is a failure",
        applies: |case| {
            let finds_nothing = matches!(case.action(), Action::Print | Action::Finger)
                && !case.has(&["-P", "--print-all", "-F", "--finger-all"])
                && case.pattern() != "master"
                && case.stdout.is_empty();
            case.code == 0 && (finds_nothing || case.stdout.contains("does not match any"))
        },
        change: |case, expected| {
            expected.code = Code::Is(1);
            if case.stdout.contains("does not match any") && !case.is_document() {
                expected.stdout = Stdout::NoMatch(case.pattern().to_owned());
            }
            expected.says_why = true;
        },
    },
    Rule {
        name: "an id that was written out and is not there is a failure",
        applies: |case| {
            case.code == 0
                && case.action().is_act()
                && !case.is_all()
                && selected(case).next().is_some()
                && missing(case).next().is_some()
        },
        change: |_, expected| {
            if expected.code == Code::Is(0) {
                expected.code = Code::Is(1);
                expected.says_why = true;
            }
        },
    },
    Rule {
        name: "nobody at the prompt is a failure",
        applies: |case| {
            case.action().is_act()
                && !case.answers_yes()
                && case.stdin.is_empty()
                && case.stdout.contains("Proceed?")
        },
        change: |_, expected| {
            expected.code = Code::Is(1);
            if let Stdout::Text(text) = &mut expected.stdout {
                text.push('\n');
            }
        },
    },
    Rule {
        name: "only y and yes are a yes",
        applies: |case| {
            let word = case.stdin.trim().to_lowercase();
            case.action().is_act()
                && !case.answers_yes()
                && word.starts_with('y')
                && word != "y"
                && word != "yes"
        },
        change: |case, expected| {
            expected.after = possible(&case.before);
            if let Stdout::Text(text) = &mut expected.stdout {
                *text = strike_results(text, |_| true);
            }
        },
    },
    Rule {
        name: "an act on an id with several keys names one",
        applies: |case| case.code == 0 && several(case).next().is_some(),
        change: |case, expected| {
            let is_named = several(case).any(|id| case.names(id));
            let is_left = |id: &str| is_named || several(case).any(|several| several == id);
            expected.code = Code::Is(4);
            expected.says_why = true;
            leave(case, expected, is_left);
            if is_named {
                expected.stdout = Stdout::Text(String::new());
                expected.after = possible(&case.before);
            } else if let Stdout::Text(text) = &expected.stdout {
                expected.stdout = Stdout::Text(strike(case, text, |_, id| is_left(id)));
            }
        },
    },
    Rule {
        name: "the key that holds an id is never replaced silently",
        applies: |case| case.code == 0 && swaps(case).next().is_some() && several(case).next().is_none(),
        change: |case, expected| {
            expected.code = Code::Is(4);
            expected.says_why = true;
            leave(case, expected, |id| swaps(case).any(|swap| swap == id));
        },
    },
    Rule {
        name: "an act is one document",
        applies: |case| case.code == 0 && case.action().is_act() && case.is_document() && !is_quiet(case),
        change: |case, expected| {
            let done = results(&case.stdout);
            let left: Vec<&str> = several(case).chain(swaps(case)).collect();
            let done = done.into_iter().filter(|id| !left.contains(&id.as_str()));
            expected.stdout = Stdout::Acted(done.collect());
        },
    },
    Rule {
        name: "-q is quiet",
        applies: |case| case.code == 0 && case.action().is_act() && is_quiet(case) && case.answers_yes(),
        change: |_, expected| expected.stdout = Stdout::Text(String::new()),
    },
    Rule {
        name: "of the master only the public key is shown",
        applies: |case| {
            case.has(&["-F", "--finger-all"])
                && (case.stdout.starts_with("Local Keys:") || case.stdout.contains("\"local\""))
        },
        change: |_, expected| match &mut expected.stdout {
            Stdout::Document(document) => *document = without_local_values(document),
            Stdout::Text(text) => {
                let rest = text.lines().skip(1).skip_while(|line| !line.ends_with("Keys:"));
                *text = rest.map(|line| format!("{line}\n")).collect();
            }
            Stdout::Plain(_) | Stdout::Acted(_) | Stdout::NoMatch(_) | Stdout::Parts(_) => {}
        },
    },
    Rule {
        name: "colours are no answer",
        applies: |case| case.stdout.contains('\u{1b}'),
        change: |_, expected| {
            if let Stdout::Text(text) = &expected.stdout {
                expected.stdout = Stdout::Plain(text.clone());
            }
        },
    },
    Rule {
        name: "spaces beside commas are no part of an id",
        applies: |case| {
            case.code == 0
                && case.action().is_act()
                && case.pattern().split(',').any(|word| word.trim() != word)
        },
        change: |case, expected| {
            let done = selected(case).map(|(_, id)| format!("Key for minion {id} "));
            expected.stdout = Stdout::Parts(done.collect());
            expected.after = done_to_selected(case);
        },
    },
    Rule {
        name: "acts list keys as lists do",
        applies: |case| {
            case.code == 0
                && case.action().is_act()
                && matches!(case.out(), Some("nested" | "txt"))
                && !is_quiet(case)
        },
        change: |case, expected| {
            let done = results(&case.stdout).into_iter().map(|id| format!("Key for minion {id} "));
            expected.stdout = Stdout::Parts(done.collect());
        },
    },
];

/// What has to come out of a case, and the rules that speak for it.
pub(super) fn expected(case: &Case, deviation: Option<&Deviation>) -> (Expected, Vec<&'static str>) {
    let is_document = case.out().is_some_and(|out| out != "quiet") && !case.action().is_act();
    let text = mask(&case.stdout);
    let mut expected = Expected {
        code: Code::Is(case.code),
        stdout: if is_document { Stdout::Document(text) } else { Stdout::Text(text) },
        says_why: !case.stderr.is_empty(),
        after: possible(&case.after),
        files: Vec::new(),
    };
    let mut used = Vec::new();
    for rule in RULES.iter().filter(|rule| (rule.applies)(case)) {
        (rule.change)(case, &mut expected);
        used.push(rule.name);
    }
    if let Some(deviation) = deviation {
        if deviation.recommended == "error" {
            refuse(case, &mut expected);
        }
        // Where a rule says more exactly how it fails, it keeps its code.
        let is_exact = matches!(expected.code, Code::Is(code) if code != 0);
        if deviation.recommended.as_i64().is_some_and(|code| code != 0) && !is_exact {
            expected.code = Code::Failure;
        }
    }
    (expected, used)
}

/// Salt's masks name the file in some places.
fn mask(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("<FP:") {
        let end = rest[at..].find('>').map_or(rest.len(), |end| at + end);
        out.push_str(&rest[..at]);
        out.push_str("<FP");
        rest = &rest[end..];
    }
    out + rest
}

/// A usage error: nothing is printed, nothing is done, stderr says why.
fn refuse(case: &Case, expected: &mut Expected) {
    expected.after = possible(&case.before);
    expected.code = Code::Is(2);
    expected.stdout = Stdout::Text(String::new());
    expected.says_why = true;
}

fn is_quiet(case: &Case) -> bool {
    case.has(&["-q", "--quiet"])
}

fn bits(case: &Case) -> u64 {
    case.value(&["--keysize"]).and_then(|bits| bits.parse().ok()).unwrap_or(2048)
}

/// A document of lists or maps per folder, without some ids.
fn without(document: &str, is_gone: impl Fn(&str, &str) -> bool) -> String {
    let Some(Value::Object(mut folders)) = value(document) else {
        return document.to_owned();
    };
    for (folder, ids) in &mut folders {
        match ids {
            Value::Array(ids) => ids.retain(|id| !id.as_str().is_some_and(|id| is_gone(folder, id))),
            Value::Object(ids) => ids.retain(|id, _| !is_gone(folder, id)),
            _ => {}
        }
    }
    Value::Object(folders).to_string()
}

/// What `-F` says of the master's own keys is its own; states without keys may be left out.
fn without_local_values(document: &str) -> String {
    let Some(Value::Object(mut folders)) = value(document) else {
        return document.to_owned();
    };
    folders.retain(|folder, ids| folder != "local" && ids.as_object().is_none_or(|ids| !ids.is_empty()));
    Value::Object(folders).to_string()
}

/// Nothing happens to these ids.
fn leave(case: &Case, expected: &mut Expected, is_left: impl Fn(&str) -> bool) {
    let mut after = expected.after.clone();
    for of_state in after.values_mut() {
        of_state.retain(|id, _| !is_left(id));
    }
    for (folder, of_state) in possible(&case.before) {
        let left = of_state.into_iter().filter(|(id, _)| is_left(id));
        after.entry(folder).or_default().extend(left);
    }
    after.retain(|_, of_state| !of_state.is_empty());
    expected.after = after;
    if let Stdout::Text(text) = &expected.stdout {
        expected.stdout = Stdout::Text(strike_results(text, is_left));
    }
}
