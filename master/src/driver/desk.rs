//! Where operators wait: for answers, for a job's rows, for events.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brine_protocol::Jid;
use brine_protocol::control::{Event, JobEvent};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::engine::{Answer, RequestId};

/// A write that takes so long is told of, and new orders are refused.
const STUCK: Duration = Duration::from_secs(5);

/// Events that one follower may lag behind before it is told to start over.
const LAG_MAX: usize = 4096;

/// Who waits for an answer.
#[derive(Debug)]
pub struct Waiter {
    /// Gets the answer.
    pub reply: oneshot::Sender<Answer>,
    /// Gets a job's events, from before its first one, if the answer names a job that is open.
    pub follow: Option<Follow>,
}

/// Who follows a job.
#[derive(Debug)]
pub struct Follow {
    /// The job; none while it is being made.
    pub jid: Option<Jid>,
    /// Gets its events. Not bounded here: a job has one event for each of its minions.
    pub events: mpsc::UnboundedSender<JobEvent>,
}

#[derive(Debug)]
struct Ring {
    kept: VecDeque<Arc<Event>>,
    live: broadcast::Sender<Arc<Event>>,
}

/// Requests, followers and events.
#[derive(Debug)]
pub struct Desk {
    /// The first event of this run may have this id, and none before it.
    first_id: u64,
    next: Mutex<u64>,
    waiters: Mutex<HashMap<RequestId, Waiter>>,
    followers: Mutex<HashMap<Jid, Vec<mpsc::UnboundedSender<JobEvent>>>>,
    ring: Mutex<Ring>,
    events_kept: usize,
    write_problem: Mutex<Option<String>>,
    /// Since when the store writes what it writes now.
    writing: Mutex<Option<Instant>>,
}

impl Desk {
    /// A desk that remembers so many events, among them those of earlier runs. Of those runs only
    /// the stored ones are known: whoever resumes from before this one is told of a gap.
    #[must_use]
    pub fn new(events_kept: usize, kept: VecDeque<Arc<Event>>, first_id: u64) -> Self {
        let (live, _) = broadcast::channel(LAG_MAX);
        Self {
            first_id,
            next: Mutex::new(0),
            waiters: Mutex::default(),
            followers: Mutex::default(),
            ring: Mutex::new(Ring { kept, live }),
            events_kept,
            write_problem: Mutex::default(),
            writing: Mutex::default(),
        }
    }

    /// Registers who waits, and names the request.
    pub fn expect(&self, waiter: Waiter) -> RequestId {
        let id = {
            let mut next = self.next.lock().expect("no holder panics");
            *next += 1;
            RequestId(*next)
        };
        self.waiters.lock().expect("no holder panics").insert(id, waiter);
        id
    }

    /// The requests whose callers have hung up.
    pub(super) fn gone(&self) -> BTreeSet<RequestId> {
        let waiters = self.waiters.lock().expect("no holder panics");
        let gone = waiters.iter().filter(|(_, waiter)| waiter.reply.is_closed());
        gone.map(|(request, _)| *request).collect()
    }

    /// Hands an answer over; a follower is registered before anything else happens to its job.
    pub(super) fn answer(&self, request: RequestId, answer: Answer) {
        let waiter = self.waiters.lock().expect("no holder panics").remove(&request);
        let Some(Waiter { reply, follow }) = waiter else {
            return;
        };
        if let Some(follow) = follow {
            let jid = match &answer {
                Answer::Job { jid, made: Some(_) } => Some(*jid),
                Answer::Following { is_open: true } => follow.jid,
                _ => None,
            };
            if let Some(jid) = jid {
                let mut followers = self.followers.lock().expect("no holder panics");
                let listening = followers.entry(jid).or_default();
                // Of a job without news nobody else would notice who has hung up.
                listening.retain(|follower| !follower.is_closed());
                listening.push(follow.events);
            }
        }
        // Nobody listens when the caller has hung up.
        let _ = reply.send(answer);
    }

    pub(super) fn tell_followers(&self, jid: Jid, event: &JobEvent) {
        let mut followers = self.followers.lock().expect("no holder panics");
        let Some(listening) = followers.get_mut(&jid) else {
            return;
        };
        let is_end = *event == JobEvent::End;
        listening.retain(|follower| follower.send(event.clone()).is_ok());
        if is_end || listening.is_empty() {
            followers.remove(&jid);
        }
    }

    pub(crate) fn publish(&self, event: Arc<Event>) {
        let mut ring = self.ring.lock().expect("no holder panics");
        ring.kept.push_back(Arc::clone(&event));
        while ring.kept.len() > self.events_kept {
            ring.kept.pop_front();
        }
        // Nobody may be listening.
        let _ = ring.live.send(event);
    }

    /// The remembered events behind `last`, and the stream of those to come, without a gap
    /// between them. The third value says whether events behind `last` were forgotten already.
    #[must_use]
    pub fn events_since(
        &self,
        last: Option<u64>,
    ) -> (Vec<Arc<Event>>, broadcast::Receiver<Arc<Event>>, bool) {
        let ring = self.ring.lock().expect("no holder panics");
        let Some(last) = last else {
            return (Vec::new(), ring.live.subscribe(), false);
        };
        // Any number may be asked for, the largest as well.
        let next = last.saturating_add(1);
        let behind: Vec<_> = ring.kept.iter().filter(|event| event.id > last).cloned().collect();
        let is_gap = match ring.kept.front() {
            // 0 asks for all there is, and misses nothing.
            _ if last == 0 => false,
            Some(oldest) => oldest.id > next || next < self.first_id,
            None => true,
        };
        (behind, ring.live.subscribe(), is_gap)
    }

    pub(super) fn set_write_problem(&self, problem: Option<String>) {
        *self.write_problem.lock().expect("no holder panics") = problem;
    }

    pub(super) fn set_writing(&self, since: Option<Instant>) {
        *self.writing.lock().expect("no holder panics") = since;
    }

    /// Why the store cannot be written, if it cannot.
    pub(super) fn write_problem(&self, now: Instant) -> Option<String> {
        let problem = self.write_problem.lock().expect("no holder panics").clone();
        problem.or_else(|| self.stuck(now))
    }

    /// That a write of the store takes too long, if it does.
    pub(super) fn stuck(&self, now: Instant) -> Option<String> {
        let since = *self.writing.lock().expect("no holder panics");
        since.filter(|since| now.saturating_duration_since(*since) >= STUCK).map(|_| {
            format!(
                "the disk has not finished a write of the store for more than {} s; what was accepted waits for \
                 it, and new orders are refused",
                STUCK.as_secs()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u64) -> Arc<Event> {
        Arc::new(Event {
            id,
            tag: "t".into(),
            at: brine_protocol::time::Timestamp(0),
            data: 0.into(),
            zone: None,
        })
    }

    #[test]
    fn any_number_may_be_resumed_from() {
        let desk = Desk::new(2, VecDeque::new(), 5);
        for id in 5..9 {
            desk.publish(event(id));
        }
        let gap = |last| desk.events_since(Some(last)).2;
        assert_eq!([4, 5, 6, 8, u64::MAX].map(gap), [true, true, false, false, false]);
    }

    #[test]
    fn a_desk_that_keeps_nothing_keeps_nothing() {
        let desk = Desk::new(0, VecDeque::new(), 1);
        desk.publish(event(1));
        desk.publish(event(2));
        assert_eq!(desk.ring.lock().expect("no holder panics").kept.len(), 0);
    }

    #[test]
    fn a_write_that_takes_too_long_is_told_until_it_is_done() {
        let desk = Desk::new(1, VecDeque::new(), 1);
        let began = Instant::now();
        desk.set_writing(Some(began));
        assert_eq!(desk.write_problem(began + STUCK / 2), None);
        let said = desk.write_problem(began + STUCK).expect("too long");
        assert!(said.contains("not finished a write"), "{said}");
        desk.set_writing(None);
        assert_eq!(desk.write_problem(began + STUCK * 2), None);
    }

    #[test]
    fn followers_that_hung_up_make_room_for_the_next() {
        let desk = Desk::new(10, VecDeque::new(), 1);
        let jid = Jid::at(brine_protocol::time::Timestamp(1_795_327_652_000_000), 0);
        for _ in 0..5 {
            let (reply, _) = oneshot::channel();
            let (events, _) = mpsc::unbounded_channel();
            let request = desk.expect(Waiter { reply, follow: Some(Follow { jid: Some(jid), events }) });
            desk.answer(request, Answer::Following { is_open: true });
        }
        assert_eq!(desk.followers.lock().expect("no holder panics")[&jid].len(), 1);
    }
}
