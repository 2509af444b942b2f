//! Minions that come back with a ticket in place of a signature, and all that keeps one from being taken.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use brine_pki::handshake::kind;
use brine_pki::handshake::minion::{Offered, Pin, Ticket};
use brine_protocol::message::{Knock, Pace, Standing, ToMaster, Welcome};
use brine_tests::fake::FakeMaster;
use brine_tests::fixtures::fingerprint;
use brine_tests::impostor::{config, shake};
use brine_tests::peer::{Peer, offered, private_key, random};
use brine_tests::swarm::{Options, Pool, Swarm, provision};
use brine_tests::wait::stays;
use brine_tests::{Fleet, Minion, eventually};

use super::rotation::{announce, master_is, until_learned};

/// A minion that is back quickly after its master died.
const QUICK: &str = "reconnect_max: 0.2\n";

fn started(options: &str) -> Fleet {
    let mut fleet = Fleet::prepare_with_ports(options);
    fleet.start_master();
    fleet
}

fn ticket_keys(fleet: &Fleet) -> PathBuf {
    fleet.root().join("etc/brine/pki/master/tickets.key")
}

/// How many came by ticket, whose ticket was refused, and who signed, since the master's start.
fn came(fleet: &Fleet) -> [u64; 3] {
    ["resumed", "resume_refused", "hello_verified"].map(|name| fleet.counter(name))
}

#[track_caller]
fn restart(fleet: &mut Fleet, minions: &[&Minion]) {
    fleet.kill_master();
    fleet.start_master();
    minions.iter().for_each(|minion| fleet.until_up(&minion.id));
}

#[test]
fn a_master_killed_under_its_minions_gets_them_back_without_a_signature() {
    let mut fleet = started("");
    // One was accepted before it came, the other while it waited: both have a ticket from then on.
    let (m1, mut m2) = (fleet.minion_with("m1", "m1", QUICK), fleet.minion_with("m2", "m2", QUICK));
    m2.kill();
    m2.start();
    fleet.until_back(&m2);
    for _ in 0..3 {
        restart(&mut fleet, &[&m1, &m2]);
        assert_eq!(came(&fleet), [2, 0, 0]);
        fleet.ping("m1");
        // What it has told of itself holds.
        let answer = fleet.brine(&["-G", "id:m2", "test.ping", "--out", "json", "--static"]).expect(0).json();
        assert_eq!(answer, serde_json::json!({"m2": true}));
    }
    let mode = fs::metadata(ticket_keys(&fleet)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    // A ticket is in memory only.
    m2.kill();
    m2.start();
    fleet.until_back(&m2);
    assert_eq!(came(&fleet), [2, 0, 1]);
}

#[test]
fn a_key_that_was_acted_on_meanwhile_is_what_its_state_says() {
    let fleet = started("");
    let id = |n: usize| format!("m{n}");
    let tickets: Vec<_> = (1..=4).map(|n| ticket_of_accepted(&fleet, &id(n))).collect();
    for n in 1..=4 {
        assert!(Peer::resume(fleet.ret_port, &id(n), &tickets[n - 1]).is_ok(), "while nothing was done");
    }
    let act = |act: &str, n: usize| fleet.act(act, &id(n), &fingerprint(&id(n)));
    act("reject", 1);
    act("delete", 2);
    act("suspend", 3);
    // Forgotten and let in anew: the ticket is of the earlier decision.
    act("delete", 4);
    let mut peer = Peer::open(fleet.ret_port, "m4", "m4");
    peer.send(&ToMaster::Knock(Knock::default()));
    eventually(10.0, "the key waits", || {
        fleet.key_state("m4", &fingerprint("m4")).as_deref() == Some("pending")
    });
    act("accept", 4);
    let stands = |n: usize| {
        let refused =
            Peer::resume(fleet.ret_port, &id(n), &tickets[n - 1]).expect_err("the ticket is worthless");
        // Over the same connection, for the same Offer.
        let (wire, offered) = *refused;
        let id = id(n);
        let (hello, waiting) = offered.hello(&private_key(&id), &id.parse().unwrap(), random());
        Peer::welcome(wire, &hello, waiting).standing
    };
    assert_eq!([1, 2, 3].map(stands), [Standing::Rejected, Standing::Pending, Standing::Suspended]);
    assert!(matches!(stands(4), Standing::Accepted { .. }));
    act("resume", 3);
    assert!(
        Peer::resume(fleet.ret_port, "m3", &tickets[2]).is_ok(),
        "the decision that accepted it holds again"
    );
}

/// A ticket of a key that is accepted while it waits.
fn ticket_of_accepted(fleet: &Fleet, key: &str) -> Ticket {
    let (mut peer, none) = Peer::open_for_ticket(fleet.ret_port, key, key);
    assert!(none.is_none(), "no ticket for who waits");
    peer.send(&ToMaster::Knock(Knock::default()));
    eventually(10.0, "the key waits", || {
        fleet.key_state(key, &fingerprint(key)).as_deref() == Some("pending")
    });
    fleet.act("accept", key, &fingerprint(key));
    let (peer, ticket) = Peer::open_for_ticket(fleet.ret_port, key, key);
    assert!(matches!(peer.standing, Standing::Accepted { .. }));
    ticket.expect("a ticket for who is in")
}

#[test]
fn a_session_whose_key_is_deleted_between_ticket_and_start_is_cut_and_leaves_no_trace() {
    let fleet = started("");
    let ticket = ticket_of_accepted(&fleet, "m1");
    let (mut peer, _) = Peer::resume(fleet.ret_port, "m1", &ticket).expect("accepted");
    fleet.act("delete", "m1", &fingerprint("m1"));
    peer.start();
    assert!(peer.is_closed_within(5.0));
    assert_eq!(fleet.key_state("m1", &fingerprint("m1")), None, "its key was never shown");
}

#[test]
fn a_real_minion_that_was_away_is_treated_as_its_key_is() {
    let mut fleet = started("");
    let (mut m1, m2) = (fleet.minion_with("m1", "m1", QUICK), fleet.minion_with("m2", "m2", QUICK));
    restart(&mut fleet, &[&m1, &m2]);
    assert_eq!(came(&fleet), [2, 0, 0]);
    // It sleeps, with its ticket, while its key is rejected.
    m1.process().signal(nix::sys::signal::Signal::SIGSTOP);
    fleet.act("reject", "m1", &m1.fingerprint());
    m1.process().signal(nix::sys::signal::Signal::SIGCONT);
    eventually(10.0, "its ticket is refused", || fleet.counter("resume_refused") == 1);
    eventually(10.0, "it has signed instead", || fleet.counter("hello_verified") > 0);
    stays(0.5, "it is not in", || fleet.presence("m1") != "up");
    assert_eq!(fleet.counter("resumed"), 2);
    fleet.ping("m2");
}

#[test]
fn keys_of_tickets_that_are_gone_damaged_old_or_open_cost_a_signature_and_nothing_else() {
    let mut fleet = started("");
    let m1 = fleet.minion_with("m1", "m1", QUICK);
    let path = ticket_keys(&fleet);
    let days_old = |text: &str| {
        let words: Vec<&str> = text.split(' ').collect();
        let made: u64 = words[1].parse().unwrap();
        text.replacen(words[1], &(made - 37 * 3600).to_string(), 1)
    };
    for (name, is_told) in
        [("removed", false), ("cut", true), ("older than it may be", false), ("open to others", true)]
    {
        fleet.kill_master();
        let text = fs::read_to_string(&path).unwrap();
        match name {
            "removed" => fs::remove_file(&path),
            "cut" => fs::write(&path, &text[..text.len() / 2]),
            "open to others" => fs::set_permissions(&path, fs::Permissions::from_mode(0o644)),
            _ => fs::write(&path, days_old(&text)),
        }
        .unwrap();
        fleet.start_master();
        fleet.until_up("m1");
        fleet.ping("m1");
        assert_eq!(came(&fleet), [0, 1, 1], "{name}");
        assert_eq!(fleet.log().contains("tickets.key cannot be used"), is_told, "{name}: {}", fleet.log());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{name}");
        restart(&mut fleet, &[&m1]);
        assert_eq!(came(&fleet), [1, 0, 0], "{name}: there is a new one");
    }
}

#[test]
fn under_another_trust_key_everybody_signs_once() {
    let mut fleet = started("");
    let m1 = fleet.minion_with("m1", "m1", QUICK);
    let old = ticket_of_accepted(&fleet, "m2");
    let new = announce(&fleet, 3600);
    until_learned(&fleet, 1);
    fleet.api().post("/v1/master/rotation/finish", &serde_json::json!({})).expect(200);
    master_is(&fleet, &new);
    assert!(Peer::resume(fleet.ret_port, "m2", &old).is_err());
    let refused = fleet.counter("resume_refused");
    restart(&mut fleet, &[&m1]);
    assert_eq!((refused, came(&fleet)), (1, [0, 0, 1]), "it does not even show the old one");
    restart(&mut fleet, &[&m1]);
    assert_eq!(came(&fleet), [1, 0, 0]);
}

#[test]
fn a_minion_that_has_another_key_signs_with_it_once() {
    let mut fleet = started("");
    let m1 = fleet.minion_with("m1", "m1", QUICK);
    fleet.brine(&["m1", "brine.rotate_key", "--out", "json", "--static"]).expect(0);
    restart(&mut fleet, &[&m1]);
    assert_eq!(came(&fleet), [0, 0, 1]);
    restart(&mut fleet, &[&m1]);
    assert_eq!(came(&fleet), [1, 0, 0]);
}

#[test]
fn a_stolen_ticket_is_worth_nothing_without_its_secret_and_a_recorded_resume_nothing_at_all() {
    let fleet = started("");
    let ticket = ticket_of_accepted(&fleet, "m1");
    let (mut wire, offer) = offered(fleet.ret_port);
    let read = |offer: &[u8]| Offered::read(offer, &Pin::FirstUse).unwrap();
    let (recorded, _) = read(&offer).resume(&ticket, random());
    assert!(wire.message(&[&recorded]));
    assert_eq!(wire.receive().unwrap()[0][1], kind::WELCOME);

    // Whoever has read the wire has the ticket, which goes over it in clear.
    let length = usize::from(u16::from_be_bytes([recorded[2], recorded[3]]));
    let [own, master] = ["m1", "master"].map(|key| private_key(key).public().fingerprint());
    let sealed = recorded[4..4 + length].to_vec();
    let stolen = Ticket::new(own, master, &sealed, zeroize::Zeroizing::new([0; 32]).into()).unwrap();
    let refused = Peer::resume(fleet.ret_port, "m1", &stolen).expect_err("no secret");
    // One attempt is all that a connection has.
    let (mut wire, offered_again) = *refused;
    let (second, _) = offered_again.resume(&ticket, random());
    assert!(wire.message(&[&second]));
    assert!(wire.is_closed_within(5.0), "a second Resume ends it, be it as good as it may");

    let (mut wire, _) = offered(fleet.ret_port);
    assert!(wire.message(&[&recorded]));
    assert_eq!(wire.receive().unwrap()[0], [1, kind::REFUSED], "it answers another Offer");
    assert_eq!(came(&fleet)[..2], [1, 2]);
}

#[test]
fn a_resume_is_cut_off_like_a_hello_when_it_does_not_go_on() {
    let fleet = started("handshake_timeout_ms: 300\n");
    let ticket = ticket_of_accepted(&fleet, "m1");
    let (mut peer, _) = Peer::resume(fleet.ret_port, "m1", &ticket).expect("accepted");
    assert!(peer.is_closed_within(5.0), "nothing sealed was said");
    let stolen = {
        let (_, offer) = offered(fleet.ret_port);
        let (mut message, _) = Offered::read(&offer, &Pin::FirstUse).unwrap().resume(&ticket, random());
        message.truncate(60);
        message
    };
    let (mut wire, _) = offered(fleet.ret_port);
    assert!(wire.message(&[&stolen]));
    assert!(wire.is_closed_within(5.0), "what is malformed is no Resume");
    assert_eq!((fleet.counter("handshake_timeout"), fleet.counter("resume_malformed")), (1, 1));
}

/// The master gave a ticket, and was then replaced by one that does not know what that is.
#[test]
fn a_master_older_than_tickets_gets_a_hello_over_the_next_connection() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    let (config, token) = (config("master", 7), random());
    let fake = FakeMaster::start_apart(drop, move |mut wire| {
        if !shake(&mut wire, "ROUTER") {
            return;
        }
        let offer = config.offer(random());
        wire.message(&[offer.message()]);
        let Ok(message) = wire.receive() else { return };
        heard.lock().unwrap().push(message[0][1]);
        // An older one reads nothing but a Hello, and closes.
        let Ok(hello) = offer.read_hello(&message[0]) else { return };
        let opening = hello.verify().unwrap().open(random()).unwrap();
        let pace = Pace { heartbeat_ms: 1000, message_max: None, clock: None };
        let welcome = Welcome { standing: Standing::Accepted { token }, pace };
        wire.message(&[&opening.welcome(&welcome, b"a ticket", 0).0]);
        // Gone as soon as the minion has started.
        let _ = wire.receive();
    });
    let fleet = Fleet::prepare("");
    let mut m1 = fleet.prepare_minion_with("m1", "m1", QUICK);
    m1.dial(fake.publish_port, fake.ret_port);
    m1.start();
    eventually(20.0, "it has come back twice", || said.lock().unwrap().len() >= 5);
    let (hello, resume) = (kind::HELLO, kind::RESUME);
    assert_eq!(said.lock().unwrap()[..5], [hello, resume, hello, resume, hello]);
}

#[test]
fn a_swarm_comes_back_by_ticket_unless_it_is_to_sign() {
    const MINIONS: usize = 50;
    for resumes in [true, false] {
        let mut fleet = Fleet::prepare_with_ports("");
        let ports = (fleet.publish_port, fleet.ret_port);
        let options = Options { resumes, ..Options::local(MINIONS, ports.0, ports.1) };
        provision::accept(&fleet.root(), Swarm::ids(&options), &Pool::fixed()).unwrap();
        fleet.start_master();
        let swarm = Swarm::start(options, Pool::fixed()).unwrap();
        let are_back = || eventually(30.0, "all are in", || fleet_of(&swarm) == MINIONS);
        are_back();
        fleet.kill_master();
        eventually(10.0, "they have noticed", || fleet_of(&swarm) == 0);
        fleet.start_master();
        are_back();
        let resumed = if resumes { MINIONS as u64 } else { 0 };
        assert_eq!((swarm.stats().resumed(), fleet.counter("resumed")), (resumed, resumed));
    }
}

fn fleet_of(swarm: &Swarm) -> usize {
    swarm.stats().live()
}
