//! Measuring a class: who is measured, side by side as far as that harms nobody, each with an end of its own.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use super::board::Board;
use super::exit::Exit;
use super::run::{Hands, Milestone, Run, Walls, leash, repository, run_by, write_pages};
use super::ui::{Failure, Stop};
use crate::class::{self, Before, End, Plan, ResultLine, Results, Terms, Wish, plan};
use crate::clock::Clock;
use crate::evidence::{Bundle, Item};
use crate::grade::{Claimed, Cores, Ground, Kind, OTHERS, Subject, Turn, scorecard, scorecard_among};
use crate::sandbox::{Isolation, Maker, Packages, Prepared};
use crate::scorecard::{RunKind, Scorecard, Verdict, WorldRef};
use crate::submission::{LIMITS, StageError, Submission, stage};

/// The most submissions that are under way at once, most of them waiting for their turn.
const MOST_UNDER_WAY: usize = 64;
/// How many submissions in a row this machine may refuse before the run is stopped: the next would fare no better.
const MOST_REFUSALS: usize = 3;
/// The room that a machine must have for evidence to be well.
const EVIDENCE_BYTES: usize = 1 << 20;
/// Between two looks at the flag and the deadlines.
const LOOK: Duration = Duration::from_millis(100);
/// Looks from one drawing of the board to the next.
const DRAW_EVERY: u32 = 10;

/// Everything that the submissions of a run have in common.
#[derive(Debug)]
pub(super) struct Class<'a> {
    pub(super) milestone: &'a Milestone,
    pub(super) ground: &'a Ground,
    pub(super) world: &'a WorldRef,
    pub(super) seed: u64,
    /// The run's folder, absolute.
    pub(super) out: &'a Path,
    /// The released data.
    pub(super) data: &'a Path,
    /// How submissions are kept from this machine; none where they are trusted.
    pub(super) isolation: Option<&'a Isolation>,
    /// The packages that submissions share.
    pub(super) packages: &'a Packages,
    pub(super) jobs: usize,
    /// What one submission's turns may take together.
    pub(super) deadline: Duration,
    pub(super) clock: Clock,
}

/// What a run has come to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The cards, by submission.
    pub(super) cards: BTreeMap<String, Scorecard>,
    /// Submissions that have no card yet.
    pub(super) missing: Vec<String>,
    /// Submissions that this run was to measure and did not get to.
    pub(super) interrupted: usize,
    /// Why the run was given up, if it was.
    pub(super) given_up: Option<Failure>,
}

/// One submission that is to be measured.
struct Slot<'a> {
    submission: &'a Submission,
    turn: Turn<'a>,
    stop: AtomicBool,
    late: AtomicBool,
    /// What tells its files from others, once they have been read.
    identity: OnceLock<String>,
}

impl Class<'_> {
    pub(super) fn terms(&self) -> Terms {
        Terms {
            milestone: self.milestone.assignment.id.clone(),
            rubric: self.milestone.rubric_ref.clone(),
            assignment_sha256: self.milestone.assignment_sha256.clone(),
            world: self.world.clone(),
            seed: self.seed,
        }
    }

    pub(super) fn own(&self, submission: &str) -> PathBuf {
        self.out.join(submission)
    }

    /// Returns how a submission stands, and its card if it has come to an end as it is now and under these terms.
    fn before(&self, submission: &Submission, last: Option<&ResultLine>) -> (Before, Option<Scorecard>) {
        let new = (
            Before {
                ended: false,
                open: true,
            },
            None,
        );
        let terms = self.terms();
        let Ok(bundle) = Bundle::read(&self.own(&submission.name).join("evidence")) else {
            return new;
        };
        // A file that cannot be read now is told when it is measured.
        let identity = submission.source.identity().ok();
        let known = bundle.manifest.identity.is_none() || bundle.manifest.identity == identity;
        let out_of_time = last.is_some_and(|line| {
            matches!(line.end, End::OutOfTime { .. })
                && Some(&line.identity) == identity.as_ref()
                && line.terms.as_measured() == terms.as_measured()
        });
        if !terms.fit(&bundle) || !known || !(bundle.finished() || out_of_time) {
            return new;
        }
        let card = self.card(&bundle);
        let before = Before {
            ended: true,
            // What was refused as it is would be refused again.
            open: self.is_open(&card) && !refused(&bundle),
        };
        (before, Some(card))
    }

    /// Whether a card has something that another measuring may decide; what the class decides is not of that kind.
    fn is_open(&self, card: &Scorecard) -> bool {
        let by_class: BTreeSet<&str> = self.milestone.rubric.asking(OTHERS).collect();
        card.criteria.iter().any(|criterion| {
            criterion.verdict == Verdict::NoVerdict && !by_class.contains(criterion.id.as_str())
        })
    }

    pub(super) fn card(&self, bundle: &Bundle) -> Scorecard {
        scorecard(bundle, &self.milestone.rubric, self.milestone.rubric_ref.clone())
    }

    /// Judges each submission once more where the rubric asks for what only the class as a whole can tell.
    ///
    /// # Errors
    /// When evidence cannot be read, or pages cannot be written.
    pub(super) fn judge_together(&self, outcome: &mut Outcome) -> Result<Claimed, Failure> {
        if !self.milestone.rubric.measures().contains(OTHERS) {
            return Ok(Claimed::default());
        }
        let cards = &mut outcome.cards;
        let mut bundles = BTreeMap::new();
        for name in cards.keys() {
            bundles.insert(name.clone(), Bundle::read(&self.own(name).join("evidence"))?);
        }
        let claimed = Claimed::of(bundles.values(), outcome.missing.len());
        for (name, bundle) in &bundles {
            let (rubric, of) = (&self.milestone.rubric, self.milestone.rubric_ref.clone());
            let card = scorecard_among(bundle, &claimed, rubric, of);
            write_pages(&card, &self.own(name))?;
            cards.insert(name.clone(), card);
        }
        Ok(claimed)
    }

    /// Measures what is wished for; whatever comes of one submission, the others are measured.
    ///
    /// # Errors
    /// When the file of results cannot be kept.
    pub(super) fn measure<'b>(
        &self,
        submissions: &[Submission],
        wish: &Wish,
        board: impl FnOnce(usize, usize) -> Board<'b>,
        stop: &Stop,
    ) -> Result<Outcome, Failure> {
        let (mut outcome, wanted) = self.sort(submissions, wish)?;
        let results = Results::open(self.out).map_err(|error| self.unreadable(&error))?;
        let board = board(submissions.len() - outcome.missing.len(), outcome.cards.len());
        let each = |slot: &Slot<'_>| self.one(slot, &board);
        self.side_by_side(&wanted, &Mutex::new(results), (&board, stop), &mut outcome, &each);
        board.close();
        Ok(outcome)
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        let out = self.out.display();
        Failure::machine(format!("cannot read the results of `{out}`: {error}"))
    }

    /// Tells what is kept, with its cards, from what is to be measured.
    ///
    /// # Errors
    /// When the results cannot be read, or the pages of what is kept cannot be written.
    pub(super) fn sort<'s>(
        &self,
        submissions: &'s [Submission],
        wish: &Wish,
    ) -> Result<(Outcome, Vec<&'s Submission>), Failure> {
        let lines = Results::read(self.out).map_err(|error| self.unreadable(&error))?;
        let last: BTreeMap<&str, &ResultLine> = lines
            .iter()
            .map(|line| (line.submission.as_str(), line))
            .collect();
        let mut outcome = Outcome::default();
        let mut wanted = Vec::new();
        for submission in submissions {
            let (before, card) = self.before(submission, last.get(submission.name.as_str()).copied());
            match (plan(&submission.name, wish, before), card) {
                (Plan::Keep, Some(card)) => {
                    // A run may have ended between its last item of evidence and its pages.
                    write_pages(&card, &self.own(&submission.name))?;
                    outcome.cards.insert(submission.name.clone(), card);
                }
                (Plan::Leave, _) => outcome.missing.push(submission.name.clone()),
                (Plan::Keep | Plan::Measure, _) => wanted.push(submission),
            }
        }
        Ok((outcome, wanted))
    }

    /// Has each submission measured by `each`. One of ours that panics ends its own submission alone, and the run is told at its end.
    fn side_by_side(
        &self,
        wanted: &[&Submission],
        results: &Mutex<Results>,
        (board, stop): (&Board<'_>, &Stop),
        outcome: &mut Outcome,
        each: &(dyn Fn(&Slot<'_>) -> (End, Option<Scorecard>) + Sync),
    ) {
        let cores = Cores::new(self.jobs, self.clock);
        let slots: Vec<Slot<'_>> = wanted
            .iter()
            .enumerate()
            .map(|(place, submission)| Slot {
                submission,
                turn: Turn::among(&cores, place),
                stop: AtomicBool::new(false),
                late: AtomicBool::new(false),
                identity: OnceLock::new(),
            })
            .collect();
        let threads = if self.jobs == 1 {
            1
        } else {
            MOST_UNDER_WAY.min(slots.len())
        };
        let (next, refusals) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let broken: Mutex<Option<Failure>> = Mutex::new(None);
        let bug: Mutex<Option<Failure>> = Mutex::new(None);
        let cards: Mutex<BTreeMap<String, Scorecard>> = Mutex::default();
        let halt = AtomicBool::new(false);
        let work = || {
            while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                if halt.load(Ordering::Relaxed) || stop.is_set() {
                    break;
                }
                let caught = catch_unwind(AssertUnwindSafe(|| each(slot)));
                let (end, card) = caught.unwrap_or_else(|panic| {
                    // Its turn would be held until the end of the run, and everybody would wait for it.
                    self.leave(slot);
                    let why = words_of(panic.as_ref());
                    (End::Bug { why }, None)
                });
                match &end {
                    End::Bug { why } => {
                        let name = &slot.submission.name;
                        set(
                            &bug,
                            Failure::bug(format!("`{name}` met a fault of this program: {why}")),
                        );
                    }
                    End::Machine { why } => {
                        // Where the next would fare well, it was this one's, whatever it did.
                        let is_well = self.machine_is_well();
                        let enough =
                            !is_well && refusals.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_REFUSALS;
                        if enough || card.is_none() {
                            set(&broken, Failure::machine(why.clone()));
                        }
                        if enough {
                            halt.store(true, Ordering::Relaxed);
                        }
                    }
                    End::Graded { .. } => refusals.store(0, Ordering::Relaxed),
                    End::OutOfTime { .. } | End::Interrupted => {}
                }
                board.end(&slot.submission.name, &told(&end));
                if let Err(error) = self.write_result(slot, &end, results) {
                    set(&broken, error);
                    halt.store(true, Ordering::Relaxed);
                }
                if let Some(card) = card {
                    lock(&cards).insert(slot.submission.name.clone(), card);
                }
            }
        };
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let mut looks = 0;
            while !handles.iter().all(ScopedJoinHandle::is_finished) {
                let all = stop.is_set() || halt.load(Ordering::Relaxed);
                for slot in &slots {
                    if all {
                        slot.stop.store(true, Ordering::Relaxed);
                    } else if slot.turn.spent() > self.deadline {
                        slot.late.store(true, Ordering::Relaxed);
                        slot.stop.store(true, Ordering::Relaxed);
                    }
                }
                if looks % DRAW_EVERY == 0 {
                    board.tick();
                }
                looks += 1;
                self.clock.sleep(LOOK);
            }
        });
        let cards = cards.into_inner().unwrap_or_else(PoisonError::into_inner);
        let given_up =
            |failure: Mutex<Option<Failure>>| failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.interrupted = wanted.len() - cards.len();
        let without = wanted.iter().map(|one| one.name.clone());
        outcome
            .missing
            .extend(without.filter(|name| !cards.contains_key(name)));
        outcome.missing.sort();
        outcome.cards.extend(cards);
        outcome.given_up = given_up(bug).or_else(|| given_up(broken));
    }

    fn write_result(&self, slot: &Slot<'_>, end: &End, results: &Mutex<Results>) -> Result<(), Failure> {
        let line = ResultLine {
            schema: class::SCHEMA.to_owned(),
            submission: slot.submission.name.clone(),
            source: slot.submission.source.to_string(),
            identity: slot.identity.get().cloned().unwrap_or_default(),
            terms: self.terms(),
            ended_at: self.clock.stamp(),
            took_s: (slot.turn.spent().as_secs_f64() * 10.0).round() / 10.0,
            end: end.clone(),
        };
        self.append(&line, results)
    }

    /// Appends a line to the results.
    #[expect(clippy::unused_self, reason = "results are those of a class")]
    pub(super) fn append(&self, line: &ResultLine, results: &Mutex<Results>) -> Result<(), Failure> {
        lock(results)
            .append(line)
            .map_err(|error| Failure::machine(format!("cannot keep the results: {error}")))
    }

    /// Measures one submission; what comes of it is its own. A card is there unless the run was stopped.
    fn one(&self, slot: &Slot<'_>, board: &Board<'_>) -> (End, Option<Scorecard>) {
        let own = self.own(&slot.submission.name);
        let ended = self.try_one(slot, board, &own);
        self.leave(slot);
        match ended {
            Ok(card) => (End::graded(&card), Some(card)),
            Err(_) if slot.late.load(Ordering::Relaxed) => {
                let deadline_s = self.deadline.as_secs();
                (End::OutOfTime { deadline_s }, self.partial(slot, &own))
            }
            Err(failure) if failure.exit == Exit::Interrupted => (End::Interrupted, None),
            Err(failure) => {
                let why = failure.message;
                (End::Machine { why }, self.partial(slot, &own))
            }
        }
    }

    /// Tells whether this machine can measure at the moment: it makes sandboxes, if they are wanted, and its disk takes evidence.
    pub(super) fn machine_is_well(&self) -> bool {
        let is_kept = tempfile::NamedTempFile::new_in(self.out).and_then(|mut file| {
            file.write_all(&vec![0; EVIDENCE_BYTES])
                .and_then(|()| file.as_file().sync_all())
        });
        is_kept.is_ok()
            && self
                .isolation
                .is_none_or(|isolation| isolation.is_well(self.clock))
    }

    /// Gives a submission's turn back and removes what is no evidence.
    fn leave(&self, slot: &Slot<'_>) {
        slot.turn.rest();
        let own = self.own(&slot.submission.name);
        tidy(&own.join("work"));
        tidy(&own.join("home"));
    }

    /// Returns the card of what was measured before an end that came too soon: what is not known has no verdict. Evidence of
    /// an earlier run counts for nothing here.
    fn partial(&self, slot: &Slot<'_>, own: &Path) -> Option<Scorecard> {
        let bundle = Bundle::read(&own.join("evidence")).ok()?;
        let same = bundle.manifest.identity.as_ref() == slot.identity.get() && self.terms().fit(&bundle);
        if bundle.finished() || !same {
            return None;
        }
        let card = self.card(&bundle);
        // The card counts without its pages, which the next run writes.
        drop(write_pages(&card, own));
        Some(card)
    }

    /// Makes the packages that a submission needs, or finds those that another with the same requirements has had made; none where
    /// it is left to its own build.
    fn prepare(&self, work: &Path, slot: &Slot<'_>, board: &Board<'_>) -> Result<Option<Isolation>, Failure> {
        let Some(isolation) = self.isolation else {
            return Ok(None);
        };
        let name = &slot.submission.name;
        let maker = Maker {
            isolation,
            bounds: self.milestone.assignment.bounds,
            limits: self.milestone.assignment.limits,
            leash: &leash()?,
            clock: self.clock,
            stop: &slot.stop,
            begins: &|| board.step(name, "making its packages"),
        };
        match self.packages.prepare(work, maker) {
            Ok(Prepared::Shared(folder)) => Ok(Some(isolation.with_packages(folder))),
            Ok(Prepared::Own(why)) => {
                if let Some(why) = why {
                    board.step(name, &why);
                }
                Ok(None)
            }
            Err(error) => Err(Failure::machine(format!(
                "this machine refused while packages of `{name}` were made: {error}"
            ))),
        }
    }

    fn try_one(&self, slot: &Slot<'_>, board: &Board<'_>, own: &Path) -> Result<Scorecard, Failure> {
        let interrupted = || Failure {
            exit: Exit::Interrupted,
            message: "interrupted".to_owned(),
            hint: None,
        };
        let Slot {
            submission,
            turn,
            stop,
            identity,
            ..
        } = slot;
        let name = &submission.name;
        turn.take(Kind::Work, stop).map_err(|_| interrupted())?;
        board.step(name, "copying");
        let work = own.join("work");
        if let Ok(read) = submission.source.identity() {
            identity.get_or_init(|| read);
        }
        let mut left_out = Vec::new();
        let subject = match stage(&submission.source, &work, LIMITS, (self.clock, stop)) {
            Ok(staged) => 'staged: {
                left_out = staged.notes;
                if self.isolation.is_some() {
                    let misfit = Isolation::misfit(&work, &self.milestone.assignment.bounds);
                    let unreadable =
                        |error| Failure::machine(format!("cannot read the copy of `{name}`: {error}"));
                    if let Some(why) = misfit.map_err(unreadable)? {
                        break 'staged Subject::Refused { why, ours: false };
                    }
                }
                let with_packages = self.prepare(&work, slot, board)?;
                let walls = with_packages.as_ref().or(self.isolation).map(|isolation| Walls {
                    isolation,
                    bounds: self.milestone.assignment.bounds,
                });
                repository(&work, own.join("home"), self.data, walls, self.clock)
            }
            Err(StageError::Refused(why)) => Subject::Refused { why, ours: false },
            Err(StageError::Ours(why)) => Subject::Refused { why, ours: true },
            // Evidence is begun also where the time was over before: the class must show it.
            Err(StageError::Interrupted) if slot.late.load(Ordering::Relaxed) => Subject::Refused {
                why: "its time was over before it was copied".to_owned(),
                ours: true,
            },
            Err(StageError::Interrupted) => return Err(interrupted()),
        };
        let progress = |step: &str| board.step(name, step);
        let one = Run {
            name,
            source: submission.source.to_string(),
            kind: RunKind::Grade,
            subject,
            ground: self.ground,
            data: self
                .milestone
                .assignment
                .workload
                .is_some()
                .then(|| self.data.to_owned()),
            world: self.world.clone(),
            milestone: self.milestone,
            seed: self.seed,
            out: own.to_owned(),
        };
        let hands = Hands {
            clock: self.clock,
            stop,
            progress: &progress,
            turn,
            identity: identity.get().map(String::as_str),
            left_out: &left_out,
        };
        run_by(one, hands)
    }
}

/// Whether what was handed in could not be taken, through no fault of ours.
fn refused(bundle: &Bundle) -> bool {
    bundle
        .items
        .iter()
        .any(|item| matches!(item, Item::Start(stage) if stage.is_refusal()))
}

/// Says what came of a submission in a few words.
pub(super) fn told(end: &End) -> String {
    match end {
        End::Graded {
            score, max, verdicts, ..
        } => {
            let count = |verdict| verdicts.values().filter(|one| **one == verdict).count();
            let mut text = format!("{score} of {max} points");
            for (verdict, word) in [
                (Verdict::Fail, "failed"),
                (Verdict::NoVerdict, "without a verdict"),
            ] {
                if count(verdict) > 0 {
                    text.push_str(&format!(", {} {word}", count(verdict)));
                }
            }
            text
        }
        End::OutOfTime { deadline_s } => format!("its {deadline_s} s are over; the rest has no verdict"),
        End::Machine { why } => format!("this machine refused: {why}"),
        End::Bug { why } => format!("a fault of this program: {why}"),
        End::Interrupted => "stopped".to_owned(),
    }
}

/// Returns the words of a panic.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

fn set(broken: &Mutex<Option<Failure>>, failure: Failure) {
    lock(broken).get_or_insert(failure);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a folder of ours that is no evidence; one that cannot be removed is only in the way.
fn tidy(dir: &Path) {
    drop(fs::remove_dir_all(dir));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Colour;
    use crate::cli::run::no_world;
    use crate::cli::ui::Ui;
    use crate::course::CourseFiles;
    use crate::submission::find;

    #[test]
    fn a_fault_of_ours_with_one_submission_ends_no_other_and_is_told_by_its_name() {
        let home = tempfile::tempdir().unwrap();
        let names = ["a", "b", "c", "d"];
        let words = names.map(|name| {
            let folder = home.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("reelworld.toml"), "").unwrap();
            folder.display().to_string()
        });
        let submissions = find(&words).unwrap();
        let milestone = Milestone::open(&CourseFiles::open(None), "m1").unwrap();
        let clock = Clock::start();
        let class = Class {
            milestone: &milestone,
            ground: &Ground::Nothing,
            world: &no_world(),
            seed: 1,
            out: home.path(),
            data: home.path(),
            isolation: None,
            packages: &Packages::new(home.path().join("packages")),
            jobs: 2,
            deadline: Duration::from_secs(60),
            clock,
        };
        let (ui, stop) = (Ui::new(Colour::Never), Stop::default());
        let board = Board::new(&ui, clock, "a test".to_owned(), names.len(), 0);
        let results = Mutex::new(Results::open(home.path()).unwrap());
        let mut outcome = Outcome::default();
        let each = |slot: &Slot<'_>| {
            let kind = if slot.submission.name == "b" {
                Kind::Alone
            } else {
                Kind::Work
            };
            slot.turn.take(kind, &slot.stop).unwrap();
            assert!(slot.submission.name != "b", "the seventh of five movies");
            // Whoever is timed needs a machine that nobody else holds.
            slot.turn.take(Kind::Alone, &slot.stop).unwrap();
            slot.turn.rest();
            (End::OutOfTime { deadline_s: 1 }, None)
        };
        let all: Vec<&Submission> = submissions.iter().collect();
        class.side_by_side(&all, &results, (&board, &stop), &mut outcome, &each);
        let given_up = outcome.given_up.unwrap();
        assert_eq!(given_up.exit, Exit::Bug);
        assert_eq!(
            given_up.message,
            "`b` met a fault of this program: the seventh of five movies"
        );
        let mut ends: Vec<(String, End)> = Results::read(home.path())
            .unwrap()
            .into_iter()
            .map(|line| (line.submission, line.end))
            .collect();
        ends.sort_by(|one, other| one.0.cmp(&other.0));
        let wanted = names.map(|name| {
            let end = match name {
                "b" => End::Bug {
                    why: "the seventh of five movies".to_owned(),
                },
                _ => End::OutOfTime { deadline_s: 1 },
            };
            (name.to_owned(), end)
        });
        assert_eq!(ends, wanted);
    }
}
