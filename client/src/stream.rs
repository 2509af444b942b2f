//! Answers that go on: a job's progress, the master's events.

use std::path::PathBuf;
use std::time::Duration;

use brine_protocol::control::{Event, JobEvent};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::connection::{Answer, Driver};
use crate::error::{ClientError, Unreachable};
use crate::sse::{Message, Parser};

/// A job's events, from `POST /v1/jobs` or `…/follow`.
pub struct JobStream {
    messages: Messages,
    ended: bool,
}

impl JobStream {
    pub(crate) fn new(socket: PathBuf, answer: Answer) -> Result<Self, ClientError> {
        Ok(Self { messages: Messages::new(socket, answer)?, ended: false })
    }

    /// The next event; none behind [`JobEvent::End`]. Safe to drop while it waits.
    ///
    /// # Errors
    /// The stream broke off before its end, or is not what the API promises.
    pub async fn next(&mut self) -> Result<Option<JobEvent>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        let message = self.messages.next().await?;
        let event: JobEvent = decode(&message)?;
        self.ended = matches!(event, JobEvent::End);
        Ok(Some(event))
    }
}

/// The event that stands for events that were missed.
const GAP: &str = "brine/gap";

/// The master's events, from `GET /v1/events`.
pub struct EventStream {
    messages: Messages,
}

impl EventStream {
    pub(crate) fn new(socket: PathBuf, answer: Answer) -> Result<Self, ClientError> {
        Ok(Self { messages: Messages::new(socket, answer)? })
    }

    /// The next event; none where some were missed, so that what is shown has to be read anew.
    /// The stream has no end of its own. Safe to drop while it waits.
    ///
    /// # Errors
    /// The master went away or says nothing any more, or the stream is not what the API promises.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        let message = self.messages.next().await?;
        if message.event == GAP {
            return Ok(None);
        }
        decode(&message).map(Some)
    }
}

/// A master that lives sends at least a comment every ten seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// Who comes back to a stream after a long time has to have the time to read what waits there.
const GRACE: Duration = Duration::from_secs(2);

struct Messages {
    socket: PathBuf,
    body: Incoming,
    parser: Parser,
    /// When something last came. Kept here and not in each call, which may be dropped.
    heard: Instant,
    _driver: Driver,
}

impl Messages {
    fn new(socket: PathBuf, answer: Answer) -> Result<Self, ClientError> {
        let kind = answer.response.headers().get(hyper::header::CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            return Err(ClientError::Protocol(
                "an event stream was asked for and something else came".to_owned(),
            ));
        }
        Ok(Self {
            socket,
            body: answer.response.into_body(),
            parser: Parser::default(),
            heard: Instant::now(),
            _driver: answer.driver,
        })
    }

    async fn next(&mut self) -> Result<Message, ClientError> {
        loop {
            if let Some(message) = self.parser.pop() {
                return Ok(message);
            }
            let deadline = (self.heard + SILENCE).max(Instant::now() + GRACE);
            let Ok(frame) = timeout_at(deadline, self.body.frame()).await else {
                let why = Unreachable::Silent(SILENCE);
                return Err(ClientError::Unreachable { socket: self.socket.clone(), why });
            };
            self.heard = Instant::now();
            match frame {
                Some(Ok(frame)) => {
                    let bytes = frame.into_data().unwrap_or_default();
                    self.parser.push(&bytes).map_err(|error| ClientError::Protocol(error.to_string()))?;
                }
                Some(Err(_)) | None => {
                    return Err(ClientError::Unreachable {
                        socket: self.socket.clone(),
                        why: Unreachable::Lost,
                    });
                }
            }
        }
    }
}

fn decode<T: DeserializeOwned>(message: &Message) -> Result<T, ClientError> {
    serde_json::from_str(&message.data)
        .map_err(|error| ClientError::Protocol(format!("event {:?}: {error}", message.event)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_master_that_falls_silent_is_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("control.sock");
        let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let _ = stream.read(&mut [0; 1024]).await.expect("a request");
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            stream.write_all(head.as_bytes()).await.expect("it listens");
            for _ in 0..3 {
                tokio::time::sleep(SILENCE * 9 / 10).await;
                stream.write_all(b": beat\n\n").await.expect("it listens");
            }
            std::future::pending::<()>().await;
        });
        let mut events = crate::Client::new(&socket).events(None, None).await.expect("a stream");
        tokio::time::pause();
        let started = Instant::now();
        let lost = loop {
            // Others may come first again and again: what waits is dropped, and waits on.
            tokio::select! {
                event = events.next() => break event.expect_err("no event ever comes"),
                () = tokio::time::sleep(Duration::from_secs(7)) => {}
            }
        };
        assert!(matches!(lost, ClientError::Unreachable { why: Unreachable::Silent(SILENCE), .. }), "{lost}");
        let waited = started.elapsed();
        assert!(waited >= SILENCE * 3, "as long as it beats it is there: {waited:?}");
        assert!(waited <= SILENCE * 5, "{waited:?}");
        serving.abort();
    }
}
