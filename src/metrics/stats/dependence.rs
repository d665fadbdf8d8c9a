//! Observations that are alike: autocorrelation, and means over clusters.

/// Returns the autocorrelation at lags 0 to `lags`, each sum over the whole variance (the biased estimate).
///
/// None where nothing varies or a lag is as long as the series.
pub fn autocorrelation(series: &[f64], lags: usize) -> Option<Vec<f64>> {
    let n = series.len();
    if lags >= n {
        return None;
    }
    let mean = series.iter().sum::<f64>() / n as f64;
    let off: Vec<f64> = series.iter().map(|value| value - mean).collect();
    let whole: f64 = off.iter().map(|value| value * value).sum();
    if whole <= 0.0 {
        return None;
    }
    let at = |lag: usize| off.iter().zip(&off[lag..]).map(|(a, b)| a * b).sum::<f64>() / whole;
    Some((0..=lags).map(at).collect())
}

/// A share over clusters, and its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusterMean {
    /// Successes over requests.
    pub mean: f64,
    /// The standard error that allows for requests of one cluster being alike.
    pub standard_error: f64,
}

/// Returns the share of successes over clusters of (successes, requests), with the cluster-robust standard error.
///
/// The small-sample factor is clusters / (clusters - 1). None with fewer than two clusters or no requests.
pub fn cluster_mean(clusters: &[(u64, u64)]) -> Option<ClusterMean> {
    let successes: u64 = clusters.iter().map(|(successes, _)| successes).sum();
    let requests: u64 = clusters.iter().map(|(_, requests)| requests).sum();
    if clusters.len() < 2 || requests == 0 {
        return None;
    }
    let mean = successes as f64 / requests as f64;
    let spread: f64 = clusters
        .iter()
        .map(|(successes, requests)| {
            let residual = *successes as f64 - mean * *requests as f64;
            residual * residual
        })
        .sum();
    let count = clusters.len() as f64;
    Some(ClusterMean {
        mean,
        standard_error: libm::sqrt(spread * count / (count - 1.0)) / requests as f64,
    })
}
