//! `simulate`: the company's stream to a file, to the terminal or to nowhere, with counts and times.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::num::NonZero;
use std::path::Path;

use serde_json::json;

use super::args::Simulate;
use super::exit::Exit;
use super::log;
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::CourseFiles;
use crate::seed::Key;
use crate::sim::{self, Played, SimulateSpec};
use crate::stream::{Place, Publisher};
use crate::trouble::{AnswerKey, LineFaults, Plan, StreamScene, StreamTroubles};
use crate::world::{Profile, World, WorldSpec};

/// Why the stream ended before its time.
enum Ended {
    Interrupted,
    Reader,
    Disk(io::Error),
    /// The answer key cannot be written.
    Key(String),
}

pub(super) fn run(
    args: &Simulate,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    let threads = args.threads.map_or_else(available, usize::from);
    let key = Key::from_seed(args.seed);
    let play = SimulateSpec {
        start: sim::term_start(),
        hours: args.hours,
        threads,
    };
    let spec = WorldSpec {
        users: args.users,
        movies: args.movies,
        profile: Profile::Classic,
    };
    let world = World::new(&key, spec, threads);
    let plan = plan(args, files, play)?;
    let world_s = clock.elapsed().as_secs_f64();
    let to_stdout = args.to.is_none() && args.out.as_os_str() == "-";
    let mut out: Option<Box<dyn Write>> = match args.out.as_os_str() {
        _ if args.to.is_some() => Some(Box::new(Published::open(args, clock)?)),
        name if name == "null" => None,
        name if name == "-" => Some(Box::new(io::stdout().lock())),
        _ => {
            let file = File::create(&args.out).map_err(|error| {
                Failure::machine(format!("cannot write `{}`: {error}", args.out.display()))
            })?;
            Some(Box::new(BufWriter::with_capacity(1 << 20, file)))
        }
    };
    let played = tell(
        &world,
        &key,
        &plan,
        play,
        args.truth.as_deref(),
        &mut |text: &[u8]| {
            if stop.is_set() {
                return Err(Ended::Interrupted);
            }
            let Some(out) = &mut out else { return Ok(()) };
            out.write_all(text).map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Ended::Reader,
                _ => Ended::Disk(error),
            })
        },
    );
    let flushed = out.as_mut().map_or(Ok(()), Write::flush);
    let played = match played {
        Ok(played) => played,
        Err(Ended::Interrupted) => return Ok(Exit::Interrupted),
        Err(Ended::Reader) => return Ok(Exit::Passed),
        Err(Ended::Key(why)) => return Err(Failure::machine(why)),
        Err(Ended::Disk(error)) => {
            return Err(Failure::machine(format!(
                "cannot write `{}`: {error}",
                target(args)
            )));
        }
    };
    flushed.map_err(|error| Failure::machine(format!("cannot write `{}`: {error}", target(args))))?;
    let seconds = clock.elapsed().as_secs_f64();
    let sim_s = seconds - world_s;
    let rate = played.events as f64 / sim_s.max(1e-9);
    let text = if args.json {
        let report = json!({
            "users": args.users, "movies": args.movies, "hours": args.hours, "seed": args.seed, "threads": threads,
            "events": played.events, "watch": played.watch, "rate": played.rate, "recommend": played.recommend,
            "create_account": played.create_account, "bytes": played.bytes,
            "world_s": world_s, "simulate_s": sim_s, "total_s": seconds, "events_per_s": rate,
        });
        format!("{report:#}\n")
    } else {
        format!(
            "{} events in {sim_s:.2} s ({rate:.0} a second): {} minutes watched, {} ratings, {} requests; the world took {world_s:.2} s\n",
            played.events, played.watch, played.rate, played.recommend
        )
    };
    if to_stdout {
        ui.progress(format_args!("{}", text.trim_end()));
    } else {
        ui.data(&text)
            .map_err(|error| Failure::machine(error.to_string()))?;
    }
    Ok(Exit::Passed)
}

/// Returns the name of where the lines go.
fn target(args: &Simulate) -> String {
    args.to.clone().unwrap_or_else(|| args.out.display().to_string())
}

/// A topic that whole lines are written to; those that it has are passed over.
///
/// The same seed gives the same lines, so that what was interrupted goes on when the same command is given again.
struct Published {
    publisher: Box<dyn Publisher>,
    /// The lines that are there already.
    passed: u64,
    there: u64,
    clock: Clock,
}

impl Published {
    fn open(args: &Simulate, clock: Clock) -> Result<Self, Failure> {
        let place = Place::parse(args.to.as_deref().unwrap_or_default()).map_err(log::failure)?;
        let publisher = place.publisher(0, clock).map_err(log::failure)?;
        Ok(Self {
            there: publisher.next_seq(),
            passed: 0,
            publisher,
            clock,
        })
    }
}

impl Write for Published {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let now_ms = self.clock.now_utc().timestamp_millis();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if self.passed < self.there {
                self.passed += 1;
                continue;
            }
            self.publisher.publish(now_ms, line).map_err(io::Error::other)?;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.publisher.sync().map_err(io::Error::other)
    }
}

/// Returns the troubles of the course that begin within the stream.
fn plan(args: &Simulate, files: &CourseFiles, play: SimulateSpec) -> Result<Plan, Failure> {
    if args.clean {
        return Ok(Plan::default());
    }
    let plan = files.course()?.troubles.within(play);
    if let Some(line) = plan.last_line().filter(|line| *line > args.movies) {
        return Err(Failure::usage(format!(
            "the course's troubles name line {line} of the catalogue, and --movies is {}",
            args.movies
        ))
        .hint("ask for as many movies as the course has, or leave its troubles out with --clean"));
    }
    Ok(plan)
}

/// Plays the stream with its troubles and writes their answer key; without any, nothing stands between it and the sink.
fn tell(
    world: &World,
    key: &Key,
    plan: &Plan,
    play: SimulateSpec,
    truth: Option<&Path>,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Ended>,
) -> Result<Played, Ended> {
    let (lives, branch) = (key.branch("sim"), key.branch("trouble"));
    if plan.is_empty() && truth.is_none() {
        return sim::simulate(world, &lives, play, sink);
    }
    let scene = StreamScene::survey(plan, world, &lives, &branch, play);
    let history = |user| scene.history(user);
    let troubles = StreamTroubles::new(plan, &scene, &history);
    let mut faults = LineFaults::new(plan, world, &branch, play.start, scene.days());
    let played = if plan.has_faults() {
        let mut out = Vec::new();
        let played = sim::simulate_told(world, &lives, play, &troubles, &mut |text: &[u8]| {
            out.clear();
            faults.push_text(text, &mut out);
            sink(&out)
        })?;
        out.clear();
        faults.finish(&mut out);
        sink(&out)?;
        played
    } else {
        sim::simulate_told(world, &lives, play, &troubles, sink)?
    };
    let mut truths = troubles.truths();
    truths.extend(faults.truths());
    let log = (play.start, scene.days(), troubles.viewings());
    let key = AnswerKey::new(world, true, log, truths);
    if let Some(path) = truth {
        let text = serde_json::to_string_pretty(&key).map_err(|error| Ended::Key(error.to_string()))?;
        fs::write(path, text + "\n")
            .map_err(|error| Ended::Key(format!("cannot write `{}`: {error}", path.display())))?;
    }
    Ok(played)
}

/// Returns the number of processors that this process may use.
pub(super) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}
