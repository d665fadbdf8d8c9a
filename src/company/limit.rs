//! Who has asked too often: a bucket of requests for each client, which fills steadily.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// How often a client may ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Requests a minute, steadily.
    pub per_minute: u32,
    /// Requests at once, after a pause.
    pub burst: u32,
}

impl Default for Limit {
    /// A catalogue of 27,000 movies in three quarters of an hour.
    fn default() -> Self {
        Self {
            per_minute: 600,
            burst: 100,
        }
    }
}

/// The most clients that are remembered. When there are more, those whose bucket is full are forgotten, and if that does
/// not help, all are: each begins with a full bucket again.
const MOST_CLIENTS: usize = 20_000;

/// The buckets of all clients.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: Limit,
    buckets: HashMap<IpAddr, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at_ns: u64,
}

impl Limiter {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limit,
            buckets: HashMap::new(),
        }
    }

    /// Takes one request of a client.
    ///
    /// # Errors
    /// The whole seconds after which there is one again.
    pub(super) fn take(&mut self, client: IpAddr, now_ns: u64) -> Result<(), u64> {
        let limit = self.limit;
        if self.buckets.len() >= MOST_CLIENTS {
            self.buckets
                .retain(|_, bucket| bucket.level(limit, now_ns) < f64::from(limit.burst));
            if self.buckets.len() >= MOST_CLIENTS {
                self.buckets.clear();
            }
        }
        let bucket = self.buckets.entry(network(client)).or_insert(Bucket {
            left: f64::from(limit.burst),
            at_ns: now_ns,
        });
        bucket.left = bucket.level(limit, now_ns);
        bucket.at_ns = now_ns;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let seconds = (1.0 - bucket.left) * 60.0 / f64::from(limit.per_minute.max(1));
        Err(seconds.ceil() as u64)
    }
}

impl Bucket {
    fn level(&self, limit: Limit, now_ns: u64) -> f64 {
        let minutes = now_ns.saturating_sub(self.at_ns) as f64 / 60e9;
        (self.left + minutes * f64::from(limit.per_minute)).min(f64::from(limit.burst))
    }
}

/// Returns who counts as one client: an address, or a network of the newer family, as one machine has a whole one.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(older) => IpAddr::V4(older),
            None => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn a_client_gets_its_burst_then_its_rate_and_others_are_not_touched() {
        let mut limiter = Limiter::new(Limit {
            per_minute: 60,
            burst: 3,
        });
        for _ in 0..3 {
            assert_eq!(limiter.take(client(1), 0), Ok(()));
        }
        assert_eq!(limiter.take(client(1), 0), Err(1));
        assert_eq!(limiter.take(client(2), 0), Ok(()));
        assert_eq!(limiter.take(client(1), 999_000_000), Err(1));
        assert_eq!(limiter.take(client(1), 1_000_000_001), Ok(()));
    }

    #[test]
    fn a_network_of_the_newer_family_is_one_client() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }

    #[test]
    fn clients_without_number_do_not_fill_the_memory() {
        let mut limiter = Limiter::new(Limit::default());
        for number in 0..3 * MOST_CLIENTS as u32 {
            assert_eq!(limiter.take(client(number), u64::from(number)), Ok(()));
        }
        assert!(limiter.buckets.len() <= MOST_CLIENTS);
    }

    proptest! {
        #[test]
        fn no_client_gets_more_than_burst_and_rate(gaps_ms in proptest::collection::vec(0_u64..3_000, 1..80)) {
            let limit = Limit { per_minute: 120, burst: 5 };
            let mut limiter = Limiter::new(limit);
            let (mut now, mut given) = (0, 0);
            for gap in gaps_ms {
                now += gap * 1_000_000;
                if limiter.take(client(9), now).is_ok() {
                    given += 1;
                }
            }
            prop_assert!(f64::from(given) <= 5.0 + now as f64 / 60e9 * 120.0 + 1e-6);
        }
    }
}
