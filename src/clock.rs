//! The only reader of real time: monotonic instants for measuring, calendar time for stamping, and waiting.

use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};

/// A source of "now" that is handed to whoever needs one.
///
/// Monotonic times are nanoseconds since the clock was made; they never step, so that a difference is a duration.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts a clock at zero.
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is the one home of reading time"
    )]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Returns the nanoseconds since this clock was started.
    pub fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the time since this clock was started.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Returns the instant at which this clock was started, for timers that take an absolute time.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// Returns the calendar time now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is the one home of reading time"
    )]
    pub fn now_utc(&self) -> DateTime<Utc> {
        Utc::now()
    }

    /// Returns the calendar time now as RFC 3339 in whole seconds, the form every record of a run carries.
    pub fn stamp(&self) -> String {
        self.now_utc().to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// Waits for a time.
    #[expect(clippy::disallowed_methods, reason = "this module is the one home of waiting")]
    pub fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
