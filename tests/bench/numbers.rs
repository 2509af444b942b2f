//! Medians, percentiles, and how a cost grows with what it is for.

/// The middle of these values; the mean of the two in the middle of an even number.
///
/// # Panics
/// There are none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    }
}

/// The value that this share of them does not exceed.
///
/// # Panics
/// There are none.
#[must_use]
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let sorted = sorted(values);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn sorted(values: &[f64]) -> Vec<f64> {
    assert!(!values.is_empty(), "something was measured");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// How a cost grows with a number: `constant + each * number ^ exponent`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// What it costs however many there are.
    pub constant: f64,
    /// The factor of the rest.
    pub each: f64,
    /// 1 is linear.
    pub exponent: f64,
    /// How far the points are from that, as a share of each: the root of the mean of the squares.
    pub off: f64,
}

/// What is called noise: as far as this may points be from what explains them.
const NOISE: f64 = 0.05;

/// A best fit that is no more than this times closer explains no more.
const NO_BETTER: f64 = 1.2;

impl Growth {
    /// Fits these points of (number, cost), so that each counts by its relative error. Of the exponents
    /// that explain them equally well, within the noise, it is the one nearest to 1: the question is
    /// whether a line would do. None with fewer than three different numbers, or when a cost is nothing.
    #[must_use]
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let mut numbers: Vec<f64> = points.iter().map(|(number, _)| *number).collect();
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        if numbers.len() < 3 || points.iter().any(|(number, cost)| *number <= 0.0 || *cost <= 0.0) {
            return None;
        }
        let fits: Vec<Self> = (1..=60).map(|step| Self::with(points, f64::from(step) * 0.05)).collect();
        let best = fits.iter().map(|fit| fit.off).fold(f64::INFINITY, f64::min);
        let explains = |fit: &&Self| fit.off <= (best * NO_BETTER).max(NOISE);
        fits.iter()
            .filter(explains)
            .min_by(|a, b| (a.exponent - 1.0).abs().total_cmp(&(b.exponent - 1.0).abs()))
            .copied()
    }

    /// The best constant and factor for this exponent, neither below nothing.
    fn with(points: &[(f64, f64)], exponent: f64) -> Self {
        // Of 1 = constant * a + each * b, for each point.
        let rows: Vec<(f64, f64)> =
            points.iter().map(|(number, cost)| (1.0 / cost, number.powf(exponent) / cost)).collect();
        let sum = |of: fn(&(f64, f64)) -> f64| rows.iter().map(of).sum::<f64>();
        let (aa, ab, bb) = (sum(|(a, _)| a * a), sum(|(a, b)| a * b), sum(|(_, b)| b * b));
        let (a, b) = (sum(|(a, _)| *a), sum(|(_, b)| *b));
        let determinant = aa * bb - ab * ab;
        let (constant, each) = ((a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant);
        let (constant, each) = match (constant > 0.0, each > 0.0) {
            (true, true) => (constant, each),
            (false, _) => (0.0, b / bb),
            (true, false) => (a / aa, 0.0),
        };
        let squares = rows.iter().map(|(a, b)| (constant * a + each * b - 1.0).powi(2)).sum::<f64>();
        Self { constant, each, exponent, off: (squares / rows.len() as f64).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Growth {
        /// What it says for a number.
        fn at(&self, number: f64) -> f64 {
            self.constant + self.each * number.powf(self.exponent)
        }
    }

    #[test]
    fn middles_and_shares() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!((percentile(&hundred, 0.5), percentile(&hundred, 0.99)), (50.0, 99.0));
    }

    const SIZES: [f64; 5] = [100.0, 300.0, 1000.0, 3000.0, 10_000.0];

    #[test]
    fn powers_are_found_with_what_is_constant_and_nonsense_is_not_fitted() {
        for (power, constant) in [(0.5, 0.0), (1.0, 0.0), (1.0, 40.0), (1.3, 0.0), (2.0, 500.0)] {
            let points = SIZES.map(|n| (n, constant + 3.0 * n.powf(power)));
            let fit = Growth::fit(&points).unwrap();
            // Nearer to a line by what could be noise.
            assert!((fit.exponent - power).abs() < 0.11 && fit.off <= NOISE, "{power}: {fit:?}");
            assert!((fit.at(1000.0) / points[2].1 - 1.0).abs() < 0.1, "{power}: {fit:?}");
        }
        let fit = Growth::fit(&SIZES.map(|n| (n, 40.0 + 3.0 * n))).unwrap();
        assert!((fit.constant - 40.0).abs() < 1e-6 && (fit.each - 3.0).abs() < 1e-9, "{fit:?}");
        assert_eq!(Growth::fit(&[(100.0, 1.0), (200.0, 2.0)]), None);
        assert_eq!(Growth::fit(&[]), None);
        assert_eq!(Growth::fit(&[(100.0, 0.0), (1000.0, 1.0), (2000.0, 2.0)]), None);
    }

    #[test]
    fn a_line_with_noise_is_a_line_and_a_curve_with_noise_is_not() {
        let noise = [1.04, 0.95, 1.05, 0.97, 1.03];
        let with_noise = |power: f64| {
            let mut noise = noise.iter();
            let points = SIZES.map(|n| (n, (20.0 + n.powf(power)) * noise.next().unwrap()));
            Growth::fit(&points).unwrap().exponent
        };
        assert!((with_noise(1.0) - 1.0).abs() < 1e-9);
        assert!(with_noise(1.25) > 1.1, "{}", with_noise(1.25));
        assert!(with_noise(0.6) < 0.9, "{}", with_noise(0.6));
    }

    #[test]
    fn what_does_not_grow_has_no_part_that_does() {
        let fit = Growth::fit(&SIZES.map(|n| (n, 7.0))).unwrap();
        assert!((fit.constant - 7.0).abs() < 1e-9 && fit.each.abs() < 1e-9, "{fit:?}");
    }
}
