//! What trust costs on the wire: a handshake, a sealed frame, a broadcast that is sealed once for all.

use std::hint::black_box;

use brine_pki::channel::Channel;
use brine_pki::handshake::master::{Agreement, Succession};
use brine_pki::handshake::minion::{Offered, Pin};
use brine_pki::key::PrivateKey;
use brine_pki::publish::{Reader, Writer};
use brine_protocol::frame::Frame;
use brine_protocol::message::{Pace, Standing};
use criterion::{BatchSize, Criterion, Throughput};

/// Bytes of a frame's JSON: an order or a small return, and a large one.
const SIZES: [usize; 2] = [300, 64 * 1024];

const PACE: Pace = Pace { heartbeat_ms: 10_000, message_max: None, clock: None };

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    handshakes(&mut criterion);
    channels(&mut criterion);
    broadcasts(&mut criterion);
    criterion.final_summary();
}

fn key(pem: &str) -> PrivateKey {
    PrivateKey::from_pem(pem).expect("a fixed key")
}

fn master() -> PrivateKey {
    key(include_str!("../tests/keys/master.pem"))
}

fn minion() -> PrivateKey {
    key(include_str!("../tests/keys/minion.pem"))
}

fn frame(bytes: usize) -> Frame {
    Frame::control(3, vec![b'x'; bytes])
}

/// The two ends of a session: the master's, the minion's.
fn session() -> (Channel, Channel) {
    let offer = Agreement::new(&master(), 1, [11; 32], &Succession::default()).offer([1; 32]);
    let offered = Offered::read(offer.message(), &Pin::FirstUse).expect("an honest Offer");
    let (hello, waiting) = offered.hello(&minion(), &"web1".parse().expect("an id"), [22; 32]);
    let verified = offer.read_hello(&hello).expect("well-formed").verify().expect("signed");
    let (welcome, master) =
        verified.welcome([33; 32], Standing::Pending, PACE, 0).expect("an honest exchange");
    let (_, minion) = waiting.welcome(&welcome).expect("authentic");
    (master, minion)
}

/// What one minion costs a master, with keys of 2048 bits: a verification of 4096 costs four times as
/// much.
fn handshakes(criterion: &mut Criterion) {
    let agreement = Agreement::new(&master(), 1, [11; 32], &Succession::default());
    let offer = agreement.offer([1; 32]);
    let offered = Offered::read(offer.message(), &Pin::FirstUse).expect("an honest Offer");
    let (hello, _) = offered.hello(&minion(), &"web1".parse().expect("an id"), [22; 32]);
    let mut group = criterion.benchmark_group("handshake, the master's side");
    group.bench_function("verify", |bencher| {
        bencher.iter_batched(
            || agreement.offer([1; 32]).read_hello(&hello).expect("well-formed"),
            |unverified| unverified.verify().expect("signed"),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("welcome", |bencher| {
        bencher.iter_batched(
            || agreement.offer([1; 32]).read_hello(&hello).expect("well-formed").verify().expect("signed"),
            |verified| verified.welcome([33; 32], Standing::Pending, PACE, 0).expect("an honest exchange"),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn channels(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("channel");
    for size in SIZES {
        let frame = frame(size);
        let (_, mut minion) = session();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("seal {size}"), |bencher| {
            bencher.iter(|| minion.sealer.seal(black_box(&frame), 0));
        });
        let (mut master, mut minion) = session();
        group.bench_function(format!("seal and open {size}"), |bencher| {
            bencher.iter(|| {
                let sealed = minion.sealer.seal(black_box(&frame), 0);
                master.opener.open(sealed).expect("in order")
            });
        });
    }
    group.finish();
}

/// Sealing and signing are once for all minions; opening and verifying are each minion's.
fn broadcasts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("broadcast");
    for size in SIZES {
        let frame = frame(size);
        let mut writer = Writer::new([1; 16], [2; 32], &[3; 32]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("seal {size}"), |bencher| {
            bencher.iter(|| writer.seal(black_box(&frame)));
        });
        let mut reader = Reader::new();
        let mut writer = Writer::new([1; 16], [2; 32], &[3; 32]);
        let _ = reader.install(&writer.epoch()).expect("a key");
        group.bench_function(format!("seal and open {size}"), |bencher| {
            bencher.iter(|| reader.open(writer.seal(black_box(&frame))).expect("in order"));
        });
    }
    group.finish();
}
