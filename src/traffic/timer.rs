//! A timer that keeps microseconds, because a runtime's own timer keeps milliseconds and so turns arrivals into bursts.

use std::io;
use std::time::Duration;

use crate::clock::Clock;

/// Waits for moments of a clock.
#[derive(Debug)]
pub(super) struct Timer {
    #[cfg(target_os = "linux")]
    inner: tokio::io::unix::AsyncFd<Descriptor>,
    clock: Clock,
}

impl Timer {
    #[cfg(target_os = "linux")]
    #[expect(
        deprecated,
        reason = "its successor is unsafe; here the descriptor lives as long as the timer that owns it"
    )]
    pub(super) fn new(clock: Clock) -> io::Result<Self> {
        use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        Ok(Self {
            inner: tokio::io::unix::AsyncFd::try_new(Descriptor(timer))?,
            clock,
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn new(clock: Clock) -> io::Result<Self> {
        Ok(Self { clock })
    }

    /// Waits until the clock shows this many nanoseconds.
    pub(super) async fn until(&self, at_ns: u64) -> io::Result<()> {
        let now = self.clock.elapsed_ns();
        if at_ns <= now {
            return Ok(());
        }
        self.wait(Duration::from_nanos(at_ns - now)).await
    }

    #[cfg(target_os = "linux")]
    async fn wait(&self, time: Duration) -> io::Result<()> {
        use nix::sys::time::TimeSpec;
        use nix::sys::timerfd::{Expiration, TimerSetTimeFlags};
        let timer = &self.inner.get_ref().0;
        timer.set(
            Expiration::OneShot(TimeSpec::from_duration(time)),
            TimerSetTimeFlags::empty(),
        )?;
        let mut guard = self.inner.readable().await?;
        // The expiry is read so that the descriptor is quiet again; a spurious wake-up only means an earlier look.
        let read = timer.wait();
        guard.clear_ready();
        match read {
            Ok(()) | Err(nix::errno::Errno::EAGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    async fn wait(&self, time: Duration) -> io::Result<()> {
        tokio::time::sleep(time).await;
        Ok(())
    }
}

/// The timer's descriptor, which the runtime watches by its number.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Descriptor(nix::sys::timerfd::TimerFd);

#[cfg(target_os = "linux")]
impl std::os::fd::AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        use std::os::fd::AsFd;
        self.0.as_fd().as_raw_fd()
    }
}
