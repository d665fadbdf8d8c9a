//! `worker`: measures submissions that `grade --queue` on another machine has put on a topic, one at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::args::Worker;
use super::board::Board;
use super::class_run::Class;
use super::exit::Exit;
use super::grade::{absolute, ground, isolation_of, with_mirror};
use super::queue::{Desk, Task, Topic, Wanted, disk, failure};
use super::run::Milestone;
use super::ui::{Failure, Stop, Ui};
use crate::class::{End, ResultLine, Results, SCHEMA, Wish};
use crate::clock::Clock;
use crate::course::CourseFiles;
use crate::grade::Ground;
use crate::sandbox::{Isolation, Packages};
use crate::scorecard::WorldRef;
use crate::stream::{Job, KafkaWorker};

/// Between two looks at the queue.
const LOOK: Duration = Duration::from_millis(300);
/// Looks from one look at the run's folder to the next while a job is done: whether somebody else has done it.
const FOLDER_EVERY: u32 = 10;
/// How many workers may begin with a job and die at it: the next would fare no better.
const MOST_BEGUN: usize = 3;
/// The longest that a task may give a submission: a day.
const MOST_SECONDS: f64 = 86_400.0;

/// What a worker has made ready for a milestone.
struct Ready {
    milestone: Milestone,
    ground: Ground,
    world: WorldRef,
    data: PathBuf,
}

/// What a worker has for all of its jobs.
struct Hands<'a> {
    desk: Desk,
    /// The released data of milestones, thrown away at the end.
    own: tempfile::TempDir,
    isolation: Option<Isolation>,
    packages: Packages,
    files: &'a CourseFiles,
    ui: &'a Ui,
    stop: &'a Stop,
    clock: Clock,
}

/// Measures submissions that a class's queue has, until it is stopped.
pub(super) fn worker(
    args: &Worker,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    let topic = Topic::read(&args.queue, args.kafka_config.as_deref())?;
    if !args.out.is_dir() {
        let shown = args.out.display();
        return Err(
            Failure::machine(format!("`{shown}` is not here, and results would reach nobody"))
                .hint("mount the folder that `grade --queue` has as --out, by the same path"),
        );
    }
    let isolation = isolation_of(args.trust, &args.supplies, ui, clock)?;
    let out = absolute(&args.out)?;
    let isolation = isolation
        .map(|isolation| with_mirror(isolation, files, &args.supplies, &out, ui))
        .transpose()?;
    let hands = Hands {
        desk: Desk::of(&out),
        // Sets of packages are named by the interpreter too, so that machines may share a folder of them.
        packages: Packages::new(out.join("packages")),
        own: tempfile::tempdir()
            .map_err(|error| Failure::machine(format!("no folder of its own: {error}")))?,
        isolation,
        files,
        ui,
        stop,
        clock,
    };
    let Some(group) = hands.group(&out)? else {
        return Ok(Exit::Interrupted);
    };
    let mut member = KafkaWorker::join(&topic.settings, &topic.name, &group).map_err(failure)?;
    ui.progress(format_args!("takes submissions from {}", args.queue));
    let mut ready = BTreeMap::new();
    while !stop.is_set() {
        let Some(job) = member.take(LOOK).map_err(failure)? else {
            continue;
        };
        hands.work(&job, &mut member, &mut ready)?;
        if stop.is_set() {
            break;
        }
        if let Err(error) = member.done(&job) {
            // It may be given to somebody again, who then finds its result.
            ui.progress(format_args!(
                "Kafka did not note that a job is done: {}",
                failure(error).message
            ));
        }
    }
    Ok(Exit::Interrupted)
}

impl Hands<'_> {
    /// Waits until somebody puts something here, and returns the group; none if the worker is stopped before.
    fn group(&self, out: &Path) -> Result<Option<String>, Failure> {
        let mut told = false;
        while !self.stop.is_set() {
            if let Some(group) = self.desk.group()? {
                return Ok(Some(group));
            }
            if !told {
                let shown = out.display();
                self.ui.progress(format_args!(
                    "waits for `grade --queue --out {shown}`; if it is running, `{shown}` is not its folder"
                ));
                told = true;
            }
            self.clock.sleep(LOOK);
        }
        Ok(None)
    }

    /// Does a job, if it is wanted; it is done when this returns without an error, or the worker was stopped.
    fn work(
        &self,
        job: &Job,
        member: &mut KafkaWorker,
        ready: &mut BTreeMap<String, Ready>,
    ) -> Result<(), Failure> {
        let Some(wanted) = self.desk.wanted(job)? else {
            return Ok(());
        };
        let Some(task) = self.desk.task(&wanted)? else {
            return Ok(());
        };
        if self.desk.begun(&wanted)? >= MOST_BEGUN {
            return self.give_up(&wanted, &task);
        }
        let milestone = &task.terms.milestone;
        if !ready.contains_key(milestone) {
            ready.insert(milestone.clone(), self.make_ready(&task)?);
        }
        let ready = &ready[milestone];
        let stop = Stop::default();
        let ended = std::thread::scope(|scope| {
            let work = scope.spawn(|| self.measure(&wanted, &task, ready, &stop));
            let mut looks = 0;
            while !work.is_finished() {
                // Whether Kafka answers is asked again when the job is done; the job itself needs none.
                if member.keep(LOOK).is_err() {
                    self.clock.sleep(LOOK);
                }
                looks += 1;
                let in_vain = looks % FOLDER_EVERY == 0 && !self.desk.is_open(&wanted).unwrap_or(true);
                if self.stop.is_set() || in_vain {
                    stop.flag().store(true, Ordering::Relaxed);
                }
            }
            work.join()
        });
        let ended = ended.unwrap_or_else(|_| Err(Failure::bug("the thread of a job has panicked")));
        match ended {
            // What goes wrong with a job that nobody wants any more harms nobody: its folder may have been taken away.
            Err(_) if !self.desk.is_open(&wanted)? => Ok(()),
            ended => ended,
        }
    }

    /// Draws the world of a milestone and opens its rubric; both must be those of whoever put the job.
    fn make_ready(&self, task: &Task) -> Result<Ready, Failure> {
        let milestone = Milestone::open(self.files, &task.terms.milestone)?;
        let data = self.own.path().join(&task.terms.milestone);
        let (ground, world) = ground(&milestone, self.files, &data, self.ui)?;
        Ok(Ready {
            milestone,
            ground,
            world,
            data,
        })
    }

    /// Measures a submission and leaves the result where the grader looks for it.
    fn measure(&self, wanted: &Wanted, task: &Task, ready: &Ready, stop: &Stop) -> Result<(), Failure> {
        let own = self.desk.at_work(wanted)?;
        let class = Class {
            milestone: &ready.milestone,
            ground: &ready.ground,
            world: &ready.world,
            seed: task.terms.seed,
            out: own.path(),
            data: &ready.data,
            isolation: self.isolation.as_ref(),
            packages: &self.packages,
            jobs: 1,
            deadline: Duration::from_secs_f64(task.deadline_s.clamp(0.0, MOST_SECONDS)),
            clock: self.clock,
        };
        if class.terms() != task.terms {
            return Err(Failure::usage(format!(
                "the course of this worker is not that of the run: another world, rubric or assignment `{}`",
                task.terms.milestone
            ))
            .hint("give every worker the same course folder with --course, and the same version of this program"));
        }
        let submissions = [task.submission()?];
        let board = |total, kept| Board::new(self.ui, self.clock, "at work".to_owned(), total, kept);
        let outcome = class.measure(&submissions, &Wish::default(), board, stop)?;
        let line = Results::read(own.path())
            .map_err(|error| disk(own.path(), &error))?
            .pop();
        let Some(line) = line.filter(|line| line.end != End::Interrupted) else {
            return Ok(());
        };
        if let End::Machine { .. } = line.end
            && !class.machine_is_well()
        {
            // Another machine may fare better: the job stays open, and this one does no more harm.
            let refused = || Failure::machine(format!("this machine refused `{}`", task.submission));
            return Err(outcome.given_up.unwrap_or_else(refused));
        }
        self.desk.hand_in(wanted, own, line)
    }

    /// Says of a job that several have died at that it has no result.
    fn give_up(&self, wanted: &Wanted, task: &Task) -> Result<(), Failure> {
        let why = format!("{MOST_BEGUN} workers began with it, and none came to its end");
        self.ui.progress(format_args!("  {}: {why}", task.submission));
        let line = ResultLine {
            schema: SCHEMA.to_owned(),
            submission: task.submission.clone(),
            source: task.submission()?.source.to_string(),
            identity: String::new(),
            terms: task.terms.clone(),
            ended_at: self.clock.stamp(),
            took_s: 0.0,
            end: End::Machine { why },
        };
        self.desk.hand_in(wanted, self.desk.at_work(wanted)?, line)
    }
}
