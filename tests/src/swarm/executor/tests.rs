use super::*;
use brine_protocol::target::Target;
use serde_json::json;

fn order(number: u64, function: &str, arguments: Vec<serde_json::Value>) -> Arc<Order> {
    Arc::new(Order {
        jid: format!("202611220607320{number:05}").parse().unwrap(),
        number,
        calls: vec![Call { function: function.to_owned(), arguments, keywords: serde_json::Map::new() }],
        target: Target::glob("*"),
        job_timeout_ms: None,
        expires_in_ms: None,
        principal: String::new(),
        detach: false,
    })
}

struct Rig {
    executor: Executor,
    manner: Manner,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        Self { executor: Executor::new(), manner: Manner::default(), now: Instant::now() }
    }

    fn take(&mut self, order: &Arc<Order>) -> Taken {
        self.executor.on_order(order, Ok(()), &self.manner, self.now)
    }

    fn returns(&mut self) -> Vec<Return> {
        let id = "a".parse().unwrap();
        std::iter::from_fn(|| self.executor.next_return(&id, &self.manner)).collect()
    }

    fn stored(&mut self, numbers: &[u64], floor: u64) -> usize {
        self.executor.on_stored(&Stored { store: "s".to_owned(), numbers: numbers.to_vec(), floor })
    }

    fn later(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.executor.end_due(self.now);
    }
}

fn state(returned: &Return) -> &'static str {
    returned.ending.name()
}

#[test]
fn an_order_runs_once_and_is_owed_until_it_is_stored() {
    let mut rig = Rig::new();
    let ping = order(5, "test.ping", vec![]);
    assert_eq!(rig.take(&ping), Taken::New);
    assert_eq!(rig.returns().len(), 1);
    assert_eq!(rig.returns().len(), 0, "sent once");
    assert_eq!(rig.take(&ping), Taken::Again);
    assert_eq!(rig.returns().len(), 1, "asked again, told again");
    rig.executor.begin_session();
    assert_eq!(rig.returns().len(), 1, "a new session is told what is owed");
    assert_eq!(rig.stored(&[5], 0), 1);
    assert_eq!(rig.take(&ping), Taken::Again);
    assert_eq!(rig.returns().len(), 0, "stored is stored");
    rig.stored(&[], 9);
    assert_eq!(rig.take(&order(8, "test.ping", vec![])), Taken::Again, "below the floor");
}

#[test]
fn what_may_not_run_twice_is_told_at_the_start_of_a_session() {
    let mut rig = Rig::new();
    rig.take(&order(1, "test.ping", vec![]));
    rig.take(&order(2, "test.sleep", vec![json!(1)]));
    rig.take(&order(3, "test.sleep", vec![json!(0)]));
    assert_eq!(rig.executor.open_numbers(), [2, 3]);
    assert_eq!(rig.executor.running().len(), 1);
}

#[test]
fn sleeping_and_thinking_take_their_time() {
    let mut rig = Rig::new();
    rig.manner.think = Duration::from_millis(50);
    rig.take(&order(1, "test.sleep", vec![json!(0.2)]));
    rig.take(&order(2, "test.ping", vec![]));
    assert_eq!(rig.executor.next_due(), Some(rig.now + Duration::from_millis(50)));
    rig.later(50);
    assert_eq!(rig.returns().iter().map(|r| r.number).collect::<Vec<_>>(), [2]);
    rig.later(200);
    let returns = rig.returns();
    assert_eq!((returns.len(), returns[0].number, rig.executor.next_due()), (1, 1, None));
    let Ending::Returned(returned) = &returns[0].ending else { panic!("{returns:?}") };
    assert_eq!(returned.duration_ms, 250);
}

#[test]
fn every_way_to_end_early() {
    let mut rig = Rig::new();
    let mut limited = Arc::unwrap_or_clone(order(1, "test.sleep", vec![json!(9)]));
    limited.job_timeout_ms = Some(100);
    rig.take(&Arc::new(limited));
    rig.take(&order(2, "test.sleep", vec![json!(9)]));
    let cancel = |number| Cancel { jid: order(number, "", vec![]).jid, number, by: "me".to_owned() };
    rig.executor.on_cancel(&cancel(2), rig.now);
    rig.executor.on_cancel(&cancel(3), rig.now);
    let mut expired = Arc::unwrap_or_clone(order(4, "test.ping", vec![]));
    expired.expires_in_ms = Some(0);
    rig.take(&Arc::new(expired));
    let refused = rig.executor.on_order(
        &order(5, "test.ping", vec![]),
        Err("no".to_owned()),
        &rig.manner.clone(),
        rig.now,
    );
    assert_eq!(refused, Taken::Refused);
    assert_eq!(rig.take(&order(3, "test.ping", vec![])), Taken::Again, "its end came before it");
    rig.later(100);
    rig.take(&order(6, "test.sleep", vec![json!(1e300)]));
    rig.executor.cancel_all("the master");
    let returns = rig.returns();
    let states: Vec<_> = returns.iter().map(|r| (r.number, state(r))).collect();
    assert_eq!(
        states,
        [
            (1, "timed_out"),
            (2, "cancelled"),
            (3, "cancelled"),
            (4, "expired"),
            (5, "refused"),
            (6, "cancelled"),
        ]
    );
}

#[test]
fn no_more_is_under_way_than_the_window_holds() {
    let mut rig = Rig::new();
    for number in 0..100 {
        rig.take(&order(number, "test.ping", vec![]));
    }
    assert_eq!(rig.returns().len(), WINDOW);
    assert_eq!(rig.stored(&[0, 1, 2], 0), 3);
    assert_eq!(rig.returns().len(), 3);
}

#[test]
fn another_store_has_other_numbers() {
    let mut rig = Rig::new();
    rig.stored(&[], 3);
    rig.take(&order(7, "test.ping", vec![]));
    rig.executor.on_stored(&Stored { store: "t".to_owned(), numbers: vec![], floor: 0 });
    assert_eq!((rig.executor.store(), rig.executor.open_numbers().len()), (Some("t"), 0));
    assert_eq!(rig.take(&order(2, "test.ping", vec![])), Taken::New);
}
