//! Faults of the data, and what each does to one line: lost, doubled, late, or not what it should be.
//!
//! A line's fate is drawn at the hash of its text, so that it does not depend on how the log is cut into pieces.

use super::Window;
use super::group::Group;
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

/// The longest delay of a line: what is held back until then is all the memory that this module takes.
pub(super) const MOST_LATE_S: i64 = 6 * 3600;
/// The share of blanks among random characters.
const BLANKS: f64 = 0.7;

impl Fault {
    /// Returns the share of lines or users that have it, where it is one of some.
    pub fn share(&self) -> Option<f64> {
        match self {
            Self::SchemaChange(_) | Self::UnitChange => None,
            Self::Missing { share, .. }
            | Self::Duplicates { share }
            | Self::OutOfRange { share }
            | Self::RandomCharacter { share }
            | Self::ClockSkew { share, .. }
            | Self::LateEvents { share, .. } => Some(*share),
        }
    }

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

    /// Tells whether it changes how a line is written, when or how often; the others change what is told, or whether.
    pub(super) fn is_of_writing(&self) -> bool {
        match self {
            Self::SchemaChange(_)
            | Self::Duplicates { .. }
            | Self::RandomCharacter { .. }
            | Self::LateEvents { .. } => true,
            Self::Missing { .. } | Self::OutOfRange { .. } | Self::UnitChange | Self::ClockSkew { .. } => {
                false
            }
        }
    }

    /// Changes what a line of a moment tells; returns whether the fault concerns it, and whether it hits it. What a loss hits is lost.
    pub(super) fn tell(
        &self,
        branch: &Branch,
        (hash, time): (u64, SimTime),
        record: &mut Record,
        (world, users): (Option<&World>, u32),
    ) -> (bool, bool) {
        let mut draws = branch.at(hash);
        match *self {
            Self::Missing { share, group, hours } => {
                let hour = time.seconds().div_euclid(3600).rem_euclid(24) as u8;
                let user = UserId(record.user);
                let concerned = group.is_none_or(|group| world.is_some_and(|world| group.holds(world, user)))
                    && hours.is_none_or(|(from, until)| within(hour, from, until));
                (concerned, concerned && draws.chance(share))
            }
            Self::OutOfRange { share } => {
                let hit = draws.chance(share);
                if hit {
                    push_out(record, users, &mut draws);
                }
                (true, hit)
            }
            Self::UnitChange => {
                // Minute 0 is second 0: such a line looks the same.
                let Event::Watch { minute, .. } = &mut record.event else {
                    return (false, false);
                };
                let told = *minute * 60;
                let hit = told != *minute;
                *minute = told;
                (true, hit)
            }
            Self::ClockSkew { share, seconds } => {
                let hit = is_skewed(branch, share, record.user);
                if hit {
                    record.time = record.time.plus_seconds(seconds);
                }
                (true, hit)
            }
            Self::SchemaChange(_)
            | Self::Duplicates { .. }
            | Self::RandomCharacter { .. }
            | Self::LateEvents { .. } => (false, false),
        }
    }

    /// Changes how a line of a moment is written, when or how often; returns whether it does.
    pub(super) fn write(&self, branch: &Branch, hash: u64, time: SimTime, written: &mut Written) -> bool {
        let mut draws = branch.at(hash);
        match *self {
            Self::SchemaChange(order) => reorder(order, &mut written.text),
            Self::RandomCharacter { share } => {
                let hit = draws.chance(share);
                if hit {
                    insert_character(&mut written.text, &mut draws);
                }
                hit
            }
            Self::Duplicates { share } => {
                let hit = draws.chance(share) && written.due.is_none();
                written.is_doubled |= hit;
                hit
            }
            Self::LateEvents { share, seconds } => {
                let hit = draws.chance(share) && !written.is_doubled;
                if hit {
                    let most = seconds.clamp(1, MOST_LATE_S);
                    // Half the longest delay at least: a second late is late nowhere.
                    let delay = most / 2 + draws.below((most - most / 2) as u64 + 1) as i64;
                    written.due = Some(time.plus_seconds(delay.max(1)));
                }
                hit
            }
            Self::Missing { .. } | Self::OutOfRange { .. } | Self::UnitChange | Self::ClockSkew { .. } => {
                false
            }
        }
    }
}

/// A line as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Its text.
    pub text: Vec<u8>,
    /// When it is written, where that is later.
    pub due: Option<SimTime>,
    /// Whether it is written twice.
    pub is_doubled: bool,
}

impl Written {
    pub(super) fn new(text: Vec<u8>) -> Self {
        Self {
            text,
            due: None,
            is_doubled: false,
        }
    }
}

/// Faults of lines, each between two moments of the calendar: what becomes of a line follows from it alone, so that the same line
/// meets the same fate whenever it is told again.
///
/// Requests for recommendations are only written otherwise, never lost, doubled, late or untrue: they are what grades are made from.
/// Where a character gets into them goes by their numbers, as nobody could tell from a text whether it belongs there.
#[derive(Debug, Clone)]
pub struct Spoil {
    users: u32,
    profile: Profile,
    dated: Vec<Dated>,
}

#[derive(Debug, Clone)]
struct Dated {
    fault: Fault,
    window: Window,
    branch: Branch,
}

impl Spoil {
    /// Makes faults of a world's log, of which there are none yet.
    pub fn new(world: &World) -> Self {
        Self {
            users: world.spec().users,
            profile: world.spec().profile,
            dated: Vec::new(),
        }
    }

    /// Adds a fault from a moment to before another; the branch names its luck.
    pub fn add(&mut self, fault: Fault, (from, until): (SimTime, SimTime), branch: Branch) {
        let window = Window { from, until };
        self.dated.push(Dated {
            fault,
            window,
            branch,
        });
    }

    /// Returns what the log has of a record: none where it is lost.
    pub fn fate(&self, world: &World, record: &Record) -> Option<Written> {
        let mut text = Vec::with_capacity(96);
        record.print(self.profile, &mut text);
        let active: Vec<&Dated> = self
            .dated
            .iter()
            .filter(|dated| dated.window.holds(record.time))
            .collect();
        if active.is_empty() {
            return Some(Written::new(text));
        }
        let hash = fnv(&text);
        let is_request = matches!(record.event, Event::Recommend { .. });
        let mut told = record.clone();
        for dated in active
            .iter()
            .filter(|dated| !is_request && !dated.fault.is_of_writing())
        {
            let about = (Some(world), self.users);
            let at = (hash, record.time);
            let (_, hit) = dated.fault.tell(&dated.branch, at, &mut told, about);
            if hit && matches!(dated.fault, Fault::Missing { .. }) {
                return None;
            }
        }
        if told != *record {
            text.clear();
            told.print(self.profile, &mut text);
        }
        let mut written = Written::new(text);
        for dated in active {
            if !is_request || matches!(dated.fault, Fault::SchemaChange(_)) {
                dated.fault.write(&dated.branch, hash, record.time, &mut written);
            }
        }
        Some(written)
    }

    /// Puts characters into a request of a moment that stands in the stream under a number.
    pub fn put_into(&self, seq: u64, time: SimTime, line: &mut Vec<u8>) {
        for dated in self.dated.iter().filter(|dated| dated.window.holds(time)) {
            if let Some(mut draws) = dated.put_at(seq) {
                insert_character(line, &mut draws);
            }
        }
    }

    /// Returns what a request may have been that now stands in the stream under a number: itself first, and nothing that a fault
    /// of the calendar cannot explain. Which of it is right, writing it again tells.
    pub fn origins(&self, seq: u64, line: &[u8]) -> Vec<Vec<u8>> {
        let mut all = vec![line.to_vec()];
        for dated in self.dated.iter().rev() {
            let Some(draws) = dated.put_at(seq) else { continue };
            let less: Vec<Vec<u8>> = all
                .iter()
                .filter(|line| !line.is_empty())
                .map(|line| {
                    let mut less = line.clone();
                    less.remove(draws.clone().below(line.len() as u64) as usize);
                    less
                })
                .collect();
            all.extend(less);
            all.truncate(MOST_ORIGINS);
        }
        for dated in self.dated.iter().rev() {
            if let Fault::SchemaChange(order) = dated.fault {
                let undone: Vec<Vec<u8>> = all.iter().filter_map(|line| order.undone(line)).collect();
                all.extend(undone);
                all.truncate(MOST_ORIGINS);
            }
        }
        all
    }

    /// Returns the moment of a record as the company's own clock has it, where the clock of its user is off.
    pub fn true_time(&self, record: &Record) -> SimTime {
        let mut time = record.time;
        for dated in &self.dated {
            if let Fault::ClockSkew { share, seconds } = dated.fault {
                let before = time.plus_seconds(-seconds);
                if dated.window.holds(before) && is_skewed(&dated.branch, share, record.user) {
                    time = before;
                }
            }
        }
        time
    }
}

impl Dated {
    /// Returns the draws of a character that it puts into the request of a number; none where it does not.
    fn put_at(&self, seq: u64) -> Option<Draws> {
        let Fault::RandomCharacter { share } = self.fault else {
            return None;
        };
        let mut draws = self.branch.branch("requests").at(seq);
        draws.chance(share).then_some(draws)
    }
}

/// The most texts of which one is what a request was: a calendar of fifty incidents has few of one kind at a time.
const MOST_ORIGINS: usize = 256;

/// Tells whether a user's clock is off.
fn is_skewed(branch: &Branch, share: f64, user: u32) -> bool {
    branch.at(u64::from(user)).chance(share)
}

impl Order {
    pub(super) const WORDS: [(&'static str, Self); 3] = [
        ("user_first", Self::UserFirst),
        ("semicolons", Self::Semicolons),
        ("no_verb", Self::NoVerb),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, order)| *order == self)
            .map_or("", |(name, _)| name)
    }

    /// Returns a line as it was before its fields were rewritten; none where that cannot have been.
    fn undone(self, line: &[u8]) -> Option<Vec<u8>> {
        let separator = if self == Self::Semicolons { b';' } else { b',' };
        let mut fields = line.splitn(3, |byte| *byte == separator);
        let (first, second, what) = (fields.next()?, fields.next()?, fields.next()?);
        Some(match self {
            Self::UserFirst => [second, b",", first, b",", what].concat(),
            Self::Semicolons => [first, b",", second, b",", what].concat(),
            Self::NoVerb => [first, b",", second, b",GET ", what].concat(),
        })
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
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
