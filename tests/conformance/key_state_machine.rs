//! Every transition that Salt 3008.5 was seen to make when a minion presents a key, run against the
//! master's real decisions.
//!
//! Two comparisons: what the engine does has to be what [`ours`], our rules in a few lines, says;
//! and where that is not Salt's answer, one of [`DIFFERENCES`] has to speak for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use brine_pki::registry::rules::Expressions;
use brine_protocol::MinionId;
use serde_json::Value;

use crate::adapter::{Adapter, File, number};
use crate::report::Report;
use crate::rig::Rig;

/// Keys by the name of Salt's folder.
pub(crate) type States = BTreeMap<String, BTreeSet<String>>;

/// What a minion was told, and what is listed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) reply: String,
    pub(crate) after: States,
}

/// One request of a minion.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) before: States,
    pub(crate) options: BTreeMap<String, Value>,
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) grains: BTreeMap<String, String>,
    pub(crate) id: String,
    pub(crate) presented: String,
    salt: Answer,
}

fn states(value: &Value) -> States {
    let folders = value.as_object().expect("folders");
    let keys = |value: &Value| BTreeSet::from([value.as_str().expect("a key").to_owned()]);
    folders.iter().map(|(folder, key)| (folder.clone(), keys(key))).collect()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().expect("an object").iter();
    pairs.map(|(name, text)| (name.clone(), text.as_str().expect("a text").to_owned())).collect()
}

impl Case {
    fn read(case: &Value) -> Self {
        let text = |name: &str| case[name].as_str().expect("a text").to_owned();
        let options = case["options"].as_object().expect("options").clone();
        let known = ["open_mode", "auto_accept"];
        assert!(options.keys().all(|name| known.contains(&name.as_str())), "an option of its own: {case}");
        Self {
            before: states(&case["before"]),
            options: options.into_iter().collect(),
            files: texts(&case["files"]),
            grains: texts(&case["autosign_grains"]),
            id: text("minion_id"),
            presented: text("presented"),
            salt: Answer { reply: text("reply"), after: states(&case["after"]) },
        }
    }

    pub(crate) fn is_on(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| *value == true)
    }

    /// The keys in one folder.
    pub(crate) fn keys(&self, folder: &str) -> BTreeSet<String> {
        self.before.get(folder).cloned().unwrap_or_default()
    }

    /// Keys that an operator decided about.
    fn decided(&self) -> BTreeSet<String> {
        &self.keys("minions") | &self.keys("minions_rejected")
    }

    /// Keys that nobody decided about.
    fn waiting(&self) -> BTreeSet<String> {
        &(&self.keys("minions_pre") | &self.keys("minions_denied")) - &self.decided()
    }

    fn matches(&self, file: &str) -> bool {
        let lines = Expressions::parse(self.files.get(file).map_or("", String::as_str)).expect("few lines");
        lines.find(&self.id).is_some()
    }

    /// Whether a rule lets the id in, by what is known of everybody or also by claimed grains.
    fn is_let_in(&self, claims: bool) -> bool {
        let lists = |grain: &String, value: &String| {
            let lines = self.files.get(&format!("ag/{grain}")).map_or("", String::as_str).lines();
            lines.map(str::trim).any(|line| line == value && !line.starts_with('#'))
        };
        let claimed = claims && self.grains.iter().any(|(grain, value)| lists(grain, value));
        self.is_on("auto_accept") || self.matches("autosign") || claimed
    }
}

/// Our rules. A key is in one state; what nobody decided about waits, and is denied while another
/// key of the id was decided about; rules speak where nobody did, `autoreject_file` first, and let
/// in who waits alone.
fn ours(case: &Case) -> Answer {
    let (mut waiting, rejected) = (case.waiting(), case.keys("minions_rejected"));
    let mut accepted = &case.keys("minions") - &rejected;
    let is_key = case.presented.len() == 1 && case.id.parse::<MinionId>().is_ok();
    let is_free = accepted.is_empty() && rejected.is_empty();
    let is_ruled_out = is_free && case.matches("autoreject");
    let let_in = |waiting: &mut BTreeSet<String>, accepted: &mut BTreeSet<String>, claims| {
        if accepted.is_empty() && is_free && !is_ruled_out && waiting.len() == 1 && case.is_let_in(claims) {
            accepted.append(waiting);
        }
    };
    let reply = if case.is_on("open_mode") {
        "the master does not start"
    } else {
        let_in(&mut waiting, &mut accepted, false);
        if !is_key {
            "reject"
        } else {
            if !accepted.contains(&case.presented) && !rejected.contains(&case.presented) {
                waiting.insert(case.presented.clone());
                let_in(&mut waiting, &mut accepted, true);
            }
            match accepted.contains(&case.presented) {
                true => "accept",
                false if is_ruled_out || !accepted.is_empty() || !rejected.is_empty() => "reject",
                false => "pend",
            }
        }
    };
    let is_held = !accepted.is_empty() || !rejected.is_empty();
    let waits_as = match is_held {
        true => "minions_denied",
        false if is_ruled_out && !case.is_on("open_mode") => "minions_rejected",
        false => "minions_pre",
    };
    let mut after = States::new();
    for (folder, keys) in [("minions", accepted), ("minions_rejected", rejected), (waits_as, waiting)] {
        if !keys.is_empty() {
            after.entry(folder.to_owned()).or_default().extend(keys);
        }
    }
    Answer { reply: reply.to_owned(), after }
}

/// A way in which we answer otherwise than Salt; its reason is in `our-deviations.toml`.
struct Difference {
    name: &'static str,
    applies: fn(&Case) -> bool,
}

/// The first that applies explains a difference. docs/coming-from-salt.md tells them to users.
const DIFFERENCES: &[Difference] = &[
    Difference { name: "open_mode stops the start", applies: |case| case.is_on("open_mode") },
    Difference {
        name: "minions_autosign is not read",
        applies: |case| case.files.keys().any(|name| name.starts_with("p/minions_autosign/")),
    },
    Difference {
        name: "what is no key is refused before it is filed",
        applies: |case| case.presented.len() != 1,
    },
    Difference {
        name: "a key is in one state",
        applies: |case| !(&case.keys("minions") & &case.keys("minions_rejected")).is_empty(),
    },
    Difference {
        name: "a waiting key of another machine takes nothing from the accepted one",
        applies: |case| case.keys("minions").contains(&case.presented) && !case.waiting().is_empty(),
    },
    Difference {
        name: "every key that knocked is kept and shown",
        applies: |case| !case.decided().is_empty() && !case.decided().contains(&case.presented),
    },
    Difference {
        name: "denied means that another key was decided about",
        applies: |case| case.decided().is_empty() && !case.keys("minions_denied").is_empty(),
    },
    Difference {
        name: "rules judge the key that waits, not the one that knocks",
        applies: |case| {
            let others = case.waiting().iter().any(|key| *key != case.presented);
            others && case.is_let_in(false) && !case.matches("autoreject")
        },
    },
    Difference {
        name: "keys of one id wait side by side until a human chooses",
        applies: |case| case.waiting().iter().any(|key| *key != case.presented),
    },
];

pub(crate) fn adapter() -> Adapter {
    Adapter {
        file: "key_state_machine.jsonl",
        fields: &[
            "before",
            "options",
            "files",
            "autosign_grains",
            "minion_id",
            "presented",
            "reply",
            "after",
            "events",
        ],
        run: |file, report| {
            transitions(file, report);
            follows_our_rules_in_every_situation();
            differences_are_in_the_documentation();
        },
    }
}

/// Every transition is Salt's or is explained.
fn transitions(file: &File, report: &mut Report) {
    for value in &file.cases {
        let (n, case) = (number(value).to_string(), Case::read(value));
        let (is, should) = (Rig::answer(&case), ours(&case));
        let is_so = is == should;
        let wrong = format!("{value}: the master answers {is:?}, by our rules it is {should:?}");
        if should == case.salt && is_so {
            report.pass();
        } else if should == case.salt {
            report.fail(&n, &wrong);
        } else if let Some(found) = DIFFERENCES.iter().find(|difference| (difference.applies)(&case)) {
            report.on_purpose(&n, found.name, is_so, &wrong);
        } else {
            report.fail(&n, &format!("Salt answers {:?}, we {should:?}, and nothing says why", case.salt));
        }
    }
}

/// The names of the differences, which are in `our-deviations.toml` with their reasons.
pub(crate) fn names() -> Vec<&'static str> {
    DIFFERENCES.iter().map(|difference| difference.name).collect()
}

/// Salt was asked some of these; our rules answer all of them.
fn follows_our_rules_in_every_situation() {
    let folders = ["minions", "minions_pre", "minions_rejected", "minions_denied"];
    let one = |folder: &str, key: &str| (folder.to_owned(), BTreeSet::from([key.to_owned()]));
    let mut befores = vec![States::new()];
    for (first, folder) in folders.iter().enumerate() {
        for key in ["A", "B"] {
            befores.push([one(folder, key)].into());
            for other in &folders[first + 1..] {
                befores.extend(["A", "B", "C"].map(|second| [one(folder, key), one(other, second)].into()));
            }
        }
    }
    let files = |wanted: &[(&str, &str)]| -> BTreeMap<String, String> {
        wanted.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    let rules = [
        files(&[]),
        files(&[("autosign", "m*\n")]),
        files(&[("autoreject", "m\n")]),
        files(&[("autosign", "m\n"), ("autoreject", "m|x\n")]),
        files(&[("ag/uuid", "u-1\n")]),
        files(&[("autosign", "x\n"), ("autoreject", "x\n"), ("p/minions_autosign/m", "")]),
    ];
    let mut run = 0;
    for (before, files) in befores.iter().flat_map(|before| rules.iter().map(move |files| (before, files))) {
        for (option, presented) in ["auto_accept", "none"]
            .into_iter()
            .flat_map(|option| ["A", "B", "garbage"].into_iter().map(move |presented| (option, presented)))
        {
            let case = Case {
                before: before.clone(),
                options: [(option.to_owned(), true.into())].into(),
                files: files.clone(),
                grains: [("uuid".to_owned(), "u-1".to_owned())].into(),
                id: "m".to_owned(),
                presented: presented.to_owned(),
                salt: Answer { reply: String::new(), after: States::new() },
            };
            assert_eq!(Rig::answer(&case), ours(&case), "{case:?}");
            run += 1;
        }
    }
    assert!(run > 1000, "{run}");
}

/// Users read of every difference.
fn differences_are_in_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coming-from-salt.md");
    let text = std::fs::read_to_string(path).unwrap();
    for difference in DIFFERENCES {
        assert!(text.contains(difference.name), "docs/coming-from-salt.md does not say: {}", difference.name);
    }
}
