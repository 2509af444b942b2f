//! Lists that are too long for one answer.

use brine_protocol::control::DeleteServer;
use brine_protocol::server::ServerId;

use super::servers::{request, server_answer};
use super::*;
use crate::engine::servers::PAGE;
use crate::engine::{Find, ServerAnswer, ServerAsk};

impl World {
    /// All pages of a list.
    fn pages(&mut self, mut find: Find) -> Vec<Vec<ServerId>> {
        let mut pages = Vec::new();
        loop {
            let out = self.server(ServerAsk::List(find.clone()));
            let ServerAnswer::Servers(servers, next) = server_answer(&out) else { panic!("{out:?}") };
            pages.push(servers.iter().map(|server| server.id).collect());
            find.after = *next;
            if next.is_none() {
                return pages;
            }
        }
    }
}

#[test]
fn a_long_list_comes_in_pages() {
    let mut world = World::new();
    world.engine.settings.servers_max = 3 * PAGE;
    let mut ids: Vec<ServerId> = (0..2 * PAGE + 1)
        .map(|n| {
            let name = if n % 2 == 0 { "even" } else { "odd" };
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&u16::try_from(n).expect("few").to_le_bytes());
            let id = ServerId::from_random(bytes);
            world.server(ServerAsk::Create(Some(id), Box::new(request(name))));
            id
        })
        .collect();
    ids.sort();
    let sizes = |pages: &[Vec<ServerId>]| pages.iter().map(Vec::len).collect::<Vec<_>>();
    let all = world.pages(Find::default());
    assert_eq!(sizes(&all), [PAGE, PAGE, 1]);
    assert_eq!(all.concat(), ids, "each once");
    let linked = world.pages(Find { linked: Some(true), ..Find::default() });
    assert_eq!(sizes(&linked), [0, 0, 0], "what is looked at counts");
    let even = world.pages(Find { named: Some("even".to_owned()), ..Find::default() });
    assert_eq!(sizes(&even), [PAGE, 1]);
    // What is made or deleted meanwhile neither doubles nor hides another.
    let find = Find { after: Some(ids[PAGE - 1]), ..Find::default() };
    world.server(ServerAsk::Delete(ids[PAGE - 1], DeleteServer::default()));
    assert_eq!(world.pages(find).concat(), ids[PAGE..]);
}
