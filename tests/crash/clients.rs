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
use crate::{CLUMSY, IDS, TENDED};

/// How many orders a client gives in a round.
pub const ORDERS: usize = 8;

/// More than the clumsy minion takes in one message, and less than one argument may have.
const LARGE: usize = 70_000;

/// One client in one round.
pub struct Client<'a> {
    pub root: PathBuf,
    pub dice: Dice,
    pub name: String,
    pub accepted: &'a AtomicUsize,
    /// Counts the orders that were known to the master when they were said again.
    pub repeated: &'a AtomicUsize,
    pub by_program: bool,
}

/// What is ordered, before it is known whether a master takes it.
struct Wish {
    target: String,
    calls: Vec<(&'static str, Vec<Value>)>,
    /// What it leaves in the counters.
    lines: Vec<String>,
    detach: bool,
    timeout_ms: Option<u64>,
}

impl Wish {
    fn throw(dice: &mut Dice, token: &str) -> Self {
        let count = |line: &str| format!("echo {line} >> \"${COUNTER}\"");
        let run = |script: String| ("cmd.run", vec![json!(script)]);
        let target = match dice.below(3) {
            0 => "*".to_owned(),
            _ => IDS[dice.below(IDS.len())].to_owned(),
        };
        let one =
            |calls| Self { target, calls, lines: vec![token.to_owned()], detach: false, timeout_ms: None };
        match dice.below(15) {
            0 => Self { lines: Vec::new(), ..one(vec![("test.ping", Vec::new())]) },
            1 => Self { lines: Vec::new(), ..one(vec![("test.sleep", vec![json!(0.2)])]) },
            2 | 3 => one(vec![run(format!("{}; sleep 0.3", count(token)))]),
            4 | 5 => {
                let lines: Vec<String> = (1..4).map(|part| format!("{token}.{part}")).collect();
                let scripts =
                    [count(&lines[0]), format!("{}; sleep 0.1", count(&lines[1])), count(&lines[2])];
                let [a, b, c] = scripts.map(run);
                Self { lines, ..one(vec![a, ("test.ping", Vec::new()), b, c]) }
            }
            6 => Self { timeout_ms: Some(300), ..one(vec![run(format!("{}; sleep 30", count(token)))]) },
            7 | 8 => Self { detach: true, ..one(vec![run(format!("{}; sleep 0.4", count(token)))]) },
            9 => {
                let script = format!("{}; sleep 30", count(token));
                Self { detach: true, timeout_ms: Some(300), ..one(vec![run(script)]) }
            }
            10 => {
                let script = format!("{} # {}", count(token), "x".repeat(LARGE));
                Self {
                    target: if dice.one_in(3) { "*" } else { CLUMSY }.to_owned(),
                    ..one(vec![run(script)])
                }
            }
            _ => one(vec![run(count(token))]),
        }
    }

    fn request(&self) -> Value {
        let calls = self
            .calls
            .iter()
            .map(|(function, arguments)| json!({"function": function, "arguments": arguments}));
        let calls: Vec<Value> = calls.collect();
        let mut request =
            json!({"target": {"expression": self.target}, "calls": calls, "detach": self.detach});
        if let Some(limit) = self.timeout_ms {
            request["job_timeout_ms"] = json!(limit);
        }
        request
    }

    fn order(&self, jid: String, minions: Vec<String>) -> Order {
        Order { jid, minions, token: (!self.lines.is_empty()).then(|| self.lines.join("\n")) }
    }
}

impl Client<'_> {
    /// Gives its orders, each again and again while nobody answers, and returns those accepted.
    pub fn run(self) -> Vec<Order> {
        let socket = self.root.join("run/brine/control.sock");
        let orders = (0..ORDERS).map(|number| {
            let order = (0..).find_map(|attempt| {
                eventually(20.0, "a master answers", || UnixStream::connect(&socket).is_ok());
                let mut dice = self.dice.part(number);
                if self.by_program {
                    self.print(&mut dice, &format!("{}-{number}.{attempt}", self.name))
                } else {
                    self.post(&Api::new(&socket), &mut dice, &format!("{}-{number}", self.name), attempt)
                }
            });
            self.accepted.fetch_add(1, Ordering::SeqCst);
            order.expect("attempts do not end")
        });
        orders.collect()
    }

    /// Half of the orders carry a key by which a master knows what it was told before: said again,
    /// they are one job, and count once. The others are another job each time.
    fn post(&self, api: &Api, dice: &mut Dice, token: &str, attempt: usize) -> Option<Order> {
        let is_repeated = dice.one_in(2);
        let (how, token) =
            (dice.below(6), if is_repeated { token.to_owned() } else { format!("{token}.{attempt}") });
        let wish = Wish::throw(dice, &token);
        let mut request = wish.request();
        match how {
            0 => request["delivery"] = json!({"queue": {"ttl_ms": 20_000}}),
            1 => request["delivery"] = json!({"queue": {"ttl_ms": 50}}),
            2 => request["batch"] = json!({"size": "2"}),
            _ => {}
        }
        let api = if is_repeated { api.with("Idempotency-Key", &token) } else { api.clone() };
        let reply = api.try_request("POST", "/v1/jobs", Some(request.to_string())).ok()?;
        match reply.status {
            201 => {}
            200 if is_repeated && attempt > 0 => drop(self.repeated.fetch_add(1, Ordering::SeqCst)),
            // A disk that is not ready yet and a master that stops are the only refusals there may be.
            429 | 503 => return None,
            _ => panic!("{reply:?}"),
        }
        // Cut off in the middle is not answered.
        let job: Value = serde_json::from_str(&reply.body).ok()?;
        let jid = job["jid"].as_str().expect("a jid").to_owned();
        if how == 3 {
            // Whether it is heeded is for the checker to see: the master may be gone by now.
            let _ = api.try_request("POST", &format!("/v1/jobs/{jid}/kill"), Some("{}".to_owned()));
        }
        let minions = job["minions"].as_array().expect("its minions").iter();
        let minions: Vec<String> = minions.filter_map(|pair| pair[0].as_str().map(str::to_owned)).collect();
        let are_all = |ids: &[&str]| ids.iter().all(|id| minions.iter().any(|minion| minion == id));
        let is_meant = if wish.target == "*" { are_all(&IDS) } else { minions == [wish.target.as_str()] };
        assert!(is_meant && minions.len() <= IDS.len() + TENDED.len(), "{}: {minions:?}", wish.target);
        Some(wish.order(jid, minions))
    }

    fn print(&self, dice: &mut Dice, token: &str) -> Option<Order> {
        let mut wish = Wish::throw(dice, token);
        let mut minions = vec![wish.target.clone()];
        if wish.target == "*" {
            // Whose keys are accepted just then is not printed.
            wish.target = "m[1-4]".to_owned();
            minions = IDS.map(str::to_owned).to_vec();
        }
        let mut command = Command::new(program("brine"));
        command.env_remove("RUST_LOG").arg("--root-dir").arg(&self.root).args(["--async", &wish.target]);
        let functions: Vec<&str> = wish.calls.iter().map(|(function, _)| *function).collect();
        command.arg(functions.join(","));
        for (at, (_, arguments)) in wish.calls.iter().enumerate() {
            command.args((at > 0).then_some(","));
            command
                .args(arguments.iter().map(|value| value.as_str().map_or(value.to_string(), str::to_owned)));
        }
        command.args(wish.detach.then_some("--detach"));
        // In whole seconds there.
        command.args(wish.timeout_ms.map(|limit| format!("--job-timeout={}", limit.div_ceil(1000))));
        let jid = jid_in(&Done::run(command).stdout)?;
        Some(wish.order(jid, minions))
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
