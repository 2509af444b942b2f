//! Custom modules: to whom, when, how many at a time, and to nobody else.

use super::*;
use brine_protocol::modules::{
    Digest, FileName, Listed, MODULE_OVERHEAD, Module, ModuleWanted, Modules, ModulesWanted, Refused,
};

use super::super::modules::{FILES_MAX, LIST_EVERY};
use crate::modules::Catalogue;

fn name(text: &str) -> FileName {
    text.parse().expect("a name")
}

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn list(ask: u64) -> ToMaster {
    ToMaster::ModulesWanted(ModulesWanted { ask })
}

fn fetch(ask: u64, file: &str) -> ToMaster {
    ToMaster::ModuleWanted(Box::new(ModuleWanted { ask, name: name(file), sha256: digest(1) }))
}

fn catalogue(files: &[(&str, usize)]) -> Catalogue {
    let listed = |size| Listed { sha256: digest(1), size };
    let files = files.iter().map(|(file, size)| (name(file), listed(*size))).collect();
    Catalogue { files, ..Catalogue::default() }
}

fn listed(catalogue: Catalogue) -> Input {
    Input::Modules(ModulesDone::Listed(Arc::new(catalogue)))
}

fn lists(out: &Out) -> usize {
    out.0.iter().filter(|output| matches!(output, Output::Modules(ModuleStep::List))).count()
}

fn reads(out: &Out) -> Vec<ModuleRead> {
    let read = |output: &Output| match output {
        Output::Modules(ModuleStep::Read(read)) => Some(read.clone()),
        _ => None,
    };
    out.0.iter().filter_map(read).collect()
}

fn read(world: &mut World, read: &ModuleRead, bytes: &[u8]) -> Out {
    let bytes = Ok(Bytes::copy_from_slice(bytes));
    world.input(Input::Modules(ModulesDone::Read(read.clone(), bytes)))
}

fn told(out: &Out, conn: u64) -> Vec<Modules> {
    let told = |message: &&ToMinion| match message {
        ToMinion::Modules(told) => Some((**told).clone()),
        _ => None,
    };
    out.sent(conn).iter().filter_map(told).collect()
}

fn handed(out: &Out, conn: u64) -> Vec<Module> {
    let handed = |message: &&ToMinion| match message {
        ToMinion::Module(module) => Some((**module).clone()),
        _ => None,
    };
    out.sent(conn).iter().filter_map(handed).collect()
}

#[test]
fn those_who_ask_get_a_list_that_was_made_after_they_asked() {
    let mut world = World::new();
    for (conn, id) in [(1, "m1"), (2, "m2")] {
        world.live(conn, id);
    }
    assert_eq!(lists(&world.frame(1, list(7))), 1);
    assert_eq!(lists(&world.frame(2, list(3))), 0);
    assert_eq!(lists(&world.frame(2, list(4))), 0, "it may have been listed already");
    let out = world.input(listed(catalogue(&[("foo", 3)])));
    let Modules { ask, files, .. } = &told(&out, 1)[0];
    assert_eq!((*ask, files.len()), (7, 1));
    assert!(told(&out, 2).is_empty() && lists(&out) == 0, "not so soon again");
    assert!(world.engine.next_deadline() <= world.now.steady + LIST_EVERY);
    assert_eq!(lists(&world.pass(1)), 1);
    let problem = Some("others could change the folder".to_owned());
    let out = world.input(listed(Catalogue { problem: problem.clone(), ..Catalogue::default() }));
    assert_eq!(told(&out, 2), [Modules { ask: 4, problem, ..Modules::default() }]);
    assert_eq!(lists(&world.pass(100)), 0, "nobody waits");
}

#[test]
fn what_no_message_holds_is_refused_by_name() {
    let mut world = World::new();
    world.live(1, "m1");
    world.frame(1, list(1));
    let room = world.engine.settings.message_max - MODULE_OVERHEAD;
    let mut there = catalogue(&[("fits", room), ("large", room + 1)]);
    there.refused = vec![Refused { name: "Other".to_owned(), why: "its name".to_owned() }];
    let told = told(&world.input(listed(there)), 1);
    let files: Vec<&str> = told[0].files.keys().map(FileName::as_str).collect();
    let refused: Vec<&str> = told[0].refused.iter().map(|refused| &*refused.name).collect();
    assert_eq!((files, refused), (vec!["fits"], vec!["Other", "large"]));
    assert!(told[0].refused[1].why.contains("message_max"), "{}", told[0].refused[1].why);
    // And also if the file has grown meanwhile.
    let wanted = reads(&world.frame(1, fetch(2, "fits")));
    let module = &handed(&read(&mut world, &wanted[0], &vec![0; room + 1]), 1)[0];
    assert!(module.body.is_empty() && module.refused.as_ref().is_some_and(|why| why.contains("message_max")));
}

#[test]
fn a_few_files_at_a_time_and_one_for_a_session() {
    let mut world = World::new();
    let conns: Vec<u64> = (1..=FILES_MAX as u64 + 2).collect();
    let mut wanted = Vec::new();
    for conn in &conns {
        world.live(*conn, &format!("m{conn}"));
        wanted.extend(reads(&world.frame(*conn, fetch(1, "foo"))));
    }
    assert_eq!(wanted.len(), FILES_MAX);
    // Whoever wants another one gets that, once the first has been read.
    assert!(reads(&world.frame(1, fetch(2, "bar"))).is_empty());
    let out = read(&mut world, &wanted[0], b"one");
    assert!(handed(&out, 1).is_empty());
    let next = reads(&out);
    assert_eq!(next.iter().map(|read| read.conn.0).collect::<Vec<_>>(), [FILES_MAX as u64 + 1]);
    let out = read(&mut world, &wanted[1], b"one");
    let module = &handed(&out, 2)[0];
    assert_eq!((module.ask, module.size, &module.body[..]), (1, 3, &b"one"[..]));
    // A session that is gone gives its turn away, and gets nothing.
    let last = *conns.last().expect("some");
    assert_eq!(reads(&out)[0].conn.0, last);
    world.input(Input::Closed { conn: ConnId(last), why: "eof" });
    let out = read(&mut world, &reads(&out)[0], b"one");
    assert!(handed(&out, last).is_empty());
    let [bar] = &reads(&out)[..] else { panic!("{out:?}") };
    assert_eq!((bar.conn.0, bar.name.as_str()), (1, "bar"));
    let why = Err("it is gone".to_owned());
    let out = world.input(Input::Modules(ModulesDone::Read(bar.clone(), why)));
    let module = &handed(&out, 1)[0];
    assert_eq!((module.ask, module.size, module.refused.as_deref()), (2, 0, Some("it is gone")));
}

#[test]
fn who_is_not_let_in_gets_nothing() {
    let mut world = World::new();
    world.knock(1, "m1");
    assert!(world.frame(1, list(1)).cut(1));
    world.knock(2, "m2");
    assert!(world.frame(2, fetch(1, "foo")).cut(2));
    world.live(3, "m3");
    world.frame(3, list(1));
    let wanted = reads(&world.frame(3, fetch(2, "foo")));
    world.act(Act::Suspend, "m3");
    assert!(told(&world.input(listed(catalogue(&[("foo", 3)]))), 3).is_empty());
    assert!(handed(&read(&mut world, &wanted[0], b"one"), 3).is_empty());
}
