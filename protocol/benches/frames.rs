//! What every message costs besides its seal: a frame written and read, its JSON, and ZMTP around it.

use std::hint::black_box;

use brine_protocol::frame::Frame;
use brine_protocol::job::{Ending, Returned};
use brine_protocol::message::{Return, ToMaster};
use brine_protocol::zmtp::{self, Decoder, Event, SocketType, WireLimits};
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput};

/// Bytes of the text in a return.
const SIZES: [usize; 2] = [500, 64 * 1024];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    frames(&mut criterion);
    wire(&mut criterion);
    criterion.final_summary();
}

fn returned(bytes: usize) -> ToMaster {
    let value = serde_json::Value::from("x".repeat(bytes));
    let ending = Ending::Returned(Returned { value, retcode: 0, duration_ms: 3, truncated: false });
    let jid = "20261122060732000100".parse().expect("a jid");
    ToMaster::Return(Box::new(Return { jid, number: 7, functions: "test.echo".to_owned(), ending }))
}

fn encoded(frame: &Frame) -> Bytes {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes.freeze()
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    for size in SIZES {
        let message = returned(size);
        let bytes = encoded(&message.to_frame());
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("write a return of {size}"), |bencher| {
            bencher.iter(|| encoded(&black_box(&message).to_frame()));
        });
        group.bench_function(format!("read a return of {size}"), |bencher| {
            bencher.iter(|| {
                let frame = Frame::decode(black_box(&bytes)).expect("what was encoded");
                ToMaster::from_frame(&frame).expect("a return")
            });
        });
    }
    group.finish();
}

/// A decoder whose peer has said who it is.
fn ready() -> Decoder {
    let mut decoder = Decoder::new(WireLimits::default(), SocketType::Router);
    let mut bytes = BytesMut::from(&zmtp::greeting()[..]);
    bytes.extend_from_slice(&zmtp::ready(SocketType::Dealer));
    while let Some(event) = decoder.decode(&mut bytes).expect("our own greeting") {
        assert!(matches!(event, Event::Greeting | Event::Ready { .. }), "{event:?}");
    }
    assert!(decoder.is_ready());
    decoder
}

fn wire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("zmtp");
    for size in SIZES {
        let body = vec![7; size];
        let mut message = BytesMut::new();
        zmtp::encode_message(&[&body], &mut message);
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(format!("encode a message of {size}"), |bencher| {
            bencher.iter(|| {
                let mut bytes = BytesMut::new();
                zmtp::encode_message(&[black_box(&body)], &mut bytes);
                bytes
            });
        });
        let mut decoder = ready();
        group.bench_function(format!("decode a message of {size}"), |bencher| {
            bencher.iter(|| {
                let mut bytes = BytesMut::from(&message[..]);
                decoder.decode(&mut bytes).expect("what was encoded").expect("a whole message")
            });
        });
    }
    group.finish();
}
