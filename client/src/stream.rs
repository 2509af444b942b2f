//! Answers that go on: a job's progress, the master's events.

use std::path::PathBuf;

use brine_protocol::control::{Event, JobEvent};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

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
    /// The master went away, or the stream is not what the API promises.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        let message = self.messages.next().await?;
        if message.event == GAP {
            return Ok(None);
        }
        decode(&message).map(Some)
    }
}

struct Messages {
    socket: PathBuf,
    body: Incoming,
    parser: Parser,
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
            _driver: answer.driver,
        })
    }

    async fn next(&mut self) -> Result<Message, ClientError> {
        loop {
            if let Some(message) = self.parser.pop() {
                return Ok(message);
            }
            match self.body.frame().await {
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
