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

/// The exponent with which a cost grows: the slope of the line through the logarithms of (number,
/// cost), by least squares. 1 is linear, 0 is constant. None with fewer than two different numbers, or
/// when a cost is nothing.
#[must_use]
pub fn growth(points: &[(f64, f64)]) -> Option<f64> {
    if points.iter().any(|(number, cost)| *number <= 0.0 || *cost <= 0.0) {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|(number, cost)| (number.ln(), cost.ln())).collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = logs.iter().map(|point| (point.0 - x).powi(2)).sum();
    let together: f64 = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (spread > 0.0).then(|| together / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middles_and_shares() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!((percentile(&hundred, 0.5), percentile(&hundred, 0.99)), (50.0, 99.0));
    }

    #[test]
    fn powers_are_found_and_nonsense_is_not_fitted() {
        let of = |power: f64| [100.0_f64, 1000.0, 10_000.0].map(|n| (n, 3.0 * n.powf(power)));
        for power in [0.0, 0.5, 1.0, 2.0] {
            assert!((growth(&of(power)).unwrap() - power).abs() < 1e-9);
        }
        assert_eq!(growth(&[(100.0, 1.0)]), None);
        assert_eq!(growth(&[]), None);
        assert_eq!(growth(&[(100.0, 0.0), (1000.0, 1.0)]), None);
    }
}
