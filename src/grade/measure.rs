//! Measuring one submission: build, start, ask, look at what came back, end; each step is evidence as it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::asking::{Asked, ask_and_disturb, ask_around, beside, push};
use super::beside::Beside;
use super::evaluation::evaluate;
use super::image::image;
use super::newcomers;
use super::observe::{self, Wanted};
use super::turn::{Kind, Stopped, Turn};
use crate::clock::Clock;
use crate::course::Assignment;
use crate::evidence::{
    BundleError, CatalogueFacts, ClaimFacts, EnjoymentScore, ImageFacts, IsolationNote, Item, Manifest,
    ObservedScore, ReportText, SplitFacts, StageEnd, UserScore, Writer,
};
use crate::exchange::{Catalogue, Exchange, Outcome, Phase, RequestKind};
use crate::incident::Incidents;
use crate::metrics::accuracy::{expected_enjoyment, most_popular, oracle};
use crate::metrics::ranking::{self, Grades};
use crate::mirror::{self, Fetched};
use crate::release::{ReadRelease, Release, groups};
use crate::repository::{CoverageFacts, FileFacts, HistoryFacts, LookFor, Looks};
use crate::sandbox::{
    BuildEnd, CommandLine, Exit, Leash, Limits, Lost, ObserveSpec, Probe, Running, ServiceSpec, Start,
    StartFailure, Unbuilt, Workplace, build_with_mirror, start,
};
use crate::scorecard::RunKind;
use crate::seed::Key;
use crate::traffic::{Population, Sockets, Target, Workload, ask_once};
use crate::world::{OF_AGE, Profile, UserId, World};

/// What is measured.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A service that is running already.
    Address(Target),
    /// A repository: its folder's environment and how it says it is started.
    Repository(Box<ServiceSpec>, Workplace),
    /// A repository whose `reelworld.toml` is missing or broken, with the text of its faults: its files can be looked at.
    Unstartable(String, Workplace),
    /// What was handed in could not be taken: it goes beyond a limit, or the fault is ours.
    Refused {
        /// The reason.
        why: String,
        /// Whether the fault is this machine's or ours, so that nothing may be charged to the team.
        ours: bool,
    },
}

/// What the grader knows of the world.
#[derive(Debug)]
pub enum Ground {
    /// The truth: the world, and what was released of it.
    Truth {
        /// The world.
        world: Arc<World>,
        /// The release.
        release: Release,
    },
    /// What a student has: the released data.
    Released(ReadRelease),
    /// Nothing: the assignment asks no service.
    Nothing,
}

impl Catalogue for Ground {
    fn holds(&self, id: &str) -> bool {
        self.place(id).is_some()
    }
}

/// The places in a list that count.
const K: usize = 20;
/// The most users without history that the schedule draws from.
const NEW_USERS: usize = 2_000;
/// The time that one probe of the real route may take.
const PROBE: Duration = Duration::from_secs(3);

impl Ground {
    /// Returns the place of a movie in the catalogue.
    fn place(&self, id: &str) -> Option<usize> {
        match self {
            Self::Truth { world, .. } => world.movie_index(id).map(|index| index.0 as usize),
            Self::Released(release) => release.movies.iter().position(|movie| movie == id),
            Self::Nothing => None,
        }
    }

    pub(super) fn population(&self) -> Population {
        match self {
            Self::Truth { world, release } => {
                let known: Vec<u32> = release.users.iter().map(|id| id.0).collect();
                Population {
                    new: others(&known, world.spec().users),
                    known,
                    max_user: world.spec().users,
                }
            }
            Self::Released(release) => {
                let known: Vec<u32> = release.users.keys().copied().collect();
                Population {
                    new: others(&known, release.company_users),
                    known,
                    max_user: release.company_users,
                }
            }
            Self::Nothing => Population {
                known: Vec::new(),
                new: Vec::new(),
                max_user: 0,
            },
        }
    }
}

/// Returns users who are not among the known, spread over all numbers.
fn others(known: &[u32], users: u32) -> Vec<u32> {
    let set: BTreeSet<u32> = known.iter().copied().collect();
    let step = (users as usize / (NEW_USERS * 2)).max(1);
    (1..=users)
        .step_by(step)
        .filter(|user| !set.contains(user))
        .take(NEW_USERS)
        .collect()
}

/// What measuring needs of this process.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// The clock.
    pub clock: Clock,
    /// The flag that stops the run.
    pub stop: &'a AtomicBool,
    /// How programs are held.
    pub leash: &'a Leash,
    /// Told of each step.
    pub progress: &'a (dyn Fn(&str) + Sync),
    /// When which step may be done.
    pub turn: &'a Turn<'a>,
}

impl Tools<'_> {
    fn take(self, kind: Kind) -> Result<(), MeasureError> {
        if self.turn.shared() {
            (self.progress)("waits for its turn");
        }
        Ok(self.turn.take(kind, self.stop)?)
    }
}

/// One measuring to do.
#[derive(Debug)]
pub struct Job<'a> {
    /// What is measured.
    pub subject: Subject,
    /// What we know.
    pub ground: &'a Ground,
    /// What is asked.
    pub assignment: &'a Assignment,
    /// What goes wrong while it is asked.
    pub incidents: &'a Incidents,
    /// The measures that the rubric names: what goes beyond the traffic is looked at only if it is wanted.
    pub measures: BTreeSet<String>,
    /// The folder of the company's data, if a service is asked.
    pub data: Option<PathBuf>,
    /// Where this machine's own programs are, separated by colons.
    pub path: String,
    /// The seed of the traffic.
    pub seed: u64,
    /// What the bundle is about.
    pub manifest: Manifest,
    /// The bundle's folder.
    pub bundle: PathBuf,
}

/// Why measuring could not be done: always ours or the machine's.
#[derive(Debug)]
pub enum MeasureError {
    /// The evidence can't be written.
    Bundle(BundleError),
    /// The system refused something.
    System(io::Error),
    /// The flag was set; the bundle is valid and incomplete.
    Interrupted,
}

impl fmt::Display for MeasureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(error) => error.fmt(f),
            Self::System(error) => error.fmt(f),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for MeasureError {}

impl From<BundleError> for MeasureError {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

impl From<Stopped> for MeasureError {
    fn from(_: Stopped) -> Self {
        Self::Interrupted
    }
}

impl From<io::Error> for MeasureError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Measures one submission into its bundle.
///
/// # Errors
/// When the evidence can't be written, the machine refuses, or the run is stopped. How the submission fares is no error.
pub fn measure(job: &Job<'_>, tools: Tools<'_>) -> Result<(), MeasureError> {
    let begun = tools.clock.elapsed();
    let mut bundle = Writer::begin(&job.bundle, &job.manifest)?;
    let measured = measure_into(&mut bundle, job, tools);
    if let Err(MeasureError::System(error)) = &measured
        && let Some(lost) = Lost::of(error)
    {
        let why = lost.to_string();
        bundle.append(&Item::Lost { why })?;
    }
    measured?;
    bundle.finish((tools.clock.elapsed() - begun).as_secs_f64())?;
    Ok(())
}

fn measure_into(bundle: &mut Writer, job: &Job<'_>, tools: Tools<'_>) -> Result<(), MeasureError> {
    let wanted = Wanted::of(&job.measures);
    let workload = job.assignment.workload.as_ref();
    let asked = match (&job.subject, workload) {
        (Subject::Address(target), Some(workload)) => {
            // Where it tells of itself we do not know, so nothing of that is asked, and nothing is held against it.
            let answers = reach(job, target, bundle)?;
            let observe = ObserveSpec::default();
            let asked = Asked {
                target,
                observe: &observe,
                takedown: None,
                company: None,
                update: None,
            };
            answers
                .then(|| ask_and_disturb(job, workload, wanted, &asked, tools, bundle))
                .transpose()?
        }
        (Subject::Address(_), None) => None,
        (Subject::Repository(spec, place), _) => {
            let container = look_at_files(job, wanted, (Some(spec), place), tools, bundle)?;
            build_image(job, wanted, (container.as_deref(), place), tools, bundle)?;
            let (company, place) = &beside(job, wanted, place, tools)?;
            let asked = match workload {
                Some(workload) => {
                    let company = company.as_ref();
                    run_service(job, workload, wanted, (spec, place, company), tools, bundle)?
                }
                None => None,
            };
            run_tests(job, wanted, (Ok(spec), place), tools, bundle)?;
            run_further(job, wanted, (Some(spec), place), tools, bundle)?;
            asked
        }
        (Subject::Unstartable(faults, place), _) => {
            let container = look_at_files(job, wanted, (None, place), tools, bundle)?;
            build_image(job, wanted, (container.as_deref(), place), tools, bundle)?;
            if workload.is_some() {
                bundle.append(&Item::Start(StageEnd {
                    command: "reelworld.toml".to_owned(),
                    what: "the repository does not say how its service is started".to_owned(),
                    evidence: faults.lines().map(str::to_owned).collect(),
                    ..StageEnd::default()
                }))?;
            }
            run_tests(job, wanted, (Err(faults), place), tools, bundle)?;
            run_further(job, wanted, (None, place), tools, bundle)?;
            None
        }
        (Subject::Refused { why, ours }, _) => {
            bundle.append(&Item::Start(StageEnd {
                command: StageEnd::UNPACK.to_owned(),
                what: if *ours {
                    // The reason is all that a report says of what has no verdict.
                    format!("this machine could not take the submission: {why}")
                } else {
                    "what was handed in cannot be taken".to_owned()
                },
                evidence: vec![why.clone()],
                ours: *ours,
                ..StageEnd::default()
            }))?;
            if !ours {
                find_nothing(wanted, why, bundle)?;
            }
            None
        }
    };
    if let Some(exchanges) = asked {
        look(job, &exchanges, bundle)?;
    }
    if tools.stop.load(Ordering::Relaxed) {
        return Err(MeasureError::Interrupted);
    }
    Ok(())
}

/// Says of everything that is looked for in a repository why it is not there, where what was handed in cannot be taken: the next
/// measuring would find no more.
fn find_nothing(wanted: Wanted, why: &str, bundle: &mut Writer) -> Result<(), MeasureError> {
    let (fault, what) = (
        Some(why.to_owned()),
        format!("what was handed in cannot be taken: {why}"),
    );
    let items = [
        wanted.claims.then(|| {
            Item::Claims(ClaimFacts {
                faults: Some(what.clone()),
                ..ClaimFacts::default()
            })
        }),
        wanted
            .conclusion
            .then(|| Item::Experiment(ReportText::Unreadable(what.clone()))),
        wanted.history.then(|| {
            Item::History(HistoryFacts {
                fault: fault.clone(),
                ..HistoryFacts::default()
            })
        }),
        wanted.files.then(|| {
            Item::Files(FileFacts {
                fault: fault.clone(),
                ..FileFacts::default()
            })
        }),
        wanted.tests.then(|| {
            Item::Tests(StageEnd {
                what: what.clone(),
                ..StageEnd::default()
            })
        }),
        wanted.coverage.then(|| {
            Item::Coverage(CoverageFacts {
                fault: fault.clone(),
                ..CoverageFacts::default()
            })
        }),
        wanted.commands.then(|| Item::Commands {
            stages: vec![StageEnd {
                what: what.clone(),
                ..StageEnd::default()
            }],
        }),
        wanted.split.then(|| {
            Item::Split(SplitFacts {
                fault: fault.clone(),
                ..SplitFacts::default()
            })
        }),
        wanted.image.then(|| {
            Item::Image(ImageFacts {
                fault: None,
                stage: Some(StageEnd {
                    command: "unpack".to_owned(),
                    what: what.clone(),
                    ..StageEnd::default()
                }),
            })
        }),
    ];
    for item in items.into_iter().flatten() {
        bundle.append(&item)?;
    }
    Ok(())
}

/// Reads what lies in a repository, and returns where its container file is; nothing of it runs.
fn look_at_files(
    job: &Job<'_>,
    wanted: Wanted,
    (spec, place): (Option<&ServiceSpec>, &Workplace),
    tools: Tools<'_>,
    bundle: &mut Writer,
) -> Result<Option<String>, MeasureError> {
    let runs = job.assignment.workload.is_some() || observe::runs_programs(&job.measures);
    if job.manifest.kind == RunKind::Grade && runs {
        bundle.append(&Item::Isolation(isolation(place)))?;
    }
    let mut container = None;
    if let Ground::Truth { world, release } = job.ground
        && wanted.claims
    {
        let feedback = world.habits().feedback;
        bundle.append(&Item::Claims(observe::claims(&place.dir, release, feedback)))?;
    }
    if wanted.conclusion {
        bundle.append(&observe::experiment(&place.dir))?;
    }
    if wanted.history {
        (tools.progress)("reading its history");
        bundle.append(&Item::History(HistoryFacts::read(&place.dir)))?;
    }
    if wanted.files {
        (tools.progress)("reading its files");
        let tests = spec.and_then(|spec| spec.tests.as_ref());
        let look_for = LookFor {
            report: &format!("reports/{}", job.assignment.id),
            tests: &tests.map(CommandLine::plain_words).unwrap_or_default(),
            port: job.assignment.port,
        };
        let facts = FileFacts::read(&place.dir, look_for);
        container = facts.container.as_ref().map(|file| file.path.clone());
        bundle.append(&Item::Files(facts))?;
    }
    Ok(container)
}

/// Builds the container image, if the rubric wants to know whether it can be built.
fn build_image(
    job: &Job<'_>,
    wanted: Wanted,
    (container, place): (Option<&str>, &Workplace),
    tools: Tools<'_>,
    bundle: &mut Writer,
) -> Result<(), MeasureError> {
    if wanted.image {
        (tools.progress)("building its container image");
        let facts = image(container, place, &job.path, job.assignment.limits, tools)?;
        bundle.append(&Item::Image(facts.ok_or(MeasureError::Interrupted)?))?;
    }
    Ok(())
}

/// Boots a repository's service, asks it and ends it; returns the exchanges if it has started.
fn run_service(
    job: &Job<'_>,
    workload: &Workload,
    wanted: Wanted,
    (spec, place, company): (&ServiceSpec, &Workplace, Option<&Beside>),
    tools: Tools<'_>,
    bundle: &mut Writer,
) -> Result<Option<Vec<Exchange>>, MeasureError> {
    let limits = job.assignment.limits;
    let mut record = |item: &Item| bundle.append(item);
    let booted = boot(spec, place, limits, job.ground, tools, &mut record)?;
    let asked = match booted {
        None => Ok(None),
        Some((target, running)) => {
            let asked = ask_around(
                job,
                workload,
                wanted,
                &target,
                (spec, place, company),
                tools,
                bundle,
            )
            .and_then(|asked| {
                push(job, wanted, &target, (spec, place), tools, bundle)?;
                Ok(asked)
            });
            bundle.append(&Item::End(end(running)?))?;
            asked.map(Some)
        }
    }?;
    tools.take(Kind::Finish)?;
    Ok(asked)
}

/// Runs a repository's own tests; where `reelworld.toml` cannot be read, its faults are what came of them.
fn run_tests(
    job: &Job<'_>,
    wanted: Wanted,
    (spec, place): (Result<&ServiceSpec, &String>, &Workplace),
    tools: Tools<'_>,
    bundle: &mut Writer,
) -> Result<(), MeasureError> {
    if !wanted.tests {
        return Ok(());
    }
    let ended = match spec {
        Ok(spec) => {
            (tools.progress)("running its tests");
            let named = spec.coverage.as_deref();
            let before = wanted
                .coverage
                .then(|| observe::reports(place, named))
                .transpose()?
                .map(|reports| Looks::of(&reports));
            let ended = observe::tests(spec.tests.as_ref(), place, job.assignment.limits, tools)?;
            let ended = ended.ok_or(MeasureError::Interrupted)?;
            if let Some(before) = before {
                let written = observe::reports(place, named)?;
                bundle.append(&Item::Coverage(CoverageFacts::read(
                    &place.dir, &before, written,
                )?))?;
            }
            ended
        }
        Err(faults) => {
            let what = "the repository does not say how its tests are run".to_owned();
            if wanted.coverage {
                bundle.append(&Item::Coverage(CoverageFacts {
                    fault: Some(what.clone()),
                    ..CoverageFacts::default()
                }))?;
            }
            StageEnd {
                command: "reelworld.toml".to_owned(),
                what,
                evidence: faults.lines().map(str::to_owned).collect(),
                ..StageEnd::default()
            }
        }
    };
    bundle.append(&Item::Tests(ended))?;
    Ok(())
}

/// Runs what the repository offers to be run beside its service and its tests: its offline evaluation and its README.
fn run_further(
    job: &Job<'_>,
    wanted: Wanted,
    (spec, place): (Option<&ServiceSpec>, &Workplace),
    tools: Tools<'_>,
    bundle: &mut Writer,
) -> Result<(), MeasureError> {
    let limits = job.assignment.limits;
    if wanted.commands {
        (tools.progress)("running the commands of its README");
        let stages = observe::commands(place, limits, tools)?;
        let stages = stages.ok_or(MeasureError::Interrupted)?;
        bundle.append(&Item::Commands { stages })?;
    }
    // What follows has a sandbox of its own, and one holds as much memory as two should.
    if let Some(sandbox) = &place.sandbox {
        sandbox.close();
    }
    if wanted.split
        && let Some(data) = &job.data
    {
        (tools.progress)("running its offline evaluation");
        let branch = Key::from_seed(job.seed).branch("evaluation");
        let facts = evaluate(spec, place, (data, &branch), limits, tools)?;
        bundle.append(&Item::Split(facts.ok_or(MeasureError::Interrupted)?))?;
    }
    Ok(())
}

/// Says how a submission's programs are kept from the machine.
fn isolation(place: &Workplace) -> IsolationNote {
    let Some(sandbox) = &place.sandbox else {
        return IsolationNote {
            how: "not isolated: its programs ran as the user who graded".to_owned(),
            ..IsolationNote::default()
        };
    };
    let facts = sandbox.facts();
    let mut details = facts.details.clone();
    details.push(sandbox.bounds().describe());
    IsolationNote {
        how: facts.how.clone(),
        details,
        weak: facts.weak.clone(),
    }
}

fn reach(job: &Job<'_>, target: &Target, bundle: &mut Writer) -> Result<bool, MeasureError> {
    let outcome = ask_once(target, "/recommend/1", PROBE, job.ground)?;
    let ok = matches!(outcome, Outcome::Answered { .. });
    bundle.append(&Item::Start(StageEnd {
        ok,
        command: format!("http://{}", target.host),
        what: if ok {
            "answers".to_owned()
        } else {
            "does not answer its real route with a valid list".to_owned()
        },
        evidence: vec![
            "asked GET /recommend/1".to_owned(),
            format!("got {}", outcome.describe()),
        ],
        ..StageEnd::default()
    }))?;
    Ok(ok)
}

/// Builds and starts a repository's service and waits for its real route; each stage is handed to `record`, also the one
/// that failed, after which there is nothing to return.
///
/// # Errors
/// When the machine refuses, a stage cannot be recorded, or the run is stopped.
pub fn boot(
    spec: &ServiceSpec,
    place: &Workplace,
    limits: Limits,
    ground: &Ground,
    tools: Tools<'_>,
    record: &mut dyn FnMut(&Item) -> Result<(), BundleError>,
) -> Result<Option<(Target, Running)>, MeasureError> {
    if let Some(command) = &spec.build {
        (tools.progress)("building");
        let words = command.words();
        let build = || build_with_mirror(&words, place, limits, tools.leash, tools.clock, tools.stop);
        let (mut ended, mut log_tail, mut fetched) = build()?;
        if ended == BuildEnd::TimedOut && tools.turn.crowded() {
            // Others were at work beside it: only a limit that it misses alone is held against it.
            tools.take(Kind::Alone)?;
            (tools.progress)("building again, alone");
            record_fetched(fetched.as_ref(), record)?;
            (ended, log_tail, fetched) = build()?;
        }
        record_fetched(fetched.as_ref(), record)?;
        let Some((ok, what)) = ended.told("the build", limits.build) else {
            return Err(MeasureError::Interrupted);
        };
        let stage = StageEnd {
            ok,
            command: command.display(),
            what,
            log_tail,
            ..StageEnd::default()
        };
        let image = place
            .sandbox
            .as_ref()
            .and_then(|sandbox| sandbox.unbuilt(&ended, &stage.log_tail));
        let stage = match image {
            _ if ok => stage,
            Some(unbuilt) => why_no_image(stage, unbuilt),
            None => why_unbuilt(stage, fetched.unwrap_or_default()),
        };
        record(&Item::Build(stage))?;
        if !ok {
            return Ok(None);
        }
    }
    let sockets = place
        .sandbox
        .clone()
        .map(|sandbox| Sockets(Arc::new(move || sandbox.socket())));
    let host = |address: SocketAddr| Target {
        sockets: sockets.clone(),
        ..Target::local(address)
    };
    let mut failed = None;
    let mut probe = |address: SocketAddr, path: &str| match ask_once(&host(address), path, PROBE, ground) {
        Ok(Outcome::Answered { .. }) => Probe::Ready,
        Ok(Outcome::Refused { error }) => Probe::Silent(error),
        Ok(other) => Probe::Wrong(other.describe()),
        Err(error) => {
            failed = Some(error);
            Probe::Silent(String::new())
        }
    };
    let mut attempt = Attempt::first(tools.turn.shared(), limits.ready);
    let started = loop {
        tools.take(attempt.kind())?;
        (tools.progress)("starting");
        let limits = Limits {
            ready: attempt.limit(limits.ready),
            ..limits
        };
        let started = start(
            spec,
            place,
            limits,
            tools.leash,
            (tools.clock, tools.stop),
            &mut probe,
        )?;
        match attempt.next(&started, tools.turn.crowded()) {
            Some(next) => attempt = next,
            None => break started,
        }
    };
    if let Some(error) = failed {
        return Err(error.into());
    }
    let command = spec.start.display();
    match started {
        Start::Ready(running, seconds) => {
            let what = format!("ready after {seconds:.1} s");
            record(&Item::Start(StageEnd {
                ok: true,
                command,
                what,
                ..StageEnd::default()
            }))?;
            let target = host(running.address());
            Ok(Some((target, running)))
        }
        Start::Failed(StartFailure::Interrupted, _) => Err(MeasureError::Interrupted),
        Start::Failed(failure, log_tail) => {
            let mut stage = explain(&failure, &spec.ready, limits.ready);
            if failure == StartFailure::Exited(Exit::ToolFailed) {
                stage.what = format!(
                    "{}: {}",
                    stage.what,
                    log_tail.last().map_or("it said nothing", String::as_str)
                );
            }
            record(&Item::Start(StageEnd {
                command,
                log_tail,
                ..stage
            }))?;
            Ok(None)
        }
    }
}

/// Records what a build has had of the mirror, if it has asked for anything.
fn record_fetched(
    fetched: Option<&Fetched>,
    record: &mut dyn FnMut(&Item) -> Result<(), BundleError>,
) -> Result<(), BundleError> {
    match fetched {
        Some(fetched) if !fetched.requests.is_empty() => record(&Item::Fetched(fetched.clone())),
        Some(_) | None => Ok(()),
    }
}

/// Says of a build that failed what the mirror has to do with it: what the mirror could not give is not the team's fault.
fn why_unbuilt(stage: StageEnd, fetched: Fetched) -> StageEnd {
    let refused = fetched.requests.iter().filter(|asked| !asked.is_answered());
    let left_out = fetched.left_out.iter().map(|host| {
        format!("links to `{host}` were left out: `[mirror]` of course.toml does not declare it")
    });
    let evidence = refused
        .map(mirror::Asked::describe)
        .take(MOST_REFUSED)
        .chain(left_out)
        .collect();
    let Some(fault) = fetched.fault else {
        let hint = Some("run the build command of reelworld.toml by hand, in a fresh clone".to_owned());
        return StageEnd {
            hint,
            evidence,
            ..stage
        };
    };
    StageEnd {
        what: format!("{}, and {fault}", stage.what),
        hint: Some("once the mirror answers, measure it again: --retry no_verdict".to_owned()),
        ours: true,
        evidence,
        ..stage
    }
}

/// Says of an image that was not built what this machine has to do with it.
fn why_no_image(stage: StageEnd, unbuilt: Unbuilt) -> StageEnd {
    match unbuilt {
        Unbuilt::NotHere { said, there } => StageEnd {
            what: format!("{}: {said}", stage.what),
            hint: Some(
                "nothing is fetched while an image is built: stand on one of the course's images".to_owned(),
            ),
            evidence: vec![match there.as_slice() {
                [] => "this machine has no image at all".to_owned(),
                there => format!("this machine has: {}", there.join(", ")),
            }],
            ..stage
        },
        Unbuilt::Tool(said) => StageEnd {
            what: format!("podman itself failed while it built the image: {said}"),
            hint: Some(MEND_PODMAN.to_owned()),
            ours: true,
            ..stage
        },
    }
}

/// What helps where Podman has failed by itself.
const MEND_PODMAN: &str =
    "`reelworld doctor` says what podman lacks; then measure it again: --retry no_verdict";

/// The most requests to the mirror that a failed build's evidence shows; the bundle has them all.
const MOST_REFUSED: usize = 10;

/// The most time that a start may take alone on the machine while others wait: most take far less, and who hangs would
/// hold the class up.
const SHORT: Duration = Duration::from_secs(10);

/// A start of a service among others. Most are ready soon, alone, and are asked at once. One that is not tries with its
/// whole limit beside others; if it becomes ready there, or others held it up, it is started once more, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Short,
    Patient,
    Last,
}

impl Attempt {
    fn first(shared: bool, limit: Duration) -> Self {
        if shared && limit > SHORT {
            Self::Short
        } else {
            Self::Last
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Short | Self::Last => Kind::Alone,
            Self::Patient => Kind::Patient,
        }
    }

    fn limit(self, whole: Duration) -> Duration {
        match self {
            Self::Short => SHORT.min(whole),
            Self::Patient | Self::Last => whole,
        }
    }

    /// Returns what is to be tried next; none if this attempt has decided.
    fn next(self, started: &Start, crowded: bool) -> Option<Self> {
        let late = matches!(
            started,
            Start::Failed(
                StartFailure::NeverListened { .. } | StartFailure::NotReady { .. },
                _
            )
        );
        let ready = matches!(started, Start::Ready(..));
        match self {
            Self::Short if late => Some(Self::Patient),
            Self::Patient if ready || (late && crowded) => Some(Self::Last),
            Self::Short | Self::Patient | Self::Last => None,
        }
    }
}

/// Says what went wrong at the start, with what was asked and what came back.
fn explain(failure: &StartFailure, route: &str, limit: Duration) -> StageEnd {
    let mut stage = StageEnd {
        evidence: vec![format!("asked GET {route}")],
        ..StageEnd::default()
    };
    let seconds = limit.as_secs();
    match failure {
        StartFailure::Exited(Exit::ToolFailed) => {
            stage.what = "podman itself failed before the service began".to_owned();
            stage.hint = Some(MEND_PODMAN.to_owned());
            stage.ours = true;
        }
        StartFailure::Exited(exit) => {
            stage.what = format!("the service {} before it answered", exit.describe());
            stage.hint = Some(
                "the last lines of its output say why; try the start command by hand with PORT=8082"
                    .to_owned(),
            );
        }
        StartFailure::NeverListened { port, elsewhere } if elsewhere.is_empty() => {
            stage.what = format!("nobody listened on port {port} within {seconds} s");
            stage.hint = Some(
                "the service hangs before it listens: on a host that is not there, or while it trains"
                    .to_owned(),
            );
        }
        StartFailure::NeverListened { port, elsewhere } => {
            let ports: Vec<String> = elsewhere.iter().map(u16::to_string).collect();
            stage.what = format!("it listens on port {}, not on port {port}", ports.join(" and "));
            stage.hint =
                Some("listen on the port that $PORT names, or set `port` in reelworld.toml".to_owned());
        }
        StartFailure::NotReady { last, health } => {
            stage.what = match health {
                Some(_) => format!(
                    "healthy but dead: /health answers, {route} gave no valid list within {seconds} s"
                ),
                None => format!("{route} gave no valid list within {seconds} s"),
            };
            stage.evidence.push(format!("got {last}"));
            stage
                .evidence
                .extend(health.iter().map(|health| format!("/health: {health}")));
        }
        StartFailure::PortTaken(port) => {
            stage.what = format!("another program on this machine holds port {port}");
            stage.hint = Some(format!(
                "end the program that listens on port {port}, then run again"
            ));
            stage.ours = true;
        }
        StartFailure::Interrupted => "interrupted".clone_into(&mut stage.what),
    }
    stage
}

fn end(mut running: Running) -> io::Result<StageEnd> {
    let by_itself = running.poll()?;
    let refused = running.refused().unwrap_or(0);
    let (exit, log_tail, bytes) = running.stop();
    let ok = by_itself.is_none() && exit == Exit::Stopped;
    let what = match by_itself {
        Some(exit) => format!("it {} during the run", exit.describe()),
        None => "stopped by us".to_owned(),
    };
    Ok(StageEnd {
        ok,
        what,
        evidence: vec![format!("it printed {bytes} bytes")],
        log_tail,
        refused,
        ..StageEnd::default()
    })
}

/// Looks at what the asked users got: what it is worth to them, and what it says of the catalogue.
fn look(job: &Job<'_>, exchanges: &[Exchange], bundle: &mut Writer) -> Result<(), MeasureError> {
    // Users asked twice or more in the steady phase; the first valid answer counts, none at all is an empty list.
    let mut asked: BTreeMap<u32, (u32, Vec<String>)> = BTreeMap::new();
    for exchange in exchanges {
        let planned = &exchange.planned;
        if planned.phase != Phase::Steady || planned.kind != RequestKind::Known || exchange.is_ours() {
            continue;
        }
        let Some(user) = planned.user else { continue };
        let (count, list) = asked.entry(user).or_default();
        *count += 1;
        if list.is_empty()
            && let Some(ids) = exchange.ids()
        {
            *list = ids.to_vec();
        }
    }
    asked.retain(|_, (count, _)| *count >= 2);
    let mut facts = CatalogueFacts::default();
    match job.ground {
        Ground::Truth { world, release } => {
            let (seen, viewers, popular) = (release.seen(), release.viewers(), release.popular());
            let held = held_out(release);
            let none = BTreeSet::new();
            let mut worth = Vec::new();
            for (user, (_, list)) in &asked {
                let Some(person) = world.user(UserId(*user)) else {
                    continue;
                };
                world.enjoyment(UserId(*user), &mut worth);
                let seen = seen.get(user).unwrap_or(&none);
                let popular = most_popular(&popular, seen, K);
                let list: Vec<Option<usize>> = list.iter().map(|id| job.ground.place(id)).collect();
                let value = |list: &[Option<usize>]| expected_enjoyment(list, &worth, seen, K);
                let enjoyment = EnjoymentScore {
                    service: value(&list),
                    popular: value(&popular),
                    oracle: value(&oracle(&worth, seen, K)),
                };
                bundle.append(&Item::User(UserScore {
                    user: *user,
                    groups: groups(
                        person.gender.letter(),
                        person.age_band(),
                        person.occupation.label(),
                    ),
                    history: seen.len() as u32,
                    enjoyment: Some(enjoyment),
                    observed: observed(&list, &popular, held.get(user), seen),
                    unsuitable: (person.age < OF_AGE).then(|| unsuitable(world, exchanges, *user)),
                }))?;
            }
            for score in newcomers::scores(world, release, exchanges) {
                bundle.append(&Item::NewUser(score))?;
            }
            facts.size = world.spec().movies;
            facts.panel = release.users.len() as u32;
            for id in asked.values().flat_map(|(_, list)| list) {
                let Some(index) = world.movie_index(id) else {
                    continue;
                };
                let count = viewers.get(&(index.0 as usize)).copied().unwrap_or(0);
                let genres = world
                    .movie(index)
                    .genres
                    .iter()
                    .map(|genre| genre.name().to_owned())
                    .collect();
                facts.movies.insert(id.clone(), (count, genres));
                if world.spec().profile == Profile::Current {
                    facts.costs.insert(id.clone(), world.movie(index).cost_usd());
                }
            }
        }
        Ground::Released(release) => {
            let popular = release.popular();
            let none = BTreeSet::new();
            let by_id: BTreeMap<&str, usize> = release
                .movies
                .iter()
                .enumerate()
                .map(|(place, id)| (id.as_str(), place))
                .collect();
            for (user, (_, list)) in &asked {
                let Some(groups) = release.users.get(user) else {
                    continue;
                };
                let seen = release.seen.get(user).unwrap_or(&none);
                let popular = most_popular(&popular, seen, K);
                let list: Vec<Option<usize>> =
                    list.iter().map(|id| by_id.get(id.as_str()).copied()).collect();
                bundle.append(&Item::User(UserScore {
                    user: *user,
                    groups: groups.clone(),
                    history: seen.len() as u32,
                    enjoyment: None,
                    observed: observed(&list, &popular, release.heldout.get(user), seen),
                    unsuitable: None,
                }))?;
            }
            facts.size = release.movies.len() as u32;
            facts.panel = release.users.len() as u32;
            for id in asked.values().flat_map(|(_, list)| list) {
                let Some(place) = by_id.get(id.as_str()) else {
                    continue;
                };
                let count = release.viewers.get(place).copied().unwrap_or(0);
                facts
                    .movies
                    .insert(id.clone(), (count, release.genres[*place].clone()));
                if let Some(cost) = release.costs[*place] {
                    facts.costs.insert(id.clone(), cost);
                }
            }
        }
        Ground::Nothing => {}
    }
    bundle.append(&Item::Catalogue(facts))?;
    Ok(())
}

/// Returns what of all lists that a user got is for adults only.
fn unsuitable(world: &World, exchanges: &[Exchange], user: u32) -> Vec<String> {
    let ids: BTreeSet<&String> = exchanges
        .iter()
        .filter(|exchange| exchange.planned.user == Some(user))
        .filter_map(Exchange::ids)
        .flatten()
        .collect();
    ids.into_iter()
        .filter(|id| {
            world
                .movie_index(id)
                .is_some_and(|index| world.movie(index).adult)
        })
        .cloned()
        .collect()
}

fn held_out(release: &Release) -> BTreeMap<u32, BTreeSet<usize>> {
    let mut held: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
    for viewing in &release.heldout {
        held.entry(viewing.user.0)
            .or_default()
            .insert(viewing.movie.0 as usize);
    }
    held
}

/// Compares a list with what the user watched afterwards; a user who watched nothing new can't be evaluated.
fn observed(
    list: &[Option<usize>],
    popular: &[Option<usize>],
    heldout: Option<&BTreeSet<usize>>,
    seen: &BTreeSet<usize>,
) -> Option<ObservedScore> {
    let grades: Grades = heldout?
        .difference(seen)
        .map(|movie| (*movie as u64, 1.0))
        .collect();
    if grades.is_empty() {
        return None;
    }
    // An unknown id is a wasted place: a number that no movie has.
    let ids = |list: &[Option<usize>]| -> Vec<u64> {
        list.iter()
            .enumerate()
            .map(|(place, item)| item.map_or(u64::MAX - place as u64, |item| item as u64))
            .collect()
    };
    let (list, popular) = (ids(list), ids(popular));
    Some(ObservedScore {
        ndcg: ranking::ndcg_at_k(&list, &grades, K),
        hit: ranking::hit_rate_at_k(&list, &grades, K, 1.0),
        recall: ranking::recall_at_k(&list, &grades, K, 1.0),
        popular_ndcg: ranking::ndcg_at_k(&popular, &grades, K),
    })
}

impl fmt::Debug for Tools<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools")
            .field("leash", self.leash)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hangs_holds_nobody_up_and_who_is_slow_is_started_alone_in_the_end() {
        let hangs = || {
            let failure = StartFailure::NotReady {
                last: "500".to_owned(),
                health: None,
            };
            Start::Failed(failure, Vec::new())
        };
        let exits = Start::Failed(StartFailure::Exited(Exit::Failure(1)), Vec::new());
        let limit = Duration::from_secs(60);
        let first = Attempt::first(true, limit);
        assert_eq!((first.kind(), first.limit(limit)), (Kind::Alone, SHORT));
        assert_eq!(first.next(&exits, true), None, "what has ended has decided");
        let second = first.next(&hangs(), false).unwrap();
        assert_eq!((second.kind(), second.limit(limit)), (Kind::Patient, limit));
        assert_eq!(
            second.next(&hangs(), false),
            None,
            "it had its whole limit and the machine's time"
        );
        let third = second.next(&hangs(), true).unwrap();
        assert_eq!((third.kind(), third.limit(limit)), (Kind::Alone, limit));
        assert_eq!(third.next(&hangs(), true), None);
        for one in [Attempt::first(false, limit), Attempt::first(true, SHORT)] {
            assert_eq!((one, one.kind()), (Attempt::Last, Kind::Alone));
        }
    }
}
