//! What the commands that measure have in common: the course, the ground, one run from subject to pages.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::exit::Exit;
use super::simulate::available;
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::{Assignment, Course, CourseFiles};
use crate::evidence::{self, Bundle, Manifest, sha256_hex, write_whole};
use crate::grade::{Ground, Job, MEASURES, MeasureError, Subject, Tools, Turn, measure, scorecard};
use crate::incident::Incidents;
use crate::release::Release;
use crate::report;
use crate::repository::{checked_out_commit, container_file};
use crate::rubric::Rubric;
use crate::sandbox::{
    Bounds, Containers, Isolation, Leash, SERVICE_FILE, ServiceSpec, Surroundings, Workplace,
};
use crate::scorecard::{Audience, RubricRef, RunKind, Scorecard, Verdict, WorldRef};
use crate::world::World;

/// An assignment with everything that belongs to it.
#[derive(Debug)]
pub(super) struct Milestone {
    pub(super) assignment: Assignment,
    pub(super) incidents: Incidents,
    pub(super) assignment_sha256: String,
    pub(super) rubric: Rubric,
    pub(super) rubric_ref: RubricRef,
}

impl Milestone {
    pub(super) fn open(files: &CourseFiles, name: &str) -> Result<Self, Failure> {
        let (assignment, source) = files.assignment(name).map_err(|faults| {
            Failure::from(faults).hint(format!("assignments: {}", files.assignments().join(", ")))
        })?;
        // Another set of incidents is another measuring, as another workload is.
        let (incidents, disturbing) = files.incidents(name, &files.course()?)?;
        let mut asked = source.text;
        asked.extend(disturbing.map(|source| source.text));
        let assignment_sha256 = sha256_hex(asked.as_bytes());
        let (rubric, source) = files.rubric(&assignment.rubric, MEASURES)?;
        let sha256 = sha256_hex(source.text.as_bytes());
        let rubric_ref = RubricRef {
            id: rubric.id.clone(),
            version: rubric.version.clone(),
            sha256,
        };
        Ok(Self {
            assignment,
            incidents,
            assignment_sha256,
            rubric,
            rubric_ref,
        })
    }
}

/// Draws the course's world and plays its release.
pub(super) fn truth(course: &Course) -> (World, Release) {
    let threads = available();
    let world = World::new(&course.key, course.world, threads).with_habits(course.habits.clone());
    let release = Release::make(&world, &course.key, course.release, threads).with_troubles(
        &world,
        &course.key,
        &course.troubles,
    );
    (world, release)
}

/// Returns the world of an assignment that asks no service: none.
pub(super) fn no_world() -> WorldRef {
    WorldRef {
        users: 0,
        movies: 0,
        profile: String::new(),
        fingerprint: String::new(),
        practice: false,
    }
}

pub(super) fn world_ref(world: &World, practice: bool) -> WorldRef {
    let spec = world.spec();
    WorldRef {
        users: spec.users,
        movies: spec.movies,
        profile: spec.profile.name().to_owned(),
        fingerprint: world.fingerprint().to_owned(),
        practice,
    }
}

/// Returns how this program holds others: by itself, called with its hidden word.
pub(super) fn leash() -> Result<Leash, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::machine(format!("cannot find this program's own file: {error}")))?;
    Ok(Leash {
        program,
        words: vec![OsString::from("__leash")],
    })
}

/// Finds out how this machine isolates what others wrote.
pub(super) fn isolation(clock: Clock) -> Result<Isolation, Failure> {
    let home = home();
    let path = path();
    let around = Surroundings {
        path: &path,
        home: home.as_deref(),
    };
    Isolation::find(&leash()?.program, around, clock).map_err(|refusal| {
        Failure::machine(format!("cannot isolate what others wrote: {}", refusal.why)).hint(refusal.hint)
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command line hands down where programs are"
)]
pub(super) fn path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command line says what no sandbox may see"
)]
fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

/// How a submission's programs are kept from this machine, and how much of it they may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walls<'a> {
    pub(super) isolation: &'a Isolation,
    pub(super) bounds: Bounds,
}

/// The environment that a submission's programs get: where programs are, the language, the data; nothing else.
pub(super) fn environment(data: &Path) -> BTreeMap<String, String> {
    [
        ("PATH", path()),
        ("LANG", "C.UTF-8".to_owned()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ("REELWORLD_DATA", data.display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Reads how a repository is started; a missing or broken file is a fact about the repository, not an error of ours. Without walls
/// its programs run as the current user.
pub(super) fn repository(
    dir: &Path,
    home: PathBuf,
    data: &Path,
    walls: Option<Walls<'_>>,
    clock: Clock,
) -> Subject {
    let mut env = environment(data);
    let read = fs::read_to_string(dir.join(SERVICE_FILE));
    // Whoever says nothing and has a container file has said how the service is started.
    let alone = match &read {
        Err(error) if error.kind() == ErrorKind::NotFound => container_file(dir),
        _ => None,
    };
    let spec = match (read, alone) {
        (_, Some(file)) => Ok(ServiceSpec::in_container(file)),
        (Err(error), None) => Err(format!("{SERVICE_FILE} cannot be read: {error}")),
        (Ok(text), None) => ServiceSpec::parse(SERVICE_FILE, &text).map_err(|faults| faults.to_string()),
    };
    // Where no service is asked there is no data.
    let data = data.is_dir().then_some(data);
    if let Ok(spec) = &spec
        && spec.container.is_some()
    {
        let found = leash()
            .map_err(|failure| failure.message)
            .and_then(|leash| Containers::find(&leash.program, &path()));
        let containers = match found {
            Ok(containers) => containers,
            Err(why) => {
                let why = format!("its service runs in a container, and this machine has none: {why}");
                return Subject::Refused { why, ours: true };
            }
        };
        containers.adapt(&mut env);
        let bounds = walls.map_or_else(Bounds::default, |walls| walls.bounds);
        let place = Workplace {
            dir: dir.to_owned(),
            home,
            env,
            sandbox: Some(containers.sandbox(dir, data, bounds, Vec::new(), clock)),
        };
        return Subject::Repository(Box::new(spec.clone()), place);
    }
    let sandbox = walls.map(|walls| {
        walls.isolation.adapt(&mut env);
        walls
            .isolation
            .sandbox(dir, data, walls.bounds, Vec::new(), clock)
    });
    let place = Workplace {
        dir: dir.to_owned(),
        home,
        env,
        sandbox,
    };
    match spec {
        Ok(spec) => Subject::Repository(Box::new(spec), place),
        Err(faults) => Subject::Unstartable(faults, place),
    }
}

/// One run to do.
pub(super) struct Run<'a> {
    pub(super) name: &'a str,
    pub(super) source: String,
    pub(super) kind: RunKind,
    pub(super) subject: Subject,
    pub(super) ground: &'a Ground,
    /// The folder of the company's data, if a service is asked.
    pub(super) data: Option<PathBuf>,
    pub(super) world: WorldRef,
    pub(super) milestone: &'a Milestone,
    pub(super) seed: u64,
    pub(super) out: PathBuf,
}

/// What a run is stopped by, tells its steps to, and waits for.
#[derive(Clone, Copy)]
pub(super) struct Hands<'a> {
    pub(super) clock: Clock,
    pub(super) stop: &'a AtomicBool,
    pub(super) progress: &'a (dyn Fn(&str) + Sync),
    pub(super) turn: &'a Turn<'a>,
    /// What tells the files that were handed in from others.
    pub(super) identity: Option<&'a str>,
    /// What of them was left out.
    pub(super) left_out: &'a [String],
}

/// Measures one submission that has the machine to itself.
pub(super) fn run(run: Run<'_>, ui: &Ui, stop: &Stop, clock: Clock) -> Result<Scorecard, Failure> {
    let name = run.name.to_owned();
    let progress = |step: &str| ui.progress(format_args!("  {name}: {step}"));
    let hands = Hands {
        clock,
        stop: stop.flag(),
        progress: &progress,
        turn: &Turn::free(),
        identity: None,
        left_out: &[],
    };
    run_by(run, hands)
}

/// Measures, decides and writes the pages; nothing is lost when it is stopped.
pub(super) fn run_by(run: Run<'_>, hands: Hands<'_>) -> Result<Scorecard, Failure> {
    let leash = leash()?;
    let Hands { clock, .. } = hands;
    let tools = Tools {
        clock,
        stop: hands.stop,
        leash: &leash,
        progress: hands.progress,
        turn: hands.turn,
    };
    let commit = match &run.subject {
        Subject::Repository(_, place) | Subject::Unstartable(_, place) => checked_out_commit(&place.dir),
        Subject::Address(_) | Subject::Refused { .. } => None,
    };
    let manifest = Manifest {
        schema: evidence::SCHEMA.to_owned(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        kind: run.kind,
        milestone: run.milestone.assignment.id.clone(),
        submission: run.name.to_owned(),
        source: run.source,
        commit,
        identity: hands.identity.map(str::to_owned),
        left_out: hands.left_out.to_vec(),
        rubric: run.milestone.rubric_ref.clone(),
        world: run.world,
        seed: run.seed,
        assignment_sha256: run.milestone.assignment_sha256.clone(),
        deadline_ms: run.milestone.assignment.deadline.as_millis() as u64,
        machine: format!(
            "{} {}, {} processors",
            std::env::consts::OS,
            std::env::consts::ARCH,
            available()
        ),
        started_at: clock.stamp(),
    };
    let bundle = run.out.join("evidence");
    let job = Job {
        subject: run.subject,
        ground: run.ground,
        assignment: &run.milestone.assignment,
        incidents: &run.milestone.incidents,
        measures: run.milestone.rubric.measures(),
        data: run.data,
        path: path(),
        seed: run.seed,
        manifest,
        bundle: bundle.clone(),
    };
    match measure(&job, tools) {
        Ok(()) => {}
        Err(MeasureError::Interrupted) => {
            return Err(Failure {
                exit: Exit::Interrupted,
                message: "interrupted".to_owned(),
                hint: None,
            });
        }
        Err(MeasureError::Bundle(error)) => return Err(error.into()),
        Err(MeasureError::System(error)) => {
            return Err(Failure::machine(format!(
                "this machine refused while `{}` was measured: {error}",
                run.name
            )));
        }
    }
    let card = scorecard(
        &Bundle::read(&bundle)?,
        &run.milestone.rubric,
        run.milestone.rubric_ref.clone(),
    );
    write_pages(&card, &run.out)?;
    Ok(card)
}

/// Writes a card's pages beside its evidence.
pub(super) fn write_pages(card: &Scorecard, out: &Path) -> Result<(), Failure> {
    let audience = match card.kind {
        RunKind::Check => Audience::Student,
        RunKind::Grade => Audience::Staff,
    };
    write_whole(&out.join("report.json"), report::json(card, audience).as_bytes())?;
    write_whole(
        &out.join("report.html"),
        page(report::html(card, audience))?.as_bytes(),
    )?;
    write_whole(&out.join("junit.xml"), report::junit(card, audience).as_bytes())?;
    Ok(())
}

/// A page that cannot be made is our bug.
pub(super) fn page<E: std::fmt::Display>(made: Result<String, E>) -> Result<String, Failure> {
    made.map_err(|error| Failure::bug(format!("the page cannot be made: {error}")))
}

/// Returns the exit that cards stand for.
pub(super) fn exit_of(cards: &[Scorecard]) -> Exit {
    let any = |verdict: Verdict| {
        cards
            .iter()
            .any(|card| card.criteria.iter().any(|criterion| criterion.verdict == verdict))
    };
    if any(Verdict::Fail) {
        Exit::Failed
    } else if any(Verdict::NoVerdict) {
        Exit::NoVerdict
    } else {
        Exit::Passed
    }
}
