//! What is killed when, and which jobs flow meanwhile: all of it follows from the seed.

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

    /// A number below this one.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (end as u64)).expect("below a usize")
    }
}

/// One crash: how many orders of the round are accepted before it, and who dies.
#[derive(Debug, PartialEq, Eq)]
pub struct Crash {
    pub after: usize,
    pub master: bool,
    pub minions: Vec<usize>,
}

impl Crash {
    /// The crash of a round of `orders` orders with so many minions; somebody always dies.
    pub fn plan(dice: &mut Dice, orders: usize, minions: usize) -> Self {
        let after = 1 + dice.below(orders - 1);
        let fates = 1 + dice.below((1 << (minions + 1)) - 1);
        let dies = |who: &usize| fates >> (who + 1) & 1 == 1;
        Self { after, master: fates & 1 == 1, minions: (0..minions).filter(dies).collect() }
    }
}

#[test]
fn a_seed_repeats_its_plan_and_kills_somebody_each_time() {
    let plans = || (0..200).map(|round| Crash::plan(&mut Dice::new(7, round, 0), 24, 4)).collect::<Vec<_>>();
    assert_eq!(plans(), plans());
    assert!(plans().iter().all(|crash| (crash.master || !crash.minions.is_empty()) && crash.after < 24));
    assert!(plans().iter().any(|crash| crash.master && crash.minions.len() == 4));
}
