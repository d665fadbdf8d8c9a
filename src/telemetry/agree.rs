//! Whether what a service counted is what we sent: its request counter, and the bucket of its latency histogram.

use super::exposition::{Sample, Selector, total};

/// What a service had counted at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counted {
    /// The requests, if the counter is there.
    pub requests: Option<f64>,
    /// The buckets of the latency histogram: upper bound in seconds, and how many were at most that.
    pub buckets: Vec<(f64, f64)>,
}

/// Reads the counter and the histogram that a team has named.
pub fn counted(samples: &[Sample], requests: Option<&Selector>, latency: Option<&Selector>) -> Counted {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    if let Some(latency) = latency.map(|selector| selector.part("_bucket")) {
        for sample in samples.iter().filter(|sample| latency.holds(sample)) {
            let bound = sample.labels.get("le").map(|bound| match bound.as_str() {
                "+Inf" => Some(f64::INFINITY),
                other => other.parse::<f64>().ok().filter(|bound| !bound.is_nan()),
            });
            let Some(Some(bound)) = bound else { continue };
            // Series of other labels have the same bounds: their buckets add up.
            match buckets
                .iter_mut()
                .find(|(known, _)| known.total_cmp(&bound).is_eq())
            {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    Counted {
        requests: requests.and_then(|selector| total(samples, selector)),
        buckets,
    }
}

/// Returns how far the counter is off, as a share of what was sent; 0 where it lies between what was answered and what was
/// sent, since only the service knows which of the unanswered it saw. None without a counter, or where nothing was sent.
pub fn requests_error(before: &Counted, after: &Counted, answered: u64, sent: u64) -> Option<f64> {
    let difference = after.requests? - before.requests.unwrap_or(0.0);
    if sent == 0 || !difference.is_finite() {
        return None;
    }
    let (low, high) = (answered as f64, sent as f64);
    Some((low - difference).max(difference - high).max(0.0) / high)
}

/// A bucket of a histogram, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Above this.
    pub over: f64,
    /// Up to this; infinite in the last.
    pub up_to: f64,
}

/// Returns the bucket in which a quantile lies of what was counted between two moments; none without a histogram, or where
/// nothing was counted, or where the histogram went backwards.
pub fn bucket_of(before: &Counted, after: &Counted, p: f64) -> Option<Bucket> {
    let earlier = |bound: f64| {
        before
            .buckets
            .iter()
            .find(|(known, _)| known.total_cmp(&bound).is_eq())
            .map_or(0.0, |(_, count)| *count)
    };
    let grown: Vec<(f64, f64)> = after
        .buckets
        .iter()
        .map(|(bound, count)| (*bound, count - earlier(*bound)))
        .collect();
    let rising = grown.windows(2).all(|pair| pair[0].1 <= pair[1].1);
    let all = grown.last()?.1;
    if !rising || !all.is_finite() || all <= 0.0 {
        return None;
    }
    let place = grown.iter().position(|(_, count)| *count >= p * all)?;
    Some(Bucket {
        over: place.checked_sub(1).map_or(0.0, |place| grown[place].0),
        up_to: grown[place].0,
    })
}

/// A bucket that is wider than this, in seconds, says nothing of answers that come within a second. The widest of the clients' usual
/// buckets there is as wide.
const WIDEST_S: f64 = 0.5;

impl Bucket {
    /// Tells whether it is narrow enough to say anything of an answer within a second.
    pub fn tells(self) -> bool {
        self.up_to - self.over <= WIDEST_S
    }

    /// Tells whether a time that we measured from outside fits: not below the bucket, and above it by no more than the way
    /// there and back may take (`slack_s`).
    pub fn fits(self, seconds: f64, slack_s: f64) -> bool {
        seconds > self.over && seconds <= self.up_to + slack_s
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_exposition;
    use super::*;

    fn page(requests: u32, buckets: [u32; 3]) -> Counted {
        let [a, b, c] = buckets;
        let text = format!(
            "n_total{{code=\"200\"}} {requests}\nn_total{{code=\"500\"}} 1\n\
             t_bucket{{le=\"0.1\"}} {a}\nt_bucket{{le=\"0.5\"}} {b}\nt_bucket{{le=\"+Inf\"}} {c}\n\
             t_bucket{{le=\"0.1\",path=\"x\"}} 0\n"
        );
        let selector = |text: &str| Selector::parse(text).unwrap();
        counted(
            &parse_exposition(&text).unwrap(),
            Some(&selector("n_total")),
            Some(&selector("t")),
        )
    }

    #[test]
    fn the_counter_may_lie_between_answered_and_sent() {
        let before = page(100, [0, 0, 0]);
        let error =
            |after: u32, answered, sent| requests_error(&before, &page(after, [0, 0, 0]), answered, sent);
        assert_eq!(error(1_100, 990, 1_000), Some(0.0));
        assert_eq!(error(1_090, 990, 1_000), Some(0.0));
        assert_eq!(error(1_050, 1_000, 1_000), Some(0.05));
        assert_eq!(error(1_120, 1_000, 1_000), Some(0.02));
        assert_eq!(error(1_100, 0, 0), None);
        assert_eq!(requests_error(&before, &Counted::default(), 1, 1), None);
    }

    #[test]
    fn a_bucket_without_bounds_where_the_answers_are_tells_nothing() {
        for (over, up_to, tells) in [
            (0.5, 1.0, true),
            (0.0, 0.5, true),
            (0.0, f64::INFINITY, false),
            (1e-9, f64::INFINITY, false),
            (0.0, 10.0, false),
        ] {
            assert_eq!(Bucket { over, up_to }.tells(), tells, "{over} to {up_to}");
        }
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_of_what_was_counted_meanwhile() {
        let before = page(0, [90, 90, 90]);
        let after = page(0, [91, 99, 100]);
        assert_eq!(
            bucket_of(&before, &after, 0.5),
            Some(Bucket {
                over: 0.1,
                up_to: 0.5
            })
        );
        assert_eq!(
            bucket_of(&before, &after, 0.1),
            Some(Bucket {
                over: 0.0,
                up_to: 0.1
            })
        );
        let last = bucket_of(&before, &after, 0.95).unwrap();
        assert!(last.fits(7.0, 0.0) && !last.fits(0.4, 0.0));
        assert_eq!(bucket_of(&before, &before, 0.5), None);
        assert_eq!(bucket_of(&after, &before, 0.5), None);
        assert_eq!(bucket_of(&before, &page(0, [95, 93, 100]), 0.5), None);
        assert_eq!(bucket_of(&Counted::default(), &Counted::default(), 0.5), None);
    }

    #[test]
    fn a_time_fits_its_bucket_and_the_way_there_and_back() {
        let bucket = Bucket {
            over: 0.1,
            up_to: 0.5,
        };
        assert!(bucket.fits(0.3, 0.0) && bucket.fits(0.51, 0.02));
        assert!(!bucket.fits(0.53, 0.02) && !bucket.fits(0.1, 0.02));
    }
}
