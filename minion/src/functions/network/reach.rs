//! What can be reached from here: ping, name servers, ports.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpStream, lookup_host};

use super::super::bind::Bound;
use super::super::tool::Tool;
use super::super::{Context, Fault, Outcome};
use super::take_host;

/// How many pings are sent, one a second.
const PINGS: u64 = 4;

/// How long an answer to a ping may take when nobody says so, in seconds.
const PATIENCE: u64 = 5;

/// How long a tool may go on beyond what it was told, before it is killed.
const GRACE: Duration = Duration::from_secs(6);

pub(super) async fn ping(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let host = take_host(&mut bound)?;
    let is_boolean = bound.flag("return_boolean")?;
    let seconds = match bound.value("timeout") {
        Value::Bool(false) | Value::Null => PATIENCE,
        value => value.as_u64().filter(|seconds| (1..=3600).contains(seconds)).ok_or_else(|| {
            Fault::Invocation("'timeout' needs a whole number of seconds from 1 to 3600".to_owned())
        })?,
    };
    // The last ping goes out after three seconds, and its answer is awaited.
    let deadline = PINGS + seconds;
    let arguments = [
        "-c".to_owned(),
        PINGS.to_string(),
        "-W".to_owned(),
        seconds.to_string(),
        "-w".to_owned(),
        deadline.to_string(),
        host.clone(),
    ];
    let done =
        Tool::new("ping", arguments).timeout(Duration::from_secs(deadline) + GRACE).run(&context).await?;
    let Some(retcode) = done.retcode else {
        return Err(Fault::Execution(format!("ping of {host} was killed: it ran too long")));
    };
    if is_boolean {
        return Ok(Outcome { retcode, ..Outcome::from(retcode == 0) });
    }
    // A name that is not known is said on the other stream.
    let said = if done.stdout.is_empty() { done.stderr } else { done.stdout };
    Ok(Outcome { retcode, truncated: done.is_cut, ..Outcome::from(said) })
}

pub(super) async fn dig(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let host = take_host(&mut bound)?;
    let tool = Tool::new("dig", ["+time=3", "+tries=2", &host]).timeout(Duration::from_secs(20));
    let done = tool.run(&context).await?;
    let Some(retcode) = done.retcode else {
        return Err(Fault::Execution(format!("dig {host} was killed: it ran too long")));
    };
    let said = if done.stdout.is_empty() { done.stderr } else { done.stdout };
    Ok(Outcome { retcode, truncated: done.is_cut, ..Outcome::from(said) })
}

pub(super) async fn connect(mut bound: Bound) -> Result<Outcome, Fault> {
    let host = take_host(&mut bound)?;
    let port =
        bound.value("port").as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let port = port.ok_or_else(|| Fault::Invocation("'port' needs a number from 1 to 65535".to_owned()))?;
    let (limit, _) = bound
        .seconds("timeout")?
        .ok_or_else(|| Fault::Invocation("'timeout' needs a number of seconds, 0 or more".to_owned()))?;
    let (result, comment) = match tokio::time::timeout(limit, open(&host, port)).await {
        Ok(Ok(address)) => {
            (true, format!("Successfully connected to {host} ({}) on tcp port {port}", address.ip()))
        }
        Ok(Err(why)) => (false, format!("Unable to connect to {host} on tcp port {port}: {why}")),
        Err(_) => (false, format!("Unable to connect to {host} on tcp port {port}: no answer in time")),
    };
    Ok(Outcome::from(json!({"result": result, "comment": comment})))
}

/// The first address of the host that takes a connection.
async fn open(host: &str, port: u16) -> Result<SocketAddr, String> {
    let mut why = "it has no address".to_owned();
    for address in lookup_host((host, port)).await.map_err(|error| error.to_string())? {
        match TcpStream::connect(address).await {
            Ok(_) => return Ok(address),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}
