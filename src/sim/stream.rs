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

    fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Watch => self.watch += 1,
            Kind::Rate => self.rate += 1,
            Kind::Recommend => self.recommend += 1,
            Kind::CreateAccount => self.create_account += 1,
        }
    }
}

/// Hours played before the first line, so that movies are under way when the stream begins: as long as the longest movie.
const LEAD_HOURS: i64 = 4;
/// Seconds of one slice of formatting, which one thread writes: its text stays in cache until it is handed on.
const SLICE_S: usize = 6;
/// The slices that each of several threads formats before any is handed on: starting a thread must cost little beside them.
const SLICES_AT_ONCE: usize = 20;
/// The address of the company's own recommender, which serves until a team does: the most popular movies for everybody.
const FALLBACK: &str = "recommender.company.example:8082";

/// One line to come: the place of its viewing among those of its part, and its kind, in one word. All else follows from
/// the viewing and the second.
#[derive(Debug, Clone, Copy)]
struct Line(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Watch,
    Rate,
    Recommend,
    CreateAccount,
}

/// The most viewings of a part that can be under way at once: what a [`Line`] can name.
const MOST_OPEN: usize = 1 << 30;

impl Line {
    fn new(viewing: u32, kind: Kind) -> Self {
        Self(viewing << 2 | kind as u32)
    }

    fn viewing(self) -> usize {
        (self.0 >> 2) as usize
    }

    fn kind(self) -> Kind {
        match self.0 & 3 {
            0 => Kind::Watch,
            1 => Kind::Rate,
            2 => Kind::Recommend,
            _ => Kind::CreateAccount,
        }
    }
}

/// The bytes of a [`Prefix`] that hold text; with the rest it fills one line of cache.
const PREFIX: usize = 59;

/// What every watch line of a viewing says between its time and its minute, of a fixed size so that it is fetched at once
/// and copied without asking for its length.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Prefix {
    text: [u8; PREFIX],
    /// How many bytes of `text` count; none do when the prefix is longer than that, and the line is written piece by piece.
    length: u8,
    /// When the viewing began, in seconds from the hour.
    start: i32,
}

/// The bytes of a time of the profile `classic`, without a fraction, and of the longest end of a watch line.
const STAMP: usize = 19;
const MINUTE: usize = 8;
/// The minutes whose ends of lines stand ready; the longest movie has 240.
const MINUTES: usize = 1000;
/// The room that a watch line needs when its pieces are copied at their full sizes.
const WATCH_ROOM: usize = STAMP + PREFIX + MINUTE;

/// The ends of watch lines, by minute: `<minute>.mpg` and a newline, with how many bytes count.
fn minute_ends() -> Vec<([u8; MINUTE], u8)> {
    let mut end = Vec::with_capacity(MINUTE);
    (0..MINUTES as u32)
        .map(|minute| {
            end.clear();
            push_watch_end(minute, &mut end);
            end.push(b'\n');
            let mut text = [0; MINUTE];
            text[..end.len()].copy_from_slice(&end);
            (text, end.len() as u8)
        })
        .collect()
}

/// A text that is written over and over, with the count of what stands in it.
#[derive(Debug, Default)]
struct Page {
    /// The bytes that count, and behind them what is left of earlier texts.
    bytes: Vec<u8>,
    length: usize,
    counts: Played,
}

impl Page {
    fn clear(&mut self) {
        self.length = 0;
        self.counts = Played::default();
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Makes sure that this many bytes can be written behind the text.
    fn reserve(&mut self, room: usize) {
        if self.bytes.len() - self.length < room {
            self.bytes.resize((self.length + room) * 2, 0);
        }
    }

    /// Appends a watch line, each piece copied at its full size and overwritten from where it ends by the next.
    fn push_watch(&mut self, stamp: &([u8; STAMP], usize), prefix: &Prefix, end: &([u8; MINUTE], u8)) {
        self.reserve(WATCH_ROOM);
        let room: &mut [u8; WATCH_ROOM] = self.bytes[self.length..]
            .first_chunk_mut()
            .expect("the room is reserved");
        room[..STAMP].copy_from_slice(&stamp.0);
        let at = stamp.1.min(STAMP);
        room[at..at + PREFIX].copy_from_slice(&prefix.text);
        let at = at + usize::from(prefix.length).min(PREFIX);
        room[at..at + MINUTE].copy_from_slice(&end.0);
        self.length += at + usize::from(end.1);
    }

    fn push(&mut self, text: &[u8]) {
        self.reserve(text.len());
        self.bytes[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
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
    let mut pages = Vec::new();
    let format = Format {
        world,
        slate: &slate,
        ends: minute_ends(),
    };
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
            format.hour(
                &parts,
                (hour, until),
                threads,
                &mut pages,
                |text: &[u8], counts: &Played| {
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
    /// What the watch lines of each viewing share.
    prefixes: Vec<Prefix>,
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
        assert!(self.open.len() < MOST_OPEN, "more viewings than a line can name");
        for logged in &self.open {
            for_lines(logged, profile, base, span, |second, _| {
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
        for (place, logged) in self.open.iter().enumerate().rev() {
            for_lines(logged, profile, base, span, |second, kind| {
                self.begins[second] -= 1;
                self.lines[self.begins[second] as usize] = Line::new(place as u32, kind);
            });
        }
        self.prefixes.clear();
        if profile == Profile::Classic {
            let mut text = Vec::with_capacity(2 * PREFIX);
            let open = &self.open;
            self.prefixes
                .extend(open.iter().map(|logged| prefix(world, logged, base, &mut text)));
        }
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

/// Makes the prefix of a viewing, empty where its lines are not a minute apart; `text` is room for it.
fn prefix(world: &World, logged: &Logged, base: i64, text: &mut Vec<u8>) -> Prefix {
    let viewing = &logged.viewing;
    text.clear();
    text.push(b',');
    push_number(u64::from(viewing.user.0), text);
    text.push(b',');
    push_watch_begin(&world.movie(viewing.movie).id, text);
    let mut prefix = Prefix {
        text: [0; PREFIX],
        length: 0,
        start: (viewing.at.seconds() - base) as i32,
    };
    if text.len() <= PREFIX && logged.pace_s == 60 {
        prefix.text[..text.len()].copy_from_slice(text);
        prefix.length = text.len() as u8;
    }
    prefix
}

/// Calls `line` for each line of a viewing that falls in the span of `span` seconds from `base`: its second and kind.
fn for_lines(logged: &Logged, profile: Profile, base: i64, span: i64, mut line: impl FnMut(usize, Kind)) {
    let viewing = &logged.viewing;
    let start = viewing.at.seconds() - base;
    let mut push = |second: i64, kind: Kind| {
        if (0..span).contains(&second) {
            line(second as usize, kind);
        }
    };
    if logged.request_ms.is_some() {
        push(start - 1, Kind::Recommend);
    }
    if profile == Profile::Current && viewing.is_first {
        push(start - 1, Kind::CreateAccount);
    }
    let pace = i64::from(logged.pace_s);
    let first = (-start).div_euclid(pace).max(0);
    let last = ((span - start).div_euclid(pace) + 1).min(i64::from(viewing.minutes));
    for minute in first..last {
        push(start + minute * pace, Kind::Watch);
    }
    if viewing.stars.is_some() {
        // Half a minute after the last one.
        push(start + (i64::from(viewing.minutes) - 1) * pace + 30, Kind::Rate);
    }
}

/// What all lines are written with.
struct Format<'f> {
    world: &'f World,
    slate: &'f str,
    ends: Vec<([u8; MINUTE], u8)>,
}

impl Format<'_> {
    /// Formats the slices of an hour that stands sorted, a few at a time for each thread: a whole hour of a million viewers
    /// is half a gigabyte of text. `pages` is room for them, kept from hour to hour.
    fn hour<E>(
        &self,
        parts: &[Part],
        (from, until): (SimTime, SimTime),
        threads: usize,
        pages: &mut Vec<Page>,
        mut sink: impl FnMut(&[u8], &Played) -> Result<(), E>,
    ) -> Result<(), E> {
        let seconds = (until.seconds() - from.seconds()) as usize;
        let slices: Vec<_> = (0..seconds)
            .step_by(SLICE_S)
            .map(|begin| begin..(begin + SLICE_S).min(seconds))
            .collect();
        // One thread hands each slice on while it is still in cache.
        let at_once = if threads == 1 { 1 } else { threads * SLICES_AT_ONCE };
        pages.resize_with(at_once, Page::default);
        for group in slices.chunks(at_once) {
            if threads == 1 {
                self.slice(parts, from, group[0].clone(), &mut pages[0]);
            } else {
                std::thread::scope(|scope| {
                    for (pages, slices) in pages.chunks_mut(SLICES_AT_ONCE).zip(group.chunks(SLICES_AT_ONCE))
                    {
                        scope.spawn(move || {
                            for (page, slice) in pages.iter_mut().zip(slices) {
                                self.slice(parts, from, slice.clone(), page);
                            }
                        });
                    }
                });
            }
            for page in &pages[..group.len()] {
                sink(page.text(), &page.counts)?;
            }
        }
        Ok(())
    }

    /// Formats the lines of one slice, second by second: those of every part in the order of users.
    fn slice(&self, parts: &[Part], from: SimTime, seconds: Range<usize>, page: &mut Page) {
        let profile = self.world.spec().profile;
        page.clear();
        let mut text = Vec::with_capacity(1024);
        for second in seconds {
            let time = from.plus_seconds(second as i64);
            text.clear();
            push_time(time, profile, false, &mut text);
            let mut stamp = ([0; STAMP], text.len().min(STAMP));
            stamp.0[..stamp.1].copy_from_slice(&text[..stamp.1]);
            for part in parts {
                let lines = part.second(second);
                page.counts.events += lines.len() as u64;
                for line in lines {
                    if line.kind() == Kind::Watch
                        && let Some(prefix) = part.prefixes.get(line.viewing())
                        && prefix.length > 0
                        && let Some(end) = self.ends.get((second as i32 - prefix.start) as usize / 60)
                    {
                        page.counts.watch += 1;
                        page.push_watch(&stamp, prefix, end);
                        continue;
                    }
                    text.clear();
                    self.line(&part.open[line.viewing()], time, line.kind(), &mut text);
                    page.counts.count(line.kind());
                    page.push(&text);
                }
            }
        }
        page.counts.bytes = page.length as u64;
    }

    /// Appends a line of any kind and profile, its newline included.
    fn line(&self, logged: &Logged, second: SimTime, kind: Kind, text: &mut Vec<u8>) {
        let viewing = &logged.viewing;
        let profile = self.world.spec().profile;
        push_time(
            second.within_second(viewing.user.0),
            profile,
            kind == Kind::Recommend,
            text,
        );
        text.push(b',');
        push_number(u64::from(viewing.user.0), text);
        text.push(b',');
        let movie = || self.world.movie(viewing.movie).id.as_str();
        match kind {
            Kind::Watch => {
                let minute = (second.seconds() - viewing.at.seconds()) / i64::from(logged.pace_s);
                push_watch_begin(movie(), text);
                push_watch_end(minute as u32, text);
            }
            Kind::Rate => {
                let stars = viewing.stars.expect("a viewing with this line was rated");
                push_rate(movie(), u32::from(stars), text);
            }
            Kind::Recommend => {
                let millis = logged
                    .request_ms
                    .expect("a viewing with this line asked for recommendations");
                push_recommend(FALLBACK, 200, self.slate, u32::from(millis), text);
            }
            Kind::CreateAccount => text.extend_from_slice(b"GET /create_account"),
        }
        text.push(b'\n');
    }
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
