//! The company's stream: every viewer's lines in order of time, the same bytes for any number of threads.

use std::ops::Range;

use super::life::Lives;
use super::viewer::{Logged, MnlViewer, Viewing};
use crate::event::{
    SimTime, push_number, push_rate, push_recommend, push_time, push_watch_begin, push_watch_end,
};
use crate::seed::Branch;
use crate::world::{Profile, UserId, World};

/// What to play.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimulateSpec {
    /// The first moment of the stream, a whole hour.
    pub start: SimTime,
    /// The hours to play.
    pub hours: f64,
    /// The threads to use.
    pub threads: usize,
}

/// What was played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Played {
    /// Lines of every kind.
    pub events: u64,
    /// Minutes watched.
    pub watch: u64,
    /// Ratings.
    pub rate: u64,
    /// Recommendation requests.
    pub recommend: u64,
    /// Accounts made.
    pub create_account: u64,
    /// Bytes, newlines included.
    pub bytes: u64,
}

impl Played {
    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.watch += other.watch;
        self.rate += other.rate;
        self.recommend += other.recommend;
        self.create_account += other.create_account;
        self.bytes += other.bytes;
    }
}

/// Hours played before the first line, so that movies are under way when the stream begins: as long as the longest movie.
const LEAD_HOURS: i64 = 4;
/// Seconds of one slice of formatting: large enough to share among threads, small enough to stay in cache.
const SLICE_S: i64 = 60;
/// The slices that each thread formats before any is handed on.
const SLICES_AT_ONCE: usize = 5;
/// The address of the company's own recommender, which serves until a team does: the most popular movies for everybody.
const FALLBACK: &str = "recommender.company.example:8082";

/// One line to come: the place of its viewing among those of its part, its kind and its argument, in one word.
#[derive(Debug, Clone, Copy)]
struct Line(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Watch,
    Rate,
    Recommend,
    CreateAccount,
}

impl Line {
    fn new(viewing: usize, kind: Kind, argument: u16) -> Self {
        Self((viewing as u64) << 32 | (kind as u64) << 16 | u64::from(argument))
    }

    fn viewing(self) -> usize {
        (self.0 >> 32) as usize
    }

    fn kind(self) -> Kind {
        match self.0 >> 16 & 3 {
            0 => Kind::Watch,
            1 => Kind::Rate,
            2 => Kind::Recommend,
            _ => Kind::CreateAccount,
        }
    }

    fn argument(self) -> u32 {
        u32::from(self.0 as u16)
    }
}

impl SimulateSpec {
    /// The first hour that is played, so that movies are under way when the stream begins.
    fn lead(&self) -> SimTime {
        self.start.plus_seconds(-LEAD_HOURS * 3600)
    }

    /// Returns the moment before which the stream ends.
    pub fn end(&self) -> SimTime {
        self.start.plus_seconds((self.hours * 3600.0).round() as i64)
    }
}

/// What stands between what viewers do and what the stream tells of it.
///
/// Called by many threads, each with users of its own: what is told of one must not depend on the others, nor on the
/// order of calls.
pub trait Teller: Sync {
    /// Appends what is told of what `users` began in the hour from `hour`, `began`, to `told`: both in the order of users.
    ///
    /// The ranges of all calls for an hour cover every number that a user may have, given or not.
    fn tell(&self, users: Range<u32>, hour: SimTime, began: &[Viewing], told: &mut Vec<Logged>);
}

/// Tells all as it was.
struct Plain;

impl Teller for Plain {
    fn tell(&self, _: Range<u32>, _: SimTime, began: &[Viewing], told: &mut Vec<Logged>) {
        told.extend(began.iter().copied().map(Logged::from));
    }
}

/// Plays the company and hands its lines to `sink` in order of time, many whole lines at once.
///
/// Stops early when `sink` returns an error.
///
/// # Errors
/// The error of the sink.
pub fn simulate<E>(
    world: &World,
    branch: &Branch,
    spec: SimulateSpec,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<Played, E> {
    simulate_told(world, branch, spec, &Plain, sink)
}

/// As [`simulate`], with what a teller makes of it.
///
/// # Errors
/// The error of the sink.
pub fn simulate_told<E>(
    world: &World,
    branch: &Branch,
    spec: SimulateSpec,
    teller: &dyn Teller,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<Played, E> {
    let model = MnlViewer::new(world);
    let threads = spec.threads.max(1);
    let end = spec.end();
    let slate = top(world);
    let mut parts: Vec<Part> = split(world, threads);
    let mut played = Played::default();
    let mut hour = spec.lead();
    while hour < end {
        let next = hour.plus_seconds(3600);
        let until = next.min(end);
        std::thread::scope(|scope| {
            for part in &mut parts {
                scope.spawn(|| part.play(world, &model, branch, hour, teller));
            }
        });
        if hour >= spec.start {
            std::thread::scope(|scope| {
                for part in &mut parts {
                    scope.spawn(|| part.sort(world, hour, until));
                }
            });
            format_hour(
                world,
                &slate,
                &parts,
                (hour, until),
                threads,
                &mut |text: &[u8], counts: &Played| {
                    sink(text)?;
                    played.add(counts);
                    Ok(())
                },
            )?;
            for part in &mut parts {
                part.close(until);
            }
        }
        hour = next;
    }
    Ok(played)
}

/// Plays the company as [`simulate`] does, and tells a teller alone.
pub fn survey(world: &World, branch: &Branch, spec: SimulateSpec, teller: &dyn Teller) {
    let model = MnlViewer::new(world);
    std::thread::scope(|scope| {
        for mut part in split(world, spec.threads.max(1)) {
            let model = &model;
            scope.spawn(move || {
                let mut hour = spec.lead();
                while hour < spec.end() {
                    part.open.clear();
                    part.play(world, model, branch, hour, teller);
                    hour = hour.plus_seconds(3600);
                }
            });
        }
    });
}

/// Plays single users of a stream: the same lives that the stream has.
#[derive(Debug)]
pub struct Histories<'w> {
    world: &'w World,
    model: MnlViewer,
    branch: &'w Branch,
    spec: SimulateSpec,
}

impl<'w> Histories<'w> {
    /// Makes the users of a stream ready to be played.
    pub fn new(world: &'w World, branch: &'w Branch, spec: SimulateSpec) -> Self {
        Self {
            world,
            model: MnlViewer::new(world),
            branch,
            spec,
        }
    }

    /// Returns what a user begins to watch in the stream, in order of time.
    pub fn of(&self, user: UserId) -> Vec<Viewing> {
        let mut life = Lives::new(user, 1);
        let mut all = Vec::new();
        let mut hour = self.spec.lead();
        while hour < self.spec.end() {
            life.play_hour(self.world, &self.model, self.branch, hour, &mut all);
            hour = hour.plus_seconds(3600);
        }
        all.retain(|viewing| viewing.at >= self.spec.start);
        all
    }
}

/// The viewers of one thread, and those of their viewings that still have lines to come.
struct Part {
    lives: Lives,
    /// The numbers of the viewers, those of nobody after the last one included.
    users: Range<u32>,
    /// In the order of users and, for each, of time.
    open: Vec<Logged>,
    /// The lines of the hour, second by second, in the order of viewings.
    lines: Vec<Line>,
    /// Where the lines of each second begin, and where the last ones end.
    begins: Vec<u32>,
    /// What every watch line of a viewing says between its time and its minute, and where each begins.
    prefixes: Vec<u8>,
    prefix_begins: Vec<u32>,
    /// Room for the next hour's viewings, and for what is told of them.
    scratch: Vec<Viewing>,
    told: Vec<Logged>,
}

impl Part {
    fn new(first: UserId, count: u32) -> Self {
        Self {
            lives: Lives::new(first, count),
            users: first.0..first.0 + count,
            open: Vec::new(),
            lines: Vec::new(),
            begins: Vec::new(),
            prefixes: Vec::new(),
            prefix_begins: Vec::new(),
            scratch: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Plays the hour; what begins in it is merged into what is under way, user by user.
    fn play(
        &mut self,
        world: &World,
        model: &MnlViewer,
        branch: &Branch,
        hour: SimTime,
        teller: &dyn Teller,
    ) {
        let under_way = std::mem::take(&mut self.open);
        self.scratch.clear();
        self.lives
            .play_hour(world, model, branch, hour, &mut self.scratch);
        self.told.clear();
        teller.tell(self.users.clone(), hour, &self.scratch, &mut self.told);
        self.open.reserve(under_way.len() + self.told.len());
        let mut new = self.told.iter().peekable();
        for logged in under_way {
            while let Some(earlier) = new.next_if(|new| new.viewing.user < logged.viewing.user) {
                self.open.push(*earlier);
            }
            self.open.push(logged);
        }
        self.open.extend(new);
    }

    /// Sorts the lines of an hour by second: counted first, then put in place, so that no two are ever compared.
    fn sort(&mut self, world: &World, from: SimTime, until: SimTime) {
        let base = from.seconds();
        let span = until.seconds() - base;
        let profile = world.spec().profile;
        self.begins.clear();
        self.begins.resize(span as usize + 1, 0);
        for logged in &self.open {
            for_lines(logged, profile, base, span, |second, _, _| {
                self.begins[second] += 1;
            });
        }
        let mut total = 0;
        for begin in &mut self.begins {
            total += *begin;
            *begin = total;
        }
        // Filled from the back, so that each second's end becomes its beginning and viewings keep their order.
        self.lines.clear();
        self.lines.resize(total as usize, Line(0));
        self.prefixes.clear();
        self.prefix_begins.clear();
        for (place, logged) in self.open.iter().enumerate().rev() {
            for_lines(logged, profile, base, span, |second, kind, argument| {
                self.begins[second] -= 1;
                self.lines[self.begins[second] as usize] = Line::new(place, kind, argument);
            });
        }
        for Logged { viewing, .. } in &self.open {
            self.prefix_begins.push(self.prefixes.len() as u32);
            self.prefixes.push(b',');
            push_number(u64::from(viewing.user.0), &mut self.prefixes);
            self.prefixes.push(b',');
            push_watch_begin(&world.movie(viewing.movie).id, &mut self.prefixes);
        }
        self.prefix_begins.push(self.prefixes.len() as u32);
    }

    fn prefix(&self, viewing: usize) -> &[u8] {
        &self.prefixes[self.prefix_begins[viewing] as usize..self.prefix_begins[viewing + 1] as usize]
    }

    /// Returns the lines of one second of the sorted hour.
    fn second(&self, second: usize) -> &[Line] {
        &self.lines[self.begins[second] as usize..self.begins[second + 1] as usize]
    }

    /// Forgets viewings that are over.
    fn close(&mut self, until: SimTime) {
        self.open.retain(|Logged { viewing, pace_s, .. }| {
            let watched = i64::from(viewing.minutes) * i64::from(*pace_s);
            viewing.at.seconds() + watched + 30 >= until.seconds()
        });
    }
}

/// Calls `line` for each line of a viewing that falls in the span of `span` seconds from `base`: its second, kind, argument.
fn for_lines(
    logged: &Logged,
    profile: Profile,
    base: i64,
    span: i64,
    mut line: impl FnMut(usize, Kind, u16),
) {
    let viewing = &logged.viewing;
    let start = viewing.at.seconds() - base;
    let mut push = |second: i64, kind: Kind, argument: u16| {
        if (0..span).contains(&second) {
            line(second as usize, kind, argument);
        }
    };
    if let Some(millis) = logged.request_ms {
        push(start - 1, Kind::Recommend, millis);
    }
    if profile == Profile::Current && viewing.is_first {
        push(start - 1, Kind::CreateAccount, 0);
    }
    let pace = i64::from(logged.pace_s);
    let first = (-start).div_euclid(pace).max(0);
    let last = ((span - start).div_euclid(pace) + 1).min(i64::from(viewing.minutes));
    for minute in first..last {
        push(start + minute * pace, Kind::Watch, minute as u16);
    }
    if let Some(stars) = viewing.stars {
        // Half a minute after the last one.
        let rated = start + (i64::from(viewing.minutes) - 1) * pace + 30;
        push(rated, Kind::Rate, u16::from(stars));
    }
}

/// Formats the slices of an hour that stands sorted, a few at a time for each thread: a whole hour of a million viewers
/// is half a gigabyte of text.
fn format_hour<E>(
    world: &World,
    slate: &str,
    parts: &[Part],
    (from, until): (SimTime, SimTime),
    threads: usize,
    mut sink: impl FnMut(&[u8], &Played) -> Result<(), E>,
) -> Result<(), E> {
    let seconds = until.seconds() - from.seconds();
    let slices: Vec<i64> = (0..(seconds + SLICE_S - 1) / SLICE_S).collect();
    for group in slices.chunks(threads * SLICES_AT_ONCE) {
        let mut texts = Vec::with_capacity(group.len());
        std::thread::scope(|scope| {
            let handles: Vec<_> = group
                .chunks(SLICES_AT_ONCE)
                .map(|chunk| {
                    scope.spawn(move || {
                        let seconds = |slice: i64| slice * SLICE_S..((slice + 1) * SLICE_S).min(seconds);
                        chunk
                            .iter()
                            .map(|slice| format_slice(world, slate, parts, from, seconds(*slice)))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            for handle in handles {
                texts.extend(handle.join().expect("formatting does not panic"));
            }
        });
        for (text, counts) in texts {
            sink(&text, &counts)?;
        }
    }
    Ok(())
}

/// Formats the lines of one slice, second by second: those of every part in the order of users.
fn format_slice(
    world: &World,
    slate: &str,
    parts: &[Part],
    from: SimTime,
    seconds: Range<i64>,
) -> (Vec<u8>, Played) {
    let profile = world.spec().profile;
    let range = seconds.start as usize..seconds.end as usize;
    let count: usize = parts
        .iter()
        .map(|part| (part.begins[range.end] - part.begins[range.start]) as usize)
        .sum();
    let mut text = Vec::with_capacity(count * 72);
    let mut counts = Played::default();
    let mut stamp = Vec::with_capacity(32);
    for second in range {
        let time = from.plus_seconds(second as i64);
        stamp.clear();
        push_time(time, profile, false, &mut stamp);
        for part in parts {
            for line in part.second(second) {
                let viewing = &part.open[line.viewing()].viewing;
                let kind = line.kind();
                if kind == Kind::Watch && profile == Profile::Classic {
                    counts.watch += 1;
                    text.extend_from_slice(&stamp);
                    text.extend_from_slice(part.prefix(line.viewing()));
                    push_watch_end(line.argument(), &mut text);
                    text.push(b'\n');
                    continue;
                }
                // A moment within the second that follows from who and what, so that a line's fraction is the same in any run.
                let millis = i64::from(viewing.user.0.wrapping_mul(0x9e37_79b1) >> 22) % 1000;
                let fine = SimTime(time.0 + millis * 1000);
                if kind == Kind::Recommend || profile == Profile::Current {
                    push_time(fine, profile, kind == Kind::Recommend, &mut text);
                } else {
                    text.extend_from_slice(&stamp);
                }
                push_rest(world, slate, viewing, *line, &mut text, &mut counts);
            }
        }
    }
    counts.events = count as u64;
    counts.bytes = text.len() as u64;
    (text, counts)
}

/// Appends what stands after the time of a line, its end included, and counts the line.
fn push_rest(
    world: &World,
    slate: &str,
    viewing: &Viewing,
    line: Line,
    text: &mut Vec<u8>,
    counts: &mut Played,
) {
    text.push(b',');
    push_number(u64::from(viewing.user.0), text);
    text.push(b',');
    let movie = || world.movie(viewing.movie).id.as_str();
    match line.kind() {
        Kind::Watch => {
            counts.watch += 1;
            push_watch_begin(movie(), text);
            push_watch_end(line.argument(), text);
        }
        Kind::Rate => {
            counts.rate += 1;
            push_rate(movie(), line.argument(), text);
        }
        Kind::Recommend => {
            counts.recommend += 1;
            push_recommend(FALLBACK, 200, slate, line.argument(), text);
        }
        Kind::CreateAccount => {
            counts.create_account += 1;
            text.extend_from_slice(b"GET /create_account");
        }
    }
    text.push(b'\n');
}

/// Shares users out among threads, neighbours together.
fn split(world: &World, threads: usize) -> Vec<Part> {
    let users = world.spec().users;
    let share = users.div_ceil(threads as u32).max(1);
    let mut parts: Vec<Part> = (0..users)
        .step_by(share as usize)
        .map(|first| Part::new(UserId(first + 1), share.min(users - first)))
        .collect();
    if let Some(last) = parts.last_mut() {
        last.users.end = u32::MAX;
    }
    parts
}

/// The list that the company's own recommender gives everybody.
fn top(world: &World) -> String {
    let ids: Vec<&str> = world
        .by_appeal()
        .into_iter()
        .take(20)
        .map(|index| world.movie(index).id.as_str())
        .collect();
    ids.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Record;
    use crate::seed::Key;
    use crate::world::WorldSpec;

    fn play(profile: Profile, threads: usize) -> (Vec<u8>, Played) {
        let key = Key::from_seed(3);
        let world = World::new(
            &key,
            WorldSpec {
                users: 3_000,
                movies: 200,
                profile,
            },
            1,
        );
        let spec = SimulateSpec {
            start: super::super::term_start().plus_seconds(20 * 3600),
            hours: 1.5,
            threads,
        };
        let mut bytes = Vec::new();
        let played = simulate(&world, &key.branch("sim"), spec, &mut |text: &[u8]| {
            bytes.extend_from_slice(text);
            Ok::<(), std::convert::Infallible>(())
        });
        (bytes, played.unwrap())
    }

    #[test]
    fn the_log_is_the_same_byte_for_byte_for_any_number_of_threads() {
        let one = play(Profile::Classic, 1);
        assert_eq!(one, play(Profile::Classic, 2));
        assert_eq!(one, play(Profile::Classic, 5));
        assert!(one.1.events > 2_000, "{:?}", one.1);
    }

    /// Writes down what was begun within the stream.
    struct Scribe(std::sync::Mutex<Vec<Viewing>>);

    impl Teller for Scribe {
        fn tell(&self, _: Range<u32>, _: SimTime, began: &[Viewing], _: &mut Vec<Logged>) {
            self.0.lock().unwrap().extend(began);
        }
    }

    #[test]
    fn a_user_of_a_stream_lives_the_same_alone() {
        let key = Key::from_seed(3);
        let size = WorldSpec {
            users: 300,
            movies: 100,
            profile: Profile::Classic,
        };
        let (world, branch) = (World::new(&key, size, 1), key.branch("sim"));
        let spec = SimulateSpec {
            start: super::super::term_start(),
            hours: 30.0,
            threads: 2,
        };
        let scribe = Scribe(std::sync::Mutex::default());
        survey(&world, &branch, spec, &scribe);
        let mut all = scribe.0.into_inner().unwrap();
        all.retain(|viewing| viewing.at >= spec.start);
        all.sort_by_key(|viewing| (viewing.user, viewing.at));
        let histories = Histories::new(&world, &branch, spec);
        let alone: Vec<Viewing> = world.user_ids().flat_map(|user| histories.of(user)).collect();
        assert!(all.len() > 200 && all == alone);
    }

    #[test]
    fn every_line_parses_and_is_counted_and_they_are_in_order() {
        for profile in [Profile::Classic, Profile::Current] {
            let (bytes, played) = play(profile, 2);
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.len() as u64, played.bytes);
            let records: Vec<Record> = text.lines().map(|line| Record::parse(line).unwrap()).collect();
            assert_eq!(records.len() as u64, played.events);
            assert!(
                records
                    .windows(2)
                    .all(|pair| pair[0].time.seconds() <= pair[1].time.seconds())
            );
            assert_eq!(
                played.events,
                played.watch + played.rate + played.recommend + played.create_account
            );
            let share = played.watch as f64 / played.events as f64;
            assert!((0.96..0.995).contains(&share), "{played:?}");
        }
    }
}
