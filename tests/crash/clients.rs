//! Those who give orders while programs die: over the API, and with the real `brine`.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use brine_tests::api::Api;
use brine_tests::binaries::program;
use brine_tests::checker::{COUNTER, Order};
use brine_tests::{Done, eventually};
use serde_json::{Value, json};

use crate::plan::Dice;

/// How many orders a client gives in a round.
pub const ORDERS: usize = 8;

/// One client in one round.
pub struct Client<'a> {
    pub root: PathBuf,
    pub minions: &'a [&'a str],
    pub dice: Dice,
    pub name: String,
    pub accepted: &'a AtomicUsize,
    pub by_program: bool,
}

impl Client<'_> {
    /// Gives its orders, again and again where nobody answers, and returns those that were accepted.
    pub fn run(mut self) -> Vec<Order> {
        let socket = self.root.join("run/brine/control.sock");
        let (mut orders, mut attempt) = (Vec::new(), 0);
        while orders.len() < ORDERS {
            attempt += 1;
            let token = format!("{}-{attempt}", self.name);
            eventually(20.0, "a master answers", || UnixStream::connect(&socket).is_ok());
            let order =
                if self.by_program { self.print(&token) } else { self.post(&Api::new(&socket), &token) };
            if order.is_some() {
                self.accepted.fetch_add(1, Ordering::SeqCst);
            }
            orders.extend(order);
        }
        orders
    }

    fn target(&mut self) -> (String, Vec<String>) {
        match self.dice.below(3) {
            0 => ("*".to_owned(), self.minions.iter().map(|id| (*id).to_owned()).collect()),
            _ => {
                let id = self.minions[self.dice.below(self.minions.len())].to_owned();
                (id.clone(), vec![id])
            }
        }
    }

    /// The function, its arguments, and whether it counts.
    fn call(&mut self, token: &str) -> (&'static str, Vec<Value>, bool) {
        let count = format!("echo {token} >> \"${COUNTER}\"");
        match self.dice.below(5) {
            0 => ("test.ping", Vec::new(), false),
            1 => ("test.sleep", vec![json!(0.2)], false),
            2 => ("cmd.run", vec![json!(format!("{count}; sleep 0.3"))], true),
            _ => ("cmd.run", vec![json!(count)], true),
        }
    }

    fn post(&mut self, api: &Api, token: &str) -> Option<Order> {
        let (target, minions) = self.target();
        let (function, arguments, counts) = self.call(token);
        let mut request = brine_tests::fleet::job(&target, function, &arguments);
        let how = self.dice.below(6);
        match how {
            0 => request["delivery"] = json!({"queue": {"ttl_ms": 20_000}}),
            1 => request["delivery"] = json!({"queue": {"ttl_ms": 50}}),
            2 => request["batch"] = json!({"size": "2"}),
            _ => {}
        }
        let reply = api.try_request("POST", "/v1/jobs", Some(request.to_string())).ok()?;
        // A disk that is not ready yet and a master that stops are the only refusals there may be.
        assert!(matches!(reply.status, 201 | 429 | 503), "{reply:?}");
        if reply.status != 201 {
            return None;
        }
        let jid = reply.json()["jid"].as_str().expect("a jid").to_owned();
        if how == 3 {
            // Whether it is heeded is for the checker to see: the master may be gone by now.
            let _ = api.try_request("POST", &format!("/v1/jobs/{jid}/kill"), Some("{}".to_owned()));
        }
        Some(Order { jid, minions, token: counts.then(|| token.to_owned()) })
    }

    fn print(&mut self, token: &str) -> Option<Order> {
        let (target, minions) = self.target();
        let (function, arguments, counts) = self.call(token);
        let mut command = Command::new(program("brine"));
        command.env_remove("RUST_LOG").arg("--root-dir").arg(&self.root);
        command.args(["--async", &target, function]);
        command.args(arguments.iter().map(|value| value.as_str().map_or(value.to_string(), str::to_owned)));
        let jid = jid_in(&Done::run(command).stdout)?;
        Some(Order { jid, minions, token: counts.then(|| token.to_owned()) })
    }
}

/// The first jid in what a program printed, whatever it ended with.
fn jid_in(text: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_ascii_digit());
    words.map(str::to_owned).find(|word| word.len() == 20)
}

#[test]
fn a_printed_jid_is_found() {
    let jid = jid_in("Executed command with job ID: 20261122060732123407\n");
    assert_eq!(jid.as_deref(), Some("20261122060732123407"));
    assert_eq!(jid_in("no master answers on 12\n"), None);
}
