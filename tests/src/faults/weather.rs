//! What happens to the bytes of one direction, and when they are due: no sockets here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Most bytes that are under way in one direction; then nothing more is read.
const ROOM: usize = 256 * 1024;

/// Most bytes read at a time.
const GULP: usize = 16 * 1024;

/// What a slow side takes or gives at a time, and how often: 32 bytes a second.
const SIP: usize = 8;
const SIP_EVERY: Duration = Duration::from_millis(250);

/// Longest piece that a splitting network leaves whole.
const PIECE_MAX: usize = 24;

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// They pass at once.
    Clear,
    /// They wait, none is read and none is lost.
    Stall,
    /// They are taken and thrown away, and so is the news that a side has closed.
    Black,
    /// They pass in pieces of 1 to 24 bytes, cut at random.
    Split,
    /// They come 400 to 600 ms late, in order.
    Delay,
    /// Three of ten pieces are "lost": they, and what is behind them, come 200 to 3,000 ms late.
    Loss,
    /// Nobody reads more than a few bytes a second: whoever writes finds the buffers full.
    SlowReader,
    /// They are taken at once and given a few bytes a second.
    SlowWriter,
}

/// Chance that can be repeated: splitmix64.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below this one.
    ///
    /// # Panics
    /// There is none below zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Bytes under way in one direction, each piece with the moment at which it is due.
#[derive(Debug)]
pub(super) struct Line {
    queue: VecDeque<(Instant, Bytes)>,
    held: usize,
    last: Option<Instant>,
    next_sip: Option<Instant>,
    dice: Dice,
}

impl Line {
    pub(super) fn new(seed: u64) -> Self {
        Self { queue: VecDeque::new(), held: 0, last: None, next_sip: None, dice: Dice::new(seed) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many bytes may be read now; none when something has to happen first.
    pub(super) fn gulp(&self, weather: Weather, now: Instant) -> usize {
        match weather {
            Weather::Stall => 0,
            _ if self.held >= ROOM => 0,
            Weather::SlowReader if self.next_sip.is_some_and(|next| now < next) => 0,
            Weather::SlowReader => SIP,
            _ => GULP,
        }
    }

    /// When something that waits for time alone is due.
    pub(super) fn due(&self, weather: Weather) -> Option<Instant> {
        let sip = self.next_sip.filter(|_| weather == Weather::SlowReader);
        let front = self.queue.front().map(|(due, _)| *due).filter(|_| weather != Weather::Stall);
        [sip, front].into_iter().flatten().min()
    }

    /// What may be written now.
    pub(super) fn ready(&self, weather: Weather, now: Instant) -> Option<Bytes> {
        let (due, bytes) = self.queue.front()?;
        (weather != Weather::Stall && *due <= now).then(|| bytes.clone())
    }

    /// So many bytes of what is ready were written.
    pub(super) fn wrote(&mut self, count: usize) {
        self.held -= count;
        if let Some((_, bytes)) = self.queue.front_mut() {
            if count < bytes.len() {
                *bytes = bytes.slice(count..);
            } else {
                self.queue.pop_front();
            }
        }
    }

    /// These bytes were read.
    pub(super) fn push(&mut self, bytes: &[u8], weather: Weather, now: Instant) {
        let pieces = match weather {
            Weather::Split => PIECE_MAX,
            Weather::SlowWriter => SIP,
            _ => GULP,
        };
        let mut rest = Bytes::copy_from_slice(bytes);
        while !rest.is_empty() {
            let most = rest.len().min(pieces);
            let length = match weather {
                Weather::Split => 1 + self.dice.below(most as u64),
                _ => most as u64,
            };
            let piece = rest.split_to(usize::try_from(length).expect("below a piece"));
            let last = self.last.unwrap_or(now);
            let due = match weather {
                Weather::Delay => now + Duration::from_millis(400 + self.dice.below(201)),
                Weather::Loss if self.dice.below(10) < 3 => {
                    now + Duration::from_millis(200 + self.dice.below(2801))
                }
                Weather::SlowWriter => last.max(now) + SIP_EVERY,
                _ => now,
            };
            let due = due.max(last);
            self.last = Some(due);
            self.held += piece.len();
            self.queue.push_back((due, piece));
        }
        self.next_sip = (weather == Weather::SlowReader).then(|| now + SIP_EVERY);
    }

    /// The weather is another: what was late comes at once. True if bytes were thrown away.
    pub(super) fn turn(&mut self, weather: Weather, now: Instant) -> bool {
        (self.last, self.next_sip) = (None, None);
        for (due, _) in &mut self.queue {
            *due = now;
        }
        let is_lost = weather == Weather::Black && !self.queue.is_empty();
        if is_lost {
            self.queue.clear();
            self.held = 0;
        }
        is_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(weather: Weather, length: usize) -> Vec<(u128, usize)> {
        let (mut line, now) = (Line::new(7), Instant::now());
        for _ in 0..20 {
            line.push(&vec![0; length], weather, now);
        }
        line.queue.iter().map(|(due, bytes)| ((*due - now).as_millis(), bytes.len())).collect()
    }

    #[test]
    fn order_is_kept_and_nothing_is_lost_in_any_weather() {
        use Weather::{Clear, Delay, Loss, SlowReader, SlowWriter, Split};
        for weather in [Clear, Split, Delay, Loss, SlowReader, SlowWriter] {
            let dues = dues(weather, 100);
            assert!(dues.is_sorted_by_key(|(due, _)| *due), "{weather:?}");
            assert_eq!(dues.iter().map(|(_, length)| length).sum::<usize>(), 2000, "{weather:?}");
        }
    }

    #[test]
    fn each_weather_does_what_it_says() {
        assert!(dues(Weather::Clear, 100).iter().all(|piece| *piece == (0, 100)));
        let split = dues(Weather::Split, 100);
        assert!(split.len() > 100 && split.iter().all(|(due, length)| *due == 0 && *length <= 24));
        assert!(split.iter().any(|(_, length)| *length == 1));
        assert!(dues(Weather::Delay, 100).iter().all(|(due, _)| (400..=600).contains(due)));
        let slow = dues(Weather::SlowWriter, 16);
        assert_eq!(slow[..3], [(250, 8), (500, 8), (750, 8)]);
        let lossy = dues(Weather::Loss, 100);
        assert!(lossy[0].0 == 0 || lossy[0].0 >= 200);
        assert!(lossy.last().is_some_and(|(due, _)| (200..=3000).contains(due)));
    }

    #[test]
    fn a_slow_reader_sips_and_a_stalled_one_reads_nothing() {
        let (mut line, now) = (Line::new(7), Instant::now());
        assert_eq!(line.gulp(Weather::SlowReader, now), SIP);
        line.push(b"12345678", Weather::SlowReader, now);
        assert_eq!(line.gulp(Weather::SlowReader, now), 0);
        assert_eq!(line.gulp(Weather::SlowReader, now + SIP_EVERY), SIP);
        assert_eq!((line.gulp(Weather::Stall, now), line.ready(Weather::Stall, now)), (0, None));
        assert!(line.ready(Weather::Clear, now).is_some());
        assert!(!line.turn(Weather::Clear, now) && line.turn(Weather::Black, now) && line.is_empty());
    }
}
