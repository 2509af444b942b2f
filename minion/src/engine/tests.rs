//! Tables of inputs and outputs.

mod detached;
mod modules;
mod pillar;
mod reboot;
mod reload;
mod rotation;
mod signals;
mod spool;
mod targets;

use brine_protocol::job::Returned;
use brine_protocol::message::{Cancel, Epoch, Stored};
use brine_protocol::target::Target;
use serde_json::json;

use super::*;
use crate::book::tests::jid;

const BEAT: Duration = Duration::from_secs(10);
const TOKEN: Standing = Standing::Accepted { token: [7; 32] };

struct Rig {
    engine: Engine,
    now: Instant,
}

fn settings() -> Settings {
    Settings {
        id: "web1".parse().unwrap(),
        knock: Knock { host: "h".into(), ..Knock::default() },
        version: "0".into(),
        return_max: 4096,
        message_max: 1 << 20,
        spool_max: 20_000,
        process_count_max: 2,
        boot: Some("boot-1".into()),
    }
}

impl Rig {
    fn new() -> Self {
        Self::with(Book::new("j".into()))
    }

    fn with(book: Book) -> Self {
        Self { engine: Engine::new(settings(), book, Map::new()), now: Instant::now() }
    }

    /// A session in which the master has named its store.
    fn live() -> Self {
        let mut rig = Self::new();
        rig.open(TOKEN);
        rig.stored(&[], 0);
        rig
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.engine.handle(input, self.now);
        std::iter::from_fn(|| self.engine.poll_output()).collect()
    }

    fn open(&mut self, standing: Standing) -> Vec<Output> {
        self.handle(Input::Opened { standing, heartbeat: BEAT, message_max: None, successor: None })
    }

    fn hear(&mut self, message: ToMinion) -> Vec<Output> {
        self.handle(Input::Heard(message))
    }

    fn stored(&mut self, numbers: &[u64], floor: u64) -> Vec<Output> {
        self.hear(ToMinion::Stored(Stored { store: "s".into(), numbers: numbers.to_vec(), floor }))
    }

    fn order(&mut self, number: u64, function: &str) -> Vec<Output> {
        self.hear(ToMinion::Order(Box::new(order(number, function))))
    }

    fn end(&mut self, number: u64) -> Vec<Output> {
        self.handle(Input::Ended { jid: jid(number), ending: done(json!(number)) })
    }

    fn cancel(&mut self, number: u64) -> Vec<Output> {
        self.hear(ToMinion::Cancel(Cancel { jid: jid(number), number, by: "ann".into() }))
    }

    fn restart(&self) -> Self {
        let mut book = Book::new("j".into());
        self.engine.book().entries().iter().for_each(|entry| book.apply(entry));
        Self::with(book)
    }
}

fn order(number: u64, function: &str) -> Order {
    Order {
        jid: jid(number),
        number,
        calls: vec![Call { function: function.into(), arguments: vec![], keywords: Map::new() }],
        target: Target::glob("web*"),
        job_timeout_ms: Some(5000),
        expires_in_ms: None,
        principal: "unix:0 (root)".into(),
        detach: false,
    }
}

fn done(value: Value) -> Ending {
    Ending::Returned(Returned { value, retcode: 0, duration_ms: 1, truncated: false })
}

/// Outputs in one word each.
fn words(outputs: &[Output]) -> Vec<String> {
    outputs
        .iter()
        .map(|output| match output {
            Output::Record(Entry::Open { number, .. }) => format!("record open {number}"),
            Output::Record(Entry::End { returned, .. }) => {
                format!("record {} {}", returned.ending.name(), returned.number)
            }
            Output::Record(Entry::Stored { numbers, .. }) => format!("record stored {numbers:?}"),
            Output::Record(Entry::Store { id }) => format!("record store {id}"),
            Output::Record(Entry::Pid { pid, .. }) => format!("record pid {pid}"),
            Output::Record(Entry::Journal { .. }) => "record journal".into(),
            Output::Send(ToMaster::Return(returned)) => {
                format!("send {} {}", returned.ending.name(), returned.number)
            }
            Output::Send(ToMaster::Start(start)) => format!("start {:?}", start.open),
            Output::Send(ToMaster::Beat(beat)) => format!("beat {}", beat.running.len()),
            Output::Send(ToMaster::Knock(_)) => "knock".into(),
            Output::Send(ToMaster::Grains(_)) => "grains".into(),
            Output::Send(ToMaster::Bye) => "bye".into(),
            Output::Send(ToMaster::Rotate(_)) => "rotate".into(),
            Output::Send(ToMaster::Learned(_)) => "learned".into(),
            Output::Run(job) => format!("run {}", job.functions()),
            Output::Kill { by, .. } => format!("kill by {by}"),
            Output::Signal { signal, by, .. } => format!("signal {signal} by {by}"),
            Output::Hangup(why) => format!("hang up: {why:?}"),
            Output::Rotate { jid } => format!("ask for next {}", jid.is_some()),
            Output::Promote(key) => format!("promote {}", key.0[0]),
            Output::Discard { fingerprint, why } => format!("discard {}: {why}", fingerprint.0[0]),
            Output::Note(Note::Duplicate(_)) => "duplicate".into(),
            Output::Note(Note::Conflict(_)) => "conflict".into(),
            Output::Note(Note::NotLive) => "not live".into(),
            Output::Note(Note::Refused { .. }) => "refused".into(),
            Output::Note(Note::TurnedAway(_)) => "turned away".into(),
            Output::Note(Note::TokenRefused(why)) => format!("note token refused: {why}"),
            Output::Send(ToMaster::RefreshPillar(refresh)) => format!("refresh pillar {}", refresh.ask),
            Output::Send(ToMaster::ModulesWanted(wanted)) => format!("list modules {}", wanted.ask),
            Output::Send(ToMaster::ModuleWanted(wanted)) => format!("fetch {} {}", wanted.name, wanted.ask),
            Output::Modules(Answer::Listed(listed)) => format!("listed {}", listed.ask),
            Output::Modules(Answer::Fetched(module)) => format!("fetched {}", module.ask),
            Output::Pillar { held, ask, .. } => format!("pillar {} {ask:?}", held.len()),
            Output::Detached { jid, step } => format!("detached {jid} {step:?}"),
            Output::Note(Note::StoreChanged) => "store changed".into(),
        })
        .collect()
}

fn check(outputs: &[Output], expected: &[&str]) {
    assert_eq!(words(outputs), expected);
}

#[test]
fn an_order_is_on_disk_before_it_runs_and_a_return_before_it_is_sent() {
    let mut rig = Rig::new();
    check(&rig.open(TOKEN), &["start []"]);
    check(&rig.stored(&[], 0), &["record store s"]);
    check(&rig.order(1, "cmd.run"), &["record open 1", "run cmd.run"]);
    check(&rig.end(1), &["record returned 1", "send returned 1"]);
    check(&rig.stored(&[1], 0), &["record stored [1]"]);
    check(&rig.stored(&[1], 2), &[]);
    assert_eq!(rig.engine.book().jobs().count(), 0);
}

#[test]
fn the_same_number_is_the_same_order() {
    let mut rig = Rig::live();
    rig.order(5, "cmd.run");
    check(&rig.order(5, "cmd.run"), &["duplicate"]);
    rig.end(5);
    check(&rig.order(5, "cmd.run"), &["duplicate"]);
    rig.stored(&[5], 0);
    check(&rig.order(5, "cmd.run"), &["duplicate"]);
    rig.stored(&[], 4);
    check(&rig.order(3, "cmd.run"), &["duplicate"]);
    check(&rig.order(4, "cmd.run"), &["record open 4", "run cmd.run"]);
    let mut again = rig.restart();
    again.open(TOKEN);
    again.stored(&[], 4);
    for number in [3, 4, 5] {
        check(&again.order(number, "cmd.run"), &["duplicate"]);
    }
}

#[test]
fn one_jid_never_means_two_things() {
    let mut rig = Rig::live();
    rig.order(5, "cmd.run");
    check(&rig.order(5, "cmd.shell"), &["conflict"]);
    check(&rig.end(5), &["record returned 5", "send returned 5"]);
}

#[test]
fn repeatable_functions_touch_no_disk_and_answer_again() {
    let mut rig = Rig::live();
    check(&rig.order(1, "test.ping"), &["run test.ping"]);
    check(&rig.order(1, "test.ping"), &["duplicate"]);
    check(&rig.end(1), &["send returned 1"]);
    rig.handle(Input::Lost);
    check(&rig.open(TOKEN), &["start []"]);
    check(&rig.stored(&[], 0), &["send returned 1"]);
    check(&rig.order(1, "test.ping"), &["duplicate"]);
    check(&rig.stored(&[1], 2), &[]);
    check(&rig.order(1, "test.ping"), &["duplicate"]);
    assert!(rig.engine.fleeting.is_empty());
}

#[test]
fn who_is_not_meant_refuses() {
    let mut rig = Rig::live();
    let mut other = order(1, "cmd.run");
    other.target = Target::glob("db*");
    let outputs = rig.hear(ToMinion::Order(Box::new(other)));
    check(&outputs, &["refused", "record refused 1", "send refused 1"]);
    let mut empty = order(2, "cmd.run");
    empty.calls.clear();
    check(&rig.hear(ToMinion::Order(Box::new(empty))), &["refused", "record refused 2", "send refused 2"]);
    let mut late = order(3, "cmd.run");
    late.expires_in_ms = Some(0);
    check(&rig.hear(ToMinion::Order(Box::new(late))), &["record expired 3", "send expired 3"]);
}

#[test]
fn jobs_wait_for_a_free_place_but_not_those_about_jobs() {
    let mut rig = Rig::live();
    rig.order(1, "cmd.run");
    rig.order(2, "cmd.run");
    check(&rig.order(3, "cmd.run"), &["record open 3"]);
    check(&rig.order(4, "brine.kill_job"), &["record open 4", "run brine.kill_job"]);
    check(&rig.order(5, "test.ping"), &["run test.ping"]);
    check(&rig.end(4), &["record returned 4", "send returned 4"]);
    check(&rig.end(1), &["record returned 1", "send returned 1", "run cmd.run"]);
    check(&rig.hear(ToMinion::Probe), &["beat 3"]);
}

#[test]
fn a_waiting_job_expires() {
    let mut rig = Rig::live();
    rig.order(1, "cmd.run");
    rig.order(2, "cmd.run");
    let mut short = order(3, "cmd.run");
    short.expires_in_ms = Some(1000);
    check(&rig.hear(ToMinion::Order(Box::new(short))), &["record open 3"]);
    assert_eq!(rig.engine.next_deadline(), Some(rig.now + Duration::from_secs(1)));
    rig.now += Duration::from_secs(1);
    check(&rig.handle(Input::Tick), &["record expired 3", "send expired 3"]);
}

#[test]
fn cancelled_wherever_it_is() {
    let mut rig = Rig::live();
    rig.order(1, "cmd.run");
    rig.order(2, "cmd.run");
    rig.order(3, "cmd.run");
    check(&rig.cancel(3), &["record cancelled 3", "send cancelled 3"]);
    check(&rig.cancel(1), &["kill by ann"]);
    let killed = Input::Ended { jid: jid(1), ending: Ending::Cancelled { by: "ann".into() } };
    check(&rig.handle(killed), &["record cancelled 1", "send cancelled 1"]);
    check(&rig.cancel(1), &[]);
    // The cancel overtook its order, which came over the other connection.
    check(&rig.cancel(9), &["record cancelled 9", "send cancelled 9"]);
    check(&rig.order(9, "cmd.run"), &["duplicate"]);
}

#[test]
fn nothing_counts_before_the_session_is_live() {
    let mut rig = Rig::new();
    check(&rig.order(1, "cmd.run"), &["not live"]);
    check(&rig.open(Standing::Pending), &["knock"]);
    check(&rig.order(1, "cmd.run"), &["not live"]);
    check(&rig.cancel(1), &["not live"]);
    check(&rig.stored(&[], 0), &["not live"]);
    check(&rig.hear(ToMinion::Standing(TOKEN)), &["start []"]);
    // Which store numbers it is not yet known.
    check(&rig.order(1, "cmd.run"), &[]);
    check(&rig.stored(&[], 0), &["record store s", "record open 1", "run cmd.run"]);
}

#[test]
fn too_many_early_orders_end_the_session() {
    let mut rig = Rig::new();
    rig.open(TOKEN);
    for number in 0..EARLY_MAX as u64 {
        check(&rig.order(number, "cmd.run"), &[]);
    }
    check(&rig.order(999, "cmd.run"), &["hang up: NeverStarted"]);
}

#[test]
fn what_ran_while_the_session_was_lost_is_told_at_the_next() {
    let mut rig = Rig::live();
    rig.order(1, "cmd.run");
    rig.order(2, "cmd.run");
    rig.end(1);
    rig.handle(Input::Lost);
    check(&rig.end(2), &["record returned 2"]);
    check(&rig.open(TOKEN), &["start [1, 2]"]);
    check(&rig.stored(&[1], 0), &["record stored [1]", "send returned 2"]);
    check(&rig.stored(&[2], 0), &["record stored [2]"]);
}

#[test]
fn what_the_minion_did_not_survive_is_interrupted() {
    let mut rig = Rig::live();
    rig.order(1, "cmd.run");
    rig.order(2, "cmd.run");
    rig.end(2);
    let mut again = rig.restart();
    check(&again.handle(Input::Tick), &["record interrupted 1"]);
    check(&again.open(TOKEN), &["start [1, 2]"]);
    check(&again.stored(&[], 0), &["send interrupted 1", "send returned 2"]);
}

#[test]
fn withdrawn_trust_ends_the_jobs() {
    let mut rig = Rig::live();
    for number in 1..=3 {
        rig.order(number, "cmd.run");
    }
    let kill = "kill by the master: this minion's key is suspended";
    check(&rig.hear(ToMinion::Standing(Standing::Suspended)), &["record cancelled 3", kill, kill]);
    check(&rig.order(4, "cmd.run"), &["not live"]);
    check(&rig.hear(ToMinion::Standing(TOKEN)), &["start [1, 2, 3]"]);
}

#[test]
fn beats_and_silence() {
    let mut rig = Rig::live();
    assert_eq!(rig.engine.next_deadline(), Some(rig.now + BEAT));
    rig.now += BEAT;
    check(&rig.handle(Input::Tick), &["beat 0"]);
    check(&rig.handle(Input::Tick), &[]);
    rig.hear(ToMinion::Beat);
    rig.now += BEAT;
    rig.handle(Input::Tick);
    rig.hear(ToMinion::Epoch(Box::new(Epoch { id: [0; 16], key: [0; 32], verify: [0; 32], next: 0 })));
    for _ in 0..2 {
        rig.now += BEAT;
        check(&rig.handle(Input::Tick), &["beat 0"]);
    }
    rig.now += BEAT;
    check(&rig.handle(Input::Tick), &["hang up: Silent"]);
    rig.handle(Input::Lost);
    assert_eq!(rig.engine.next_deadline(), None);
}

#[test]
fn broadcasts_do_not_hide_that_the_session_is_silent() {
    let mut rig = Rig::live();
    for number in [1, 2] {
        rig.now += BEAT;
        rig.handle(Input::Tick);
        let taken = rig.handle(Input::Broadcast(Box::new(order(number, "cmd.run"))));
        check(&taken[..1], &[&format!("record open {number}")]);
    }
    rig.now += BEAT;
    check(&rig.handle(Input::Tick), &["hang up: Silent"]);
}

#[test]
fn another_store_starts_its_own_numbers() {
    let mut rig = Rig::live();
    rig.order(1, "cmd.run");
    rig.order(2, "cmd.run");
    rig.end(1);
    rig.handle(Input::Lost);
    rig.open(TOKEN);
    let outputs = rig.hear(ToMinion::Stored(Stored { store: "t".into(), numbers: vec![], floor: 0 }));
    check(&outputs, &["store changed", "record store t", "send returned 1"]);
    let mut new = order(1, "cmd.run");
    new.jid = jid(77);
    check(&rig.hear(ToMinion::Order(Box::new(new))), &["record open 1", "run cmd.run"]);
    check(&rig.end(2), &["record returned 2", "send returned 2"]);
    let stored = Stored { store: "t".into(), numbers: vec![1, 2], floor: 0 };
    check(&rig.hear(ToMinion::Stored(stored)), &["record stored [1, 2]"]);
    assert_eq!(rig.engine.book().open_numbers(), [1], "the new order still runs");
}

#[test]
fn returns_wait_for_acknowledgement_beyond_the_window() {
    let mut rig = Rig::live();
    for number in 0..WINDOW as u64 + 2 {
        rig.order(number, "test.ping");
        rig.end(number);
    }
    check(&rig.stored(&[0], 0), &[&format!("send returned {WINDOW}")[..]]);
}

#[test]
fn grains_are_told_when_they_change() {
    let mut rig = Rig::live();
    let grains = json!({"os": "Debian"}).as_object().unwrap().clone();
    check(&rig.handle(Input::Grains(grains.clone())), &["grains"]);
    check(&rig.handle(Input::Grains(grains.clone())), &[]);
    rig.handle(Input::Lost);
    let outputs = rig.open(TOKEN);
    let Output::Send(ToMaster::Start(start)) = &outputs[0] else { panic!("{outputs:?}") };
    assert_eq!((&start.grains, &start.journal[..], start.store.as_deref()), (&grains, "j", Some("s")));
}

#[test]
fn too_large_a_return_is_replaced_and_says_so() {
    let mut rig = Rig::live();
    rig.order(1, "cmd.run");
    let outputs = rig.handle(Input::Ended { jid: jid(1), ending: done(json!("\0".repeat(4000))) });
    let Output::Record(Entry::End { returned, .. }) = &outputs[0] else { panic!("{outputs:?}") };
    let Ending::Returned(value) = &returned.ending else { panic!("{returned:?}") };
    assert!(value.truncated && value.value.as_str().unwrap().contains("return_max"));
}

#[test]
fn stopping_says_bye() {
    check(&Rig::live().handle(Input::Stop), &["bye", "hang up: Stopping"]);
    check(&Rig::new().handle(Input::Stop), &["hang up: Stopping"]);
}

#[test]
fn what_a_stop_has_killed_is_told_and_a_reboot_or_what_ended_by_itself_is_not() {
    let mut rig = Rig::live();
    rig.engine.settings.boot = Some("b".into());
    rig.engine.settings.process_count_max = 3;
    for (number, function) in [(1, "cmd.run"), (2, "system.reboot"), (3, "cmd.run"), (4, "cmd.run")] {
        rig.order(number, function);
    }
    let killed = Input::Aborted(vec![jid(1), jid(2)]);
    let told = ["record interrupted 4", "send interrupted 4", "record interrupted 1", "send interrupted 1"];
    check(&rig.handle(killed), &told);
    check(&rig.end(1), &[]);
    check(&rig.end(3), &["record returned 3", "send returned 3"]);
    check(&rig.handle(Input::Stop), &["bye", "hang up: Stopping"]);
}

#[test]
fn a_burst_of_repeatable_orders_is_answered_and_does_not_close_the_window() {
    let mut rig = Rig::live();
    let count = FLEETING_MAX as u64 + 200;
    let mut sent = Vec::new();
    for number in 1..=count {
        rig.order(number, "test.ping");
        sent.extend(words(&rig.end(number)));
    }
    // The master acknowledges them one by one, as they were sent.
    for number in 1..=count {
        sent.extend(words(&rig.stored(&[number], number)));
    }
    let expected: Vec<String> = (1..=count).map(|number| format!("send returned {number}")).collect();
    assert_eq!(sent, expected);
    rig.order(count + 1, "test.ping");
    assert_eq!(words(&rig.end(count + 1)), [format!("send returned {}", count + 1)]);
}
