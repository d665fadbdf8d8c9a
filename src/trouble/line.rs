//! A log's lines on their way through the faults of a plan, and the count of what these did.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::fate::{Fault, Written, fnv};
use super::group::Group;
use super::truth::{FaultFacts, Power, Truth, of_fault, strengths};
use super::{Kind, Plan, Window};
use crate::event::{Record, SimTime};
use crate::seed::Branch;
use crate::world::{Profile, World};

/// The most line numbers that an answer key lists for one trouble; where there are more, the rule and the count must do.
const MOST_LISTED: usize = 20_000;
/// A log's lines on their way through the faults of a plan.
///
/// Lines go in through [`LineFaults::push`] in order; [`LineFaults::finish`] lets out what is still held back.
#[derive(Debug)]
pub struct LineFaults<'a> {
    world: Option<&'a World>,
    users: u32,
    profile: Profile,
    days: u32,
    active: Vec<Active<'a>>,
    held: BinaryHeap<Reverse<Held>>,
    came: u64,
    written: u64,
}

#[derive(Debug)]
struct Active<'a> {
    place: usize,
    plan: &'a Plan,
    fault: Fault,
    window: Window,
    branch: Branch,
    concerned: u64,
    in_window: u64,
    altered: u64,
    users: BTreeSet<u32>,
    all_users: BTreeSet<u32>,
    lines: Vec<u64>,
}

/// A line that is late: due time, number of coming so that ties are in order, text, faults that altered it.
type Held = (SimTime, u64, Vec<u8>, Vec<usize>);

impl<'a> LineFaults<'a> {
    /// Makes the faults of a plan ready for a log that begins at `start`.
    pub fn new(plan: &'a Plan, world: &'a World, branch: &Branch, start: SimTime, days: u32) -> Self {
        let about = (world.spec().users, world.spec().profile);
        Self {
            world: Some(world),
            ..Self::of_released(plan, about, branch, start, days)
        }
    }

    /// As [`Self::new`], for who knows only how many users the company has and its contract: nobody is then of any group.
    pub fn of_released(
        plan: &'a Plan,
        (users, profile): (u32, Profile),
        branch: &Branch,
        start: SimTime,
        days: u32,
    ) -> Self {
        let active = plan
            .troubles
            .iter()
            .enumerate()
            .filter_map(|(place, trouble)| match trouble.kind {
                Kind::Fault(fault) => Some(Active {
                    place,
                    plan,
                    fault,
                    window: Window::of(trouble, start, days),
                    branch: branch.branch(&trouble.name),
                    concerned: 0,
                    in_window: 0,
                    altered: 0,
                    users: BTreeSet::new(),
                    all_users: BTreeSet::new(),
                    lines: Vec::new(),
                }),
                Kind::GroupBias(_) | Kind::RatingAttack(_) | Kind::Bots(_) | Kind::Unsuitable(_) => None,
            })
            .collect();
        Self {
            world: None,
            users,
            profile,
            days,
            active,
            held: BinaryHeap::new(),
            came: 0,
            written: 0,
        }
    }

    /// Takes many whole lines, each with its newline, and appends what the log has of them.
    pub fn push_text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            self.push(line.strip_suffix(b"\n").unwrap_or(line), out);
        }
    }

    /// Takes a line without its newline, and appends what the log has of it; a line that no parser reads goes by unchanged.
    pub fn push(&mut self, line: &[u8], out: &mut Vec<u8>) {
        self.came += 1;
        let parsed = std::str::from_utf8(line)
            .ok()
            .and_then(|text| Record::parse(text).ok());
        let Some(record) = parsed else {
            self.write(line, &[], out);
            return;
        };
        let time = record.time;
        while self.held.peek().is_some_and(|Reverse(held)| held.0 <= time) {
            self.let_out(out);
        }
        let Some(draft) = self.draft(line, record) else {
            return;
        };
        let text = draft.written.text;
        if let Some(due) = draft.written.due {
            self.held.push(Reverse((due, self.came, text, draft.marks)));
            return;
        }
        match draft.doubled {
            // The first of the two is as it should be: the second is what the trouble added.
            Some(by) => {
                let others: Vec<usize> = draft.marks.iter().copied().filter(|mark| *mark != by).collect();
                self.write(&text, &others, out);
                self.write(&text, &draft.marks, out);
            }
            None => self.write(&text, &draft.marks, out),
        }
    }

    /// Appends what is still held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        while !self.held.is_empty() {
            self.let_out(out);
        }
    }

    /// Returns the answer key's entries of all faults, once the log has gone by.
    pub fn truths(&self) -> Vec<Truth> {
        self.active.iter().map(|active| active.truth(self.days)).collect()
    }

    fn let_out(&mut self, out: &mut Vec<u8>) {
        if let Some(Reverse((_, _, text, marks))) = self.held.pop() {
            self.write(&text, &marks, out);
        }
    }

    fn write(&mut self, text: &[u8], marks: &[usize], out: &mut Vec<u8>) {
        self.written += 1;
        out.extend_from_slice(text);
        out.push(b'\n');
        for mark in marks {
            let active = &mut self.active[*mark];
            if active.lines.len() <= MOST_LISTED {
                active.lines.push(self.written);
            }
        }
    }

    /// Decides a line's fate: losses first, then what is told, then how it is written, then when and how often.
    fn draft(&mut self, line: &[u8], mut record: Record) -> Option<Draft> {
        let (time, user, hash) = (record.time, record.user, fnv(line));
        let original = record.clone();
        let mut marks = Vec::new();
        let mut written: Vec<usize> = Vec::new();
        for place in 0..self.active.len() {
            let active = &mut self.active[place];
            if !active.window.holds(time) {
                continue;
            }
            active.in_window += 1;
            active.all_users.insert(user);
            if active.fault.is_of_writing() {
                written.push(place);
                continue;
            }
            let known = (self.world, self.users);
            let (concerned, hit) = active
                .fault
                .tell(&active.branch, (hash, time), &mut record, known);
            active.concerned += u64::from(concerned);
            if hit {
                active.altered += 1;
                active.users.insert(user);
                marks.push(place);
                if matches!(active.fault, Fault::Missing { .. }) {
                    return None;
                }
            }
        }
        let mut text = line.to_vec();
        if record != original {
            text.clear();
            record.print(self.profile, &mut text);
        }
        let mut draft = Draft {
            written: Written::new(text),
            marks,
            doubled: None,
        };
        for place in written {
            let active = &mut self.active[place];
            let was_doubled = draft.written.is_doubled;
            let hit = active.fault.write(&active.branch, hash, time, &mut draft.written);
            if draft.written.is_doubled && !was_doubled {
                draft.doubled = Some(place);
            }
            active.concerned += 1;
            if hit {
                active.altered += 1;
                draft.marks.push(place);
            }
        }
        Some(draft)
    }
}

struct Draft {
    written: Written,
    marks: Vec<usize>,
    /// The fault that doubled it.
    doubled: Option<usize>,
}

impl Active<'_> {
    fn truth(&self, days: u32) -> Truth {
        let share = self.altered as f64 / (self.concerned as f64).max(1.0);
        let (rule, strength) = self.rule();
        let power = match self.fault {
            Fault::Missing { .. } => {
                let part = |concerned: u64, all: u64| concerned as f64 / (all as f64).max(1.0);
                Power::of_share(
                    "lines",
                    part(self.concerned, self.in_window),
                    part(self.concerned - self.altered, self.in_window - self.altered),
                    (
                        self.in_window as f64 / (self.all_users.len() as f64).max(1.0),
                        0.0,
                    ),
                    self.in_window,
                )
            }
            _ => Power::of_impossible("lines", share, self.concerned),
        };
        let listed = self.lines.len() <= MOST_LISTED;
        of_fault(FaultFacts {
            trouble: &self.plan.troubles[self.place],
            window: self.window,
            days,
            what: self.what().to_owned(),
            rule,
            strength,
            // Users tell something only where the fault goes by users.
            users: match self.fault {
                Fault::ClockSkew { .. } | Fault::Missing { group: Some(_), .. } => {
                    self.users.iter().copied().collect()
                }
                _ => Vec::new(),
            },
            altered: self.altered,
            of: self.concerned,
            lines: if listed { self.lines.clone() } else { Vec::new() },
            power,
        })
    }

    fn what(&self) -> &'static str {
        match self.fault {
            Fault::SchemaChange(_) => "the form of the lines changes",
            Fault::Missing { .. } => "lines are lost, not at random",
            Fault::Duplicates { .. } => "lines are written twice; the second one is the altered line",
            Fault::OutOfRange { .. } => "ratings above the scale, users above the largest number",
            Fault::UnitChange => "the minute of watch lines is told in seconds",
            Fault::RandomCharacter { .. } => "a random character is inserted into lines",
            Fault::ClockSkew { .. } => "the clocks of some users are off",
            Fault::LateEvents { .. } => "lines are written later than they happened",
        }
    }

    fn rule(&self) -> (String, std::collections::BTreeMap<String, f64>) {
        match self.fault {
            Fault::SchemaChange(order) => (
                format!("every line of the window, {}", order.name()),
                strengths(&[]),
            ),
            Fault::Missing { share, group, hours } => {
                let whose = group.map_or_else(|| "everybody".to_owned(), Group::label);
                let when = hours.map_or_else(
                    || "all day".to_owned(),
                    |(from, until)| format!("from hour {from} to before hour {until}"),
                );
                (format!("{whose}, {when}"), strengths(&[("share", share)]))
            }
            Fault::Duplicates { share } | Fault::OutOfRange { share } | Fault::RandomCharacter { share } => (
                "any line of the window".to_owned(),
                strengths(&[("share", share)]),
            ),
            Fault::UnitChange => (
                "every watch line of the window whose minute is not 0".to_owned(),
                strengths(&[("factor", 60.0)]),
            ),
            Fault::ClockSkew { share, seconds } => (
                "every line of the window of the users listed".to_owned(),
                strengths(&[("share", share), ("seconds", seconds as f64)]),
            ),
            Fault::LateEvents { share, seconds } => (
                "any line of the window".to_owned(),
                strengths(&[("share", share), ("seconds", seconds as f64)]),
            ),
        }
    }
}
