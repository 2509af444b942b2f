//! The sockets of a session: DEALER and SUB of the `zeromq` crate, each behind a relay.
//!
//! The only file that names the crate. Its sockets never reconnect here: a session is one pair of
//! connections on one runtime, and everything is dropped when either ends.

use std::net::SocketAddr;

use brine_protocol::zmtp::SocketType;
use bytes::Bytes;
use tokio::time::timeout;
use zeromq::{DealerSocket, Socket, SocketOptions, SocketRecv, SocketSend, SubSocket, ZmqMessage};

use crate::link::{Control, Dial, Feed, LinkError, Window};
use crate::relay::{self, Bounds, LINGER, Relay, RelayError};

/// Dials a master over TCP.
#[derive(Debug, Clone)]
pub struct Dialer {
    /// Host name or address.
    pub host: String,
    /// The port of SUB.
    pub publish_port: u16,
    /// The port of DEALER.
    pub ret_port: u16,
    /// Limits of both connections.
    pub bounds: Bounds,
}

impl Dialer {
    pub(crate) async fn addresses(&self, port: u16) -> Result<Vec<SocketAddr>, LinkError> {
        let unknown = |why: String| LinkError::Name { host: self.host.clone(), why };
        let found = timeout(self.bounds.connect, tokio::net::lookup_host((self.host.as_str(), port)))
            .await
            .map_err(|_| unknown(format!("no answer within {:?}", self.bounds.connect)))?
            .map_err(|error| unknown(error.to_string()))?;
        Ok(found.collect())
    }

    async fn relay(
        &self,
        addresses: &[SocketAddr],
        crates: SocketType,
    ) -> Result<(Relay, SocketAddr), LinkError> {
        let stream = relay::connect(addresses, self.bounds.connect).await?;
        let address = stream.peer_addr().map_err(|error| RelayError::Lost(error.to_string()))?;
        Ok((Relay::start(stream, crates, self.bounds.clone())?, address))
    }

    fn options(&self) -> SocketOptions {
        let mut options = SocketOptions::default();
        // The relay's own deadlines come first and know more.
        options.connect_timeout(self.bounds.handshake * 2);
        options
    }
}

/// Connects a socket of the crate to its relay; if that fails, the relay knows why.
async fn attach(socket: &mut impl Socket, relay: &mut Relay) -> Result<(), LinkError> {
    let endpoint = relay.endpoint.clone();
    let connect = socket.connect(&endpoint);
    tokio::pin!(connect);
    let connected = tokio::select! {
        biased;
        connected = &mut connect => connected,
        error = relay.ended() => match timeout(LINGER, connect).await {
            // What the master said before it closed counts.
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => return Err(error.into()),
        },
    };
    match connected {
        Ok(()) => Ok(()),
        Err(error) => Err(match timeout(LINGER, relay.ended()).await {
            Ok(known) => known.into(),
            Err(_) => RelayError::Local(error.to_string()).into(),
        }),
    }
}

/// Takes the next message; after the end of the connection first what had arrived before.
async fn receive(
    socket: &mut impl SocketRecv,
    relay: &mut Relay,
    received: &mut u64,
) -> Result<Vec<Bytes>, LinkError> {
    let message = tokio::select! {
        biased;
        message = socket.recv() => message,
        error = relay.ended() => {
            if *received >= relay.forwarded() {
                return Err(error.into());
            }
            match timeout(LINGER, socket.recv()).await {
                Ok(message) => message,
                Err(_) => return Err(error.into()),
            }
        }
    };
    match message {
        Ok(message) => {
            *received += 1;
            Ok(message.into_vec())
        }
        // The crate sees the end of its connection too, in its own words.
        Err(error) => Err(match timeout(LINGER, relay.ended()).await {
            Ok(known) => known.into(),
            Err(_) => RelayError::Local(error.to_string()).into(),
        }),
    }
}

/// The DEALER side.
pub struct Dealer {
    socket: DealerSocket,
    relay: Relay,
    received: u64,
}

impl Control for Dealer {
    fn window(&self) -> Window {
        self.relay.window()
    }

    async fn send(&mut self, message: Bytes) -> Result<(), LinkError> {
        self.socket
            .send(ZmqMessage::from(message))
            .await
            .map_err(|error| RelayError::Local(error.to_string()).into())
    }

    async fn recv(&mut self) -> Result<Bytes, LinkError> {
        let mut parts = receive(&mut self.socket, &mut self.relay, &mut self.received).await?;
        match (parts.pop(), parts.len()) {
            (Some(only), 0) => Ok(only),
            (_, more) => Err(LinkError::Parts { got: more + 1, expected: 1 }),
        }
    }
}

/// The SUB side.
pub struct Subscriber {
    socket: SubSocket,
    relay: Relay,
    received: u64,
}

impl Feed for Subscriber {
    async fn recv(&mut self) -> Result<(Bytes, Bytes), LinkError> {
        let parts = receive(&mut self.socket, &mut self.relay, &mut self.received).await?;
        match <[Bytes; 2]>::try_from(parts) {
            Ok([topic, body]) => Ok((topic, body)),
            Err(parts) => Err(LinkError::Parts { got: parts.len(), expected: 2 }),
        }
    }
}

impl Dial for Dialer {
    type Control = Dealer;
    type Feed = Subscriber;

    async fn control(&self) -> Result<(Dealer, SocketAddr), LinkError> {
        let addresses = self.addresses(self.ret_port).await?;
        let (mut relay, address) = self.relay(&addresses, SocketType::Dealer).await?;
        let mut socket = DealerSocket::with_options(self.options());
        attach(&mut socket, &mut relay).await?;
        Ok((Dealer { socket, relay, received: 0 }, address))
    }

    async fn feed(&self, master: SocketAddr, topics: &[String]) -> Result<Subscriber, LinkError> {
        // The same machine as the control connection, whatever other addresses the name has.
        let address = SocketAddr::new(master.ip(), self.publish_port);
        let (mut relay, _) = self.relay(&[address], SocketType::Sub).await?;
        let mut socket = SubSocket::with_options(self.options());
        attach(&mut socket, &mut relay).await?;
        for topic in topics {
            let subscribed = socket.subscribe(topic).await;
            subscribed.map_err(|error| RelayError::Local(error.to_string()))?;
        }
        Ok(Subscriber { socket, relay, received: 0 })
    }
}
