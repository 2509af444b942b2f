//! `brine.*`: the jobs on this minion, in the shapes of Salt's `saltutil`, and its key.

mod modules;
mod signals;

use brine_protocol::Jid;
use serde_json::{Map, Value, json};

use super::bind::Bound;
use super::{Context, Fault, Function, Outcome, Parameter, RunningJob, optional, required};

const JID: &[Parameter] = &[required("jid", "the job's id, twenty digits (text)")];

pub(super) fn functions() -> Vec<Function> {
    let mut functions = vec![
        Function::new("brine.running", |context, _| Box::pin(running(context)), "Returns the jobs that run on the minion, without the one that asks.")
            .returns("[{jid, fun, pid, user, started}…], oldest first; with detached: True where it outlives the minion"),
        Function::new("brine.find_job", |context, bound| Box::pin(find_job(context, bound)), "Returns a job that runs on the minion.")
            .takes(JID)
            .returns("{jid, fun, pid, user, started}, as in brine.running; an empty map when it does not run")
            .example("brine.find_job 20260101120000000000"),
        Function::new("brine.kill_job", |context, bound| Box::pin(kill_job(context, bound)), "Kills a job on the minion with everything it started.")
            .takes(JID)
            .returns("a sentence; an empty text when it does not run")
            .example("brine.kill_job 20260101120000000000"),
        Function::new(
            "brine.rotate_key",
            |context, _| Box::pin(rotate_key(context)),
            "Makes a new key for the minion, and has the master know it in the old one's place.\n\n\
             The old key signs the new one; the session goes on. From then on the old key is worth nothing. A \
             rotation that was begun and not finished is finished instead of making a third key.",
        )
        .returns("{old, new}, fingerprints"),
        Function::new(
            "brine.refresh_pillar",
            |context, bound| Box::pin(refresh_pillar(context, bound)),
            "Has the master read its pillar files again, and returns True once the new pillar is here.",
        )
        .takes(
            const {
                &[
                    optional("wait", "true", "False does not wait for it (boolean)"),
                    optional("timeout", "30", "longest wait (seconds)"),
                    optional("clean_cache", "true", "ignored: there is no cache of pillar here (boolean)"),
                ]
            },
        )
        .returns("True; an error when the files cannot be used or the master does not answer in time"),
    ];
    functions.extend(signals::functions());
    functions.extend(modules::functions());
    functions
}

/// The jobs but our own: who asks what runs does not mean the question.
fn others(context: &Context) -> Vec<RunningJob> {
    let mut jobs = context.jobs.running();
    jobs.retain(|job| Some(job.jid) != context.job);
    jobs
}

fn show(job: &RunningJob) -> Value {
    let mut shown = json!({
        "jid": job.jid,
        "fun": job.functions,
        "pid": job.pid,
        "user": job.principal,
        "started": job.started,
    });
    if job.is_detached {
        shown["detached"] = true.into();
    }
    shown
}

fn jid(bound: &mut Bound) -> Result<Jid, Fault> {
    bound.text("jid")?.parse().map_err(|why| Fault::Invocation(format!("{why}")))
}

async fn running(context: Context) -> Result<Outcome, Fault> {
    Ok(Outcome::from(others(&context).iter().map(show).collect::<Vec<_>>()))
}

async fn find_job(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let jid = jid(&mut bound)?;
    let found = others(&context).iter().find(|job| job.jid == jid).map(show);
    Ok(Outcome::from(found.unwrap_or_else(|| Value::Object(Map::new()))))
}

async fn kill_job(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let jid = jid(&mut bound)?;
    Ok(Outcome::from(kill(&context, jid)))
}

/// Kills another job than the one that asks; what Salt says then, or nothing when it does not run.
fn kill(context: &Context, jid: Jid) -> String {
    let found = others(context).into_iter().find(|job| job.jid == jid);
    match found.filter(|_| context.jobs.kill(jid)).map(|job| job.pid) {
        Some(Some(pid)) => format!("Signal 9 sent to job {jid} at pid {pid}"),
        Some(None) => format!("Signal 9 sent to job {jid}"),
        None => String::new(),
    }
}

async fn refresh_pillar(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (is_waited_for, patience) = (bound.flag("wait")?, bound.seconds("timeout")?);
    bound.flag("clean_cache")?;
    let Some((patience, _)) = patience else {
        return Err(Fault::Invocation("'timeout' needs a number of seconds".to_owned()));
    };
    let refreshing = context.pillar.refresh(patience);
    if is_waited_for {
        refreshing.await.map_err(Fault::Execution)?;
    } else {
        // It has asked once it was looked at; what comes of it is the driver's.
        tokio::spawn(refreshing);
    }
    Ok(Outcome::from(true))
}

async fn rotate_key(context: Context) -> Result<Outcome, Fault> {
    let turned = context.keys.rotate(context.job).await.map_err(Fault::Execution)?;
    Ok(Outcome::from(json!({ "old": turned.old, "new": turned.new })))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use brine_protocol::signal::SignalName;
    use brine_protocol::time::Timestamp;

    use super::super::testing::{assert_shape, call, context, returned};
    use super::super::{Jobs, RunningJob, Signalled};
    use super::*;

    struct Fake(Vec<RunningJob>, Mutex<Vec<Jid>>, Mutex<Vec<(Jid, SignalName)>>);

    impl Jobs for Fake {
        fn running(&self) -> Vec<RunningJob> {
            self.0.clone()
        }

        fn kill(&self, jid: Jid) -> bool {
            self.1.lock().unwrap().push(jid);
            true
        }

        fn signal(&self, jid: Jid, signal: SignalName, _: &str) -> Signalled {
            self.2.lock().unwrap().push((jid, signal));
            match self.0.iter().find(|job| job.jid == jid) {
                None => Signalled::Nothing,
                Some(job) => job.pid.map_or(Signalled::Ended, Signalled::Sent),
            }
        }
    }

    fn job(jid: &str, pid: Option<u32>) -> RunningJob {
        RunningJob {
            jid: jid.parse().unwrap(),
            functions: "cmd.run".to_owned(),
            pid,
            started: Timestamp(0),
            principal: "unix:0 (root)".to_owned(),
            is_detached: pid.is_some(),
        }
    }

    #[tokio::test]
    async fn a_key_is_rotated_by_the_running_minion_only() {
        let returned = returned(&[call("brine.rotate_key", json!([]), json!({}))], &context()).await;
        assert_eq!(returned.retcode, 1);
        assert!(returned.value.as_str().unwrap().contains("running minion"), "{}", returned.value);
    }

    #[tokio::test]
    async fn pillar_is_asked_for_and_waited_for() {
        let (pillar, mut asks) = crate::pillar::channel();
        let context = Context { pillar, ..context() };
        let ask = |keywords: Value| {
            let (call, context) = (call("brine.refresh_pillar", json!([]), keywords), context.clone());
            tokio::spawn(async move { returned(&[call], &context).await })
        };
        let job = ask(json!({}));
        asks.recv().await.unwrap().send(Ok(())).unwrap();
        let answer = job.await.unwrap();
        assert_shape("brine.refresh_pillar", &answer.value);
        assert_eq!((answer.value, answer.retcode), (json!(true), 0));
        let job = ask(json!({}));
        asks.recv().await.unwrap().send(Err("the files are broken".to_owned())).unwrap();
        let answer = job.await.unwrap();
        assert_eq!((answer.value, answer.retcode), (json!("ERROR: the files are broken"), 1));
        let answer = ask(json!({"wait": false})).await.unwrap();
        assert_eq!((answer.value, answer.retcode), (json!(true), 0));
        assert!(asks.recv().await.is_some(), "asked all the same");
        let late = ask(json!({"timeout": 0.01})).await.unwrap();
        assert!(late.value.as_str().unwrap().contains("within 0.01 s"), "{}", late.value);
    }

    const OWN: &str = "20260101120000000000";
    const WITH_PID: &str = "20260101120000000100";
    const WITHOUT: &str = "20260101120000000200";

    #[tokio::test]
    async fn shapes() {
        let jobs = Arc::new(Fake(
            vec![job(OWN, None), job(WITH_PID, Some(42)), job(WITHOUT, None)],
            Mutex::default(),
            Mutex::default(),
        ));
        let context = Context { jobs: jobs.clone(), job: Some(OWN.parse().unwrap()), ..context() };
        let ask = async |function: &str, args: Value| {
            let result = returned(&[call(function, args, json!({}))], &context).await;
            (result.value, result.retcode)
        };
        let first = json!({
            "jid": WITH_PID, "fun": "cmd.run", "pid": 42, "user": "unix:0 (root)",
            "started": "1970-01-01T00:00:00.000000Z", "detached": true,
        });
        let (list, _) = ask("brine.running", json!([])).await;
        assert_eq!((list.as_array().unwrap().len(), &list[0]), (2, &first));
        assert_eq!(ask("brine.find_job", json!([WITH_PID])).await, (first, 0));
        assert_eq!(ask("brine.find_job", json!(["20200101000000000000"])).await, (json!({}), 0));
        assert_eq!(ask("brine.find_job", json!(["nonsense"])).await.1, 1);
        let killed = ask("brine.kill_job", json!([WITH_PID])).await;
        assert_eq!(killed.0, format!("Signal 9 sent to job {WITH_PID} at pid 42"));
        assert_eq!(
            ask("brine.kill_job", json!([WITHOUT])).await.0,
            format!("Signal 9 sent to job {WITHOUT}")
        );
        assert_eq!(ask("brine.kill_job", json!(["20200101000000000000"])).await, (json!(""), 0));
        assert_eq!(ask("brine.kill_job", json!([OWN])).await.0, "", "a job does not kill itself");
        let killed = || jobs.1.lock().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(killed(), [WITH_PID, WITHOUT]);

        let sent = |number: u8| json!(format!("Signal {number} sent to job {WITH_PID} at pid 42"));
        assert_eq!(ask("brine.signal_job", json!([WITH_PID, 10])).await, (sent(10), 0));
        assert_eq!(ask("saltutil.signal_job", json!([WITH_PID, "SIGHUP"])).await, (sent(1), 0));
        assert_eq!(ask("brine.signal_job", json!([WITH_PID, 99])).await.1, 1);
        assert_eq!(ask("brine.signal_job", json!([WITH_PID])).await.1, 1);
        assert_eq!(ask("brine.signal_job", json!([OWN, 15])).await, (json!(""), 0));
        assert_eq!(ask("brine.term_job", json!([WITH_PID])).await, (sent(15), 0));
        assert_eq!(ask("brine.term_job", json!(["20200101000000000000"])).await, (json!(""), 0));
        let both = |number: u8| json!([sent(number), format!("Signal {number} sent to job {WITHOUT}")]);
        assert_eq!(ask("brine.term_all_jobs", json!([])).await, (both(15), 0));
        assert_eq!(ask("saltutil.kill_all_jobs", json!([])).await, (both(9), 0));
        assert_eq!(killed(), [WITH_PID, WITHOUT, WITH_PID, WITHOUT], "killed as kill_job kills");
        let signals: Vec<String> =
            jobs.2.lock().unwrap().iter().map(|(_, signal)| signal.to_string()).collect();
        assert_eq!(signals, ["USR1", "HUP", "TERM", "TERM", "TERM", "TERM"]);
        let (running, _) = ask("brine.is_running", json!(["cmd.*"])).await;
        assert_eq!((running.as_array().unwrap().len(), &running[0]["jid"]), (2, &json!(WITH_PID)));
        assert_eq!(ask("brine.is_running", json!(["test.ping"])).await, (json!([]), 0));
        for (function, args) in [
            ("brine.running", json!([])),
            ("brine.find_job", json!([WITH_PID])),
            ("brine.kill_job", json!([WITH_PID])),
            ("brine.signal_job", json!([WITH_PID, 1])),
            ("brine.term_job", json!([WITH_PID])),
            ("brine.term_all_jobs", json!([])),
            ("brine.kill_all_jobs", json!([])),
            ("brine.is_running", json!(["cmd.run"])),
        ] {
            assert_shape(function, &ask(function, args).await.0);
        }
    }
}
