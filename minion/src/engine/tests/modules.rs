//! Custom modules: asked for, answered, and asked for again.

use brine_protocol::modules::{Digest, Module, Modules};

use super::*;

impl Rig {
    fn wish(&mut self, ask: u64, wish: Wish) -> Vec<Output> {
        self.handle(Input::ModulesWish(Some((ask, wish))))
    }

    fn listed(&mut self, ask: u64) -> Vec<Output> {
        self.hear(ToMinion::Modules(Box::new(Modules { ask, ..Modules::default() })))
    }

    fn fetched(&mut self, ask: u64) -> Vec<Output> {
        let name = "foo".parse().unwrap();
        let module =
            Module { ask, name, sha256: Digest([0; 32]), size: 0, refused: None, body: bytes::Bytes::new() };
        self.hear(ToMinion::Module(Box::new(module)))
    }
}

fn fetch() -> Wish {
    Wish::Fetch("foo".parse().unwrap(), Digest([0; 32]))
}

#[test]
fn an_answer_is_for_the_asking_that_is_open() {
    let mut rig = Rig::live();
    check(&rig.wish(1, Wish::List), &["list modules 1"]);
    check(&rig.fetched(1), &[]);
    check(&rig.listed(2), &[]);
    check(&rig.listed(1), &["listed 1"]);
    check(&rig.listed(1), &[]);
    check(&rig.wish(2, fetch()), &["fetch foo 2"]);
    // The job was killed, and another one asks.
    check(&rig.wish(3, Wish::List), &["list modules 3"]);
    check(&rig.fetched(2), &[]);
    check(&rig.listed(3), &["listed 3"]);
}

#[test]
fn what_is_unanswered_is_asked_in_the_next_session_while_somebody_waits() {
    let mut rig = Rig::new();
    check(&rig.wish(1, Wish::List), &[]);
    check(&rig.open(TOKEN), &["start []", "list modules 1"]);
    rig.handle(Input::Lost);
    check(&rig.open(TOKEN), &["start []", "list modules 1"]);
    rig.handle(Input::Lost);
    check(&rig.handle(Input::ModulesWish(None)), &[]);
    check(&rig.open(TOKEN), &["start []"]);
    check(&rig.wish(2, fetch()), &["fetch foo 2"]);
    rig.hear(ToMinion::Standing(Standing::Suspended));
    check(&rig.fetched(2), &["not live"]);
}
