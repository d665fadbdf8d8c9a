//! `grade --queue`: a class that workers measure; who put the jobs collects what came of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::args::Grade;
use super::board::Board;
use super::class_run::{Class, Outcome, told};
use super::queue::{Desk, Done, Task, Topic, disk, failure, key_at_work, message};
use super::run::write_pages;
use super::ui::{Failure, Stop, Ui};
use crate::class::{End, Results, Wish};
use crate::evidence::Bundle;
use crate::submission::Submission;

/// Between two looks at the results.
const LOOK: Duration = Duration::from_millis(300);
/// After how long without anybody at work it is said that workers are missing, and how often again.
const NOBODY: Duration = Duration::from_secs(60);

/// Grades submissions by a queue.
pub(super) fn grade(
    args: &Grade,
    queue: &str,
    class: &Class<'_>,
    (submissions, wish): (&[Submission], &Wish),
    (ui, stop): (&Ui, &Stop),
) -> Result<Outcome, Failure> {
    let topic = Topic::read(queue, args.windows.kafka_config.as_deref())?;
    ui.progress(format_args!(
        "workers take submissions from {queue}: reelworld worker --queue {queue} --out {}",
        class.out.display()
    ));
    let title = format!("grading {}", args.milestone);
    let board = |total, kept| Board::new(ui, class.clock, title, total, kept);
    class.by_queue(submissions, wish, (&topic, board), stop)
}

/// Since when nobody has been at work.
#[derive(Debug, Default)]
struct Quiet(Option<Duration>);

impl Quiet {
    /// Tells whether it is to be said that nobody is at work: once each time it has been so for long.
    fn is_long(&mut self, somebody_is_at_work: bool, now: Duration) -> bool {
        let since = *self.0.get_or_insert(now);
        let is_long = !somebody_is_at_work && now.saturating_sub(since) >= NOBODY;
        if somebody_is_at_work || is_long {
            self.0 = Some(now);
        }
        is_long
    }
}

/// A submission that nobody has measured yet.
struct Open {
    name: String,
    identity: String,
}

impl Class<'_> {
    /// Has workers measure what is wished for, and puts what they found in its place.
    ///
    /// # Errors
    /// When the queue does not answer, or the folder refuses.
    fn by_queue<'b>(
        &self,
        submissions: &[Submission],
        wish: &Wish,
        (topic, board): (&Topic, impl FnOnce(usize, usize) -> Board<'b>),
        stop: &Stop,
    ) -> Result<Outcome, Failure> {
        let (mut outcome, wanted) = self.sort(submissions, wish)?;
        let board = board(submissions.len() - outcome.missing.len(), outcome.cards.len());
        let desk = Desk::of(self.out);
        // Who measures all of it anew takes nothing over from workers of an earlier run.
        let run = desk.begin(wish.resume && !wish.retry, self.clock)?;
        let there = desk.names(&run)?;
        let (mut open, mut jobs) = (BTreeMap::new(), Vec::new());
        for submission in &wanted {
            // What cannot be read here is read by nobody; the worker tells it.
            let identity = submission.source.identity().unwrap_or_default();
            let key = self.terms().key(&submission.name, &identity);
            let task = Task::new(submission, self.terms(), self.deadline.as_secs_f64())?;
            desk.put(&run, &key, &task)?;
            if !there.contains(&format!("{key}.json")) {
                jobs.push(message(&run, &key));
            }
            board.step(&submission.name, "waits for a worker");
            let name = submission.name.clone();
            open.insert(key, Open { name, identity });
        }
        topic.settings.put(&topic.name, &jobs).map_err(failure)?;
        let results = Results::open(self.out).map_err(|error| disk(self.out, &error))?;
        let results = Mutex::new(results);
        let mut quiet = Quiet::default();
        loop {
            let names = desk.names(&run)?;
            let mut somebody = false;
            for key in names.iter().filter_map(|name| key_at_work(name)) {
                if let Some(at_work) = open.get(key) {
                    somebody = true;
                    board.step(&at_work.name, "is with a worker");
                }
            }
            if quiet.is_long(somebody, self.clock.elapsed()) {
                board.say(&format!(
                    "nobody has been at work for {} s: is a `reelworld worker` running that sees this folder and this queue?",
                    NOBODY.as_secs()
                ));
            }
            for name in &names {
                let Some(key) = name.strip_suffix(".json") else {
                    continue;
                };
                if let Some(done) = desk.result(&run, key)?
                    && let Some(ended) = open.remove(key)
                {
                    self.take(&desk.run(&run), key, &ended, &done, (&results, &mut outcome))?;
                    board.end(&ended.name, &told(&done.line.end));
                }
            }
            if open.is_empty() || stop.is_set() {
                break;
            }
            board.tick();
            self.clock.sleep(LOOK);
        }
        board.close();
        if open.is_empty() {
            desk.end(&run)?;
        }
        let without: BTreeSet<String> = wanted
            .iter()
            .map(|one| one.name.clone())
            .filter(|name| !outcome.cards.contains_key(name))
            .collect();
        outcome.interrupted = without.len();
        outcome.missing.extend(without);
        outcome.missing.sort();
        Ok(outcome)
    }

    /// Puts one result in its place.
    fn take(
        &self,
        folder: &Path,
        key: &str,
        open: &Open,
        done: &Done,
        (results, outcome): (&Mutex<Results>, &mut Outcome),
    ) -> Result<(), Failure> {
        let name = &open.name;
        // What could not be read here has no identity; whoever read it may tell.
        if !done.line.identity.is_empty() && !open.identity.is_empty() && done.line.identity != open.identity
        {
            // Such a result is none, also for whoever goes on with the run.
            let place = folder.join(format!("{key}.json"));
            fs::rename(&place, folder.join(format!("{key}.other"))).map_err(|error| disk(&place, &error))?;
            outcome.given_up.get_or_insert_with(|| {
                Failure::machine(format!(
                    "a worker found other files of `{name}` than there are here"
                ))
            });
            return Ok(());
        }
        self.put_in_place(name, folder, done)?;
        self.append(&done.line, results)?;
        let bundle = Bundle::read(&self.own(name).join("evidence"));
        match (&done.line.end, bundle) {
            (End::Bug { why }, _) => {
                outcome.given_up = Some(Failure::bug(format!(
                    "`{name}` met a fault of this program: {why}"
                )));
            }
            (End::Machine { why }, _) => {
                outcome
                    .given_up
                    .get_or_insert_with(|| Failure::machine(format!("`{name}`: {why}")));
            }
            (_, Ok(bundle)) => {
                let card = self.card(&bundle);
                write_pages(&card, &self.own(name))?;
                outcome.cards.insert(name.clone(), card);
            }
            (_, Err(error)) => {
                outcome.given_up.get_or_insert_with(|| Failure::from(error));
            }
        }
        Ok(())
    }

    /// Moves a bundle to the submission's own folder; what was there before is kept beside the run's results.
    fn put_in_place(&self, name: &str, folder: &Path, done: &Done) -> Result<(), Failure> {
        let own = self.own(name);
        let bundle = folder.join(&done.bundle).join(name);
        // One that is not there was moved before this run was resumed, or its worker could not begin with one.
        if bundle.is_dir() {
            if own.exists() {
                let before = folder.join("before");
                fs::create_dir_all(&before).map_err(|error| disk(&before, &error))?;
                let aside = (0..)
                    .map(|number| before.join(format!("{name}-{number}")))
                    .find(|aside| !aside.exists())
                    .expect("numbers have no end");
                fs::rename(&own, aside).map_err(|error| disk(&own, &error))?;
            }
            fs::rename(&bundle, &own).map_err(|error| disk(&bundle, &error))?;
        }
        // What is left is the worker's own list of results, which stands in ours.
        drop(fs::remove_dir_all(folder.join(&done.bundle)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nobody_is_at_work_is_said_once_for_each_minute_of_it() {
        let mut quiet = Quiet::default();
        let told: Vec<u64> = (0..400)
            .filter(|second| quiet.is_long((100..110).contains(second), Duration::from_secs(*second)))
            .collect();
        assert_eq!(told, [60, 169, 229, 289, 349]);
    }
}
