//! What the API was asked and what it answered, in the form that Prometheus reads.

use std::collections::BTreeMap;
use std::time::Duration;

use super::records::Route;

/// Requests since the company opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    by_status: BTreeMap<(Route, u16), u64>,
    delayed: u64,
    delay: Duration,
}

impl Counts {
    pub(super) fn add(&mut self, route: Route, status: u16, wait: Duration) {
        *self.by_status.entry((route, status)).or_default() += 1;
        if !wait.is_zero() {
            self.delayed += 1;
            self.delay += wait;
        }
    }

    /// Returns how many requests of a route ended with a status.
    pub fn of(&self, route: Route, status: u16) -> u64 {
        self.by_status.get(&(route, status)).copied().unwrap_or(0)
    }

    /// Returns how many requests there were.
    pub fn total(&self) -> u64 {
        self.by_status.values().sum()
    }

    /// Appends the figures in Prometheus' text format.
    pub fn expose(&self, out: &mut String) {
        out.push_str("# HELP reelworld_api_requests_total Requests to the company's API.\n");
        out.push_str("# TYPE reelworld_api_requests_total counter\n");
        for ((route, status), count) in &self.by_status {
            let route = route.name();
            out.push_str(&format!(
                "reelworld_api_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}\n"
            ));
        }
        out.push_str("# HELP reelworld_api_delayed_total Requests that a fault made wait.\n");
        out.push_str("# TYPE reelworld_api_delayed_total counter\n");
        out.push_str(&format!("reelworld_api_delayed_total {}\n", self.delayed));
        out.push_str("# HELP reelworld_api_delay_seconds_total Time for which faults made requests wait.\n");
        out.push_str("# TYPE reelworld_api_delay_seconds_total counter\n");
        out.push_str(&format!(
            "reelworld_api_delay_seconds_total {}\n",
            self.delay.as_secs_f64()
        ));
    }
}
