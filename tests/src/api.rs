//! The control API as `curl --unix-socket` would use it: HTTP written by hand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A master's control socket.
#[derive(Debug, Clone)]
pub struct Api {
    socket: PathBuf,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same, once the status is checked.
    ///
    /// # Panics
    /// The status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// Checks that it is a problem document of this kind, with the status that goes with it.
    ///
    /// # Panics
    /// It is something else.
    #[track_caller]
    pub fn is_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        let content = self.headers.get("content-type").map_or("", String::as_str);
        assert!(content.starts_with("application/problem+json"), "{content}: {}", self.body);
        let problem = self.json();
        assert_eq!(problem["kind"], kind, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for field in ["type", "title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {problem}");
        }
        assert!(!problem["detail"].as_str().unwrap_or("").contains('\n'), "one sentence: {problem}");
    }
}

impl Api {
    /// The API behind this socket.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), headers: Vec::new() }
    }

    /// The same with one more header on each request.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut more = self.clone();
        more.headers.push((name.to_owned(), value.to_owned()));
        more
    }

    /// The same, acting as another name.
    #[must_use]
    pub fn act_as(&self, name: &str) -> Self {
        self.with("Brine-As", name)
    }

    /// A GET.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, None)
    }

    /// A POST with a JSON body.
    #[must_use]
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, body)
    }

    /// A request with a JSON body.
    #[must_use]
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.request(method, path, Some(body.to_string()))
    }

    /// A DELETE.
    #[must_use]
    #[track_caller]
    pub fn delete(&self, path: &str) -> Reply {
        self.request("DELETE", path, None)
    }

    /// Any request.
    ///
    /// # Panics
    /// There is no well-formed answer.
    #[must_use]
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, body: Option<String>) -> Reply {
        self.try_request(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Any request, for a socket that may be gone.
    ///
    /// # Errors
    /// The socket cannot be reached or closes early.
    pub fn try_request(&self, method: &str, path: &str, body: Option<String>) -> std::io::Result<Reply> {
        let mut stream = self.open(method, path, body)?;
        let mut reply = stream.head()?;
        let mut bytes = Vec::new();
        if reply.headers.get("transfer-encoding").is_some_and(|how| how == "chunked") {
            while let Some(chunk) = stream.chunk()? {
                bytes.extend_from_slice(&chunk);
            }
        } else {
            stream.reader.read_to_end(&mut bytes)?;
        }
        reply.body = String::from_utf8_lossy(&bytes).into_owned();
        Ok(reply)
    }

    /// Opens a stream of server-sent events.
    ///
    /// # Panics
    /// The answer is no stream.
    #[must_use]
    #[track_caller]
    pub fn events(&self, method: &str, path: &str, body: Option<String>) -> Events {
        let mut http = self
            .with("Accept", "text/event-stream")
            .open(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let head = http.head().unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert!(head.status < 300, "{method} {path}: {}", head.status);
        assert_eq!(head.headers.get("content-type").map(String::as_str), Some("text/event-stream"));
        Events { http, text: String::new() }
    }

    fn open(&self, method: &str, path: &str, body: Option<String>) -> std::io::Result<Http> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let body = body.unwrap_or_default();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: brine\r\nConnection: close\r\n");
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if matches!(method, "POST" | "PUT" | "PATCH") {
            head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
        Ok(Http { reader: BufReader::new(stream) })
    }
}

#[derive(Debug)]
struct Http {
    reader: BufReader<UnixStream>,
}

impl Http {
    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn head(&mut self) -> std::io::Result<Reply> {
        let first = self.line()?;
        let status =
            first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        Ok(Reply { status, headers, body: String::new() })
    }

    fn chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let size = usize::from_str_radix(&self.line()?, 16).map_err(|_| ErrorKind::InvalidData)?;
        let mut bytes = vec![0; size];
        self.reader.read_exact(&mut bytes)?;
        self.line()?;
        Ok((size > 0).then_some(bytes))
    }
}

/// One server-sent event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its `id:`.
    pub id: String,
    /// Its `event:`.
    pub name: String,
    /// Its `data:` as JSON.
    pub data: Value,
}

/// A stream of server-sent events.
#[derive(Debug)]
pub struct Events {
    http: Http,
    text: String,
}

impl Events {
    /// The next event; none when the stream has ended or nothing came for `seconds`.
    pub fn next_within(&mut self, seconds: f64) -> Option<Event> {
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
                continue;
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.http.reader.get_ref().set_read_timeout(Some(left)).ok()?;
            let chunk = self.http.chunk().ok()??;
            self.text += &String::from_utf8_lossy(&chunk);
        }
    }

    /// The first event that satisfies `wanted`.
    ///
    /// # Panics
    /// None comes within `seconds`.
    #[track_caller]
    pub fn find(&mut self, seconds: f64, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).as_secs_f64();
            let Some(event) = self.next_within(left) else { panic!("no event {what}; seen: {seen:#?}") };
            if wanted(&event) {
                return event;
            }
            seen.push(event);
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let lines: Vec<&str> = block
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.strip_prefix(' ').unwrap_or(value))
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    let data = field("data")?;
    Some(Event {
        id: field("id").unwrap_or_default(),
        name: field("event").unwrap_or_default(),
        data: serde_json::from_str(&data).ok()?,
    })
}
