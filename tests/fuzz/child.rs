//! The process that feeds one target: the corpus first, then what chance makes of it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use brine_tests::fuzzed::{self, Target};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Pid, gettid};

use crate::judge::{Cost, Fault, judge, listen, worked};
use crate::mutate::Mutator;
use crate::shrink::shrink;
use crate::{corpus, planted};

/// What a thread of a program has.
const STACK: usize = 2 * 1024 * 1024;

/// What the whole process may have: more is refused to it, and ends it.
const MEMORY_MAX: u64 = 4 << 30;

/// How often it is looked whether an input is still being judged.
const LOOK: Duration = Duration::from_millis(50);

/// What takes longer is not gone on from: the others would not have their turn.
const QUICK_MAX: Duration = Duration::from_millis(10);

/// A fault was found and said.
pub const FOUND: u8 = 1;
/// An input takes for ever.
pub const HANGS: u8 = 3;

/// The name of the file with the input that is being judged, in the folder `FUZZ_SCRATCH`.
pub const CURRENT: &str = "current";

/// What the parent says in the environment.
struct Orders {
    seed: u64,
    time: Duration,
    hang: Duration,
    current: PathBuf,
    faults: PathBuf,
    input: Option<PathBuf>,
}

impl Orders {
    fn read() -> Self {
        let text = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not said"));
        let number = |name: &str| text(name).parse().unwrap_or_else(|_| panic!("{name} is a number"));
        Self {
            seed: number("FUZZ_SEED"),
            time: Duration::from_millis(number("FUZZ_MILLIS")),
            hang: Duration::from_millis(number("FUZZ_HANG_MILLIS")),
            current: PathBuf::from(text("FUZZ_SCRATCH")).join(CURRENT),
            faults: text("FUZZ_FAULTS").into(),
            input: std::env::var_os("FUZZ_INPUT").map(Into::into),
        }
    }
}

/// The number of the input that is being judged; 0 between two.
static INPUT: AtomicU64 = AtomicU64::new(0);

/// Beside its own work, how long an input may be waited for on a machine that is overrun.
const PATIENCE: u32 = 12;

/// Runs the target of this name, and says what was found.
pub fn run(name: &str) -> ExitCode {
    let orders = Orders::read();
    setrlimit(Resource::RLIMIT_AS, MEMORY_MAX, MEMORY_MAX).expect("a limit can be lowered");
    setrlimit(Resource::RLIMIT_CORE, 0, 0).expect("a limit can be lowered");
    let target = *fuzzed::find(name).or_else(|| planted::find(name)).expect("a target");
    let hang = orders.hang;
    let work = move || {
        let feeder = gettid();
        thread::spawn(move || watch(feeder, hang));
        feed(&target, &orders)
    };
    let done = thread::Builder::new().stack_size(STACK).spawn(work).expect("a thread").join();
    match done.expect("what panics is caught") {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(told) => {
            eprintln!("{told}");
            ExitCode::from(FOUND)
        }
    }
}

/// Ends the process when an input takes for ever: nothing else can.
fn watch(feeder: Pid, hang: Duration) {
    let (mut input, mut since, mut before) = (0, Instant::now(), None);
    loop {
        thread::sleep(LOOK);
        let now = INPUT.load(Ordering::Relaxed);
        if now == 0 || now != input {
            (input, since, before) = (now, Instant::now(), worked(feeder));
            continue;
        }
        let worked = worked(feeder).zip(before).map(|(after, before)| after.saturating_sub(before));
        if worked.is_some_and(|worked| worked > hang) || since.elapsed() > hang * PATIENCE {
            eprintln!("it is still at it after {} ms", hang.as_millis());
            std::process::exit(HANGS.into());
        }
    }
}

fn feed(target: &Target, orders: &Orders) -> Result<String, String> {
    listen();
    let mut feeder = Feeder::new(target, orders);
    if let Some(input) = &orders.input {
        let input = fs::read(input).expect("the input can be read");
        return feeder.judge(&input).map(|cost| format!("{}: {cost:?}", target.name)).map_err(|fault| {
            // It is in a file already.
            format!("{}: {fault}", target.name)
        });
    }
    let inputs = planted::corpus(target.name).unwrap_or_else(|| corpus::of(target.name));
    let mut quick = Vec::new();
    for input in &inputs {
        if feeder.take(input)?.is_quick {
            quick.push(input.clone());
        }
    }
    let kept = inputs.len();
    let mut mutator = Mutator::new(orders.seed, if quick.is_empty() { inputs } else { quick });
    let end = Instant::now() + orders.time;
    while Instant::now() < end {
        let input = mutator.make();
        let taken = feeder.take(&input)?;
        if taken.is_new && taken.is_quick {
            mutator.keep(input);
        }
    }
    Ok(feeder.told(kept))
}

struct Taken {
    /// It took a way that none before it took.
    is_new: bool,
    is_quick: bool,
}

struct Feeder<'a> {
    target: &'a Target,
    orders: &'a Orders,
    current: File,
    /// The ways that inputs took.
    seen: HashSet<(u64, u32)>,
    judged: u64,
    inputs: u64,
    bytes: u64,
    /// The most over what is stated for each byte.
    room: u64,
    slowest: Duration,
}

impl<'a> Feeder<'a> {
    fn new(target: &'a Target, orders: &'a Orders) -> Self {
        let current = File::create(&orders.current).expect("a file");
        let mut feeder = Self {
            target,
            orders,
            current,
            seen: HashSet::new(),
            judged: 0,
            inputs: 0,
            bytes: 0,
            room: 0,
            slowest: Duration::ZERO,
        };
        // What is made once for all inputs is nobody's.
        for input in [&[][..], &[1; 64]] {
            let _ = feeder.judge(input);
        }
        feeder
    }

    /// Judges an input that can be told whatever becomes of this process.
    fn judge(&mut self, input: &[u8]) -> Result<Cost, Fault> {
        let mut framed = (input.len() as u64).to_be_bytes().to_vec();
        framed.extend_from_slice(input);
        self.current.write_all_at(&framed, 0).expect("a file in memory");
        self.judged += 1;
        INPUT.store(self.judged, Ordering::Relaxed);
        let judged = judge(self.target, input);
        INPUT.store(0, Ordering::Relaxed);
        judged
    }

    /// What is known of a good input; or what to print of its fault.
    fn take(&mut self, input: &[u8]) -> Result<Taken, String> {
        match self.judge(input) {
            Ok(cost) => {
                self.inputs += 1;
                self.bytes += input.len() as u64;
                self.slowest = self.slowest.max(cost.took);
                let by_bytes = (self.target.per_byte * input.len()) as u64;
                self.room = self.room.max(cost.peak.saturating_sub(by_bytes));
                let way = (cost.allocations, cost.peak.checked_ilog2().unwrap_or(0));
                Ok(Taken { is_new: self.seen.insert(way), is_quick: cost.took < QUICK_MAX })
            }
            Err(fault) => {
                let small = shrink(self.target, input, &fault);
                let fault = self.judge(&small).err().unwrap_or(fault);
                let file = save(&self.orders.faults, self.target.name, &small);
                Err(format!("{}: {fault}\n{}", self.target.name, replay(self.target.name, &file)))
            }
        }
    }

    fn told(&self, kept: usize) -> String {
        let Self { target, inputs, bytes, room, slowest, .. } = self;
        format!(
            "{}: {inputs} inputs, {kept} of them kept ones, {} KiB, {} ways; at most {room} bytes of {} beside {} \
             per byte; at most {} us",
            target.name,
            bytes / 1024,
            self.seen.len(),
            target.room,
            target.per_byte,
            slowest.as_micros()
        )
    }
}

/// Keeps an input that shows a fault, under a name that follows from it.
pub fn save(folder: &Path, name: &str, input: &[u8]) -> PathBuf {
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    fs::create_dir_all(folder).expect("a folder");
    let file = folder.join(format!("{name}-{hash:016x}"));
    fs::write(&file, input).expect("a file");
    file
}

/// How to see a fault again.
pub fn replay(name: &str, file: &Path) -> String {
    format!(
        "again: FUZZ_TARGET={name} FUZZ_INPUT={} cargo test --profile ci -p brine-tests --test fuzz replay",
        file.display()
    )
}
