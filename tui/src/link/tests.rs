//! What events mean, how acts are cut, and a master that comes and goes.

use brine_protocol::control::{Act, KeyState};
use brine_protocol::time::Timestamp;
use serde_json::{Value, json};

use super::fake::Fake;
use super::*;
use crate::samples::{fingerprint, id, key, linked, name, server, server_id};
use brine_client::Unreachable;

fn check(tag: &str, data: Value, expected: &Heard) {
    let event = Event { id: 1, tag: tag.to_owned(), at: Timestamp(0), data, zone: None };
    assert_eq!(heard(&event), *expected, "{tag}");
}

#[test]
fn events_say_what_to_fetch() {
    let decided = Decided {
        id: id("web1"),
        fingerprint: Some(fingerprint(1)),
        what: "accepted".to_owned(),
        by: Some("root".to_owned()),
    };
    let data = json!({"fingerprint": fingerprint(1), "by": "root", "was": "pending"});
    check("brine/key/web1/accepted", data, &Heard::Key(id("web1"), Some(decided)));
    let knock = json!({"fingerprint": fingerprint(1), "address": "10.0.0.1"});
    for what in ["pending", "denied", "seen", "expired"] {
        check(&format!("brine/key/web1/{what}"), knock.clone(), &Heard::Key(id("web1"), None));
    }
    check("brine/minion/web1/start", json!({}), &Heard::Presence(id("web1")));
    check("brine/minion/web1/stop", json!({"why": "silent"}), &Heard::Presence(id("web1")));
    check("brine/master/key/announced", json!({}), &Heard::Master);
    let server = server_id(1);
    let data = json!({"name": "n", "minion": "web1"});
    for (what, minion) in [
        ("created", None),
        ("updated", None),
        ("linked", Some(id("web1"))),
        ("unlinked", Some(id("web1"))),
        ("deleted", None),
    ] {
        check(&format!("brine/server/{server}/{what}"), data.clone(), &Heard::Record(server, minion));
    }
    check("brine/server/nonsense/linked", json!({"minion": "web1"}), &Heard::Nothing);
    let refused = json!({"fingerprint": fingerprint(1), "why": "it has expired"});
    check("brine/key/web1/token_refused", refused, &Heard::Key(id("web1"), None));
    for tag in
        ["brine/minion/web1/grains", "brine/minion/web1/custom/start", "brine/key/web1", "brine/key/../x", ""]
    {
        check(tag, json!({}), &Heard::Nothing);
    }
    check("brine/key/web1/accepted", json!(7), &Heard::Key(id("web1"), None));
}

#[test]
fn one_glob_takes_them_all() {
    for (tag, is_wanted) in [
        ("brine/key/web1/pending", true),
        ("brine/minion/web1/start", true),
        ("brine/master/key/announced", true),
        ("brine/server/01010101-0101-4101-8101-010101010101/linked", true),
        ("brine/job/20261122060732123456/new", false),
    ] {
        assert_eq!(brine_protocol::glob::matches(TAGS, tag), is_wanted, "{tag}");
    }
}

fn step(act: Act, n: usize) -> Step {
    Step { act, name: name(&format!("web{n}"), 1), was: KeyState::Pending, by_rule: false }
}

#[test]
fn acts_go_in_parts_of_one_kind() {
    let mut steps: Vec<Step> = (0..45).map(|n| step(Act::Accept, n)).collect();
    steps.extend((45..48).map(|n| step(Act::Delete, n)));
    let sizes: Vec<(Act, usize)> = parts(&steps).map(|part| (part[0].act, part.len())).collect();
    assert_eq!(sizes, [(Act::Accept, 20), (Act::Accept, 20), (Act::Accept, 5), (Act::Delete, 3)]);
    assert_eq!(parts(&steps).flatten().count(), 48);
}

#[test]
fn a_failure_says_what_is_known() {
    let unreachable = |why| ClientError::Unreachable { socket: "/run/x".into(), why };
    assert!(matches!(failed(&unreachable(Unreachable::Lost)), Outcome::Unknown(why)
        if why.starts_with("it is not known whether it was done")));
    assert!(matches!(failed(&unreachable(Unreachable::NotRunning)), Outcome::Refused(why)
        if why.starts_with("brine-master is not running")));
}

#[tokio::test]
async fn acts_without_a_master_are_told_one_by_one() {
    let (news, mut heard) = mpsc::channel(8);
    let client = Client::new(std::path::Path::new("/nonexistent/control.sock"));
    let steps = (0..21).map(|n| step(Act::Accept, n)).collect();
    act(client, news, steps, None).await;
    let mut told = Vec::new();
    while let Some(news) = heard.recv().await {
        match news {
            News::Acted(results) => told.extend(results),
            News::ActsOver => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told.len(), 21);
    assert!(matches!(&told[0], Outcome::Refused(why) if why.contains("not running")));
    assert!(matches!(&told[20], Outcome::Refused(why) if why.contains("not tried")));
}

/// A link to a fake master, and what it tells.
struct Linked {
    fake: Option<Fake>,
    socket: std::path::PathBuf,
    heard: mpsc::Receiver<News>,
    orders: mpsc::UnboundedSender<Order>,
    _folder: tempfile::TempDir,
}

impl Linked {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let fake = Fake::start(&socket, vec![key("web1", 1, KeyState::Pending)]);
        let client = Client::new(&socket);
        let (events, contact) = contact(&client).await.unwrap();
        assert_eq!(contact.rows.len(), 1);
        let (news, heard) = mpsc::channel(64);
        let (orders, taken) = mpsc::unbounded_channel();
        tokio::spawn(follow(client, events, news, taken));
        fake.asked();
        Self { fake: Some(fake), socket, heard, orders, _folder: folder }
    }

    fn fake(&self) -> &Fake {
        self.fake.as_ref().expect("it runs")
    }

    /// The next news that are not of the master's health.
    async fn next(&mut self) -> News {
        loop {
            let news = tokio::time::timeout(Duration::from_secs(10), self.heard.recv());
            match news.await.expect("news in time").expect("the link lives") {
                News::Health(_) => {}
                news => return news,
            }
        }
    }
}

#[tokio::test]
async fn an_event_fetches_its_id_and_nothing_else() {
    let mut linked = Linked::new().await;
    let now = vec![key("web1", 1, KeyState::Rejected), key("web2", 2, KeyState::Pending)];
    linked.fake().set_keys(now);
    linked.fake().event("brine/key/web1/rejected", &json!({"fingerprint": fingerprint(1), "by": "alice"}));
    let News::Decided(decided) = linked.next().await else { panic!("the decision first") };
    assert_eq!(decided.by.as_deref(), Some("alice"));
    let News::KeysOf(of, rows) = linked.next().await else { panic!("then its keys") };
    assert_eq!((of, rows.len(), rows[0].key.state), (id("web1"), 1, KeyState::Rejected));
    let asked = linked.fake().asked();
    assert!(asked.contains(&"/v1/keys?public_key=false&id=web1".to_owned()), "{asked:?}");
    assert!(!asked.contains(&"/v1/keys?public_key=false".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn missed_events_and_bursts_fetch_everything_once() {
    let mut linked = Linked::new().await;
    linked.fake().gap();
    assert!(matches!(linked.next().await, News::Missed));
    assert!(matches!(linked.next().await, News::Keys(rows) if rows.len() == 1));
    linked.fake().asked();
    for n in 0..500 {
        linked.fake().event(&format!("brine/key/flood{n}/pending"), &json!({}));
    }
    assert!(matches!(linked.next().await, News::Keys(_)));
    let lists = linked.fake().asked().iter().filter(|path| path.starts_with("/v1/keys")).count();
    assert_eq!(lists, 1, "five hundred events, one list");
}

#[tokio::test]
async fn nothing_is_asked_while_nothing_happens() {
    let mut linked = Linked::new().await;
    linked.fake().event("brine/minion/web1/grains", &json!({}));
    linked.fake().event("brine/minion/web1/stop", &json!({}));
    assert!(matches!(linked.next().await, News::KeysOf(..)), "the second event means something");
    let keys = linked.fake().asked().into_iter().filter(|path| path.starts_with("/v1/keys"));
    assert_eq!(keys.count(), 1, "the first did not");
    linked.orders.send(Order::History(id("web1"))).unwrap();
    assert!(matches!(linked.next().await, News::History(..)));
    linked.fake().asked();
    // Twenty seconds in which nothing happens: whoever polls wakes up, and asks.
    tokio::time::pause();
    for _ in 0..200 {
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    linked.fake().event("brine/minion/web1/stop", &json!({}));
    assert!(matches!(linked.next().await, News::KeysOf(..)));
    let asked = linked.fake().asked();
    let lists = asked.iter().filter(|path| path.starts_with("/v1/keys")).count();
    assert_eq!(lists, 1, "what the event asks for, and nothing before: {asked:?}");
}

/// The names of the records that come next.
async fn records(linked: &mut Linked) -> Vec<String> {
    loop {
        match linked.next().await {
            News::Records(Ok(servers)) => {
                return servers.into_iter().map(|server| server.record.name).collect();
            }
            News::Records(Err(why)) => panic!("{why}"),
            News::Record(_) | News::Keys(_) | News::KeysOf(..) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn records_are_live_while_somebody_chooses_and_not_asked_for_otherwise() {
    let mut link = Linked::new().await;
    let held = linked(server(2, "held"), "web1", 1);
    link.fake().set_servers(vec![server(1, "free"), held.clone(), linked(server(3, "other"), "web3", 3)]);
    let tag = format!("brine/server/{}/linked", server_id(3));
    link.fake().event(&tag, &json!({"minion": "web3"}));
    assert!(matches!(link.next().await, News::Record(id) if id == server_id(3)));
    assert!(matches!(link.next().await, News::KeysOf(of, _) if of == id("web3")), "its key is fetched");
    let is_asked = |link: &Linked| link.fake().asked().iter().any(|path| path.starts_with("/v1/servers"));
    assert!(!is_asked(&link), "nobody chooses");

    // What is linked is named, and what is gone is no fault.
    let also = BTreeSet::from([server_id(2), server_id(9)]);
    link.orders.send(Order::Records(also)).unwrap();
    assert_eq!(records(&mut link).await, ["free", "held"]);
    link.fake().set_servers(vec![server(1, "free"), server(4, "new"), held]);
    link.fake().event(&format!("brine/server/{}/created", server_id(4)), &json!({"name": "new"}));
    assert_eq!(records(&mut link).await, ["free", "new", "held"]);
    link.fake().gap();
    assert!(matches!(link.next().await, News::Missed));
    assert_eq!(records(&mut link).await.len(), 3, "an event about them may have been missed");

    link.orders.send(Order::NoRecords).unwrap();
    link.orders.send(Order::Refetch(Some(id("web1")))).unwrap();
    while !matches!(link.next().await, News::KeysOf(..)) {}
    link.fake().asked();
    link.fake().event(&tag, &json!({"minion": "web1"}));
    while !matches!(link.next().await, News::KeysOf(..)) {}
    assert!(!is_asked(&link), "nobody chooses any more");
}

#[tokio::test]
async fn a_pairing_is_posted_and_its_outcome_told() {
    let mut link = Linked::new().await;
    link.fake().set_servers(vec![server(1, "one")]);
    let key = name("web1", 1);
    let key = brine_protocol::control::KeyName {
        id: key.id,
        fingerprint: key.fingerprint,
        state: Some(KeyState::Pending),
    };
    let request = PairRequest { key, replace: false, gives_up: None, reason: None };
    for (n, is_there) in [(1, true), (2, false)] {
        link.orders.send(Order::Pair { server: server_id(n), request: request.clone() }).unwrap();
        match (link.next().await, is_there) {
            (News::Paired(Outcome::Done), true) => {}
            (News::Paired(Outcome::Refused(why)), false) => assert_eq!(why, "there is no such record"),
            (other, _) => panic!("{other:?}"),
        }
    }
    assert!(link.fake().asked().contains(&format!("/v1/servers/{}/pair", server_id(1))));
    link.fake = None;
    assert!(matches!(link.next().await, News::Lost(_)));
    link.orders.send(Order::Pair { server: server_id(1), request }).unwrap();
    loop {
        match link.next().await {
            News::Paired(Outcome::Refused(why)) => break assert_eq!(why, "not connected to the master"),
            News::Lost(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_master_that_goes_away_is_told_of_and_come_back_to() {
    let mut linked = Linked::new().await;
    linked.fake = None;
    let News::Lost(why) = linked.next().await else { panic!("it is gone") };
    assert!(why.contains("brine-master closed"), "{why}");
    // What is wanted meanwhile is answered, and not kept for later.
    let steps = vec![step(Act::Accept, 1)];
    linked.orders.send(Order::Act { steps, reason: None }).unwrap();
    let mut refused = 0;
    loop {
        match linked.next().await {
            News::Acted(results) => {
                refused += results.iter().filter(|outcome| matches!(outcome, Outcome::Refused(_))).count();
            }
            News::ActsOver => break,
            News::Lost(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 1);
    linked.fake = Some(Fake::start(&linked.socket, vec![key("web9", 9, KeyState::Pending)]));
    let contact = loop {
        match linked.next().await {
            News::Back(contact) => break contact,
            News::Lost(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(contact.rows[0].key.id, id("web9"));
    assert!(linked.fake().asked().iter().all(|path| path != "/v1/keys/act"), "nothing was done late");
    linked.fake().event("brine/key/web9/seen", &json!({}));
    assert!(matches!(linked.next().await, News::KeysOf(..)), "and events come again");
}
