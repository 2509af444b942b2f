//! The ports speak plain ZMTP: the `zeromq` crate's sockets talk to the real master, and to the
//! real minion, without knowing anything of Brine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use brine_protocol::message::{Knock, Standing, ToMaster, ToMinion};
use brine_tests::fixtures::fingerprint;
use brine_tests::fleet::Fleet;
use brine_tests::peer::{ALL, hello, now_s, private_key, random, token_topic};
use brine_tests::zmtp::{Wire, frame};
use brine_tests::{eventually, impostor};
use bytes::Bytes;
use serde_json::json;
use tokio::time::timeout;
use zeromq::{DealerSocket, PubSocket, RouterSocket, Socket, SocketRecv, SocketSend, SubSocket, ZmqMessage};

const PATIENCE: Duration = Duration::from_secs(10);

async fn receive(socket: &mut impl SocketRecv) -> ZmqMessage {
    timeout(PATIENCE, socket.recv()).await.expect("in time").expect("a message")
}

/// A DEALER and a SUB of the crate go all the way: Offer, Hello, Welcome, an order for all on
/// the publish port, and one of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_crates_dealer_and_sub_talk_to_the_master() {
    let fleet = Fleet::start();
    let mut dealer = DealerSocket::new();
    dealer.connect(&format!("tcp://127.0.0.1:{}", fleet.ret_port)).await.unwrap();
    let offer = receive(&mut dealer).await;
    assert_eq!((offer.len(), offer.get(0).unwrap()[0]), (1, 1), "one frame that begins with the version");
    let (message, waiting) = hello(offer.get(0).unwrap(), "m1", "m1", random());
    dealer.send(message.into()).await.unwrap();
    let (welcome, mut channel) = waiting.welcome(receive(&mut dealer).await.get(0).unwrap()).unwrap();
    assert_eq!(welcome.standing, Standing::Pending);
    let knock = channel.sealer.seal(&ToMaster::Knock(Knock::default()).to_frame(), now_s());
    dealer.send(ZmqMessage::from(knock)).await.unwrap();
    eventually(5.0, "the key waits", || fleet.key_state("m1", &fingerprint("m1")).is_some());
    fleet.act("accept", "m1", &fingerprint("m1"));

    let mut open = |message: &ZmqMessage| {
        let frame = channel.opener.open(message.get(0).unwrap().clone()).unwrap();
        ToMinion::from_frame(&frame).unwrap()
    };
    let token = loop {
        if let ToMinion::Standing(Standing::Accepted { token }) = open(&receive(&mut dealer).await) {
            break token;
        }
    };
    let start = brine_protocol::message::Start {
        version: "0".to_owned(),
        journal: "ab".repeat(16),
        store: None,
        open: Vec::new(),
        message_max: None,
        successor: None,
        grains: serde_json::Map::new(),
    };
    let start = channel.sealer.seal(&ToMaster::Start(Box::new(start)).to_frame(), now_s());
    dealer.send(ZmqMessage::from(start)).await.unwrap();
    let mut sub = SubSocket::new();
    sub.connect(&format!("tcp://127.0.0.1:{}", fleet.publish_port)).await.unwrap();
    sub.subscribe(std::str::from_utf8(ALL).unwrap()).await.unwrap();
    sub.subscribe(std::str::from_utf8(&token_topic(&token)).unwrap()).await.unwrap();
    let mut open = |message: &ZmqMessage| {
        let frame = channel.opener.open(message.get(0).unwrap().clone()).unwrap();
        ToMinion::from_frame(&frame).unwrap()
    };
    let epoch = loop {
        if let ToMinion::Epoch(epoch) = open(&receive(&mut dealer).await) {
            break epoch;
        }
    };
    let jid = fleet.submit("*", "test.echo", &[json!("x")]);
    let broadcast = receive(&mut sub).await;
    assert_eq!((broadcast.len(), &broadcast.get(0).unwrap()[..]), (2, ALL));
    let mut reader = brine_pki::publish::Reader::new();
    reader.install(&epoch).unwrap();
    let frame = reader.open(broadcast.get(1).unwrap().clone()).unwrap().unwrap();
    let ToMinion::Order(order) = ToMinion::from_frame(&frame).unwrap() else { panic!("an order") };
    assert_eq!(order.jid.as_str(), jid);
}

/// The crate's ROUTER and PUB stand in for a master; the real minion comes through its relay.
#[tokio::test(flavor = "current_thread")]
async fn the_minion_talks_to_the_crates_router_and_pub() {
    let fleet = Fleet::prepare("");
    let (mut router, mut publisher) = (RouterSocket::new(), PubSocket::new());
    let ret = router.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
    let publish = publisher.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
    let port = |endpoint: &str| endpoint.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let mut monitor = router.monitor();
    let mut subscribers = publisher.monitor();
    let config = impostor::config("master", 7);
    let mut minion = fleet.prepare_minion("m1");
    minion.dial(port(&publish), port(&ret));
    minion.start();

    // The crate's ROUTER names its peers, and cannot speak first without the name.
    use futures_util::StreamExt;
    let peer = loop {
        let event = timeout(PATIENCE, monitor.next()).await.expect("the minion dials").unwrap();
        if let zeromq::SocketEvent::Accepted(_, peer) = event {
            break peer;
        }
    };
    let offer = config.offer(random());
    let to = |body: &[u8]| {
        let mut message = ZmqMessage::from(Bytes::copy_from_slice(body));
        message.push_front(Bytes::from(Vec::<u8>::from(peer.clone())));
        message
    };
    router.send(to(offer.message())).await.unwrap();
    let answer = receive(&mut router).await;
    let verified = offer.read_hello(answer.get(1).unwrap()).unwrap().verify().unwrap();
    assert_eq!(verified.id().as_str(), "m1");
    assert_eq!(verified.key(), private_key("m1").public());
    let standing = Standing::Accepted { token: random() };
    let pace = brine_protocol::message::Pace { heartbeat_ms: 10_000, message_max: None, clock: None };
    let (welcome, mut channel) = verified.welcome(random(), standing, pace, now_s()).unwrap();
    router.send(to(&welcome)).await.unwrap();
    let started = receive(&mut router).await;
    let frame = channel.opener.open(started.get(1).unwrap().clone()).unwrap();
    let ToMaster::Start(start) = ToMaster::from_frame(&frame).unwrap() else {
        panic!("Start, not {frame:?}")
    };
    assert_eq!(start.grains["id"], "m1");
    loop {
        let event = timeout(PATIENCE, subscribers.next()).await.expect("the minion subscribes").unwrap();
        if matches!(event, zeromq::SocketEvent::Accepted(..)) {
            break;
        }
    }
}

/// A libzmq peer beats with PING; ours answers PONG with the context it was given.
#[test]
fn pings_are_answered_with_their_context() {
    let fleet = Fleet::start();
    for (port, socket) in [(fleet.publish_port, "SUB"), (fleet.ret_port, "DEALER")] {
        let mut wire = Wire::connect(port, socket, None);
        wire.send(&frame(0x04, b"\x04PING\x00\x64context"));
        let pong = loop {
            let (flags, body) = wire.frame().unwrap();
            if flags & 0x04 != 0 {
                break body;
            }
        };
        assert_eq!(pong, b"\x04PONGcontext", "{socket}");
    }
}

/// A crowd of the crate's own sockets, coming and going.
#[tokio::test(flavor = "current_thread")]
async fn fifty_crate_sockets_come_and_go() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    for _ in 0..5 {
        let mut dealers = Vec::new();
        for _ in 0..10 {
            let mut dealer = DealerSocket::new();
            dealer.connect(&format!("tcp://127.0.0.1:{}", fleet.ret_port)).await.unwrap();
            dealers.push(dealer);
        }
        for dealer in &mut dealers {
            assert_eq!(receive(dealer).await.get(0).unwrap()[0], 1);
        }
    }
    fleet.ping("m1");
}
