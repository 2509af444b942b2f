//! Whether something grows: a straight line through the samples, and how sure that line is.
//!
//! Samples are averaged over the length of a bucket first, so that the sawtooth of buckets that fill
//! and are dropped cancels. The line is fitted by least squares. Its standard error is widened by
//! how much one deviation resembles the next (as for a first-order autoregression), because such
//! samples say less than their number. Growth is certain when even the lower end of the 95 %
//! interval of the slope lies above what is allowed.

/// What grew, and by how much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// The mean of the samples.
    pub mean: f64,
    /// Percent of the mean an hour.
    pub percent: f64,
    /// Half of the 95 % interval, in the same unit.
    pub noise: f64,
}

impl Slope {
    /// Whether it certainly grows by more than this percentage an hour.
    #[must_use]
    pub fn is_above(&self, percent: f64) -> bool {
        self.percent - self.noise > percent
    }
}

/// Fits samples of (seconds, value), averaged over `block` seconds; none when there are too few.
#[must_use]
pub fn fit(samples: &[(f64, f64)], block: f64) -> Option<Slope> {
    let first = samples.first()?.0;
    let mut sums: Vec<(f64, f64, f64)> = Vec::new();
    for (at, value) in samples {
        let index = ((at - first) / block) as usize;
        sums.resize(sums.len().max(index + 1), (0.0, 0.0, 0.0));
        let sum = &mut sums[index];
        *sum = (sum.0 + at, sum.1 + value, sum.2 + 1.0);
    }
    let mut blocks: Vec<(f64, f64, f64)> = sums.into_iter().filter(|sum| sum.2 > 0.0).collect();
    // The last one is cut off somewhere within a bucket's life.
    let full = blocks.iter().map(|block| block.2).fold(0.0, f64::max);
    if blocks.last().is_some_and(|last| last.2 < full) {
        blocks.pop();
    }
    let points: Vec<(f64, f64)> = blocks.iter().map(|(at, value, n)| (at / n / 3600.0, value / n)).collect();
    line(&points)
}

fn line(points: &[(f64, f64)]) -> Option<Slope> {
    let n = points.len();
    if n < 5 {
        return None;
    }
    let count = n as f64;
    let (x, y) = (
        points.iter().map(|point| point.0).sum::<f64>() / count,
        points.iter().map(|point| point.1).sum::<f64>() / count,
    );
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    let residuals: Vec<f64> = points.iter().map(|point| point.1 - y - slope * (point.0 - x)).collect();
    let squares: f64 = residuals.iter().map(|residual| residual.powi(2)).sum();
    let error = (squares / (count - 2.0) / spread).sqrt();
    let alike: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let alike = if squares > 0.0 { (alike / squares).clamp(0.0, 0.9) } else { 0.0 };
    let widened = error * ((1.0 + alike) / (1.0 - alike)).sqrt();
    let scale = if y.abs() > 0.0 { 100.0 / y.abs() } else { 0.0 };
    Some(Slope { mean: y, percent: slope * scale, noise: widened * quantile(count - 2.0) * scale })
}

/// The 97.5 % quantile of Student's t, within 2 % from 3 degrees of freedom on.
fn quantile(freedom: f64) -> f64 {
    1.96 + 2.4 / freedom + 3.0 / freedom.powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 15 minutes of samples, one in 10 s.
    fn samples(value: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..90).map(|n| f64::from(n) * 10.0).map(|at| (at, value(at))).collect()
    }

    /// The same noise each time, without a trend to speak of.
    fn noise(at: f64) -> f64 {
        ((at * 12.9898).sin() * 43758.547).fract() - ((at * 78.233).sin() * 12543.213).fract()
    }

    #[test]
    fn a_steady_growth_is_found_through_noise() {
        let slope = fit(&samples(|at| 100.0 + at / 3600.0 * 20.0 + 0.3 * noise(at)), 60.0).unwrap();
        assert!((slope.percent - 20.0 / 1.025).abs() < 2.0, "{slope:?}");
        assert!(slope.noise < 3.0 && slope.is_above(1.0), "{slope:?}");
    }

    #[test]
    fn noise_and_sawtooth_alone_are_no_growth() {
        for value in [
            Box::new(|at: f64| 100.0 + noise(at)) as Box<dyn Fn(f64) -> f64>,
            Box::new(|at: f64| 100.0 + at % 60.0),
            Box::new(|_| 42.0),
        ] {
            let slope = fit(&samples(value), 60.0).unwrap();
            assert!(!slope.is_above(1.0) && slope.percent.abs() < 5.0, "{slope:?}");
        }
        assert!(!fit(&samples(|_| 0.0), 60.0).unwrap().is_above(1.0));
    }

    #[test]
    fn slow_waves_are_not_taken_for_certainty() {
        let wave = |at: f64| 100.0 + 3.0 * (at / 300.0).sin();
        let slope = fit(&samples(wave), 60.0).unwrap();
        assert!(!slope.is_above(1.0), "{slope:?}");
    }

    #[test]
    fn two_minutes_say_nothing() {
        assert_eq!(fit(&samples(|at| at)[..12], 60.0), None);
    }
}
