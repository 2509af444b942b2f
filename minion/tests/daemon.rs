//! The real program against a master made of the codec and the handshake.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod fake;

use std::time::Duration;

use brine_pki::handshake::master::{Agreement, Succession};
use brine_pki::publish::Writer;
use brine_protocol::Fingerprint;
use brine_protocol::message::{Cancel, Config, Standing, ToMaster, ToMinion};
use brine_protocol::zmtp::{self, Event};
use fake::{ACCEPTED, Master, Minion, eventually, order};
use serde_json::json;

#[test]
fn from_pending_to_live_over_one_connection() {
    let master = Master::new("m2", 1);
    let mut minion = Minion::start(&master, "");
    let mut session = master.open(Standing::Pending, 10_000);
    let ToMaster::Knock(knock) = session.hear() else { panic!("no knock") };
    assert!(!knock.version.is_empty());
    eventually("the log names the fingerprint to compare", || minion.log().contains("brine-key -a m1"));

    session.say(&ToMinion::Standing(ACCEPTED));
    let ToMaster::Start(start) = session.hear() else { panic!("no start") };
    assert_eq!((start.store, start.grains["id"].clone()), (None, json!("m1")));
    let mut subscriber = master.subscriber();
    session.stored(&[], 0);
    session.order(1, "test.ping", None);
    assert_eq!(session.returned(), (1, "returned", json!(true)));
    session.stored(&[1], 2);

    // A broadcast that comes before its epoch's key is held.
    let mut writer = Writer::new([1; 16], [2; 32], &[3; 32]);
    let epoch = writer.epoch();
    let sealed =
        writer.seal(&ToMinion::Order(Box::new(order(2, "test.echo", Some(json!("all"))))).to_frame());
    subscriber.send(&[b"brine/1/all", &sealed]);
    std::thread::sleep(Duration::from_millis(50));
    session.say(&ToMinion::Epoch(Box::new(epoch)));
    assert_eq!(session.returned(), (2, "returned", json!("all")));

    // A replayed one ends the session.
    subscriber.send(&[b"brine/1/all", &sealed]);
    assert_eq!(session.conn.next(), None);
    assert_eq!(subscriber.next(), None);
    eventually("it is said", || minion.log().contains("seen before"));
    assert!(minion.is_running());
    assert!(minion.path("etc/brine/pki/minion/minion_master.pub").exists());
}

#[test]
fn returns_outlive_sessions_and_the_process() {
    let master = Master::new("m2", 1);
    let mut minion = Minion::start(&master, "");
    let (mut session, _) = master.live(&[]);
    let mark = minion.path("mark");
    session.order(1, "cmd.run", Some(json!(format!("echo x >> {}; echo done", mark.display()))));
    assert_eq!(session.returned().0, 1);
    session.order(2, "cmd.run", Some(json!("sleep 600")));
    session.say(&ToMinion::Probe);
    eventually("the job runs", || minion.log().contains("fun=\"cmd.run\"") && minion.log().contains("00002"));
    let ToMaster::Beat(_) = session.hear() else { panic!("no beat") };
    drop(session);

    // Neither was acknowledged: both are open, the first is told again, and not run again.
    let (mut session, start) = master.live(&[]);
    assert_eq!((start.open, start.store.as_deref()), (vec![1, 2], Some("s")));
    assert_eq!(session.returned(), (1, "returned", json!("done")));
    session.order(1, "cmd.run", Some(json!(format!("echo x >> {}", mark.display()))));
    let journal = std::fs::read_to_string(minion.path("var/lib/brine/minion/journal")).unwrap();
    let pid = journal.lines().filter_map(|line| line.split("\"pid\":").nth(1)).next_back().unwrap();
    let pid = pid.split(',').next().unwrap().to_owned();
    let proc = format!("/proc/{pid}/stat");
    assert!(std::path::Path::new(&proc).exists());
    minion.kill();
    minion.restart();

    let (mut session, start_again) = master.live(&[1]);
    assert_eq!((start_again.open, start_again.journal), (vec![1, 2], start.journal));
    assert_eq!(session.returned(), (2, "interrupted", serde_json::Value::Null));
    eventually("what was left of the job is dead", || {
        std::fs::read_to_string(&proc).map_or(true, |stat| stat.contains(") Z"))
    });
    session.stored(&[2], 3);
    assert_eq!(std::fs::read_to_string(mark).unwrap(), "x\n");
}

#[test]
fn a_running_job_is_cancelled_and_sigterm_says_bye() {
    let master = Master::new("m2", 1);
    let mut minion = Minion::start(&master, "");
    let (mut session, _) = master.live(&[]);
    session.order(1, "cmd.run", Some(json!("sleep 600")));
    let order = order(1, "", None);
    session.say(&ToMinion::Cancel(Cancel { jid: order.jid, number: 1, by: "unix:0 (root)".into() }));
    assert_eq!(session.returned().1, "cancelled");
    session.order(2, "test.sleep", Some(json!(600)));
    eventually("the job runs", || minion.log().contains("test.sleep"));
    let pid = nix::unistd::Pid::from_raw(minion.child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    // What the stop killed is told before the goodbye.
    assert_eq!(session.returned().1, "interrupted");
    assert_eq!(session.hear(), ToMaster::Bye);
    assert!(minion.child.wait().unwrap().success());
}

#[test]
fn another_masters_key_is_refused_and_nothing_written() {
    let master = Master::new("m2", 7);
    let mut minion = Minion::start(&master, "");
    drop(master.live(&[]));
    let etc = minion.path("etc/brine");
    let files = || {
        ["pki/minion/minion_master.pub", "pki/minion/minion_master.json"]
            .map(|name| std::fs::read(etc.join(name)).unwrap())
    };
    let pinned = files();
    let swapped = Master { key: Master::new("m3", 1).key, config: Master::new("m3", 9).config, ..master };
    let mut conn = fake::Conn::accept(&swapped.ret, zmtp::SocketType::Router);
    conn.send(&[swapped.config.offer([1; 32]).message()]);
    assert_eq!(conn.next(), None, "no Hello for a stranger");
    let sentence = format!("the master's key is {}, and", swapped.key.public().fingerprint());
    eventually("both fingerprints are said", || {
        minion.log().contains(&sentence) && minion.log().contains("is pinned")
    });
    assert_eq!(files(), pinned);

    // A config older than the one seen is refused too.
    minion.kill();
    minion.restart();
    let old = Master { config: Master::new("m2", 6).config, ..swapped };
    let mut conn = fake::Conn::accept(&old.ret, zmtp::SocketType::Router);
    conn.send(&[old.config.offer([1; 32]).message()]);
    assert_eq!(conn.next(), None);
    eventually("the serial is said", || minion.log().contains("serial 6"));
    assert_eq!(files(), pinned);
    assert!(minion.is_running());
}

#[test]
fn a_silent_master_is_left_after_three_beats() {
    let master = Master::new("m2", 1);
    let minion = Minion::start(&master, "");
    let mut session = master.open(ACCEPTED, 100);
    let mut beats = 0;
    while let Some(event) = session.conn.next() {
        let Event::Message(parts) = event else { continue };
        let frame = session.channel.opener.open(parts[0].clone()).unwrap();
        beats += usize::from(matches!(ToMaster::from_frame(&frame), Ok(ToMaster::Beat(_))));
    }
    assert!((1..=3).contains(&beats), "{beats}");
    assert!(minion.log().contains("silent for three beats"));
    let _ = master.live(&[]);
}

#[test]
fn pings_are_answered_beside_large_messages() {
    let master = Master::new("m2", 1);
    let _minion = Minion::start(&master, "");
    let (mut session, _) = master.live(&[]);
    for round in 0..20u64 {
        session.order(round, "test.echo", Some(json!("x".repeat(100_000))));
        session.conn.write(&zmtp::ping(0, &round.to_be_bytes()));
    }
    let (mut pongs, mut returns) = (0, 0);
    while pongs < 4 || returns < 20 {
        match session.conn.next() {
            Some(Event::Pong) => pongs += 1,
            Some(Event::Message(parts)) => {
                let frame = session.channel.opener.open(parts[0].clone()).unwrap();
                returns += usize::from(matches!(ToMaster::from_frame(&frame), Ok(ToMaster::Return(_))));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn busy_and_rejected_slow_it_down_and_never_end_it() {
    let master = Master::new("m2", 1);
    let mut minion = Minion::start(&master, "");
    let mut conn = fake::Conn::accept(&master.ret, zmtp::SocketType::Router);
    conn.send(&[&brine_pki::handshake::busy(300)]);
    assert_eq!(conn.next(), None);
    let mut session = master.open(Standing::Rejected, 10_000);
    assert!(matches!(session.hear(), ToMaster::Knock(_)));
    drop(session);
    eventually("it is said", || minion.log().contains("is rejected") && minion.log().contains("busy"));
    assert!(minion.is_running());
}

#[test]
fn what_the_master_announces_is_stored_if_its_own_key_signed_it() {
    let master = Master::new("m2", 7);
    let minion = Minion::start(&master, "");
    let (mut session, start) = master.live(&[]);
    assert_eq!(start.successor, None);
    let memory = || std::fs::read_to_string(minion.path("etc/brine/pki/minion/minion_master.json")).unwrap();
    let next = Fingerprint([0xab; 32]);
    let config = |key: &str, serial, successor| {
        let succession = Succession { successor, ..Succession::default() };
        let offer = Agreement::new(&Master::new(key, 1).key, serial, [4; 32], &succession).offer([5; 32]);
        ToMinion::Config(Config { offer: offer.to_text() })
    };
    let learned = |session: &mut fake::Session| loop {
        match session.hear() {
            ToMaster::Learned(learned) => return learned.successor,
            ToMaster::Beat(_) => {}
            other => panic!("{other:?}"),
        }
    };
    session.say(&config("m2", 8, Some(next)));
    assert_eq!(learned(&mut session), Some(next));
    assert!(memory().contains(&next.to_string()), "stored before it is said");
    session.say(&config("m2", 9, None));
    assert_eq!(learned(&mut session), None);
    assert!(!memory().contains(&next.to_string()));
    session.say(&config("m2", 10, Some(next)));
    assert_eq!(learned(&mut session), Some(next));

    // Anybody else's word ends the session, and nothing is written.
    let before = memory();
    session.say(&config("m3", 99, Some(Fingerprint([1; 32]))));
    while session.conn.next().is_some() {}
    assert_eq!(memory(), before);
    let (_, opened) = master_at(&master, 10, Some(next)).live(&[]);
    assert_eq!(opened.successor, Some(next));
}

/// The same master with a newer config.
fn master_at(master: &Master, serial: u64, successor: Option<Fingerprint>) -> Master {
    let succession = Succession { successor, ..Succession::default() };
    Master {
        config: Agreement::new(&master.key, serial, [4; 32], &succession),
        key: Master::new("m2", 1).key,
        publish: master.publish.try_clone().unwrap(),
        ret: master.ret.try_clone().unwrap(),
    }
}
