//! Batches: never more than so many at a time, every minion once, and nobody after a failure.

use brine_protocol::batch::Batch;
use brine_protocol::signal::SignalName;

use super::*;
use crate::store::OpenJob;

/// What of one job is on disk.
#[derive(Default)]
struct Disk {
    job: Option<Arc<Job>>,
    ended: BTreeSet<MinionId>,
    handed: BTreeSet<MinionId>,
    rests: Vec<Timestamp>,
    cancelled_by: Option<String>,
}

impl Disk {
    /// Writes what came out, and says to whom orders went.
    fn take(&mut self, out: &Out) -> Vec<String> {
        let mut told = Vec::new();
        for output in &out.0 {
            match output {
                Output::Persist(Record::Job(job)) => self.job = Some(Arc::clone(job)),
                Output::Persist(Record::Row { id, row, .. }) => {
                    assert!(self.ended.insert(id.clone()), "{id} has ended twice");
                    self.rests.extend(self.handed.contains(id).then_some(row.at));
                }
                Output::Persist(Record::Handed { id, .. }) => {
                    assert!(self.handed.insert(id.clone()), "{id} was handed the order twice");
                    told.push(id.to_string());
                }
                Output::Persist(Record::Cancelled { by, .. }) => self.cancelled_by = Some(by.clone()),
                Output::Broadcast(_) => panic!("a batch is no broadcast"),
                _ => {}
            }
        }
        let orders =
            out.0.iter().filter(|output| matches!(output, Output::Send { message: ToMinion::Order(_), .. }));
        assert_eq!(orders.count(), told.len(), "who is sent it is on disk as such: {out:?}");
        told
    }
}

fn batch(size: &str) -> Batch {
    Batch { size: size.parse().expect("a size"), wait_ms: 0, failhard: false }
}

/// A world with minions m1 to mN, live on connections of these numbers.
fn fleet(count: u64) -> World {
    let mut world = World::new();
    for n in 1..=count {
        world.live(n, &format!("m{n}"));
    }
    world
}

fn submit(world: &mut World, batch: Batch) -> Out {
    let request = JobRequest { batch: Some(batch), ..request("*", "cmd.run") };
    world.ask(Ask::Submit { request, idempotency: None })
}

/// The minion on this connection ends the one job there is.
fn end(world: &mut World, disk: &Disk, conn: u64, retcode: i32) -> Out {
    let job = disk.job.as_ref().expect("a job");
    let report =
        Return { jid: job.jid, number: job.number, functions: String::new(), ending: returned(retcode) };
    world.frame(conn, ToMaster::Return(Box::new(report)))
}

fn endings(out: &Out) -> Vec<(String, String)> {
    let text = |ending: &Ending| ending.reason().unwrap_or_else(|| ending.name().to_owned());
    out.endings().iter().map(|(id, ending)| (id.clone(), text(ending))).collect()
}

/// A master that is started again, with this on its disk.
fn restart(world: World, disk: &Disk) -> World {
    let job = Arc::clone(disk.job.as_ref().expect("a job"));
    let known = |(id, generation): &(MinionId, u64)| {
        (id.clone(), Facts { generation: *generation, journal: "j".to_owned(), ..Facts::default() })
    };
    let memory = Memory {
        facts: job.minions.iter().map(known).collect(),
        last_jid: job.jid.time(),
        open: vec![OpenJob {
            job,
            ended: disk.ended.clone(),
            handed: disk.handed.clone(),
            rests: disk.rests.clone(),
            cancelled_by: disk.cancelled_by.clone(),
        }],
        ..memory()
    };
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(9));
    let World { engine, now, .. } = world;
    World { engine: Engine::new(settings(), engine.trust, memory, random, now), now, asked: 0 }
}

#[test]
fn so_many_at_a_time_and_each_once() {
    let mut world = fleet(5);
    for n in 1..=5 {
        world.subscribe(n);
    }
    let mut disk = Disk::default();
    let out = submit(&mut world, batch("2"));
    assert_eq!(disk.take(&out), ["m1", "m2"]);
    let handed = out.position(|o| matches!(o, Output::Persist(Record::Handed { .. })));
    let sent = out.position(|o| matches!(o, Output::Send { message: ToMinion::Order(_), .. }));
    assert!(handed < sent, "{out:?}");
    assert!(out.endings().is_empty());
    assert_eq!(disk.take(&end(&mut world, &disk_of(&disk), 2, 0)), ["m3"]);
    assert_eq!(disk.take(&end(&mut world, &disk_of(&disk), 3, 1)), ["m4"], "a failure alone stops nothing");
    assert_eq!(disk.take(&end(&mut world, &disk_of(&disk), 1, 0)), ["m5"]);
    assert!(disk.take(&end(&mut world, &disk_of(&disk), 5, 0)).is_empty());
    let out = end(&mut world, &disk_of(&disk), 4, 0);
    assert!(out.0.iter().any(|o| matches!(o, Output::Persist(Record::Closed(_)))));
    disk.take(&out);
    assert_eq!(disk.ended.len(), 5);
}

/// The same disk, to be read while the other is written.
fn disk_of(disk: &Disk) -> Disk {
    Disk { job: disk.job.clone(), ..Disk::default() }
}

#[test]
fn a_percentage_is_of_those_the_job_is_for_and_more_than_all_is_fine() {
    let mut world = fleet(5);
    assert_eq!(Disk::default().take(&submit(&mut world, batch("50%"))), ["m1", "m2"]);
    let mut world = fleet(5);
    world.input(Input::Closed { conn: ConnId(2), why: "peer_gone" });
    let out = submit(&mut world, batch("50%"));
    assert_eq!(endings(&out)[0].0, "m2", "who is away takes no turn");
    assert_eq!(Disk::default().take(&out), ["m1", "m3"]);
    let mut world = fleet(3);
    assert_eq!(Disk::default().take(&submit(&mut world, batch("1%"))), ["m1"]);
    let mut world = fleet(3);
    assert_eq!(Disk::default().take(&submit(&mut world, batch("1000"))).len(), 3);
}

#[test]
fn what_would_never_run_is_refused() {
    let mut world = fleet(3);
    for size in ["0", "-1", "0%", "-50%"] {
        let out = submit(&mut world, batch(size));
        assert!(problem(&out).detail.contains("at least 1"), "{size}: {out:?}");
    }
    let mut queued = request("*", "cmd.run");
    queued.delivery = Delivery::Queue { ttl_ms: 1000 };
    queued.batch = Some(batch("1"));
    let out = world.ask(Ask::Submit { request: queued, idempotency: None });
    assert_eq!(problem(&out).kind, ProblemKind::BadRequest);
    assert!(problem(&out).detail.contains("queue"), "{out:?}");
}

#[test]
fn the_next_waits_as_long_as_was_said() {
    let mut world = fleet(3);
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, Batch { wait_ms: 5000, ..batch("1") }));
    let out = end(&mut world, &disk_of(&disk), 1, 0);
    assert!(disk.take(&out).is_empty(), "{out:?}");
    let due = world.engine.next_deadline();
    assert!(due <= world.now.steady + Duration::from_secs(5), "the driver is to come back in time");
    assert!(disk.take(&world.pass(4)).is_empty());
    assert_eq!(disk.take(&world.pass(1)), ["m2"]);
    assert!(disk.take(&world.pass(60)).is_empty(), "it has not ended");
    disk.take(&end(&mut world, &disk_of(&disk), 2, 0));
    assert_eq!(disk.take(&world.pass(5)), ["m3"]);
}

#[test]
fn after_a_failure_nothing_else_is_handed_out() {
    let mut world = fleet(5);
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, Batch { failhard: true, ..batch("2") }));
    assert_eq!(disk.take(&end(&mut world, &disk_of(&disk), 1, 0)), ["m3"]);
    let out = end(&mut world, &disk_of(&disk), 3, 4);
    let by = "cancelled by failhard: m3 ended with retcode 4".to_owned();
    let expected =
        [("m3".to_owned(), "returned".to_owned()), ("m4".to_owned(), by.clone()), ("m5".to_owned(), by)];
    assert_eq!(endings(&out), expected);
    assert!(disk.take(&out).is_empty());
    let out = end(&mut world, &disk_of(&disk), 2, 0);
    assert_eq!(endings(&out).len(), 1, "what ran already runs to its end: {out:?}");
    assert!(out.tags().iter().any(|tag| tag.ends_with("/ret/m2")));
}

#[test]
fn one_that_does_not_return_is_a_failure_and_one_that_was_never_asked_is_none() {
    let mut world = fleet(4);
    let mut disk = Disk::default();
    world.input(Input::Closed { conn: ConnId(1), why: "peer_gone" });
    let out = submit(&mut world, Batch { failhard: true, ..batch("1") });
    assert_eq!(disk.take(&out), ["m2"], "m1 is offline, which is no failure");
    let out = world.input(Input::Closed { conn: ConnId(3), why: "peer_gone" });
    assert!(matches!(&out.endings()[..], [(id, Ending::Offline { .. })] if id == "m3"), "{out:?}");
    disk.take(&out);
    world.input(Input::Closed { conn: ConnId(2), why: "silent" });
    assert!(disk.take(&world.pass(99)).is_empty(), "it may run still, so its place is taken");
    let out = world.pass(2);
    let ended = endings(&out);
    assert_eq!(ended.len(), 2, "{ended:?}");
    assert!(ended[0].1.starts_with("lost") && ended[1].1.ends_with("m2 ended with state lost"), "{ended:?}");
}

#[test]
fn a_killed_batch_ends_at_once_for_those_that_wait() {
    let mut world = fleet(4);
    let mut disk = Disk::default();
    let out = submit(&mut world, batch("1"));
    disk.take(&out);
    let jid = disk.job.as_ref().expect("a job").jid;
    let out = world.ask(Ask::Kill(jid));
    assert!(matches!(out.sent(1)[..], [ToMinion::Cancel(_)]), "it runs, and says how it ended");
    let ended: Vec<String> = out.endings().iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ended, ["m2", "m3", "m4"]);
    assert!([2, 3, 4].iter().all(|conn| out.sent(*conn).is_empty()), "{out:?}");
    let Answer::Cancelled(ids) = out.answer() else { panic!("{out:?}") };
    assert_eq!(ids.len(), 4);
    disk.take(&out);
    assert!(disk.take(&end(&mut world, &disk_of(&disk), 1, 1)).is_empty());
}

#[test]
fn who_has_yet_to_start_keeps_its_turn_until_it_does_or_goes() {
    let mut world = fleet(2);
    world.knock(3, "a");
    world.act(Act::Accept, "a");
    let mut disk = Disk::default();
    assert!(disk.take(&submit(&mut world, batch("1"))).is_empty(), "it is the turn of a");
    assert_eq!(disk.take(&world.frame(3, start("j", &[]))), ["a"]);
    assert_eq!(disk.take(&end(&mut world, &disk_of(&disk), 3, 0)), ["m1"]);

    let mut world = fleet(2);
    world.knock(3, "a");
    world.act(Act::Accept, "a");
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, batch("1")));
    let out = world.input(Input::Closed { conn: ConnId(3), why: "peer_gone" });
    assert!(matches!(&out.endings()[..], [(_, Ending::Offline { .. })]), "{out:?}");
    assert_eq!(disk.take(&out), ["m1"]);
}

#[test]
fn a_key_that_is_taken_away_gives_its_turn_to_the_next() {
    let mut world = fleet(3);
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, batch("1")));
    assert!(disk.take(&world.act(Act::Suspend, "m2")).is_empty());
    assert_eq!(disk.take(&world.act(Act::Suspend, "m1")), ["m3"]);
    assert_eq!(disk.ended.len(), 2);
}

#[test]
fn orders_that_nobody_takes_end_one_after_the_other_without_end() {
    let mut world = World::new();
    for n in 1..=9 {
        world.knock(n, &format!("m{n}"));
        world.act(Act::Accept, &format!("m{n}"));
        let ToMaster::Start(mut small) = start("j", &[]) else { panic!() };
        small.message_max = Some(65_536);
        world.frame(n, ToMaster::Start(small));
    }
    let mut large = request("*", "cmd.run");
    large.calls[0].arguments.push("x".repeat(70_000).into());
    large.batch = Some(batch("1"));
    let out = world.ask(Ask::Submit { request: large, idempotency: None });
    assert_eq!(out.endings().len(), 9);
    assert!(out.endings().iter().all(|(_, ending)| matches!(ending, Ending::Refused { .. })), "{out:?}");
}

#[test]
fn a_lost_session_hands_out_again_what_had_its_turn_and_nothing_else() {
    let mut world = fleet(3);
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, batch("1")));
    let number = disk.job.as_ref().expect("a job").number;
    world.input(Input::Closed { conn: ConnId(1), why: "silent" });
    let out = world.start(11, "m1", "j", &[]);
    assert_eq!(out.orders(11).len(), 1, "its journal does not have it");
    world.input(Input::Closed { conn: ConnId(11), why: "silent" });
    assert!(world.start(12, "m1", "j", &[number]).orders(12).is_empty());
    assert_eq!(disk.take(&end(&mut world, &disk_of(&disk), 12, 0)), ["m2"]);
}

#[test]
fn a_master_that_is_started_again_goes_on_where_it_was() {
    let mut world = fleet(5);
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, batch("2")));
    disk.take(&end(&mut world, &disk_of(&disk), 1, 0));
    assert_eq!(disk.handed.len(), 3);
    let number = disk.job.as_ref().expect("a job").number;

    let mut world = restart(world, &disk);
    assert!(disk.take(&world.pass(1)).is_empty());
    // m2 and m3 have the order and hold both places, so whoever comes first waits.
    for n in [5, 4] {
        let out = world.start(n, &format!("m{n}"), "j", &[]);
        assert!(out.orders(n).is_empty() && out.endings().is_empty(), "{out:?}");
    }
    let out = world.start(3, "m3", "j", &[]);
    assert_eq!(out.orders(3).len(), 1, "it may never have arrived");
    assert!(world.start(2, "m2", "j", &[number]).orders(2).is_empty(), "its journal has it");
    assert_eq!(disk.take(&end(&mut world, &disk_of(&disk), 3, 0)), ["m4"]);
    assert_eq!(disk.take(&end(&mut world, &disk_of(&disk), 2, 0)), ["m5"]);
    disk.take(&end(&mut world, &disk_of(&disk), 4, 0));
    disk.take(&end(&mut world, &disk_of(&disk), 5, 0));
    assert_eq!(disk.ended.len(), 5);
}

#[test]
fn the_next_waits_as_long_as_was_said_over_a_restart_too() {
    let mut world = fleet(4);
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, Batch { wait_ms: 5000, ..batch("1") }));
    disk.take(&end(&mut world, &disk_of(&disk), 1, 0));
    world.pass(2);
    let mut world = restart(world, &disk);
    let back: Vec<Out> = (2..=4).map(|n| world.start(n, &format!("m{n}"), "j", &[])).collect();
    assert!(back.iter().all(|out| disk.take(out).is_empty()), "m1 ended two seconds ago");
    let due = world.engine.next_deadline();
    assert!(due <= world.now.steady + Duration::from_secs(3), "the driver is to come back in time");
    assert!(disk.take(&world.pass(2)).is_empty());
    assert_eq!(disk.take(&world.pass(1)), ["m2"]);

    // Once it is over it is over; and a clock that was set back waits no longer than the batch does.
    disk.take(&end(&mut world, &disk_of(&disk), 2, 0));
    world.pass(4);
    world.now.wall = world.now.wall.plus_micros(-3_600_000_000);
    let mut world = restart(world, &disk);
    assert!(disk.take(&world.start(3, "m3", "j", &[])).is_empty());
    assert!(disk.take(&world.pass(4)).is_empty());
    assert_eq!(disk.take(&world.pass(1)), ["m3"]);
    disk.take(&end(&mut world, &disk_of(&disk), 3, 0));
    world.now.wall = world.now.wall.plus_micros(3_610_000_000);
    let mut world = restart(world, &disk);
    assert_eq!(disk.take(&world.start(4, "m4", "j", &[])), ["m4"]);
}

#[test]
fn after_a_restart_nobody_waits_for_ever_for_who_does_not_come() {
    let mut world = fleet(4);
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, batch("1")));
    disk.take(&end(&mut world, &disk_of(&disk), 1, 0));
    let mut world = restart(world, &disk);
    world.start(2, "m2", "j", &[]);
    world.start(4, "m4", "j", &[]);
    assert_eq!(disk.take(&end(&mut world, &disk_of(&disk), 2, 0)), ["m4"], "m3 is away, and holds up nobody");
    assert!(world.pass(98).endings().is_empty());
    let out = world.pass(2);
    assert!(matches!(&out.endings()[..], [(id, Ending::Offline { .. })] if id == "m3"), "{out:?}");
    disk.take(&out);
    disk.take(&end(&mut world, &disk_of(&disk), 4, 0));
    assert_eq!(disk.ended.len(), 4);
}

#[test]
fn failhard_and_a_kill_hold_after_a_restart() {
    let mut world = fleet(4);
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, Batch { failhard: true, ..batch("1") }));
    let mut world = restart(world, &disk);
    for n in 1..=4 {
        world.start(n, &format!("m{n}"), "j", &[]);
    }
    let out = end(&mut world, &disk_of(&disk), 1, 1);
    assert!(disk.take(&out).is_empty());
    assert_eq!(disk.ended.len(), 4, "{out:?}");

    let mut world = fleet(3);
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, batch("1")));
    let jid = disk.job.as_ref().expect("a job").jid;
    disk.take(&world.ask(Ask::Kill(jid)));
    let mut world = restart(world, &disk);
    let out = world.start(1, "m1", "j", &[]);
    assert!(
        out.orders(1).is_empty() && out.sent(1).iter().any(|m| matches!(m, ToMinion::Cancel(_))),
        "{out:?}"
    );
}

#[test]
fn who_waits_for_its_turn_is_said_to() {
    let mut world = fleet(2);
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, batch("1")));
    let jid = disk.job.as_ref().expect("a job").jid;
    let out = world.ask(Ask::Presence(jid));
    let Answer::Rows(rows) = out.answer() else { panic!("{out:?}") };
    let said: Vec<_> = rows.iter().map(|row| row.presence.clone().expect("open")).collect();
    assert_eq!(said, [Presence::Up, Presence::Waiting]);
}

#[test]
fn a_signal_goes_to_those_that_have_the_order() {
    let mut world = fleet(3);
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, batch("2")));
    let job = disk.job.clone().expect("a job");
    world.input(Input::Closed { conn: ConnId(2), why: "silent" });
    let out = world.ask(Ask::Signal(job.jid, SignalName::TERM));
    assert!(matches!(out.answer(), Answer::Signalled(ids) if *ids == [id("m1")]), "{out:?}");
    let [ToMinion::Signal(signal)] = out.sent(1)[..] else { panic!("{out:?}") };
    assert_eq!((signal.jid, signal.number, signal.signal), (job.jid, job.number, SignalName::TERM));
    assert!(signal.by.contains("root") && out.endings().is_empty());
    let roles: BTreeMap<String, crate::roles::RoleEntry> =
        serde_json::from_value(serde_json::json!({"vera": {"role": "viewer"}})).expect("roles");
    let roles = Roles::read(&roles, &BTreeMap::new(), &Default::default(), false).expect("roles");
    let vera = roles.principal(1000, Some("vera"), 0).expect("vera");
    let out = world.ask_as(vera, Ask::Signal(job.jid, SignalName::TERM));
    assert_eq!(problem(&out).kind, ProblemKind::Forbidden);
}

#[test]
fn minions_say_since_when_and_what_they_were_given_last() {
    use brine_protocol::control::MinionsQuery;
    let mut world = fleet(2);
    let began = world.now.wall;
    world.pass(5);
    world.input(Input::Closed { conn: ConnId(2), why: "peer_gone" });
    let mut disk = Disk::default();
    disk.take(&submit(&mut world, batch("2")));
    let job = disk.job.clone().expect("a job");
    let ask = |world: &mut World, up| {
        let out = world.ask(Ask::Minions(MinionsQuery { up }));
        let Answer::Minions(minions) = out.answer() else { panic!("{out:?}") };
        minions.iter().map(|m| (m.id.to_string(), m.since, m.last_job)).collect::<Vec<_>>()
    };
    let m1 = ("m1".to_owned(), Some(began), Some(job.jid));
    let m2 = ("m2".to_owned(), Some(began), None);
    assert_eq!(ask(&mut world, Some(true))[..], *std::slice::from_ref(&m1));
    assert_eq!(ask(&mut world, Some(false))[..], *std::slice::from_ref(&m2), "last heard of when it began");
    assert_eq!(ask(&mut world, None), [m1, m2]);
    let mut world = restart(world, &disk);
    let known: Vec<_> = ask(&mut world, None).into_iter().map(|(_, _, last)| last).collect();
    assert_eq!(known, [Some(job.jid), None], "what is open is known again");
}
