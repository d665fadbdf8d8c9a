//! `demo`: the whole loop on this machine, with nothing to set up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use include_dir::{Dir, include_dir};

use super::args::Demo;
use super::exit::Exit;
use super::grade::show_class;
use super::run::{Milestone, Run, repository, run, truth, world_ref};
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::{CourseFiles, Framework};
use crate::grade::{Ground, Subject};
use crate::release::Release;
use crate::scorecard::{RunKind, Scorecard, Verdict};
use crate::stand_in::{Answers, StandIn};
use crate::starter::{Seat, Starter};
use crate::traffic::Target;
use crate::world::World;

static SERVICES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/fixtures/services");

/// The services of the zoo that the demo shows, beside the starter.
const SHOWN: [&str; 3] = ["good", "random", "error_sentence"];
/// What marks a folder as an earlier demo's, so that it may be replaced.
const MARK: &str = ".reelworld-demo";

pub(super) fn demo(
    args: &Demo,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    prepare(&args.out)?;
    let out = fs::canonicalize(&args.out).map_err(|error| Failure::machine(error.to_string()))?;
    let mut milestone = Milestone::open(files, "m1")?;
    shorten(&mut milestone);
    let course = files.course()?;
    let (world, release) = truth(&course);
    ui.progress(format_args!(
        "a world of {} users and {} movies after {:.1} s; {} users released {} viewings",
        course.world.users,
        course.world.movies,
        clock.elapsed().as_secs_f64(),
        release.users.len(),
        release.viewings.len()
    ));
    let python = !args.no_python && has_python();
    if !python {
        ui.progress(format_args!(
            "no Python is used: services that are built into this program stand in"
        ));
    }
    let text = files.handout("m1")?;
    let starter = Starter::open(
        files,
        "m1",
        Framework::Plain,
        (&milestone.rubric, &text),
        (&world, &release),
    )
    .map_err(|error| Failure::machine(error.to_string()))?;
    let seat = Seat {
        name: "starter".to_owned(),
        number: None,
        port: milestone.assignment.port,
        address: None,
    };
    let work = out.join("submissions");
    starter
        .write(&work.join("starter"), &seat, &BTreeMap::new(), clock.now_utc())
        .map_err(|error| Failure::machine(error.to_string()))?;
    let data = work.join("starter").join("data");
    for name in SHOWN {
        unpack(name, &work.join(name))?;
    }
    let stand_ins = if python {
        BTreeMap::new()
    } else {
        stand_ins(&world, &release)?
    };
    let reference = world_ref(&world, course.practice);
    let ground = Ground::Truth {
        world: Arc::new(world),
        release,
    };
    let mut cards: Vec<Scorecard> = Vec::new();
    for name in ["starter"].into_iter().chain(SHOWN) {
        ui.progress(format_args!("{name}"));
        let subject = match stand_ins.get(name) {
            Some(service) => Subject::Address(Target::local(service.address())),
            None => repository(&work.join(name), out.join("home").join(name), &data, None, clock),
        };
        let one = Run {
            name,
            source: format!("submissions/{name}"),
            kind: RunKind::Grade,
            subject,
            ground: &ground,
            data: Some(data.clone()),
            world: reference.clone(),
            milestone: &milestone,
            seed: args.seed,
            out: out.join(name),
        };
        cards.push(run(one, ui, stop, clock)?);
    }
    show_class((&cards, &[]), &out, "reelworld demo", args.json, ui)?;
    ui.progress(format_args!(
        "the demo took {:.0} s",
        clock.elapsed().as_secs_f64()
    ));
    expected(&cards)
}

/// A demo is a tour: four services in a minute and a half, so each is asked for less long than in a grade, though faster:
/// the 99th percentile needs some 460 requests. What needs two thousand answers stays without a verdict, and says so.
fn shorten(milestone: &mut Milestone) {
    if let Some(workload) = &mut milestone.assignment.workload {
        workload.steady = (workload.steady.0.min(9.0), workload.steady.1.max(60.0));
        workload.peak.0 = workload.peak.0.min(3.0);
        workload.probes = workload.probes.min(150);
    }
    milestone.assignment.limits.ready = milestone
        .assignment
        .limits
        .ready
        .min(std::time::Duration::from_secs(20));
}

/// The demo knows what its services must earn: anything else is a fault of ours or of this machine.
fn expected(cards: &[Scorecard]) -> Result<Exit, Failure> {
    let verdict = |name: &str, id: &str| {
        let card = cards.iter().find(|card| card.submission == name)?;
        card.criteria
            .iter()
            .find(|criterion| criterion.id == id)
            .map(|criterion| criterion.verdict)
    };
    let wanted = [
        ("good", "m1.accuracy.beats_popular", Verdict::Pass),
        ("starter", "m1.answers.valid", Verdict::Pass),
        ("random", "m1.stream.personalised", Verdict::Fail),
        ("error_sentence", "m1.service.starts", Verdict::Fail),
    ];
    for (name, id, verdict_wanted) in wanted {
        if verdict(name, id) != Some(verdict_wanted) {
            let found = verdict(name, id);
            return Err(Failure::machine(format!(
                "`{name}` should have earned {verdict_wanted:?} on `{id}`, found {found:?}"
            ))
            .hint("if this machine is very busy, run the demo again; otherwise this is a bug"));
        }
    }
    Ok(Exit::Passed)
}

fn prepare(out: &Path) -> Result<(), Failure> {
    let refused =
        |error: std::io::Error| Failure::machine(format!("cannot use `{}`: {error}", out.display()));
    if out.join(MARK).is_file() {
        fs::remove_dir_all(out).map_err(refused)?;
    }
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(
            Failure::usage(format!("`{}` is not empty and no earlier demo's", out.display()))
                .hint("name another folder with --out"),
        );
    }
    fs::create_dir_all(out).map_err(refused)?;
    fs::write(out.join(MARK), "a demo may replace this folder\n").map_err(refused)
}

fn has_python() -> bool {
    Command::new("python3")
        .args(["-c", "import sys; sys.exit(sys.version_info < (3, 9))"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn unpack(name: &str, to: &Path) -> Result<(), Failure> {
    let missing = || Failure {
        exit: Exit::Bug,
        message: format!("the service `{name}` is not built in"),
        hint: None,
    };
    fs::create_dir_all(to).map_err(|error| Failure::machine(error.to_string()))?;
    for file in SERVICES.get_dir(name).ok_or_else(missing)?.files() {
        let own = file.path().file_name().ok_or_else(missing)?;
        fs::write(to.join(own), file.contents()).map_err(|error| Failure::machine(error.to_string()))?;
    }
    Ok(())
}

/// Builds the stand-ins from what was released alone, as a team would have to.
fn stand_ins(world: &World, release: &Release) -> Result<BTreeMap<&'static str, StandIn>, Failure> {
    let id = |place: usize| world.movie(crate::world::MovieIndex(place as u32)).id.clone();
    let popular: Vec<String> = release.popular().into_iter().take(20).map(id).collect();
    let all: Vec<String> = world
        .movie_indices()
        .map(|index| world.movie(index).id.clone())
        .collect();
    let personal = crate::grade::neighbours(release)
        .into_iter()
        .map(|(user, list)| (user, list.into_iter().map(id).collect()))
        .collect();
    let kinds = [
        ("starter", Answers::Same(popular.clone())),
        ("good", Answers::Personal(personal, popular)),
        ("random", Answers::Random(all)),
        (
            "error_sentence",
            Answers::Sentence("Error: can only join an iterable".to_owned()),
        ),
    ];
    kinds
        .into_iter()
        .map(|(name, answers)| {
            let service = StandIn::start(answers)
                .map_err(|error| Failure::machine(format!("cannot listen on the loopback: {error}")))?;
            Ok((name, service))
        })
        .collect()
}
