//! `brine.*`: the jobs on this minion, in the shapes of Salt's `saltutil`, and its key.

use brine_protocol::Jid;
use serde_json::{Map, Value, json};

use super::bind::Bound;
use super::{Context, Fault, Function, Outcome, RunningJob, required};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function {
            name: "brine.running",
            doc: "Returns the jobs that run on the minion, without the one that asks.\n\n\
                  Example:\n    brine '*' brine.running",
            parameters: &[],
            is_variadic: false,
            body: |context, _| Box::pin(running(context)),
        },
        Function {
            name: "brine.find_job",
            doc: "Returns a job that runs on the minion; an empty map when it does not.\n\n\
                  Arguments:\n    jid: the job's id, twenty digits (text)\n\n\
                  Example:\n    brine '*' brine.find_job 20260101120000000000",
            parameters: const { &[required("jid")] },
            is_variadic: false,
            body: |context, bound| Box::pin(find_job(context, bound)),
        },
        Function {
            name: "brine.kill_job",
            doc: "Kills a job on the minion with everything it started; returns an empty text when it does not run.\n\n\
                  Arguments:\n    jid: the job's id, twenty digits (text)\n\n\
                  Example:\n    brine '*' brine.kill_job 20260101120000000000",
            parameters: const { &[required("jid")] },
            is_variadic: false,
            body: |context, bound| Box::pin(kill_job(context, bound)),
        },
        Function {
            name: "brine.rotate_key",
            doc: "Makes a new key for the minion, has the master know it in the old one's place, and returns both fingerprints.\n\n\
                  The old key signs the new one; the session goes on. From then on the old key is worth nothing. A \
                  rotation that was begun and not finished is finished instead of making a third key.\n\n\
                  Example:\n    brine '*' brine.rotate_key",
            parameters: &[],
            is_variadic: false,
            body: |context, _| Box::pin(rotate_key(context)),
        },
    ]
}

/// The jobs but our own: who asks what runs does not mean the question.
fn others(context: &Context) -> Vec<RunningJob> {
    let mut jobs = context.jobs.running();
    jobs.retain(|job| Some(job.jid) != context.job);
    jobs
}

fn show(job: &RunningJob) -> Value {
    json!({
        "jid": job.jid,
        "fun": job.functions,
        "pid": job.pid,
        "user": job.principal,
        "started": job.started,
    })
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
    let Some(job) = others(&context).into_iter().find(|job| job.jid == jid) else {
        return Ok(Outcome::from(""));
    };
    if !context.jobs.kill(jid) {
        return Ok(Outcome::from(""));
    }
    Ok(Outcome::from(match job.pid {
        Some(pid) => format!("Signal 9 sent to job {jid} at pid {pid}"),
        None => format!("Signal 9 sent to job {jid}"),
    }))
}

async fn rotate_key(context: Context) -> Result<Outcome, Fault> {
    let turned = context.keys.rotate(context.job).await.map_err(Fault::Execution)?;
    Ok(Outcome::from(json!({ "old": turned.old, "new": turned.new })))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use brine_protocol::time::Timestamp;

    use super::super::testing::{call, context, returned};
    use super::super::{Jobs, RunningJob};
    use super::*;

    struct Fake(Vec<RunningJob>, Mutex<Vec<Jid>>);

    impl Jobs for Fake {
        fn running(&self) -> Vec<RunningJob> {
            self.0.clone()
        }

        fn kill(&self, jid: Jid) -> bool {
            self.1.lock().unwrap().push(jid);
            true
        }
    }

    fn job(jid: &str, pid: Option<u32>) -> RunningJob {
        RunningJob {
            jid: jid.parse().unwrap(),
            functions: "cmd.run".to_owned(),
            pid,
            started: Timestamp(0),
            principal: "unix:0 (root)".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_key_is_rotated_by_the_running_minion_only() {
        let returned = returned(&[call("brine.rotate_key", json!([]), json!({}))], &context()).await;
        assert_eq!(returned.retcode, 1);
        assert!(returned.value.as_str().unwrap().contains("running minion"), "{}", returned.value);
    }

    const OWN: &str = "20260101120000000000";
    const WITH_PID: &str = "20260101120000000100";
    const WITHOUT: &str = "20260101120000000200";

    #[tokio::test]
    async fn shapes() {
        let jobs = Arc::new(Fake(
            vec![job(OWN, None), job(WITH_PID, Some(42)), job(WITHOUT, None)],
            Mutex::default(),
        ));
        let context = Context { jobs: jobs.clone(), job: Some(OWN.parse().unwrap()), ..context() };
        let ask = async |function: &str, args: Value| {
            let result = returned(&[call(function, args, json!({}))], &context).await;
            (result.value, result.retcode)
        };
        let first = json!({
            "jid": WITH_PID, "fun": "cmd.run", "pid": 42, "user": "unix:0 (root)",
            "started": "1970-01-01T00:00:00.000000Z",
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
        let killed: Vec<String> = jobs.1.lock().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(killed, [WITH_PID, WITHOUT]);
    }
}
