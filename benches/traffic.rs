//! What the traffic costs and how punctual it is: an open-loop schedule at rising rates against a service in this process.
//!
//! `cargo bench --bench traffic` prints a line for each rate: how late we were ourselves, what a viewer would have waited,
//! and the processor time of the driving thread for each request. The service's own threads are not in that figure, though
//! on two cores they take what the driver does not. `--quick` sends for one second at each rate instead of five.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use reelworld::clock::Clock;
use reelworld::exchange::{Phase, Planned, RequestKind};
use reelworld::seed::Key;
use reelworld::stand_in::{Answers, StandIn};
use reelworld::traffic::{DriveOptions, Population, Target, Workload, drive, schedule};

/// Requests a second: a course's ordinary rate, its peak, and far beyond both.
const RATES: [f64; 5] = [40.0, 200.0, 1_000.0, 5_000.0, 10_000.0];
const DEADLINE: Duration = Duration::from_millis(800);
const USERS: u32 = 20_000;

fn main() -> io::Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let seconds = if quick { 1.0 } else { 5.0 };
    let ids: Vec<String> = (0..20).map(|number| format!("movie+{number}+2000")).collect();
    let catalogue: BTreeSet<String> = ids.iter().cloned().collect();
    let service = StandIn::start(Answers::Same(ids))?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:>8}  {:>8}  {:>9}  {:>22}  {:>22}  {:>10}  {:>5}",
        "rate", "requests", "in time", "our lateness p50/p99", "answered p50/p99", "processor", "conns"
    )?;
    for rate in RATES {
        let plan = plan(rate, seconds);
        let options = DriveOptions {
            target: Target {
                address: service.address(),
                host: service.address().to_string(),
                sockets: None,
            },
            deadline: DEADLINE,
            peak_rate: rate,
        };
        let mut times = Vec::with_capacity(plan.len());
        let before = processor_us();
        let report = drive(
            &plan,
            &options,
            &catalogue,
            Clock::start(),
            &AtomicBool::new(false),
            &mut |exchange| {
                if exchange.ids().is_some() {
                    times.push(exchange.latency_ns() as f64 / 1e6);
                }
                Ok::<(), io::Error>(())
            },
        )?;
        let processor = (processor_us() - before) / plan.len() as f64;
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
            times.get(place).copied().unwrap_or(f64::NAN)
        };
        let (late_p50, late_p99, _) = report.lateness_ms;
        writeln!(
            out,
            "{rate:>6}/s  {:>8}  {:>7.2} %  {late_p50:>9.3} / {late_p99:>7.3} ms  {:>9.3} / {:>7.3} ms  {processor:>7.1} µs  {:>5}{}",
            plan.len(),
            100.0
                * times
                    .iter()
                    .filter(|ms| **ms <= DEADLINE.as_millis() as f64)
                    .count() as f64
                / plan.len() as f64,
            at(0.5),
            at(0.99),
            report.connections,
            report
                .tainted
                .map_or_else(String::new, |why| format!("  ({why})")),
        )?;
    }
    Ok(())
}

/// A schedule as a grading run has it, all of it at one rate.
fn plan(rate: f64, seconds: f64) -> Vec<Planned> {
    let workload = Workload {
        warmup: (0.0, 1.0),
        steady: (seconds, rate),
        peak: (0.0, rate),
        odd_share: 0.0,
        new_share: 0.1,
        probes: 0,
    };
    let population = Population {
        known: (1..=USERS / 2).collect(),
        new: (USERS / 2 + 1..=USERS).collect(),
        max_user: USERS,
    };
    let plan = schedule(&workload, &population, &Key::from_seed(1).branch("traffic"));
    assert!(
        plan.iter()
            .all(|planned| planned.phase == Phase::Steady && planned.kind != RequestKind::Odd)
    );
    plan
}

/// Whose processor time is told: the driving thread's where the system tells threads apart, else the whole process's.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const WHO: UsageWho = UsageWho::RUSAGE_THREAD;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const WHO: UsageWho = UsageWho::RUSAGE_SELF;

fn processor_us() -> f64 {
    let usage = getrusage(WHO).expect("the system tells a thread of itself");
    (usage.user_time() + usage.system_time()).num_microseconds() as f64
}
