//! Jobs over the control API, followed to their end.

use std::sync::atomic::{AtomicUsize, Ordering};

use brine_tests::api::Api;
use brine_tests::fleet::job;
use serde_json::Value;

use crate::bench::timed;

/// A job that has not ended by then never will.
const PATIENCE: f64 = 120.0;

/// A ping of these.
#[must_use]
pub fn ping(target: &str) -> Value {
    job(target, "test.ping", &[])
}

/// Submits a job and follows it until its end is said, which is when its last return is durable; how
/// many have returned.
///
/// # Panics
/// It does not end, or a minion ends otherwise than with a return.
pub fn follow(api: &Api, request: &Value) -> usize {
    let mut events = api.events("POST", "/v1/jobs", Some(request.to_string()));
    let mut returned = 0;
    loop {
        let event = events.next_within(PATIENCE).expect("the job ends in time");
        match event.name.as_str() {
            "row" => {
                assert_eq!(event.data["ending"]["state"], "returned", "{}", event.data);
                returned += 1;
            }
            "end" => return returned,
            _ => {}
        }
    }
}

/// Jobs a second when so many clients each follow one after the other, `jobs` in all.
///
/// # Panics
/// A job does not end with one return.
#[must_use]
pub fn rate(api: &Api, (jobs, clients): (usize, usize), request: impl Fn(usize) -> Value + Sync) -> f64 {
    let next = AtomicUsize::new(0);
    let took = timed(|| {
        std::thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= jobs {
                            return;
                        }
                        assert_eq!(follow(api, &request(number)), 1, "job {number}");
                    }
                });
            }
        });
    });
    jobs as f64 / took
}
