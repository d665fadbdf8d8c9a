//! What a person sees while a class is graded: who is at work, what is done, how long is left.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};

use super::ui::Ui;
use crate::clock::Clock;

/// The width that a line may take: what does not wrap on a terminal that nobody has widened.
const WIDTH: usize = 79;
/// The most submissions that are shown at work.
const MOST_SHOWN: usize = 8;
/// The most signs of a name in the block.
const NAME: usize = 24;
/// From how many ends on the time that is left is told.
const LEAST_ENDS: usize = 2;

/// What is known of a run while it goes.
#[derive(Debug, Clone)]
struct State {
    title: String,
    total: usize,
    /// Ended before this run.
    kept: usize,
    /// Ended in this run.
    ended: usize,
    began: Duration,
    /// Name, step, since when.
    at_work: BTreeMap<String, (String, Duration)>,
    /// Lines of the block that stand on the terminal.
    drawn: usize,
}

/// The board of a run: a block that is drawn anew on a terminal, a line for each step anywhere else.
#[derive(Debug)]
pub(super) struct Board<'a> {
    ui: &'a Ui,
    clock: Clock,
    live: bool,
    state: Mutex<State>,
}

impl<'a> Board<'a> {
    pub(super) fn new(ui: &'a Ui, clock: Clock, title: String, total: usize, kept: usize) -> Self {
        // A terminal that takes no colours does not move its cursor either.
        let live = io::stderr().is_terminal() && AutoStream::choice(&io::stderr()) != ColorChoice::Never;
        let state = State {
            title,
            total,
            kept,
            ended: 0,
            began: clock.elapsed(),
            at_work: BTreeMap::new(),
            drawn: 0,
        };
        Self {
            ui,
            clock,
            live,
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what a submission is at.
    pub(super) fn step(&self, name: &str, step: &str) {
        let now = self.clock.elapsed();
        let mut state = self.lock();
        let known = state.at_work.insert(name.to_owned(), (step.to_owned(), now));
        if self.live {
            self.draw(&mut state, None);
        } else if known.is_none_or(|(before, _)| before != step) {
            self.ui.progress(format_args!("  {name}: {step}"));
        }
    }

    /// Tells what came of a submission.
    pub(super) fn end(&self, name: &str, what: &str) {
        let mut state = self.lock();
        state.at_work.remove(name);
        state.ended += 1;
        let place = state.kept + state.ended;
        let line = format!("[{place}/{}] {name}: {what}", state.total);
        if self.live {
            self.draw(&mut state, Some(&line));
        } else {
            self.ui.progress(format_args!("{line}"));
        }
    }

    /// Tells something that is about no submission, as only a run by a queue has to.
    #[cfg(feature = "kafka")]
    pub(super) fn say(&self, line: &str) {
        if self.live {
            self.draw(&mut self.lock(), Some(line));
        } else {
            self.ui.progress(format_args!("{line}"));
        }
    }

    /// Draws the block again, so that its times go on.
    pub(super) fn tick(&self) {
        if self.live {
            self.draw(&mut self.lock(), None);
        }
    }

    /// Takes the block away.
    pub(super) fn close(&self) {
        if self.live {
            let mut state = self.lock();
            let text = up(state.drawn);
            state.drawn = 0;
            put(&text);
        }
    }

    fn draw(&self, state: &mut State, line: Option<&str>) {
        let mut text = up(state.drawn);
        if let Some(line) = line {
            text.push_str(line);
            text.push('\n');
        }
        let lines = block(state, self.clock.elapsed());
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        state.drawn = lines.len();
        put(&text);
    }
}

/// Goes to the block's first line and wipes what is below.
fn up(lines: usize) -> String {
    if lines == 0 {
        String::new()
    } else {
        format!("\u{1b}[{lines}A\u{1b}[J")
    }
}

fn put(text: &str) {
    let mut stream = io::stderr().lock();
    // Progress that cannot be shown is no reason to stop measuring.
    let _unseen = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

/// Writes the block: how far it is, and who is at what for how long.
fn block(state: &State, now: Duration) -> Vec<String> {
    let waits = |step: &str| step.starts_with("waits");
    let (waiting, working): (Vec<_>, Vec<_>) = state.at_work.iter().partition(|(_, (step, _))| waits(step));
    let done = state.kept + state.ended;
    let mut head = format!(
        "{}: {done} of {} done, {} at work",
        state.title,
        state.total,
        working.len()
    );
    if !waiting.is_empty() {
        head.push_str(&format!(", {} waiting", waiting.len()));
    }
    if let Some(left) = left(state, now) {
        head.push_str(&format!(", about {} left", words(left)));
    }
    let mut lines = vec![head];
    for (name, (step, since)) in working.iter().take(MOST_SHOWN) {
        let short: String = name.chars().take(NAME).collect();
        lines.push(format!(
            "  {short:<NAME$}  {step:<32}  {}",
            words(now.saturating_sub(*since))
        ));
    }
    if working.len() > MOST_SHOWN {
        lines.push(format!("  and {} more", working.len() - MOST_SHOWN));
    }
    lines
        .iter()
        .map(|line| line.chars().take(WIDTH).collect())
        .collect()
}

/// Returns how long the rest will take if it goes as it went; none while too little is known.
fn left(state: &State, now: Duration) -> Option<Duration> {
    let rest = state.total.saturating_sub(state.kept + state.ended);
    if state.ended < LEAST_ENDS || rest == 0 {
        return None;
    }
    let each = now.saturating_sub(state.began).as_secs_f64() / state.ended as f64;
    Some(Duration::from_secs_f64(each * rest as f64))
}

fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6_000 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            title: "grading m1".to_owned(),
            total: 40,
            kept: 10,
            ended: 0,
            began: Duration::from_secs(100),
            at_work: BTreeMap::new(),
            drawn: 0,
        }
    }

    #[test]
    fn the_block_says_who_is_at_what_and_how_long_is_left() {
        let mut state = state();
        let at = |step: &str, since| (step.to_owned(), Duration::from_secs(since));
        state
            .at_work
            .insert("falcons".to_owned(), at("asking: 30 %", 180));
        state
            .at_work
            .insert("hawks".to_owned(), at("waits for its turn", 190));
        let now = Duration::from_secs(200);
        let lines = block(&state, now);
        assert_eq!(lines[0], "grading m1: 10 of 40 done, 1 at work, 1 waiting");
        assert_eq!(
            lines[1].trim_end(),
            "  falcons                   asking: 30 %                      20 s"
        );
        assert_eq!(lines.len(), 2);
        state.ended = 4;
        assert!(
            block(&state, now)[0].ends_with("about 11 min left"),
            "26 are left, 25 s each"
        );
        state.ended = 30;
        assert!(!block(&state, now)[0].contains("left"));
    }

    #[test]
    fn a_block_stays_small_whatever_is_at_work() {
        let mut state = state();
        for n in 0..30 {
            state
                .at_work
                .insert("n".repeat(60 + n), ("building".repeat(20), Duration::ZERO));
        }
        let lines = block(&state, Duration::from_secs(200));
        assert_eq!(lines.len(), MOST_SHOWN + 2);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(lines.last().unwrap(), "  and 22 more");
    }
}
