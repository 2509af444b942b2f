//! Server-sent events, parsed as they trickle in (WHATWG HTML §9.2.6). No IO.

use std::collections::VecDeque;

/// The longest line, and the most data of one event, in bytes. A return is at most 1 MiB on the
/// wire from the minion; JSON escapes can make six bytes of one.
pub const EVENT_MAX: usize = 8 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its name; `message` when the server gave none.
    pub event: String,
    /// Its data lines, joined by newlines.
    pub data: String,
    /// The last id that the stream named up to here.
    pub id: Option<String>,
}

/// Why bytes are not an event stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line or an event that is too long to hold.
    #[error("an event of the stream has more than {EVENT_MAX} bytes")]
    TooLong,
    /// Bytes that are not UTF-8.
    #[error("the event stream is not UTF-8")]
    Encoding,
}

/// Takes bytes in any portions and gives whole events.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    past_first_line: bool,
    event: String,
    data: Option<String>,
    id: Option<String>,
    ready: VecDeque<Message>,
}

impl Parser {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// The stream is not UTF-8 or beyond [`EVENT_MAX`]; it cannot be continued.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), SseError> {
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            self.extend(&bytes[..end])?;
            let line = std::mem::take(&mut self.line);
            self.line(&line)?;
            let is_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if is_cr {
                self.after_cr = bytes.is_empty();
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
        }
        self.extend(bytes)
    }

    /// The next whole event, oldest first.
    pub fn pop(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        if self.line.len() + bytes.len() > EVENT_MAX {
            return Err(SseError::TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), SseError> {
        let line = std::str::from_utf8(line).map_err(|_| SseError::Encoding)?;
        let line = match std::mem::replace(&mut self.past_first_line, true) {
            true => line,
            false => line.strip_prefix('\u{feff}').unwrap_or(line),
        };
        if line.is_empty() {
            self.dispatch();
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) if data.len() + value.len() > EVENT_MAX => return Err(SseError::TooLong),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // A comment, `retry`, or a field of a later version: all of them are to be skipped.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self) {
        let event = std::mem::take(&mut self.event);
        if let Some(data) = self.data.take() {
            self.ready.push_back(Message {
                event: if event.is_empty() { "message".to_owned() } else { event },
                data,
                id: self.id.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(portions: &[&[u8]]) -> Result<Vec<Message>, SseError> {
        let mut parser = Parser::default();
        for portion in portions {
            parser.push(portion)?;
        }
        Ok(std::iter::from_fn(|| parser.pop()).collect())
    }

    fn message(event: &str, data: &str, id: Option<&str>) -> Message {
        Message { event: event.to_owned(), data: data.to_owned(), id: id.map(str::to_owned) }
    }

    fn check(text: &str, expected: &[Message]) {
        assert_eq!(parse(&[text.as_bytes()]).as_deref(), Ok(expected), "{text:?}");
    }

    #[test]
    fn fields_and_endings() {
        check("data: a\n\n", &[message("message", "a", None)]);
        check("event: row\r\ndata:a\r\nid: 7\r\n\r\n", &[message("row", "a", Some("7"))]);
        check("data: a\rdata:  b\r\r", &[message("message", "a\n b", None)]);
        check("\u{feff}data\n\n", &[message("message", "", None)]);
        check(
            ": beat\n\nretry: 10\n\nevent: x\n\ndata: {\"a\": 1}\n\n",
            &[message("message", "{\"a\": 1}", None)],
        );
        check(
            "id: 1\ndata: a\n\ndata: b\n\n",
            &[message("message", "a", Some("1")), message("message", "b", Some("1"))],
        );
        check("data: never finished", &[]);
        check("data: no blank line\n", &[]);
    }

    #[test]
    fn refusals() {
        assert_eq!(parse(&[b"data: \xff\n\n"]), Err(SseError::Encoding));
        let long = vec![b'a'; EVENT_MAX];
        assert_eq!(parse(&[&long, b"a"]), Err(SseError::TooLong));
        let half = [b"data:".as_slice(), &long[..EVENT_MAX / 2], b"\n"].concat();
        assert_eq!(parse(&[&half, &half, &half]), Err(SseError::TooLong));
    }

    proptest! {
        #[test]
        fn portions_do_not_matter(
            text in "((data|event|id|retry|x)?: ?[a-c\u{e9}]{0,5}(\n|\r\n|\r)|\n|\r\n|\r|:c\n){0,30}",
            cuts in proptest::collection::vec(0usize..200, 0..20),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let portions: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(parse(&portions), parse(&[bytes]));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&[&bytes]);
        }
    }
}
