//! How fast a world stands, the company's stream runs, and the best movies of a user are found: a million users, 27,000 movies.
//!
//! `cargo bench --bench simulate` prints one line for each number of threads, and the ratio of the two rates, which
//! says more on a strange machine than the rates themselves. `--quick` plays a hundredth of the company. The first line of
//! a stream needs four hours of company time played before it, which a short stream pays for as well as a long one.
//!
//! `cargo bench --bench simulate -- --plot docs/design/cost-per-event.svg` measures companies of five sizes instead and draws
//! what an event costs in each.

use std::convert::Infallible;
use std::io::{self, Write};
use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use plotters::prelude::*;
use reelworld::clock::Clock;
use reelworld::seed::Key;
use reelworld::sim::{self, Played, SimulateSpec};
use reelworld::world::{Profile, World, WorldSpec};

/// The company at the size of the real course.
const USERS: u32 = 1_000_000;
const MOVIES: u32 = 27_000;
/// Company time that is played: the evening, when there is most to write.
const FIRST_HOUR: i64 = 20;
const HOURS: f64 = 3.0;
/// Users whose best movies are asked for, and how many of them.
const ASKED: u32 = 10_000;
const BEST: usize = 20;
/// The companies that are compared, and how often each is played: the quickest run counts, as a busy machine only adds.
const SIZES: [u32; 5] = [10_000, 30_000, 100_000, 300_000, 1_000_000];
const PLAYED: usize = 3;

struct Run {
    world_s: f64,
    stream_s: f64,
    stream_cpu_s: f64,
    played: Played,
}

fn main() -> io::Result<()> {
    let plot = std::env::args()
        .skip_while(|argument| argument != "--plot")
        .nth(1);
    if let Some(path) = plot {
        return plot_costs(Path::new(&path));
    }
    let quick = std::env::args().any(|argument| argument == "--quick");
    let users = if quick { USERS / 100 } else { USERS };
    let mut out = io::stdout().lock();
    writeln!(out, "{users} users, {MOVIES} movies, {HOURS} h of company time")?;
    let mut rates = Vec::new();
    let mut counts = Vec::new();
    for threads in [1, 2] {
        let run = run(users, threads);
        let rate = run.played.events as f64 / run.stream_s;
        writeln!(
            out,
            "{threads} thread(s): world {:.2} s; {} events, {:.1} MB in {:.2} s: {:.0} events a second, {:.0} a second of processor",
            run.world_s,
            run.played.events,
            run.played.bytes as f64 / 1e6,
            run.stream_s,
            rate,
            run.played.events as f64 / run.stream_cpu_s
        )?;
        rates.push(rate);
        counts.push(run.played);
    }
    assert_eq!(
        counts[0], counts[1],
        "the stream depends on the number of threads"
    );
    writeln!(
        out,
        "2 threads to 1: {:.2} times the events a second",
        rates[1] / rates[0]
    )?;
    let (best_s, best_cpu_s) = best(users);
    writeln!(
        out,
        "the best {BEST} movies for each of {} users, one thread: {best_s:.2} s, {best_cpu_s:.2} s of processor",
        ASKED.min(users)
    )?;
    if let Some(peak) = peak_kib() {
        writeln!(out, "peak resident memory: {} MiB", peak / 1024)?;
    }
    Ok(())
}

fn world(users: u32, threads: usize) -> (Key, World) {
    let key = Key::from_seed(1);
    let spec = WorldSpec {
        users,
        movies: MOVIES,
        profile: Profile::Classic,
    };
    let world = World::new(&key, spec, threads);
    (key, world)
}

/// Finds the best movies of many users, and returns the seconds and the seconds of processor that it took.
fn best(users: u32) -> (f64, f64) {
    let (_, world) = world(users, 2);
    let moment = world.habits().moment(0.0);
    let (clock, cpu_s) = (Clock::start(), processor_s());
    let asked: Vec<_> = world.user_ids().take(ASKED as usize).collect();
    std::hint::black_box(world.best(&asked, &moment, BEST));
    (clock.elapsed().as_secs_f64(), processor_s() - cpu_s)
}

/// Measures what an event costs in companies of several sizes, prints it and draws it.
fn plot_costs(path: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut costs = Vec::new();
    for users in SIZES {
        let runs = (0..PLAYED).map(|_| {
            let run = run(users, 1);
            run.stream_cpu_s / run.played.events as f64 * 1e9
        });
        let cost = runs.fold(f64::INFINITY, f64::min);
        writeln!(out, "{users} users: {cost:.0} ns of processor an event")?;
        costs.push((f64::from(users), cost));
    }
    let fault = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
    let most = costs.iter().map(|(_, cost)| *cost).fold(0.0, f64::max) * 1.2;
    let area = SVGBackend::new(path, (720, 360)).into_drawing_area();
    area.fill(&WHITE).map_err(|error| fault(&error))?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d((8_000.0..1_250_000.0_f64).log_scale(), 0.0..most)
        .map_err(|error| fault(&error))?;
    chart
        .configure_mesh()
        .x_desc("users")
        .y_desc("ns of processor for an event, one thread")
        .x_label_formatter(&|users| format!("{users:.0}"))
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(|error| fault(&error))?;
    let points = costs.iter().copied();
    chart
        .draw_series(LineSeries::new(points.clone(), BLUE.stroke_width(2)))
        .map_err(|error| fault(&error))?;
    chart
        .draw_series(points.map(|point| Circle::new(point, 4, BLUE.filled())))
        .map_err(|error| fault(&error))?;
    area.present().map_err(|error| fault(&error))
}

fn run(users: u32, threads: usize) -> Run {
    let clock = Clock::start();
    let (key, world) = world(users, threads);
    let world_s = clock.elapsed().as_secs_f64();
    let cpu_s = processor_s();
    let play = SimulateSpec {
        start: sim::term_start().plus_seconds(FIRST_HOUR * 3600),
        hours: HOURS,
        threads,
    };
    let played = sim::simulate(&world, &key.branch("sim"), play, &mut |text: &[u8]| {
        std::hint::black_box(text);
        Ok::<(), Infallible>(())
    });
    let Ok(played) = played;
    Run {
        world_s,
        stream_s: clock.elapsed().as_secs_f64() - world_s,
        stream_cpu_s: processor_s() - cpu_s,
        played,
    }
}

/// The processor time that this process has used, all threads together: what a busy machine does not stretch.
fn processor_s() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the system tells a process of itself");
    let time = usage.user_time() + usage.system_time();
    time.num_microseconds() as f64 / 1e6
}

/// The most memory that this process ever held, where the system tells (Linux).
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
