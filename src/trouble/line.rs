//! Faults of the data: lines that are lost, doubled, late, or not what they should be.
//!
//! A line's fate is drawn at the hash of its text, so that it does not depend on how the log is cut into pieces.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::group::Group;
use super::truth::{FaultFacts, Power, Truth, of_fault, strengths};
use super::{Kind, Plan, Window};
use crate::event::{Event, Record, SimTime};
use crate::seed::{Branch, Draws};
use crate::world::{Profile, UserId, World};

/// A fault of the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// The order or the form of a line's fields changes.
    SchemaChange(Order),
    /// Lines are lost: of a group, of some hours of the day, or of both.
    Missing {
        /// The share of the concerned lines that is lost.
        share: f64,
        /// Whose lines; everybody's if none.
        group: Option<Group>,
        /// From which hour of the day to before which; all day if none.
        hours: Option<(u8, u8)>,
    },
    /// Lines are written twice.
    Duplicates {
        /// The share of lines.
        share: f64,
    },
    /// Ratings above the scale, users above the company's largest number.
    OutOfRange {
        /// The share of lines.
        share: f64,
    },
    /// The minute of watch lines is told in seconds.
    UnitChange,
    /// A random character gets into a line, mostly a blank.
    RandomCharacter {
        /// The share of lines.
        share: f64,
    },
    /// The clocks of some users' devices are off.
    ClockSkew {
        /// The share of users.
        share: f64,
        /// By how many seconds.
        seconds: i64,
    },
    /// Lines are written later than they happened.
    LateEvents {
        /// The share of lines.
        share: f64,
        /// The longest delay.
        seconds: i64,
    },
}

/// The form of a line after a change of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// User before time: `362500,2023-02-08T02:29:01,GET ...`.
    UserFirst,
    /// Semicolons between the fields: `2023-02-08T02:29:01;362500;GET ...`.
    Semicolons,
    /// The request's path without its verb: `2023-02-08T02:29:01,362500,/data/m/...`.
    NoVerb,
}

/// The most line numbers that an answer key lists for one trouble; where there are more, the rule and the count must do.
const MOST_LISTED: usize = 20_000;
/// The longest delay of a line: what is held back until then is all the memory that this module takes.
pub(super) const MOST_LATE_S: i64 = 6 * 3600;
/// The share of blanks among random characters.
const BLANKS: f64 = 0.7;

impl Fault {
    /// Returns the name of course files and answer keys.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SchemaChange(_) => "schema_change",
            Self::Missing { .. } => "missing",
            Self::Duplicates { .. } => "duplicates",
            Self::OutOfRange { .. } => "out_of_range",
            Self::UnitChange => "unit_change",
            Self::RandomCharacter { .. } => "random_character",
            Self::ClockSkew { .. } => "clock_skew",
            Self::LateEvents { .. } => "late_events",
        }
    }
}

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
        if let Some(due) = draft.due {
            self.held.push(Reverse((due, self.came, draft.text, draft.marks)));
            return;
        }
        match draft.doubled {
            // The first of the two is as it should be: the second is what the trouble added.
            Some(by) => {
                let others: Vec<usize> = draft.marks.iter().copied().filter(|mark| *mark != by).collect();
                self.write(&draft.text, &others, out);
                self.write(&draft.text, &draft.marks, out);
            }
            None => self.write(&draft.text, &draft.marks, out),
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
        let mut written: Vec<(usize, Fault)> = Vec::new();
        for place in 0..self.active.len() {
            let active = &mut self.active[place];
            if !active.window.holds(time) {
                continue;
            }
            active.in_window += 1;
            active.all_users.insert(user);
            let mut draws = active.branch.at(hash);
            let mut mark = |concerned: bool, hit: bool| {
                active.concerned += u64::from(concerned);
                if concerned && hit {
                    active.altered += 1;
                    active.users.insert(user);
                    marks.push(place);
                }
                concerned && hit
            };
            match active.fault {
                Fault::Missing { share, group, hours } => {
                    let hour = time.seconds().div_euclid(3600).rem_euclid(24) as u8;
                    let concerned = group
                        .is_none_or(|group| self.world.is_some_and(|world| group.holds(world, UserId(user))))
                        && hours.is_none_or(|(from, until)| within(hour, from, until));
                    if mark(concerned, draws.chance(share)) {
                        return None;
                    }
                }
                Fault::OutOfRange { share } => {
                    if mark(true, draws.chance(share)) {
                        push_out(&mut record, self.users, &mut draws);
                    }
                }
                Fault::UnitChange => {
                    // Minute 0 is second 0: such a line looks the same.
                    if let Event::Watch { minute, .. } = &mut record.event {
                        let told = *minute * 60;
                        mark(true, told != *minute);
                        *minute = told;
                    }
                }
                Fault::ClockSkew { share, seconds } => {
                    if mark(true, active.branch.at(u64::from(user)).chance(share)) {
                        record.time = record.time.plus_seconds(seconds);
                    }
                }
                Fault::SchemaChange(_)
                | Fault::Duplicates { .. }
                | Fault::RandomCharacter { .. }
                | Fault::LateEvents { .. } => written.push((place, active.fault)),
            }
        }
        let mut text = line.to_vec();
        if record != original {
            text.clear();
            record.print(self.profile, &mut text);
        }
        let mut draft = Draft {
            text,
            marks,
            due: None,
            doubled: None,
        };
        for (place, fault) in written {
            self.rewrite(place, fault, hash, time, &mut draft);
        }
        Some(draft)
    }

    fn rewrite(&mut self, place: usize, fault: Fault, hash: u64, time: SimTime, draft: &mut Draft) {
        let active = &mut self.active[place];
        let mut draws = active.branch.at(hash);
        let hit = match fault {
            Fault::SchemaChange(order) => reorder(order, &mut draft.text),
            Fault::RandomCharacter { share } => {
                let hit = draws.chance(share);
                if hit {
                    insert_character(&mut draft.text, &mut draws);
                }
                hit
            }
            Fault::Duplicates { share } => {
                let hit = draws.chance(share) && draft.due.is_none();
                if hit {
                    draft.doubled = Some(place);
                }
                hit
            }
            Fault::LateEvents { share, seconds } => {
                let hit = draws.chance(share) && draft.doubled.is_none();
                if hit {
                    let most = seconds.clamp(1, MOST_LATE_S);
                    // Half the longest delay at least: a second late is late nowhere.
                    let delay = most / 2 + draws.below((most - most / 2) as u64 + 1) as i64;
                    draft.due = Some(time.plus_seconds(delay.max(1)));
                }
                hit
            }
            Fault::Missing { .. }
            | Fault::OutOfRange { .. }
            | Fault::UnitChange
            | Fault::ClockSkew { .. } => false,
        };
        active.concerned += 1;
        if hit {
            active.altered += 1;
            draft.marks.push(place);
        }
    }
}

struct Draft {
    text: Vec<u8>,
    marks: Vec<usize>,
    due: Option<SimTime>,
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

impl Order {
    pub(super) const WORDS: [(&'static str, Self); 3] = [
        ("user_first", Self::UserFirst),
        ("semicolons", Self::Semicolons),
        ("no_verb", Self::NoVerb),
    ];

    fn name(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, order)| *order == self)
            .map_or("", |(name, _)| name)
    }
}

/// Tells whether an hour lies in a span that may go over midnight.
fn within(hour: u8, from: u8, until: u8) -> bool {
    if from <= until {
        (from..until).contains(&hour)
    } else {
        hour >= from || hour < until
    }
}

/// Puts a value of a line outside of its range: the stars of a rating, the user of anything else.
fn push_out(record: &mut Record, users: u32, draws: &mut Draws) {
    if let Event::Rate { stars, .. } = &mut record.event {
        *stars += 10;
    } else {
        record.user = users + 1 + draws.below(u64::from(users)) as u32;
    }
}

/// Rewrites a line's fields; false where the line has nothing to rewrite.
fn reorder(order: Order, text: &mut Vec<u8>) -> bool {
    let mut fields = text.splitn(3, |byte| *byte == b',');
    let (Some(time), Some(user), Some(what)) = (fields.next(), fields.next(), fields.next()) else {
        return false;
    };
    let new = match order {
        Order::UserFirst => [user, b",", time, b",", what].concat(),
        Order::Semicolons => [time, b";", user, b";", what].concat(),
        Order::NoVerb => {
            let Some(path) = what.strip_prefix(b"GET ") else {
                return false;
            };
            [time, b",", user, b",", path].concat()
        }
    };
    *text = new;
    true
}

fn insert_character(text: &mut Vec<u8>, draws: &mut Draws) {
    let place = draws.below(text.len() as u64 + 1) as usize;
    let character = if draws.chance(BLANKS) {
        b' '
    } else {
        b'!' + draws.below(94) as u8
    };
    text.insert(place, character);
}

/// The hash of a line (Fowler, Noll and Vo, 1a, 64 bits).
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
