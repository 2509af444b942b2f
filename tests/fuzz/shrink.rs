//! A smaller input with the same fault: what is left is what matters.

use std::time::{Duration, Instant};

use brine_tests::fuzzed::Target;

use crate::judge::{Fault, judge};

/// Enough for most; a fault that is slow to show is left as it is.
const TIME: Duration = Duration::from_secs(5);

/// Leaves out pieces, large ones first, as long as the fault stays.
pub fn shrink(target: &Target, input: &[u8], fault: &Fault) -> Vec<u8> {
    let (mut best, began) = (input.to_vec(), Instant::now());
    let mut piece = best.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < best.len() && began.elapsed() < TIME {
            let mut less = best.clone();
            less.drain(at..(at + piece).min(less.len()));
            if judge(target, &less).is_err_and(|found| found.is_like(fault)) {
                best = less;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    best
}
