//! Those who give orders, make decisions and follow what happens until the power fails.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use brine_tests::api::{Api, Events};
use brine_tests::checker::{COUNTER, Order};
use brine_tests::disk::Chance;
use brine_tests::eventually;
use serde_json::json;

/// How many orders a client gives in a round.
pub const ORDERS: usize = 8;

/// One client in one round.
pub struct Client<'a> {
    pub socket: PathBuf,
    pub minions: &'a [&'a str],
    pub chance: Chance,
    pub name: String,
    pub accepted: &'a AtomicUsize,
}

impl Client<'_> {
    /// Gives its orders, again and again where nobody answers, and returns those that were accepted.
    pub fn run(mut self) -> Vec<Order> {
        let (api, mut orders, mut attempt) = (Api::new(&self.socket), Vec::new(), 0);
        while orders.len() < ORDERS {
            attempt += 1;
            let token = format!("{}-{attempt}", self.name);
            eventually(20.0, "a master answers", || {
                std::os::unix::net::UnixStream::connect(&self.socket).is_ok()
            });
            let order = self.order(&api, &token);
            self.accepted.fetch_add(usize::from(order.is_some()), Ordering::SeqCst);
            orders.extend(order);
        }
        orders
    }

    fn order(&mut self, api: &Api, token: &str) -> Option<Order> {
        let one = self.minions[self.chance.below(self.minions.len())];
        let everybody = self.minions.iter().map(|id| (*id).to_owned()).collect();
        let (target, minions) =
            if self.chance.below(2) == 0 { ("*", everybody) } else { (one, vec![one.to_owned()]) };
        let count = format!("echo {token} >> \"${COUNTER}\"");
        let large = format!("{count}; head -c 60000 /dev/zero | tr '\\0' x");
        let command = [count.clone(), format!("{count}; sleep 0.2"), large][self.chance.below(3)].clone();
        let mut request = brine_tests::fleet::job(target, "cmd.run", &[json!(command)]);
        match self.chance.below(4) {
            0 | 1 => request["delivery"] = json!({"queue": {"ttl_ms": 20_000}}),
            2 => request["batch"] = json!({"size": "1"}),
            _ => {}
        }
        let reply = api.try_request("POST", "/v1/jobs", Some(request.to_string())).ok()?;
        // A disk that is not ready yet and a master that stops are the only refusals there may be.
        assert!(matches!(reply.status, 201 | 429 | 503), "{reply:?}");
        let jid = (reply.status == 201).then(|| reply.json()["jid"].as_str().expect("a jid").to_owned())?;
        Some(Order { jid, minions, token: Some(token.to_owned()) })
    }
}

/// Makes server records until nobody answers any more; the names of those that were.
pub fn decide(api: &Api, round: usize, is_over: impl Fn() -> bool) -> Vec<String> {
    let mut answered = Vec::new();
    while !is_over() {
        let name = format!("record-{round}-{}-", answered.len());
        let body = json!({"name": name, "model": "scribe"}).to_string();
        match api.try_request("POST", "/v1/servers", Some(body)) {
            Ok(reply) => drop(reply.expect(201)),
            Err(_) => break,
        }
        answered.push(name);
    }
    answered
}

/// The endings that are told until the stream breaks off: jobs and minions.
pub fn follow(mut events: Events, is_over: impl Fn() -> bool) -> Vec<(String, String)> {
    let mut told = Vec::new();
    loop {
        match events.next_within(0.5) {
            Some(event) => {
                if let ["brine", "job", jid, "ret", id] = event.name.split('/').collect::<Vec<_>>()[..] {
                    told.push((jid.to_owned(), id.to_owned()));
                }
            }
            None if is_over() => return told,
            None => std::thread::yield_now(),
        }
    }
}
