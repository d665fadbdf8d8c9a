//! The company's stream: every viewer's lines in order of time, the same bytes for any number of threads.

use super::viewer::{Life, MnlViewer, Viewing};
use crate::event::{SimTime, push_number, push_rate, push_recommend, push_time, push_watch};
use crate::seed::Branch;
use crate::world::{MovieIndex, Profile, UserId, World};

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
/// The address of the company's own recommender, which serves until a team does: the most popular movies for everybody.
const FALLBACK: &str = "recommender.company.example:8082";
/// The share of viewings that begin with a recommendation request.
const ASKS: u32 = 75;
/// One account is made for this many viewings, in the profile that has such lines.
const ACCOUNTS: u32 = 400;

/// One line to come, packed so that millions sort fast: second, user, kind and argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    second: u32,
    user: u32,
    kind: Kind,
    movie: u32,
    argument: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    CreateAccount,
    Recommend,
    Watch,
    Rate,
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
    let model = MnlViewer::new(world);
    let threads = spec.threads.max(1);
    let seconds = (spec.hours * 3600.0).round() as i64;
    let end = spec.start.plus_seconds(seconds);
    let slate = top(world);
    let mut parts: Vec<Part> = split(world, threads);
    let mut played = Played::default();
    let mut hour = spec.start.plus_seconds(-LEAD_HOURS * 3600);
    while hour < end {
        let next = hour.plus_seconds(3600);
        let until = next.min(end);
        std::thread::scope(|scope| {
            for part in &mut parts {
                scope.spawn(|| part.play(world, &model, branch, hour));
            }
        });
        if hour >= spec.start {
            let texts = format_hour(world, &slate, &mut parts, (hour, until), threads);
            for (text, counts) in texts {
                sink(&text)?;
                played.add(&counts);
            }
        }
        hour = next;
    }
    Ok(played)
}

/// The viewers of one thread, and those of their viewings that still have lines to come.
struct Part {
    lives: Vec<Life>,
    open: Vec<Viewing>,
}

impl Part {
    fn play(&mut self, world: &World, model: &MnlViewer, branch: &Branch, hour: SimTime) {
        for life in &mut self.lives {
            life.play_hour(world, model, branch, hour, &mut self.open);
        }
    }

    /// Returns the lines of this part in a span, sorted, and forgets viewings that are over.
    fn lines(&mut self, profile: Profile, from: SimTime, until: SimTime) -> Vec<Line> {
        let base = from.seconds();
        let span = until.seconds() - base;
        let mut lines = Vec::new();
        for viewing in &self.open {
            push_lines(viewing, profile, base, span, &mut lines);
        }
        self.open
            .retain(|viewing| viewing.at.seconds() + i64::from(viewing.minutes) * 60 + 30 >= until.seconds());
        lines.sort_unstable();
        lines
    }
}

/// Appends those lines of a viewing that fall in the span of `span` seconds from `base`.
fn push_lines(viewing: &Viewing, profile: Profile, base: i64, span: i64, lines: &mut Vec<Line>) {
    let start = viewing.at.seconds() - base;
    let mut push = |second: i64, kind: Kind, argument: u16| {
        if (0..span).contains(&second) {
            lines.push(Line {
                second: second as u32,
                user: viewing.user.0,
                kind,
                movie: viewing.movie.0,
                argument,
            });
        }
    };
    // A hash of the viewing decides what needs no draw of its own.
    let hash = viewing.user.0.wrapping_mul(0x9e37_79b1) ^ viewing.movie.0.wrapping_mul(0x85eb_ca6b);
    let hash = hash.rotate_left(13).wrapping_mul(0xc2b2_ae35);
    if (hash >> 8) % 100 < ASKS {
        push(start - 1, Kind::Recommend, (20 + hash % 120) as u16);
    }
    if profile == Profile::Current && (hash >> 4).is_multiple_of(ACCOUNTS) {
        push(start - 1, Kind::CreateAccount, 0);
    }
    let first = (-start).div_euclid(60).max(0);
    let last = ((span - start).div_euclid(60) + 1).min(i64::from(viewing.minutes));
    for minute in first..last {
        push(start + minute * 60, Kind::Watch, minute as u16);
    }
    if let Some(stars) = viewing.stars {
        push(
            start + i64::from(viewing.minutes) * 60 - 30,
            Kind::Rate,
            u16::from(stars),
        );
    }
}

fn format_hour(
    world: &World,
    slate: &str,
    parts: &mut [Part],
    (from, until): (SimTime, SimTime),
    threads: usize,
) -> Vec<(Vec<u8>, Played)> {
    let profile = world.spec().profile;
    let mut sorted: Vec<Vec<Line>> = Vec::with_capacity(parts.len());
    std::thread::scope(|scope| {
        let handles: Vec<_> = parts
            .iter_mut()
            .map(|part| scope.spawn(move || part.lines(profile, from, until)))
            .collect();
        for handle in handles {
            sorted.push(handle.join().expect("playing does not panic"));
        }
    });
    let slices = (until.seconds() - from.seconds() + SLICE_S - 1) / SLICE_S;
    let per_thread = (slices as usize).div_ceil(threads).max(1);
    let numbers: Vec<i64> = (0..slices).collect();
    let mut texts = Vec::with_capacity(slices as usize);
    std::thread::scope(|scope| {
        let sorted = &sorted;
        let handles: Vec<_> = numbers
            .chunks(per_thread)
            .map(|chunk| {
                scope.spawn(move || {
                    chunk
                        .iter()
                        .map(|slice| format_slice(world, slate, sorted, from, *slice))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        for handle in handles {
            texts.extend(handle.join().expect("formatting does not panic"));
        }
    });
    texts
}

/// Formats the lines of one slice: those of every part, merged in order.
fn format_slice(
    world: &World,
    slate: &str,
    sorted: &[Vec<Line>],
    from: SimTime,
    slice: i64,
) -> (Vec<u8>, Played) {
    let first = (slice * SLICE_S) as u32;
    let last = first + SLICE_S as u32;
    let mut lines: Vec<Line> = Vec::new();
    for part in sorted {
        let begin = part.partition_point(|line| line.second < first);
        let end = part.partition_point(|line| line.second < last);
        lines.extend_from_slice(&part[begin..end]);
    }
    lines.sort_unstable();
    let profile = world.spec().profile;
    let mut text = Vec::with_capacity(lines.len() * 72);
    let mut counts = Played::default();
    let mut stamp: (u32, Vec<u8>) = (u32::MAX, Vec::new());
    for line in &lines {
        let second = from.plus_seconds(i64::from(line.second));
        // A moment within the second that follows from who and what, so that a line's fraction is the same in any run.
        let millis = i64::from(line.user.wrapping_mul(0x9e37_79b1) >> 22) % 1000;
        let fine = SimTime(second.0 + millis * 1000);
        if line.kind == Kind::Recommend {
            push_time(fine, profile, true, &mut text);
        } else if profile == Profile::Current {
            push_time(fine, profile, false, &mut text);
        } else {
            if stamp.0 != line.second {
                stamp = (line.second, Vec::with_capacity(20));
                push_time(second, profile, false, &mut stamp.1);
            }
            text.extend_from_slice(&stamp.1);
        }
        text.push(b',');
        push_number(u64::from(line.user), &mut text);
        text.push(b',');
        let movie = || world.movie(MovieIndex(line.movie)).id.as_str();
        match line.kind {
            Kind::Watch => {
                counts.watch += 1;
                push_watch(movie(), u32::from(line.argument), &mut text);
            }
            Kind::Rate => {
                counts.rate += 1;
                push_rate(movie(), u32::from(line.argument), &mut text);
            }
            Kind::Recommend => {
                counts.recommend += 1;
                push_recommend(FALLBACK, 200, slate, u32::from(line.argument), &mut text);
            }
            Kind::CreateAccount => {
                counts.create_account += 1;
                text.extend_from_slice(b"GET /create_account");
            }
        }
        text.push(b'\n');
    }
    counts.events = lines.len() as u64;
    counts.bytes = text.len() as u64;
    (text, counts)
}

fn split(world: &World, threads: usize) -> Vec<Part> {
    let users: Vec<UserId> = world.user_ids().collect();
    users
        .chunks(users.len().div_ceil(threads).max(1))
        .map(|chunk| Part {
            lives: chunk.iter().copied().map(Life::new).collect(),
            open: Vec::new(),
        })
        .collect()
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
