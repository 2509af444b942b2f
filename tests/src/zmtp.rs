//! ZMTP 3.0 written byte by byte, for peers that misbehave: no code is shared with the codec
//! under test.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// The 64 bytes every ZMTP peer begins with: version 3.0, mechanism NULL.
#[must_use]
pub fn greeting() -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 0xff;
    bytes[9] = 0x7f;
    bytes[10] = 3;
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// A READY command.
#[must_use]
pub fn ready(socket: &str, identity: Option<&[u8]>) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    let mut property = |name: &str, value: &[u8]| {
        body.push(name.len() as u8);
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&u32::try_from(value.len()).expect("short").to_be_bytes());
        body.extend_from_slice(value);
    };
    property("Socket-Type", socket.as_bytes());
    if let Some(identity) = identity {
        property("Identity", identity);
    }
    frame(0x04, &body)
}

/// One frame with these flag bits; the long form where the body needs it.
#[must_use]
pub fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 9);
    if let Ok(short) = u8::try_from(body.len()) {
        bytes.extend_from_slice(&[flags, short]);
    } else {
        bytes.extend_from_slice(&header(flags, body.len() as u64));
    }
    bytes.extend_from_slice(body);
    bytes
}

/// A long frame header announcing `length` bytes.
#[must_use]
pub fn header(flags: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![flags | 0x02];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes
}

/// A blocking connection that speaks ZMTP as far as its user wants.
#[derive(Debug)]
pub struct Wire {
    /// The socket.
    pub stream: TcpStream,
}

impl Wire {
    /// Connects to a port on loopback and says nothing.
    ///
    /// # Panics
    /// Nobody listens.
    #[must_use]
    #[track_caller]
    pub fn dial(port: u16) -> Self {
        Self::try_dial(port).unwrap_or_else(|error| panic!("port {port}: {error}"))
    }

    /// Connects from this address of 127.0.0.0/8.
    ///
    /// # Errors
    /// Nobody listens, or no port of the address is free.
    pub fn dial_from(from: Ipv4Addr, port: u16) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddrV4::new(from, 0).into())?;
        socket.connect(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())?;
        Ok(Self::on(TcpStream::from(socket)))
    }

    /// Connects to a port on loopback and says nothing.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn try_dial(port: u16) -> std::io::Result<Self> {
        Ok(Self::on(TcpStream::connect(("127.0.0.1", port))?))
    }

    /// Speaks over an open connection.
    #[must_use]
    pub fn on(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
        let _ = stream.set_write_timeout(Some(Duration::from_secs(10)));
        Self { stream }
    }

    /// Connects and goes through greeting and READY as a socket of this type.
    ///
    /// # Panics
    /// The other side does not answer as ZMTP wants.
    #[must_use]
    #[track_caller]
    pub fn connect(port: u16, socket: &str, identity: Option<&[u8]>) -> Self {
        let mut wire = Self::dial(port);
        wire.shake(socket, identity).unwrap_or_else(|error| panic!("port {port}: {error}"));
        wire
    }

    /// Exchanges greeting and READY.
    ///
    /// # Errors
    /// The other side closes or is silent.
    ///
    /// # Panics
    /// The other side's greeting is not ZMTP 3, or its first frame is no READY.
    #[track_caller]
    pub fn shake(&mut self, socket: &str, identity: Option<&[u8]>) -> std::io::Result<()> {
        self.stream.write_all(&greeting())?;
        let mut theirs = [0; 64];
        self.stream.read_exact(&mut theirs)?;
        assert_eq!((theirs[0], theirs[9], theirs[10]), (0xff, 0x7f, 3), "signature and version");
        assert!(theirs[12..].starts_with(b"NULL\0"), "mechanism");
        self.stream.write_all(&ready(socket, identity))?;
        let (flags, body) = self.frame()?;
        assert_eq!(flags & 0x04, 0x04, "a command first");
        assert!(body.starts_with(b"\x05READY"), "{body:?}");
        Ok(())
    }

    /// Sends bytes as they are; false once the other side has closed.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a message of these frames; false once the other side has closed.
    pub fn message(&mut self, parts: &[&[u8]]) -> bool {
        let mut bytes = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            bytes.extend_from_slice(&frame(u8::from(i + 1 < parts.len()), part));
        }
        self.send(&bytes)
    }

    /// Reads one frame: its flags and its body.
    ///
    /// # Errors
    /// The other side closes or is silent for the read timeout.
    pub fn frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let mut flags = [0];
        self.stream.read_exact(&mut flags)?;
        let length = if flags[0] & 0x02 == 0 {
            let mut short = [0];
            self.stream.read_exact(&mut short)?;
            u64::from(short[0])
        } else {
            let mut long = [0; 8];
            self.stream.read_exact(&mut long)?;
            u64::from_be_bytes(long)
        };
        if length > 16 * 1024 * 1024 {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; usize::try_from(length).expect("checked")];
        self.stream.read_exact(&mut body)?;
        Ok((flags[0], body))
    }

    /// Reads one message, answering PINGs on the way.
    ///
    /// # Errors
    /// The other side closes or is silent for the read timeout.
    pub fn receive(&mut self) -> std::io::Result<Vec<Vec<u8>>> {
        let mut parts = Vec::new();
        loop {
            let (flags, body) = self.frame()?;
            if flags & 0x04 != 0 {
                if body.starts_with(b"\x04PING") {
                    let mut pong = b"\x04PONG".to_vec();
                    pong.extend_from_slice(body.get(7..).unwrap_or_default());
                    self.send(&frame(0x04, &pong));
                }
                continue;
            }
            parts.push(body);
            if flags & 0x01 == 0 {
                return Ok(parts);
            }
        }
    }

    /// Limits how long a read may take.
    pub fn patience(&mut self, seconds: f64) {
        let _ = self.stream.set_read_timeout(Some(Duration::from_secs_f64(seconds)));
    }

    /// Whether the other side closes within `seconds`; what it says until then is thrown away.
    #[must_use]
    pub fn is_closed_within(&mut self, seconds: f64) -> bool {
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        let mut buffer = [0; 4096];
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            let _ = self.stream.set_read_timeout(Some(left));
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(_) => return true,
            }
        }
        false
    }
}
