//! What dies when and how, and which orders flow meanwhile: all of it follows from the seed.
//!
//! A seed repeats, for every round and however often an order had to be said again: which orders
//! each client gives (function, target, delivery, limits, whether they are killed), which acts on
//! keys are thrown for, after how many accepted orders there is a SIGHUP and a crash, who dies by
//! which signal, in which order, and whether one stays away. It does not repeat what the kernel
//! decides: which orders of *other* clients are among those accepted before the crash, how far the
//! programs are at that moment, and in what state a key is found on which an act is thrown.

/// Chance that can be repeated: splitmix64.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The stream that belongs to a seed, a round and one of those who throw.
    pub fn new(seed: u64, round: usize, who: usize) -> Self {
        let mut dice = Self(seed ^ (round as u64).rotate_left(32) ^ (who as u64).rotate_left(56));
        dice.below(1);
        dice
    }

    /// The stream of this one's piece of work with this number.
    pub fn part(&self, number: usize) -> Self {
        let mut dice = Self(self.0 ^ (number as u64).wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.below(1);
        dice
    }

    /// A number below this one.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (end as u64)).expect("below a usize")
    }

    /// Whether it comes to pass once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// How a program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// SIGKILL.
    Kill,
    /// SIGTERM, and its own time to stop in order.
    Stop,
}

impl Death {
    fn throw(dice: &mut Dice) -> Self {
        if dice.one_in(3) { Self::Stop } else { Self::Kill }
    }
}

/// One crash: who hears of a new configuration, how many orders are accepted before, and who dies.
#[derive(Debug, PartialEq, Eq)]
pub struct Crash {
    /// After so many orders, no more than those before the crash, there is a SIGHUP.
    pub hangup_after: usize,
    /// For these: the master is 0, and the first minion 1.
    pub hangups: Vec<usize>,
    /// After so many orders somebody dies.
    pub after: usize,
    pub master: Option<Death>,
    pub minions: Vec<(usize, Death)>,
    /// Whether the master dies before the minions and is back after them.
    pub is_master_first: bool,
    /// Whether the first of the minions stays away until what it was handed is lost.
    pub stays_away: bool,
}

impl Crash {
    /// The crash of a round of `orders` orders with so many minions; somebody always dies.
    pub fn plan(dice: &mut Dice, orders: usize, minions: usize) -> Self {
        let after = 1 + dice.below(orders - 1);
        let fates = 1 + dice.below((1 << (minions + 1)) - 1);
        let dies = |who: &usize| fates >> (who + 1) & 1 == 1;
        let hears = dice.below(1 << (minions + 1));
        let hangups = (0..=minions).filter(|who| hears >> who & 1 == 1).collect();
        let minions: Vec<_> = (0..minions).filter(dies).map(|who| (who, Death::throw(dice))).collect();
        Self {
            hangup_after: dice.below(after + 1),
            hangups,
            after,
            master: (fates & 1 == 1).then(|| Death::throw(dice)),
            is_master_first: dice.one_in(2),
            stays_away: !minions.is_empty() && dice.one_in(4),
            minions,
        }
    }
}

#[test]
fn a_seed_repeats_its_plan_and_kills_somebody_each_time() {
    let plans = || (0..200).map(|round| Crash::plan(&mut Dice::new(7, round, 0), 24, 4)).collect::<Vec<_>>();
    assert_eq!(plans(), plans());
    assert!(plans().iter().all(|crash| crash.master.is_some() || !crash.minions.is_empty()));
    assert!(plans().iter().all(|crash| crash.hangup_after <= crash.after && crash.after < 24));
    assert!(plans().iter().any(|crash| crash.master.is_some() && crash.minions.len() == 4));
    for death in [Death::Kill, Death::Stop] {
        assert!(plans().iter().any(|crash| crash.master == Some(death)));
        assert!(plans().iter().any(|crash| crash.minions.iter().any(|(_, how)| *how == death)));
    }
    assert!(plans().iter().any(|crash| crash.stays_away && crash.master.is_some()));
}

#[test]
fn the_orders_of_a_client_differ_and_do_not_depend_on_how_often_one_was_said() {
    let throws = |number| {
        let mut dice = Dice::new(7, 3, 1).part(number);
        [dice.below(1000), dice.below(1000)]
    };
    assert_eq!(throws(1), throws(1));
    assert_ne!(throws(1), throws(2));
}
