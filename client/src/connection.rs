//! One HTTP exchange over the master's socket. The only place that opens it.

use std::path::Path;
use std::time::Duration;

use brine_protocol::control::Problem;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::error::{ClientError, SOCKET_PATH_MAX, Unreachable};

/// How long a master may take to connect and to begin its answer. Its longest work before an
/// answer is a probe of 2 s; a loaded one may need several times that.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// The largest whole answer held: 10,000 returns of 100 kB, or every key of a large fleet.
const ANSWER_MAX: usize = 1024 * 1024 * 1024;

/// A problem document is a few hundred bytes.
const PROBLEM_MAX: usize = 1024 * 1024;

/// A response whose connection lives as long as this value.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) driver: Driver,
}

/// The task that moves the connection's bytes; ends when dropped.
pub(crate) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Checks that a path fits into a Unix socket's address: masters ask before they listen, clients
/// before they connect.
///
/// # Errors
/// [`Unreachable::PathTooLong`].
pub fn check_socket_path(socket: &Path) -> Result<(), ClientError> {
    if socket.as_os_str().len() > SOCKET_PATH_MAX {
        return Err(ClientError::Unreachable { socket: socket.to_owned(), why: Unreachable::PathTooLong });
    }
    Ok(())
}

/// Sends a request and waits for the head of its answer. An answer that is not a success becomes
/// [`ClientError::Refused`].
pub(crate) async fn exchange(socket: &Path, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
    check_socket_path(socket)?;
    let unreachable = |why| ClientError::Unreachable { socket: socket.to_owned(), why };
    let head = async {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| unreachable(Unreachable::from_connect(error)))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| unreachable(Unreachable::Lost))?;
        let driver = Driver(tokio::spawn(async move {
            // A failing connection shows itself in the response or its body.
            let _ = connection.await;
        }));
        let response = sender.send_request(request).await.map_err(|error| {
            if error.is_parse() {
                ClientError::Protocol("it is not HTTP".to_owned())
            } else {
                unreachable(Unreachable::Lost)
            }
        })?;
        Ok(Answer { response, driver })
    };
    let answer = tokio::time::timeout(ANSWER_DEADLINE, head)
        .await
        .map_err(|_| unreachable(Unreachable::Silent(ANSWER_DEADLINE)))??;
    if answer.response.status().is_success() {
        return Ok(answer);
    }
    let status = answer.response.status();
    let body = whole(socket, answer, PROBLEM_MAX).await?;
    Err(refusal(status, &body))
}

/// Reads a whole answer.
pub(crate) async fn body(socket: &Path, answer: Answer) -> Result<Bytes, ClientError> {
    whole(socket, answer, ANSWER_MAX).await
}

async fn whole(socket: &Path, answer: Answer, max: usize) -> Result<Bytes, ClientError> {
    let Answer { response, driver } = answer;
    let collected = Limited::new(response.into_body(), max).collect().await;
    drop(driver);
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(ClientError::Protocol(format!("more than {max} bytes")))
        }
        Err(_) => Err(ClientError::Unreachable { socket: socket.to_owned(), why: Unreachable::Lost }),
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> ClientError {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => ClientError::Refused(problem),
        Err(_) => {
            ClientError::Protocol(format!("HTTP status {} without a problem document", status.as_u16()))
        }
    }
}
