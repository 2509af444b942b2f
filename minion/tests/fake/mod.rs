//! A master made of the codec and the handshake, one blocking step at a time.

#![allow(dead_code, reason = "each suite uses its part")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_pki::channel::Channel;
use brine_pki::handshake::master::{Agreement, Succession};
use brine_pki::key::PrivateKey;
use brine_protocol::job::Call;
use brine_protocol::limits::WireLimits;
use brine_protocol::message::{Order, Pace, Standing, Stored, ToMaster, ToMinion};
use brine_protocol::target::Target;
use brine_protocol::zmtp::{self, Decoder, Event, SocketType};
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value};

pub const TOKEN: [u8; 32] = [9; 32];
pub const ACCEPTED: Standing = Standing::Accepted { token: TOKEN };
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One connection, seen from the master.
pub struct Conn {
    pub stream: TcpStream,
    decoder: Decoder,
    buf: BytesMut,
}

impl Conn {
    pub fn accept(listener: &TcpListener, ours: SocketType) -> Self {
        listener.set_nonblocking(true).unwrap();
        let until = Instant::now() + PATIENCE;
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => panic!("nobody connected: {error}"),
            }
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut conn =
            Self { stream, decoder: Decoder::new(WireLimits::default(), ours), buf: BytesMut::new() };
        conn.write(&zmtp::greeting());
        conn.write(&zmtp::ready(ours));
        assert_eq!(conn.next(), Some(Event::Greeting));
        assert!(matches!(conn.next(), Some(Event::Ready { .. })));
        conn
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn send(&mut self, parts: &[&[u8]]) {
        let mut out = BytesMut::new();
        zmtp::encode_message(parts, &mut out);
        self.write(&out);
    }

    /// The next event; none at the end of the connection.
    pub fn next(&mut self) -> Option<Event> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(event) = self.decoder.decode(&mut self.buf).unwrap() {
                return Some(event);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.buf.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    pub fn message(&mut self) -> Bytes {
        match self.next() {
            Some(Event::Message(parts)) if parts.len() == 1 => parts[0].clone(),
            other => panic!("expected a message, got {other:?}"),
        }
    }
}

/// A master's key and ports.
pub struct Master {
    pub key: PrivateKey,
    pub publish: TcpListener,
    pub ret: TcpListener,
    pub config: Arc<Agreement>,
}

/// A sealed session, seen from the master.
pub struct Session {
    pub conn: Conn,
    pub channel: Channel,
}

impl Master {
    pub fn new(key: &str, serial: u64) -> Self {
        let key = PrivateKey::from_pem(&std::fs::read_to_string(key_file(key)).unwrap()).unwrap();
        let config = Agreement::new(&key, serial, [4; 32], &Succession::default());
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        Self { key, publish: listen(), ret: listen(), config }
    }

    pub fn open(&self, standing: Standing, heartbeat_ms: u64) -> Session {
        let mut conn = Conn::accept(&self.ret, SocketType::Router);
        let offer = self.config.offer(brine_pki::random::bytes());
        conn.send(&[offer.message()]);
        let hello = offer.read_hello(&conn.message()).unwrap().verify().unwrap();
        assert_eq!(hello.id().as_str(), "m1");
        let (welcome, channel) = hello
            .welcome([6; 32], standing, Pace { heartbeat_ms, message_max: None, clock: None }, 0)
            .unwrap();
        conn.send(&[&welcome]);
        Session { conn, channel }
    }

    /// A live session up to the point where orders may come.
    pub fn live(&self, stored: &[u64]) -> (Session, brine_protocol::message::Start) {
        let mut session = self.open(ACCEPTED, 10_000);
        let ToMaster::Start(start) = session.hear() else { panic!("no start") };
        session.stored(stored, 0);
        (session, *start)
    }

    pub fn subscriber(&self) -> Conn {
        let mut conn = Conn::accept(&self.publish, SocketType::Pub);
        let hex: String = TOKEN.iter().map(|byte| format!("{byte:02x}")).collect();
        for topic in [format!("brine/1/token/{hex}"), "brine/1/all".to_owned()] {
            assert_eq!(conn.next(), Some(Event::Subscribe(Bytes::from(topic))));
        }
        conn
    }
}

impl Session {
    pub fn hear(&mut self) -> ToMaster {
        let frame = self.channel.opener.open(self.conn.message()).unwrap();
        ToMaster::from_frame(&frame).unwrap()
    }

    pub fn say(&mut self, message: &ToMinion) {
        let sealed = self.channel.sealer.seal(&message.to_frame(), 0);
        self.conn.send(&[&sealed]);
    }

    pub fn stored(&mut self, numbers: &[u64], floor: u64) {
        self.say(&ToMinion::Stored(Stored { store: "s".into(), numbers: numbers.to_vec(), floor }));
    }

    pub fn order(&mut self, number: u64, function: &str, argument: Option<Value>) {
        self.say(&ToMinion::Order(Box::new(order(number, function, argument))));
    }

    /// The next return, as number, state and value.
    pub fn returned(&mut self) -> (u64, &'static str, Value) {
        loop {
            match self.hear() {
                ToMaster::Return(returned) => {
                    let state = returned.ending.name();
                    let value = match returned.ending {
                        brine_protocol::job::Ending::Returned(returned) => returned.value,
                        _ => Value::Null,
                    };
                    return (returned.number, state, value);
                }
                ToMaster::Beat(_) => {}
                other => panic!("expected a return, got {other:?}"),
            }
        }
    }
}

pub fn order(number: u64, function: &str, argument: Option<Value>) -> Order {
    Order {
        jid: format!("202611220607321{number:05}").parse().unwrap(),
        number,
        calls: vec![Call {
            function: function.into(),
            arguments: argument.into_iter().collect(),
            keywords: Map::new(),
        }],
        target: Target::glob("m*"),
        job_timeout_ms: None,
        expires_in_ms: None,
        principal: "unix:0 (root)".into(),
        detach: false,
    }
}

pub fn key_file(name: &str) -> String {
    format!("{}/../tests/data/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

/// The real program, killed when dropped.
pub struct Minion {
    pub root: tempfile::TempDir,
    pub child: Child,
}

impl Minion {
    pub fn start(master: &Master, options: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc/brine");
        let pki = etc.join("pki/minion");
        std::fs::create_dir_all(&pki).unwrap();
        std::fs::copy(key_file("m1"), pki.join("minion.pem")).unwrap();
        private(&pki.join("minion.pem"));
        let ports = (master.publish.local_addr().unwrap().port(), master.ret.local_addr().unwrap().port());
        let yaml = format!(
            "master: 127.0.0.1\npublish_port: {}\nret_port: {}\nid: m1\nreconnect_max: 0.2\n{options}",
            ports.0, ports.1
        );
        std::fs::write(etc.join("minion.yaml"), yaml).unwrap();
        let child = spawn(root.path());
        Self { root, child }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn restart(&mut self) {
        self.child = spawn(self.root.path());
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Minion {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the minion's log ---\n{}", self.log());
        }
    }
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn spawn(root: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(root.join("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_brine-minion"))
        .arg("--root-dir")
        .arg(root)
        .args(["-l", "debug"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
