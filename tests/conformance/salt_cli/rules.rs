//! Where `brine` does otherwise than `salt`; why is in `our-deviations.toml`. No rule knows a case by
//! its number.

use super::Case;
use crate::adapter::Deviation;

/// What has to come out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expected {
    /// Exit codes, one of which it is.
    pub(crate) codes: Vec<i32>,
    /// None where nothing of it matters.
    pub(crate) stdout: Option<String>,
}

/// Something that Brine does otherwise.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    applies: fn(&Case) -> bool,
    change: fn(&Case, &mut Expected),
}

/// Every difference. Later rules see what earlier ones made of it.
pub(crate) const RULES: [Rule; 10] = [
    Rule {
        name: "usage is 2",
        applies: |case| matches!(case.code, 42 | 64),
        change: |_, expected| *expected = Expected { codes: vec![2], stdout: Some(String::new()) },
    },
    Rule {
        name: "a retcode is 11",
        applies: |case| case.code == 1,
        change: |_, expected| expected.codes = vec![11],
    },
    Rule {
        name: "a batch is shown as any job",
        applies: |case| {
            let of_a_batch = ["Executing run on [", "No minions matched the target.\n"];
            ["-b", "--batch-safe-limit"].iter().any(|option| case.has(option))
                && of_a_batch.iter().any(|words| case.stdout.contains(words))
        },
        change: |_, expected| {
            let is_frame = |line: &str| {
                line.starts_with("Executing run on [")
                    || line.starts_with("NOTICE: Too many minions")
                    || line == "No minions matched the target."
                    || line.starts_with("jid:")
                    || line.starts_with("retcode:")
                    || matches!(line.trim(), "<JID>" | "0" | "")
            };
            let text = expected.stdout.take().unwrap_or_default();
            let lines: Vec<&str> = text.lines().filter(|line| !is_frame(line)).collect();
            expected.stdout = Some(lines.join("\n"));
        },
    },
    Rule {
        name: "the documentation is our own",
        applies: |case| case.stdout.contains("Passed invalid arguments"),
        change: |_, expected| expected.stdout = None,
    },
    Rule {
        name: "the shell is /bin/sh",
        applies: |case| case.args.iter().any(|arg| arg == "echo $0"),
        change: |_, expected| {
            expected.stdout = expected.stdout.as_ref().map(|text| text.replace("/bin/bash", "/bin/sh"));
        },
    },
    Rule {
        name: "a default is shown as it is",
        applies: |case| case.function() == "pillar.get" && case.stdout.contains("**********"),
        change: |case, expected| {
            let default =
                case.args.iter().skip_while(|arg| *arg != "pillar.get").nth(2).cloned().unwrap_or_default();
            expected.stdout = expected.stdout.as_ref().map(|text| text.replace("**********", &default));
        },
    },
    Rule {
        name: "an outputter is there or refused",
        applies: |case| case.stderr.contains("Invalid outputter"),
        change: |case, expected| match case.value("--out") {
            Some("newline_values_only") => expected.stdout = Some("True\n".to_owned()),
            _ => *expected = Expected { codes: vec![2], stdout: Some(String::new()) },
        },
    },
    Rule {
        name: "no master is 3",
        applies: |case| case.stdout.contains("could not be contacted"),
        change: |_, expected| *expected = Expected { codes: vec![2, 3], stdout: Some(String::new()) },
    },
    Rule {
        name: "--static hides no failure",
        applies: |case| {
            let failures =
                ["ERROR executing '", "is not available", "Passed invalid arguments", "Timed out after"];
            let is_failure = failures.iter().any(|words| case.stdout.contains(words));
            case.code == 0 && case.has("--static") && is_failure
        },
        change: |_, expected| expected.codes = vec![11],
    },
    Rule {
        name: "a minion sends no events",
        applies: |case| case.function() == "event.send",
        change: |_, expected| *expected = Expected { codes: vec![11], stdout: None },
    },
];

/// What has to come out of a case, and the rules that speak for it: those that say more than the
/// recommendation does.
pub(crate) fn expected(case: &Case, deviation: Option<&Deviation>) -> (Expected, Vec<&'static str>) {
    let code = i32::try_from(case.code).expect("an exit code");
    let mut expected = Expected { codes: vec![code], stdout: Some(case.stdout.clone()) };
    if let Some(deviation) = deviation {
        recommended(&deviation.recommended, case, &mut expected);
    }
    let mut used = Vec::new();
    for rule in RULES.iter().filter(|rule| (rule.applies)(case)) {
        let before = expected.clone();
        (rule.change)(case, &mut expected);
        if expected != before {
            used.push(rule.name);
        }
    }
    (expected, used)
}

/// What a recommendation means: an exit code by Salt's table, or words.
fn recommended(recommended: &serde_json::Value, case: &Case, expected: &mut Expected) {
    match (recommended.as_i64(), recommended.as_str()) {
        (Some(0), _) => expected.codes = vec![0],
        (Some(1), _) => expected.codes = vec![11],
        (Some(2), _) => {
            expected.codes = vec![12];
            // What is missing is said in the document as well.
            expected.stdout = None;
        }
        (Some(_), _) => *expected = Expected { codes: vec![2], stdout: Some(String::new()) },
        (None, Some("nonzero")) => *expected = Expected { codes: (1..128).collect(), stdout: None },
        (None, Some("honour --delimiter")) => {
            expected.codes = vec![0];
            expected.stdout = case.has("json").then(|| "{\"m1\": true, \"m2\": true}".to_owned());
        }
        _ => panic!("n={}: nobody here knows what is meant by {recommended}", case.n),
    }
}
