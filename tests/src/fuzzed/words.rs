//! What operators write to say whom they mean, and the small words of every message.

use std::fmt::Display;
use std::str::FromStr;

use brine_local::text::escape;
use brine_pki::ledger::Hash;
use brine_pki::registry::rules::Expressions;
use brine_protocol::batch::BatchSize;
use brine_protocol::glob::{self, Glob};
use brine_protocol::modules::FileName;
use brine_protocol::server::{RecordTerm, ServerRecord};
use brine_protocol::signal::SignalName;
use brine_protocol::target::{Expression, Known, Nodegroup, Nodegroups, Target, TargetKind, spell_out};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, Jid, MinionId, ServerId, TokenId};
use serde_json::{Map, Value, json};

/// Somebody to be meant.
pub(super) struct Sample {
    id: MinionId,
    grains: Map<String, Value>,
    pillar: Map<String, Value>,
    record: Option<(ServerId, ServerRecord)>,
}

impl Sample {
    /// One with much to tell, and one with little.
    pub(super) fn all() -> [Self; 2] {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        let record = ServerRecord {
            name: "Dijon 1".to_owned(),
            model: "m".to_owned(),
            zone: Some("z".to_owned()),
            site: None,
            labels: [("role".to_owned(), "web".to_owned())].into(),
            minion_id: None,
            external_id: None,
        };
        let grains = json!({
            "os": "Debian", "roles": ["web", "db"], "num_cpus": 4, "ipv4": ["127.0.0.1", "10.1.2.3"],
            "ipv6": "fe80::1%eth0", "a": {"b": {"c": [{"d": 1}, true, null, 1.5]}},
        });
        let pillar = json!({"tier": "gold", "a:b": {"c": ["x"]}});
        let all = Self {
            id: "web1.example.org".parse().expect("an id"),
            grains: map(grains),
            pillar: map(pillar),
            record: Some((ServerId::from_random([7; 16]), record)),
        };
        let bare =
            Self { id: "db".parse().expect("an id"), grains: Map::new(), pillar: Map::new(), record: None };
        [all, bare]
    }

    /// As a master knows it.
    pub(super) fn known(&self) -> Known<'_> {
        let record = self.record.as_ref().map(|(id, record)| (*id, record));
        Known { id: &self.id, grains: Some(&self.grains), pillar: Some(&self.pillar), record }
    }
}

const KINDS: [TargetKind; 11] = [
    TargetKind::Glob,
    TargetKind::Pcre,
    TargetKind::List,
    TargetKind::Grain,
    TargetKind::GrainPcre,
    TargetKind::Pillar,
    TargetKind::PillarPcre,
    TargetKind::Ipcidr,
    TargetKind::Nodegroup,
    TargetKind::Compound,
    TargetKind::Record,
];

/// The letter of a kind, a delimiter or a blank, and the expression.
pub(super) fn target(bytes: &[u8]) {
    let Some(text) = std::str::from_utf8(bytes).ok() else { return };
    let mut chars = text.chars();
    let (Some(letter), Some(delimiter)) = (chars.next(), chars.next()) else { return };
    let Some(kind) = KINDS.into_iter().find(|kind| kind.letter() == letter) else { return };
    let mut target = Target::new(kind, chars.as_str());
    target.delimiter = Some(delimiter).filter(|delimiter| *delimiter != ' ');
    let text = |text: &str| Nodegroup::Text(text.to_owned());
    let words = |words: &[&str]| Nodegroup::Words(words.iter().map(|&word| word.to_owned()).collect());
    let groups: Nodegroups = [
        ("g1", text("L@web1,db")),
        ("g2", words(&["G@os:Debian", "or", "N@g1"])),
        ("loop", text("not N@loop")),
        ("rec", text("Z@zone:z* and N@g2")),
    ]
    .into_iter()
    .map(|(name, group)| (name.to_owned(), group))
    .collect();
    judge(&target, &groups);
}

/// A master's promise to its minions: whoever is meant is sent a target that says so.
fn judge(target: &Target, groups: &Nodegroups) {
    let Ok(expression) = Expression::parse(target, groups) else { return };
    let _ = expression.named();
    let none = Nodegroups::new();
    let to_all = expression.sent_to_all();
    if let Err(error) = Expression::parse(&to_all, &none) {
        panic!("{to_all:?}, which all minions are sent, cannot be read: {error}");
    }
    for sample in Sample::all() {
        let known = sample.known();
        let _ = expression.explain(&known);
        if !expression.matches(&known) {
            continue;
        }
        let sent = expression.sent_to(&known);
        let written = serde_json::to_vec(&sent).expect("a target is JSON").len();
        assert!(written <= expression.sent_max(), "{written} bytes, more than {}", expression.sent_max());
        match Expression::parse(&sent, &none) {
            Ok(again) => {
                let there = Known { record: None, ..known };
                assert!(again.matches(&there), "{} is meant, and not by {sent:?}", sample.id);
            }
            Err(error) => panic!("{sent:?}, which {} is sent, cannot be read: {error}", sample.id),
        }
    }
}

/// The nodegroups of a master, as JSON: each is spelled out and asked.
pub(super) fn nodegroups(bytes: &[u8]) {
    let Ok(groups) = serde_json::from_slice::<Nodegroups>(bytes) else { return };
    for name in groups.keys().take(2) {
        let spelled = spell_out(name, &groups);
        let target = Target::new(TargetKind::Nodegroup, name);
        if Expression::parse(&target, &groups).is_ok() {
            assert!(spelled.is_ok(), "{name:?} can be asked and not be spelled out: {spelled:?}");
        }
        judge(&target, &groups);
    }
}

/// A pattern, and behind the first line feed a text.
pub(super) fn glob(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pattern, text) = text.split_once('\n').unwrap_or((text, "web1.example.org"));
    let (plain, folded) = (Glob::new(pattern), Glob::folded(pattern));
    let is_match = plain.matches(text);
    assert_eq!(is_match, glob::matches(pattern, text));
    let _ = folded.matches(text);
    if !pattern.contains(['*', '?', '[', ']', '\\']) {
        assert_eq!(is_match, pattern == text, "{pattern:?} is no pattern");
    }
}

/// Each word that has a form, written again as it was read.
pub(super) fn small_words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    same::<MinionId>(text);
    same::<Jid>(text);
    same::<Fingerprint>(text);
    same::<SignalName>(text);
    same::<ServerId>(text);
    same::<TokenId>(text);
    same::<FileName>(text);
    same::<Hash>(text);
    same::<BatchSize>(text);
    if let Ok(size) = text.parse::<BatchSize>() {
        for minions in [0, 1, 100, usize::MAX >> 8] {
            let _ = size.of(minions);
        }
    }
    if let Ok(jid) = text.parse::<Jid>() {
        assert!(jid.time() <= Timestamp(i64::MAX), "a time is a time");
    }
    if let Ok(time) = Timestamp::try_from(text.to_owned()) {
        assert_eq!(Timestamp::try_from(time.to_string()), Ok(time));
    }
    if let Ok(term) = text.parse::<RecordTerm>() {
        for sample in Sample::all() {
            sample.record.iter().for_each(|(id, record)| {
                let _ = term.matches(*id, record);
            });
        }
    }
    // What is escaped is for reading: nothing in it moves a cursor.
    assert!(!escape(text).contains(|c: char| c.is_control()), "{:?}", escape(text));
}

fn same<T: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string().parse::<T>().ok(), Some(read), "{text:?} is written otherwise");
    }
}

/// The lines of an acceptance file, and after the first blank line an id.
pub(super) fn acceptance(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (lines, value) = text.split_once("\n\n").unwrap_or((text, "web1.example.org"));
    if let Ok(expressions) = Expressions::parse(lines) {
        let _ = expressions.find(value);
        let _ = expressions.find("db");
    }
}
