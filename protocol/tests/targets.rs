//! Targets as a whole: what is read, what is refused where, and that a minion is sent what means
//! the same.

use brine_protocol::MinionId;
use brine_protocol::server::{ServerId, ServerRecord};
use brine_protocol::target::{
    EXPRESSION_MAX, Expression, Known, NEST_MAX, Nodegroup, Nodegroups, Target, TargetError, TargetKind,
    TermWord, Uses, spell_out,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A minion and all that is known of it.
#[derive(Debug, Clone)]
struct Minion {
    id: MinionId,
    grains: Map<String, Value>,
    pillar: Map<String, Value>,
    record: Option<ServerRecord>,
}

impl Minion {
    fn new(id: &str, grains: Value, pillar: Value, zone: Option<&str>) -> Self {
        let map = |value: Value| value.as_object().expect("a mapping").clone();
        let record = zone.map(|zone| ServerRecord {
            name: id.to_owned(),
            model: "scribe".to_owned(),
            zone: Some(zone.to_owned()),
            site: None,
            labels: [].into(),
            minion_id: None,
            external_id: None,
        });
        Self { id: id.parse().expect("an id"), grains: map(grains), pillar: map(pillar), record }
    }

    fn known(&self) -> Known<'_> {
        Known { record: self.record.as_ref().map(|record| (server(), record)), ..self.known_to_itself() }
    }

    /// A minion does not know what is said about its server.
    fn known_to_itself(&self) -> Known<'_> {
        Known { id: &self.id, grains: Some(&self.grains), pillar: Some(&self.pillar), record: None }
    }
}

fn server() -> ServerId {
    ServerId::from_random([7; 16])
}

fn web1() -> Minion {
    Minion::new(
        "web1",
        json!({"os": "Red Hat", "roles": ["web", "cache"], "ipv4": ["10.0.0.5"], "odd": "a\"b\\c (d"}),
        json!({"tier": "gold"}),
        Some("Dijon"),
    )
}

fn groups() -> Nodegroups {
    let words = |words: &[&str]| Nodegroup::Words(words.iter().map(|word| (*word).to_owned()).collect());
    [
        ("web", Nodegroup::Text("G@roles:web or web9".to_owned())),
        ("both", Nodegroup::Text("N@web and not N@ids".to_owned())),
        ("ids", words(&["db1", "db2"])),
        ("blank", words(&["G@os:Red Hat", "or", "db*"])),
        ("zone", Nodegroup::Text("Z@zone:Dijon or db1".to_owned())),
        ("like", Nodegroup::Text("web[12]".to_owned())),
        ("a", Nodegroup::Text("N@b or web1".to_owned())),
        ("b", Nodegroup::Text("web2 or N@c".to_owned())),
        ("c", Nodegroup::Text("N@a".to_owned())),
        ("bad", Nodegroup::Text("web1 and or".to_owned())),
        ("empty", Nodegroup::Text(String::new())),
    ]
    .map(|(name, group)| (name.to_owned(), group))
    .into()
}

fn read(kind: TargetKind, text: &str) -> Result<Expression, TargetError> {
    Expression::parse(&Target::new(kind, text), &groups())
}

fn compound(text: &str) -> Expression {
    read(TargetKind::Compound, text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn compounds() {
    let minion = web1();
    for (text, expected) in [
        ("web1", true),
        ("web1 and not web2", true),
        ("web1 not web2", true),
        ("not web2", true),
        ("web9 or web1 and G@roles:web", true),
        ("( web9 or web1 ) and G@roles:db", false),
        ("(web9 or web1)and", false),
        ("(web9 or (web1))", true),
        ("not (web9 or web1)", false),
        ("E@(web|db)1", true),
        ("(E@(web|db)1)", true),
        (r"(E@web[)1]\)?)", true),
        ("\"G@os:Red Hat\" and web*", true),
        ("(\"G@os:Red Hat\")", true),
        ("\"P@os:^red\\s\"", true),
        (r#""G@odd:a\"b\\c (d""#, true),
        ("\"and\" or web1", true),
        ("G|@roles|cache", true),
        ("I@tier:gold and J@tier:^g", true),
        ("S@10.0.0.0/8 and L@web1,web2", true),
        ("N@web and N@like", true),
        ("N@both", true),
        ("not N@web", false),
        ("N@blank", true),
        ("Z@zone:Di*", true),
        ("True or 1", false),
        ("@nothing", false),
        ("\tweb1\n", true),
    ] {
        let refused = text.ends_with("and");
        match read(TargetKind::Compound, text) {
            Ok(expression) => assert_eq!(expression.matches(&minion.known()), expected, "{text}"),
            Err(error) => assert!(refused, "{text}: {error}"),
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused_where_it_stands() {
    use TargetKind::{Compound, Glob, GrainPcre, Ipcidr, Nodegroup, Pcre, Record};
    for (kind, text, column, what) in [
        (Compound, "", 1, "expected a term, such as web* or G@os:Debian, or a ( instead of the end"),
        (Compound, "web1 and", 9, "instead of the end"),
        (Compound, "web1 and or web2", 10, "instead of 'or'"),
        (Compound, "not not web1", 5, "instead of 'not'"),
        (Compound, "web1 web2", 6, "expected 'and', 'or', 'not' or the end instead of 'web2'"),
        (Compound, "G@os:Red Hat", 10, "\"quotes\""),
        (Compound, "( web1", 7, "the ) of the ( in column 1"),
        (Compound, "web1 )", 6, "closes nothing"),
        (Compound, "web1) or web2", 5, "closes nothing"),
        (Compound, "( )", 3, "instead of ')'"),
        (Compound, "web1 OR web2", 6, "write 'or' in lower case"),
        (Compound, "web1 or \"web2", 9, "not closed"),
        (Compound, "\"web1\"x", 7, "expected a blank or ) after the quote"),
        (Compound, "web1 or \"\"", 10, "expected a term between the quotes"),
        (Compound, "é* or X@web", 7, "nothing here is meant by X@: expected one of G@"),
        (Compound, "g@os:x", 1, "nothing here is meant by g@"),
        (Compound, "T@ssh", 1, "nothing here is meant by T@"),
        (Compound, "E|@web", 1, "E@ takes no delimiter"),
        (Compound, "web1 or R@%range", 9, "SECO range"),
        (Compound, "web1 or E@we(b", 13, "not closed"),
        (Compound, "\"E@we(b c\"", 6, "not closed"),
        (Compound, "P|@os|x(?=y)", 8, "look-around"),
        (Compound, "S@10.0.0.5/24", 3, "write 10.0.0.0/24"),
        (Compound, "Z@colour:red", 3, "records have no field"),
        (Compound, "web1 or N@nosuch", 9, "no nodegroup is called 'nosuch': there are 'a', 'b'"),
        (Compound, "web1 or N@a", 9, "nodegroup 'a' refers to itself: 'a' -> 'b' -> 'c' -> 'a'"),
        (Compound, "N@bad", 1, "nodegroup 'bad': column 10: expected a term"),
        (Nodegroup, "nosuch", 1, "no nodegroup"),
        (Nodegroup, "b", 1, "'b' -> 'c' -> 'a' -> 'b'"),
        (Nodegroup, "empty", 1, "nodegroup 'empty': column 1"),
        (Pcre, r"web(\d)\1", 8, "back-references"),
        (Pcre, "web[", 4, "not closed"),
        (GrainPcre, "os:(", 4, "not closed"),
        (Ipcidr, "10.0.0", 1, "expected an address"),
        (Record, "zone", 1, "FIELD:GLOB"),
        (Glob, &"*".repeat(2000), 1, "at most 1024"),
    ] {
        let error = read(kind, text).expect_err(text);
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.what.contains(what), "{text}: {error}");
    }
    let delimited = Target { delimiter: Some('|'), ..Target::list("web1") };
    assert!(Expression::parse(&delimited, &groups()).is_err());
}

#[test]
fn nothing_grows_past_its_limit() {
    let nested = |depth: usize| format!("{}web1{}", "( ".repeat(depth), " )".repeat(depth));
    assert!(compound(&nested(NEST_MAX)).matches(&web1().known()));
    assert!(read(TargetKind::Compound, &nested(NEST_MAX + 1)).expect_err("too deep").what.contains("64"));
    let deepest = "(".repeat(EXPRESSION_MAX);
    assert!(read(TargetKind::Compound, &deepest).is_err());
    let ids = "web1,".repeat(EXPRESSION_MAX / 5 + 1);
    assert!(read(TargetKind::List, &ids).expect_err("too long").what.contains("bytes"));
    let regexes = vec!["E@web"; 200].join(" or ");
    assert!(read(TargetKind::Compound, &regexes).expect_err("too many").what.contains("128"));
    assert!(read(TargetKind::Grain, &":".repeat(100)).expect_err("too many").what.contains("64 keys"));

    let mut doubling: Nodegroups = [("g0".to_owned(), Nodegroup::Text("web1".to_owned()))].into();
    for at in 1..40 {
        let text = format!("N@g{0} or N@g{0}", at - 1);
        doubling.insert(format!("g{at}"), Nodegroup::Text(text));
    }
    let read = |name: &str| Expression::parse(&Target::new(TargetKind::Nodegroup, name), &doubling);
    assert!(read("g5").expect("32 terms").matches(&web1().known()));
    assert!(read("g39").expect_err("too long").what.contains("spelled out"));
    assert!(spell_out("g39", &doubling).is_err());
    doubling.insert("g0".to_owned(), Nodegroup::Words(vec![]));
    assert!(spell_out("g39", &doubling).is_err());
}

#[test]
fn a_minion_is_sent_what_it_can_check() {
    let minion = web1();
    let elsewhere = Minion { record: None, ..web1() };
    let known = minion.known();
    for (text, sent) in [
        ("web1 or N@web", "web1 or ( G@roles:web or web9 )"),
        ("web* and N@web", "web* and ( G@roles:web or web9 )"),
        ("not N@ids", "not L@db1,db2"),
        ("not N@both", "not ( ( G@roles:web or web9 ) and not L@db1,db2 )"),
        ("N@blank and web1", "( \"G@os:Red Hat\" or db* ) and web1"),
        ("web1 and Z@zone:Dijon", "web1"),
        ("web1 and not Z@zone:Lyon and G@roles:web", "web1 and G@roles:web"),
        ("db1 or Z@zone:Lyon or ( web1 and N@zone )", "db1 or web1"),
    ] {
        assert_eq!(compound(text).sent_to(&known), Target::new(TargetKind::Compound, sent), "{text}");
    }
    for text in ["Z@zone:Dijon", "N@zone", "web9 or not Z@zone:Lyon"] {
        let expression = compound(text);
        assert_eq!(expression.sent_to(&known), Target::list("web1"), "{text}");
        assert_eq!(expression.sent_to_all(), Target::glob("*"), "{text}");
    }
    // Its record has changed since: what was resolved when the job was submitted stands.
    assert_eq!(compound("web1 and Z@zone:Dijon").sent_to(&elsewhere.known()), Target::list("web1"));

    let written = compound("(web1)  or\tweb2");
    assert_eq!(written.sent_to(&known).expression, "(web1)  or\tweb2");
    let grain = Target { delimiter: Some('|'), ..Target::new(TargetKind::Grain, "os|Red Hat") };
    let grain_read = Expression::parse(&grain, &groups()).expect("a target");
    assert_eq!((grain_read.sent_to(&known), grain_read.sent_to_all()), (grain.clone(), grain));
    let group = read(TargetKind::Nodegroup, "both").expect("a target");
    let spelled = Target::new(TargetKind::Compound, "( G@roles:web or web9 ) and not L@db1,db2");
    assert_eq!(group.sent_to_all(), spelled);
}

#[test]
fn what_is_told_of_an_expression() {
    let minion = web1();
    let expression = compound("( web9 or N@ids ) or not Z@zone:Lyon and \"G@os:Red Hat\"");
    let terms: Vec<(String, bool)> = expression.explain(&minion.known());
    let terms: Vec<(&str, bool)> = terms.iter().map(|(term, holds)| (term.as_str(), *holds)).collect();
    let expected = [("web9", false), ("N@ids", false), ("Z@zone:Lyon", false), ("\"G@os:Red Hat\"", true)];
    assert_eq!(terms, expected);
    let grain = read(TargetKind::Grain, "os:red*").expect("a target");
    assert_eq!(grain.explain(&minion.known()), [("os:red*".to_owned(), true)]);
    let group = read(TargetKind::Nodegroup, "web").expect("a target");
    let of_group = [("G@roles:web".to_owned(), true), ("web9".to_owned(), false)];
    assert_eq!(group.explain(&minion.known()), of_group);

    let all = compound("N@zone and S@10.0.0.5 and I@tier:gold").uses();
    assert_eq!(all, Uses { id: true, grains: true, pillar: true, record: true });
    assert_eq!(compound("web1").uses(), Uses { id: true, ..Uses::default() });

    for (text, is_exact) in [
        ("I@tier:gold and G@os:*", true),
        ("I@tier:g*", false),
        ("web1 or ( not I@*:gold )", false),
        ("I@tier:g[o]ld", false),
        ("J@tier:gold", false),
    ] {
        assert_eq!(compound(text).pillar_is_exact(), is_exact, "{text}");
    }

    assert_eq!(compound("L@b,a,b or ( N@ids and not L@x )").named(), ["a", "b", "db1", "db2"]);
    assert_eq!(compound("not ( a or not L@x )").named(), ["x"]);
}

#[test]
fn what_is_unknown_matches_nothing() {
    let id: MinionId = "web1".parse().expect("an id");
    let known = Known { id: &id, grains: None, pillar: None, record: None };
    for text in ["G@os:*", "P@os:.*", "I@a:*", "J@a:.*", "S@0.0.0.0/0", "Z@zone:*"] {
        assert!(!compound(text).matches(&known), "{text}");
        assert!(compound(&format!("not {text}")).matches(&known), "{text}");
    }
}

#[test]
fn a_word_is_taken_apart() {
    let split = |word| {
        let TermWord { letter, delimiter, pattern } = TermWord::split(word);
        (letter, delimiter, pattern)
    };
    assert_eq!(split("G@a:b"), (Some('G'), None, "a:b"));
    assert_eq!(split("G@@a"), (Some('G'), Some('@'), "a"));
    assert_eq!(split("G@@"), (Some('G'), None, "@"));
    assert_eq!(split("G@"), (None, None, "G@"));
    assert_eq!(split("Z@zone:x"), (Some('Z'), None, "zone:x"));
    assert_eq!(split("é@x"), (None, None, "é@x"));
    assert_eq!(split("E|@x"), (None, None, "E|@x"));
    assert_eq!(split(""), (None, None, ""));
}

/// A tree of terms as text that may be read only one way, and its truth by itself.
#[derive(Debug, Clone)]
enum Tree {
    Term(&'static str),
    Not(Box<Tree>),
    Join(bool, Vec<Tree>),
}

const TERMS: [&str; 16] = [
    "web*",
    "db1",
    "L@web1,db2",
    "E@.*1$",
    "G@os:Debian",
    "\"G@os:Red Hat\"",
    "P@os:^(deb|red)",
    "G|@roles|cache",
    "I@tier:gold",
    "J@tier:^s",
    "S@10.0.0.0/24",
    "Z@zone:Dijon",
    "Z@zone:Ly*",
    "N@web",
    "N@zone",
    "N@blank",
];

impl Tree {
    fn text(&self) -> String {
        match self {
            Tree::Term(term) => (*term).to_owned(),
            Tree::Not(tree) => format!("not ( {} )", tree.text()),
            Tree::Join(is_and, trees) => {
                let parts: Vec<String> = trees.iter().map(|tree| format!("({})", tree.text())).collect();
                parts.join(if *is_and { " and " } else { " or " })
            }
        }
    }

    fn holds(&self, minion: &Known<'_>) -> bool {
        match self {
            Tree::Term(term) => compound(term).matches(minion),
            Tree::Not(tree) => !tree.holds(minion),
            Tree::Join(true, trees) => trees.iter().all(|tree| tree.holds(minion)),
            Tree::Join(false, trees) => trees.iter().any(|tree| tree.holds(minion)),
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    proptest::sample::select(&TERMS[..]).prop_map(Tree::Term).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            (any::<bool>(), proptest::collection::vec(inner, 2..4))
                .prop_map(|(is_and, trees)| Tree::Join(is_and, trees)),
        ]
    })
}

fn minions() -> impl Strategy<Value = Minion> {
    let of = |texts: &'static [&'static str]| proptest::sample::select(texts);
    let id = of(&["web1", "web2", "db1", "db2", "web9"]);
    let os = of(&["Debian", "Red Hat", "Arch"]);
    let role = of(&["web", "cache", "db"]);
    let tier = of(&["gold", "silver"]);
    let zone = of(&["", "Dijon", "Lyon"]);
    (id, os, role, tier, zone, 0_u8..2).prop_map(|(id, os, role, tier, zone, net)| {
        let grains = json!({"os": os, "roles": [role], "ipv4": [format!("10.0.{net}.5")]});
        Minion::new(id, grains, json!({"tier": tier}), Some(zone).filter(|zone| !zone.is_empty()))
    })
}

proptest! {
    #[test]
    fn what_is_sent_means_the_same(tree in trees(), minion in minions()) {
        let expression = compound(&tree.text());
        let is_meant = expression.matches(&minion.known());
        prop_assert_eq!(is_meant, tree.holds(&minion.known()), "{}", tree.text());

        let sent = expression.sent_to(&minion.known());
        let bytes = serde_json::to_vec(&sent).expect("JSON");
        prop_assert!(bytes.len() <= expression.sent_max());
        let read = Expression::parse(&sent, &Nodegroups::new()).expect("what is sent can be read");
        prop_assert!(!read.uses().record);
        if is_meant {
            prop_assert!(read.matches(&minion.known_to_itself()), "{} became {sent}", tree.text());
        } else if sent.kind == TargetKind::Compound {
            prop_assert!(!read.matches(&minion.known_to_itself()), "{} became {sent}", tree.text());
        }
        let all = Expression::parse(&expression.sent_to_all(), &Nodegroups::new()).expect("it can be read");
        prop_assert!(!is_meant || all.matches(&minion.known_to_itself()));
    }

    #[test]
    fn no_text_is_too_strange(text in "[a-cG@:|(){}\\[\\]\\\\\"*?^$ .andort]{0,40}", kind in 0..11_usize) {
        use TargetKind::{
            Compound, Glob, Grain, GrainPcre, Ipcidr, List, Nodegroup, Pcre, Pillar, PillarPcre, Record,
        };
        let kinds = [Compound, Glob, Pcre, List, Grain, GrainPcre, Pillar, PillarPcre, Ipcidr, Nodegroup, Record];
        let minion = web1();
        match read(kinds[kind], &text) {
            Ok(expression) => {
                let sent = expression.sent_to(&minion.known());
                let again = Expression::parse(&sent, &Nodegroups::new()).expect("what is sent can be read");
                prop_assert_eq!(
                    again.matches(&minion.known_to_itself()) || sent.kind == List,
                    expression.matches(&minion.known()) || sent.kind == List
                );
            }
            Err(error) => prop_assert!(error.column <= text.chars().count() + 1, "{error}"),
        }
    }
}
