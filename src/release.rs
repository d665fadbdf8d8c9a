//! The data that the company gives to learn from: the log of some users, their records, and what they did afterwards.
//!
//! A release is a folder: `users.jsonl`, `movies.jsonl`, `log.csv.gz`, `heldout.csv.gz`, `release.json`. Logs are in the wire
//! format, in order of time, with one abridgement: of the minute lines of one viewing only the last is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::event::{Event, Record, SimTime};
use crate::seed::{Branch, Key};
use crate::sim::{Viewing, term_start, viewings};
use crate::trouble::{Facts, LineFaults, Logged, Plan, Scene, Staged, Trouble, Truth};
use crate::world::{Profile, UserId, World};

/// How much is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseSpec {
    /// The number of users whose behaviour is released.
    pub users: u32,
    /// The days of the log.
    pub days: u32,
    /// The days after it, for checking.
    pub heldout_days: u32,
}

/// Users with fewer viewings a month than this are not in a release: there would be nothing to learn from.
const LEAST_ACTIVITY: f64 = 15.0;
/// The most bytes that a file of a release may unfold to: a class's data is a hundredth of it.
const MAX_UNFOLDED: u64 = 1 << 30;
/// The longest line of a file of a release: a movie's record takes some two thousand bytes.
const MAX_LINE: u64 = 1 << 16;
/// The schema name of a release.
const SCHEMA: &str = "reelworld/release/v1";

/// What was played for a release.
#[derive(Debug, Clone)]
pub struct Release {
    /// The users whose behaviour is released, in order.
    pub users: Vec<UserId>,
    /// What they watched in the days of the log, in order of time.
    pub viewings: Vec<Viewing>,
    /// What they watched in the days after it.
    pub heldout: Vec<Viewing>,
    spec: ReleaseSpec,
    troubles: Option<Box<Troubles>>,
    requests: bool,
}

/// What is wrong with the log that is written, while the release itself knows what was truly watched.
#[derive(Debug, Clone)]
struct Troubles {
    plan: Plan,
    branch: Branch,
    logged: Vec<Logged>,
    accounts: Vec<UserId>,
    truths: Vec<Truth>,
}

impl Release {
    /// Plays the released users; the same key gives the same release, for any number of threads.
    pub fn make(world: &World, key: &Key, spec: ReleaseSpec, threads: usize) -> Self {
        let branch = key.branch("release");
        let mut users: Vec<UserId> = world
            .user_ids()
            .filter(|id| world.activity(*id).is_some_and(|found| found >= LEAST_ACTIVITY))
            .filter(|id| world.joined(*id).is_none())
            .collect();
        branch.branch("users").at(0).shuffle(&mut users);
        users.truncate(spec.users as usize);
        users.sort_unstable();
        let lives = branch.branch("lives");
        let start = term_start().plus_seconds(-i64::from(spec.days) * 86_400);
        let all_days = spec.days + spec.heldout_days;
        let mut played: Vec<Viewing> = Vec::new();
        std::thread::scope(|scope| {
            let chunk = users.len().div_ceil(threads.max(1)).max(1);
            let handles: Vec<_> = users
                .chunks(chunk)
                .map(|users| {
                    let lives = &lives;
                    scope.spawn(move || {
                        users
                            .iter()
                            .flat_map(|user| viewings(world, lives, *user, start, all_days))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            for handle in handles {
                played.extend(handle.join().expect("playing does not panic"));
            }
        });
        played.sort_by_key(|viewing| (viewing.at, viewing.user));
        let cut = term_start();
        let (viewings, heldout) = played.into_iter().partition(|viewing| viewing.at < cut);
        Self {
            users,
            viewings,
            heldout,
            spec,
            troubles: None,
            requests: false,
        }
    }

    /// Puts a plan's troubles into the log that is written; what the release knows, and what came afterwards, stays as it was.
    #[must_use]
    pub fn with_troubles(mut self, world: &World, key: &Key, plan: &Plan) -> Self {
        if plan.is_empty() {
            return self;
        }
        self.troubles = None;
        self.told_with(world, key.branch("trouble"), plan)
    }

    /// Puts one more trouble into the log that is written; those that are in it already stay as they are, and lend it their luck.
    #[must_use]
    pub fn with_another(self, world: &World, key: &Key, trouble: Trouble) -> Self {
        let (branch, mut plan) = match &self.troubles {
            Some(troubles) => (troubles.branch.clone(), troubles.plan.clone()),
            None => (key.branch("trouble"), Plan::default()),
        };
        plan.troubles.push(trouble);
        self.told_with(world, branch, &plan)
    }

    fn told_with(mut self, world: &World, branch: Branch, plan: &Plan) -> Self {
        let mut histories: BTreeMap<UserId, Vec<Viewing>> = BTreeMap::new();
        for viewing in &self.viewings {
            histories.entry(viewing.user).or_default().push(*viewing);
        }
        let facts = Facts::count(world.spec().movies, self.viewings.iter().copied());
        let scene = Scene {
            world,
            branch: &branch,
            users: &self.users,
            everybody: false,
            start: self.start(),
            days: self.spec.days,
            end: None,
            history: &|user| histories.get(&user).cloned().unwrap_or_default(),
        };
        let staged = Staged::new(plan, scene, &facts);
        let mut around = staged.around(self.viewings.iter().copied());
        let logged: Vec<Logged> = around.by_ref().collect();
        let mut truths = staged.truths(&around.into_tallies());
        if plan.has_faults() {
            let mut faults = LineFaults::new(plan, world, &branch, self.start(), self.spec.days);
            let (mut line, mut out) = (Vec::new(), Vec::new());
            for record in records(world, &logged, self.requests) {
                line.clear();
                out.clear();
                record.print(world.spec().profile, &mut line);
                faults.push(&line, &mut out);
            }
            faults.finish(&mut out);
            truths.extend(faults.truths());
        }
        let accounts = staged.added_accounts();
        self.troubles = Some(Box::new(Troubles {
            plan: plan.clone(),
            branch,
            logged,
            accounts,
            truths,
        }));
        self
    }

    /// Writes requests for recommendations into the log as well, before the viewings that began with one.
    ///
    /// To be said before [`Release::with_troubles`], whose answer key counts lines.
    #[must_use]
    pub fn with_requests(mut self) -> Self {
        self.requests = true;
        self
    }

    /// Returns what is wrong with the log that is written.
    pub fn truths(&self) -> &[Truth] {
        self.troubles
            .as_ref()
            .map_or(&[], |troubles| troubles.truths.as_slice())
    }

    /// Returns what the log that is written tells as watched, in order of time: troubles of viewings included, faults of
    /// lines not.
    pub fn told(&self) -> Vec<Viewing> {
        match &self.troubles {
            None => self.viewings.clone(),
            Some(troubles) => troubles.logged.iter().map(|logged| logged.viewing).collect(),
        }
    }

    /// Returns the first moment of the log.
    pub fn start(&self) -> SimTime {
        term_start().plus_seconds(-i64::from(self.spec.days) * 86_400)
    }

    /// Returns the moment at which the log ends.
    pub fn end(&self) -> SimTime {
        term_start()
    }

    /// Returns what each released user has watched, as places of the catalogue.
    pub fn seen(&self) -> BTreeMap<u32, BTreeSet<usize>> {
        by_user(&self.viewings)
    }

    /// Returns the number of viewers of each movie that has any; who watches it twice is one viewer.
    pub fn viewers(&self) -> BTreeMap<usize, u32> {
        let mut viewers = BTreeMap::new();
        for movie in self.seen().values().flatten() {
            *viewers.entry(*movie).or_insert(0) += 1;
        }
        viewers
    }

    /// Returns the movies in the order of their number of viewers, the foremost first.
    pub fn popular(&self) -> Vec<usize> {
        by_viewers(&self.viewers())
    }

    /// Writes the release to a folder, which is made.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, world: &World, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let profile = world.spec().profile;
        let mut users = BufWriter::new(File::create(dir.join("users.jsonl"))?);
        let added = self
            .troubles
            .as_ref()
            .map_or(&[][..], |troubles| &troubles.accounts);
        let mut listed: Vec<UserId> = self.users.iter().chain(added).copied().collect();
        listed.sort_unstable();
        for id in &listed {
            if let Some(user) = world.user(*id) {
                writeln!(users, "{}", user.to_json())?;
            }
        }
        users.flush()?;
        let mut movies = BufWriter::new(File::create(dir.join("movies.jsonl"))?);
        for index in world.movie_indices() {
            writeln!(movies, "{}", world.movie(index).to_json(profile))?;
        }
        movies.flush()?;
        let plain = |viewings: &[Viewing]| viewings.iter().copied().map(Logged::from).collect::<Vec<_>>();
        let log = dir.join("log.csv.gz");
        let lines = match &self.troubles {
            None => write_log(world, &plain(&self.viewings), &log, self.requests, None)?,
            Some(troubles) => {
                let (plan, branch) = (&troubles.plan, &troubles.branch);
                let faults = LineFaults::new(plan, world, branch, self.start(), self.spec.days);
                write_log(world, &troubles.logged, &log, self.requests, Some(faults))?
            }
        };
        let heldout = write_log(
            world,
            &plain(&self.heldout),
            &dir.join("heldout.csv.gz"),
            false,
            None,
        )?;
        let mut about = json!({
            "schema": SCHEMA, "profile": profile.name(), "users": listed.len(), "movies": world.spec().movies,
            "company_users": world.spec().users, "days": self.spec.days, "heldout_days": self.spec.heldout_days,
            "log_lines": lines, "heldout_lines": heldout,
        });
        if self.troubles.is_some() || self.requests {
            about["as_it_came"] = Value::Bool(true);
        }
        fs::write(dir.join("release.json"), format!("{about:#}\n"))
    }
}

fn by_user(viewings: &[Viewing]) -> BTreeMap<u32, BTreeSet<usize>> {
    let mut seen: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
    for viewing in viewings {
        seen.entry(viewing.user.0)
            .or_default()
            .insert(viewing.movie.0 as usize);
    }
    seen
}

fn by_viewers(viewers: &BTreeMap<usize, u32>) -> Vec<usize> {
    let mut order: Vec<usize> = viewers.keys().copied().collect();
    order.sort_by(|a, b| viewers[b].cmp(&viewers[a]).then(a.cmp(b)));
    order
}

/// The address of the company's own recommender, as in its stream.
const RECOMMENDER: &str = "recommender.company.example:8082";

/// Returns the lines of viewings in order of time and user.
fn records(world: &World, logged: &[Logged], requests: bool) -> Vec<Record> {
    let mut records = Vec::new();
    let slate: Vec<&str> = world
        .by_appeal()
        .into_iter()
        .take(20)
        .map(|index| world.movie(index).id.as_str())
        .collect();
    for Logged {
        viewing,
        pace_s,
        request_ms,
    } in logged
    {
        let movie = &world.movie(viewing.movie).id;
        let last = i64::from(viewing.minutes) - 1;
        let user = viewing.user.0;
        if requests && request_ms.is_some() {
            let event = Event::Recommend {
                server: RECOMMENDER.to_owned(),
                status: 200,
                result: slate.join(", "),
                millis: 20 + user.wrapping_mul(0x9e37_79b1) % 120,
            };
            records.push(Record {
                time: viewing.at.plus_seconds(-1),
                user,
                event,
            });
        }
        let event = Event::Watch {
            movie: movie.clone(),
            minute: last as u32,
        };
        records.push(Record {
            time: viewing.at.plus_seconds(last * i64::from(*pace_s)),
            user,
            event,
        });
        if let Some(stars) = viewing.stars {
            let event = Event::Rate {
                movie: movie.clone(),
                stars: u32::from(stars),
            };
            records.push(Record {
                time: viewing.at.plus_seconds(last * i64::from(*pace_s) + 30),
                user,
                event,
            });
        }
    }
    if world.spec().profile == Profile::Current {
        for record in &mut records {
            record.time = record.time.within_second(record.user);
        }
    }
    records.sort_by_key(|record| (record.time, record.user));
    records
}

/// Writes a log and returns the number of its lines.
fn write_log(
    world: &World,
    logged: &[Logged],
    path: &Path,
    requests: bool,
    mut faults: Option<LineFaults<'_>>,
) -> io::Result<usize> {
    let mut out = GzEncoder::new(BufWriter::new(File::create(path)?), Compression::default());
    let (mut line, mut text, mut lines) = (Vec::new(), Vec::new(), 0);
    let mut write = |text: &[u8]| {
        lines += text.iter().filter(|byte| **byte == b'\n').count();
        out.write_all(text)
    };
    for record in records(world, logged, requests) {
        line.clear();
        record.print(world.spec().profile, &mut line);
        match &mut faults {
            None => {
                line.push(b'\n');
                write(&line)?;
            }
            Some(faults) => {
                text.clear();
                faults.push(&line, &mut text);
                write(&text)?;
            }
        }
    }
    if let Some(mut faults) = faults {
        text.clear();
        faults.finish(&mut text);
        write(&text)?;
    }
    out.finish()?.flush()?;
    Ok(lines)
}

/// A release as it is read from a folder: what a self-check knows.
#[derive(Debug, Clone, Default)]
pub struct ReadRelease {
    /// The catalogue's ids, in the order of the file.
    pub movies: Vec<String>,
    /// The genres of each movie.
    pub genres: Vec<Vec<String>>,
    /// What a play of each movie costs the company, in dollars, where its record tells.
    pub costs: Vec<Option<f64>>,
    /// The users: number, and attribute and group for comparisons.
    pub users: BTreeMap<u32, BTreeMap<String, String>>,
    /// What each user had watched.
    pub seen: BTreeMap<u32, BTreeSet<usize>>,
    /// What each user watched afterwards.
    pub heldout: BTreeMap<u32, BTreeSet<usize>>,
    /// The number of viewers of each movie.
    pub viewers: BTreeMap<usize, u32>,
    /// The number of users that the company has.
    pub company_users: u32,
    /// The contract's profile.
    pub profile: String,
}

/// Why a release can't be read.
#[derive(Debug)]
pub struct BadRelease {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; 0 where it is the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for BadRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if self.line == 0 {
            write!(f, "{path}: {}", self.what)
        } else {
            write!(f, "{path}:{}:1: {}", self.line, self.what)
        }
    }
}

impl std::error::Error for BadRelease {}

impl ReadRelease {
    /// Reads a release from a folder.
    ///
    /// # Errors
    /// The first file and line that is not what a release holds.
    pub fn read(dir: &Path) -> Result<Self, BadRelease> {
        let mut release = Self::default();
        let path = dir.join("release.json");
        let text = fs::read_to_string(&path).map_err(|error| bad(&path, 0, error.to_string()))?;
        let about: Value =
            serde_json::from_str(&text).map_err(|error| bad(&path, error.line(), error.to_string()))?;
        if about["schema"] != SCHEMA {
            return Err(bad(&path, 0, format!("this is no `{SCHEMA}`")));
        }
        release.company_users = about["company_users"]
            .as_u64()
            .and_then(|users| u32::try_from(users).ok())
            .ok_or_else(|| bad(&path, 0, "`company_users` is missing or no number"))?;
        about["profile"]
            .as_str()
            .ok_or_else(|| bad(&path, 0, "`profile` is missing or no text"))?
            .clone_into(&mut release.profile);
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        each_json(&dir.join("movies.jsonl"), &mut |movie| {
            let id = movie["id"].as_str().ok_or("a movie without `id`")?;
            if places.insert(id.to_owned(), release.movies.len()).is_some() {
                return Err("a movie that stood here before");
            }
            release.movies.push(id.to_owned());
            let genres = movie["genres"].as_array().into_iter().flatten();
            release.genres.push(
                genres
                    .filter_map(|genre| genre["name"].as_str())
                    .map(str::to_owned)
                    .collect(),
            );
            release.costs.push(movie["cost"].as_f64());
            Ok(())
        })?;
        each_json(&dir.join("users.jsonl"), &mut |user| {
            let id = user["user_id"]
                .as_u64()
                .and_then(|id| u32::try_from(id).ok())
                .ok_or("a user without `user_id`")?;
            let age = user["age"].as_u64().ok_or("a user without `age`")?;
            let gender = user["gender"].as_str().ok_or("a user without `gender`")?;
            let occupation = user["occupation"].as_str().ok_or("a user without `occupation`")?;
            let before = release
                .users
                .insert(id, groups(gender, age_band(age), occupation));
            before.map_or(Ok(()), |_| Err("a user who stood here before"))
        })?;
        for (file, empty) in [
            ("movies.jsonl", release.movies.is_empty()),
            ("users.jsonl", release.users.is_empty()),
        ] {
            if empty {
                return Err(bad(&dir.join(file), 0, "there is nothing in it"));
            }
        }
        // A log as it came may hold lines that nobody can read; its readers pass them over, as students must.
        let as_it_came = about["as_it_came"] == true;
        release.seen = read_log(&dir.join("log.csv.gz"), &places, as_it_came)?;
        release.heldout = read_log(&dir.join("heldout.csv.gz"), &places, false)?;
        for seen in release.seen.values() {
            for movie in seen {
                *release.viewers.entry(*movie).or_insert(0) += 1;
            }
        }
        Ok(release)
    }

    /// Returns the contract that the company keeps.
    pub fn contract(&self) -> Profile {
        if self.profile == Profile::Current.name() {
            Profile::Current
        } else {
            Profile::Classic
        }
    }

    /// Returns the movies in the order of their number of viewers, the foremost first.
    pub fn popular(&self) -> Vec<usize> {
        by_viewers(&self.viewers)
    }
}

/// Returns the groups in which fairness compares.
pub fn groups(gender: &str, age_band: &str, occupation: &str) -> BTreeMap<String, String> {
    [
        ("gender", gender),
        ("age band", age_band),
        ("occupation", occupation),
    ]
    .into_iter()
    .map(|(attribute, group)| (attribute.to_owned(), group.to_owned()))
    .collect()
}

fn age_band(age: u64) -> &'static str {
    match age {
        ..25 => "under 25",
        25..35 => "25-34",
        35..50 => "35-49",
        50.. => "50 and over",
    }
}

fn bad(path: &Path, line: usize, what: impl Into<String>) -> BadRelease {
    BadRelease {
        path: path.to_owned(),
        line,
        what: what.into(),
    }
}

fn each_json(
    path: &Path,
    each: &mut dyn FnMut(&Value) -> Result<(), &'static str>,
) -> Result<(), BadRelease> {
    let file = File::open(path).map_err(|error| bad(path, 0, error.to_string()))?;
    each_line(path, file, &mut |line| {
        let value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        each(&value).map_err(str::to_owned)
    })
}

/// Reads who watched what; users of whom there is no record are kept, because a team may add what it collected itself.
fn read_log(
    path: &Path,
    places: &BTreeMap<String, usize>,
    as_it_came: bool,
) -> Result<BTreeMap<u32, BTreeSet<usize>>, BadRelease> {
    let file = File::open(path).map_err(|error| bad(path, 0, error.to_string()))?;
    let mut seen: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
    each_line(path, MultiGzDecoder::new(BufReader::new(file)), &mut |line| {
        let record = match Record::parse(line) {
            Err(_) if as_it_came => return Ok(()),
            read => read.map_err(|fault| fault.to_string())?,
        };
        if let Event::Watch { movie, .. } = &record.event {
            let place = match places.get(movie) {
                None if as_it_came => return Ok(()),
                found => found.ok_or_else(|| format!("movies.jsonl has no `{movie}`"))?,
            };
            seen.entry(record.user).or_default().insert(*place);
        }
        Ok(())
    })?;
    Ok(seen)
}

/// Gives each line, without its end, to a reader whose complaint gets the file and the number of the line.
fn each_line(
    path: &Path,
    source: impl Read,
    each: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<(), BadRelease> {
    // One byte more than is allowed tells a file that ends there from one that goes on.
    let mut source = BufReader::new(source.take(MAX_UNFOLDED + 1));
    let (mut line, mut number, mut unfolded) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        number += 1;
        let fault = |what: String| bad(path, number, what);
        let read = source
            .by_ref()
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| fault(error.to_string()))?;
        if read == 0 {
            return Ok(());
        }
        unfolded += read as u64;
        if unfolded > MAX_UNFOLDED {
            return Err(fault(format!("the file goes on after {MAX_UNFOLDED} bytes")));
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.len() as u64 > MAX_LINE {
            return Err(fault(format!("a line of more than {MAX_LINE} bytes")));
        }
        let text = std::str::from_utf8(&line).map_err(|error| fault(error.to_string()))?;
        each(text).map_err(fault)?;
    }
}

/// Returns the moment that separates the log from what came afterwards.
pub fn cut() -> SimTime {
    term_start()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::world::{MovieIndex, Profile, WorldSpec};

    const FILES: [&str; 5] = [
        "release.json",
        "movies.jsonl",
        "users.jsonl",
        "log.csv.gz",
        "heldout.csv.gz",
    ];

    /// A small release is played once for all tests.
    static PLAYED: LazyLock<(World, Release)> = LazyLock::new(|| play(2));

    fn play(threads: usize) -> (World, Release) {
        let key = Key::from_seed(3);
        let spec = WorldSpec {
            users: 600,
            movies: 200,
            profile: Profile::Classic,
        };
        let world = World::new(&key, spec, 1);
        let spec = ReleaseSpec {
            users: 80,
            days: 20,
            heldout_days: 5,
        };
        let release = Release::make(&world, &key, spec, threads);
        (world, release)
    }

    fn written() -> tempfile::TempDir {
        let (world, release) = &*PLAYED;
        let dir = tempfile::tempdir().unwrap();
        release.write(world, dir.path()).unwrap();
        dir
    }

    fn zipped(text: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(text).unwrap();
        out.finish().unwrap()
    }

    fn lines(path: &Path) -> Vec<Record> {
        let mut text = String::new();
        MultiGzDecoder::new(File::open(path).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        text.lines().map(|line| Record::parse(line).unwrap()).collect()
    }

    #[test]
    fn a_release_reads_back_from_its_folder() {
        let (world, release) = &*PLAYED;
        let read = ReadRelease::read(written().path()).unwrap();
        assert_eq!(read.seen, release.seen());
        assert_eq!(read.popular(), release.popular());
        assert_eq!(read.viewers, release.viewers());
        assert_eq!(read.heldout, by_user(&release.heldout));
        assert_eq!((read.company_users, read.profile.as_str()), (600, "classic"));
        assert_eq!(read.movies[7], world.movie(MovieIndex(7)).id);
        assert_eq!(read.users.len(), 80);
        for (id, read) in &read.users {
            let user = world.user(UserId(*id)).unwrap();
            let wanted = groups(user.gender.letter(), user.age_band(), user.occupation.label());
            assert_eq!(*read, wanted);
        }
    }

    #[test]
    fn the_log_is_before_the_cut_and_the_rest_after_it() {
        let (_, release) = &*PLAYED;
        assert!(release.viewings.iter().all(|viewing| viewing.at < cut()));
        assert!(release.heldout.iter().all(|viewing| viewing.at >= cut()));
        assert!(!release.viewings.is_empty() && !release.heldout.is_empty());
    }

    #[test]
    fn little_is_watched_a_second_time() {
        let (_, release) = &*PLAYED;
        let seen = release.seen();
        let again = release.heldout.iter().filter(|viewing| {
            let before = seen.get(&viewing.user.0);
            before.is_some_and(|before| before.contains(&(viewing.movie.0 as usize)))
        });
        let (again, all) = (again.count(), release.heldout.len());
        assert!(again > 0 && again * 20 < all, "{again} of {all}");
    }

    #[test]
    fn a_log_is_in_order_and_keeps_the_last_minute_of_each_viewing_and_every_rating() {
        let (_, release) = &*PLAYED;
        let records = lines(&written().path().join("log.csv.gz"));
        assert!(records.is_sorted_by_key(|record| record.time));
        let (watches, ratings): (Vec<_>, Vec<_>) = records
            .iter()
            .partition(|record| matches!(record.event, Event::Watch { .. }));
        assert_eq!(watches.len(), release.viewings.len());
        let rated = release.viewings.iter().filter(|viewing| viewing.stars.is_some());
        assert_eq!(ratings.len(), rated.count());
        let minutes = |record: &&Record| match record.event {
            Event::Watch { minute, .. } => u64::from(minute) + 1,
            _ => 0,
        };
        let played = release.viewings.iter().map(|viewing| u64::from(viewing.minutes));
        assert_eq!(watches.iter().map(minutes).sum::<u64>(), played.sum::<u64>());
    }

    #[test]
    fn a_release_is_the_same_bytes_for_any_number_of_threads() {
        let (one, other) = (written(), tempfile::tempdir().unwrap());
        let (world, release) = play(1);
        release.write(&world, other.path()).unwrap();
        for file in FILES {
            let bytes = |dir: &Path| fs::read(dir.join(file)).unwrap();
            assert!(bytes(one.path()) == bytes(other.path()), "{file} differs");
        }
    }

    #[test]
    fn a_log_of_several_packed_parts_is_read_to_its_end() {
        let dir = written();
        let path = dir.path().join("log.csv.gz");
        let before = ReadRelease::read(dir.path()).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let added = format!(
            "2022-01-01T10:00,4000000000,GET /data/m/{}/3.mpg\n",
            before.movies[0]
        );
        bytes.extend(zipped(added.as_bytes()));
        fs::write(&path, bytes).unwrap();
        let after = ReadRelease::read(dir.path()).unwrap();
        assert_eq!(after.seen[&4_000_000_000], BTreeSet::from([0]));
        assert_eq!(after.seen.len(), before.seen.len() + 1);
    }

    #[test]
    fn a_broken_file_is_told_with_its_line() {
        let good = r#"{"user_id": 1, "age": 3, "gender": "F", "occupation": "artist"}"#;
        let long = "x".repeat(MAX_LINE as usize + 1);
        let mut cut_off = zipped(b"2022-01-01T10:00,1,GET /rate/a+1999=3\n");
        cut_off.truncate(cut_off.len() - 9);
        let cases: [(&str, Vec<u8>, &str); 11] = [
            (
                "users.jsonl",
                format!("{good}\n{{\"user_id\": \"x\"}}\n").into(),
                "users.jsonl:2:1: a user without `user_id`",
            ),
            (
                "users.jsonl",
                b"{\"user_id\": 1, \"age\": 3, \"occupation\": \"artist\"}".into(),
                "users.jsonl:1:1: a user without `gender`",
            ),
            (
                "users.jsonl",
                format!("{good}\n{good}\n").into(),
                "users.jsonl:2:1: a user who stood here before",
            ),
            ("users.jsonl", Vec::new(), "users.jsonl: there is nothing in it"),
            (
                "movies.jsonl",
                b"{\"id\": \"a\"}\n{\"id\": \"a\"}\n".into(),
                "movies.jsonl:2:1: a movie that stood here before",
            ),
            (
                "movies.jsonl",
                long.into(),
                "movies.jsonl:1:1: a line of more than 65536 bytes",
            ),
            (
                "log.csv.gz",
                zipped(b"2022-01-01T10:00,1,GET /data/m/no+such+movie+1999/3.mpg"),
                "log.csv.gz:1:1: movies.jsonl has no `no+such+movie+1999`",
            ),
            (
                "log.csv.gz",
                zipped(&[0xff, b'\n']),
                "invalid utf-8 sequence of 1 bytes from index 0",
            ),
            ("heldout.csv.gz", cut_off, "heldout.csv.gz:"),
            (
                "release.json",
                b"{}".into(),
                "release.json: this is no `reelworld/release/v1`",
            ),
            (
                "release.json",
                format!("{{\"schema\": \"{SCHEMA}\", \"profile\": \"classic\", \"company_users\": -1}}")
                    .into(),
                "release.json: `company_users` is missing or no number",
            ),
        ];
        for (file, content, wanted) in cases {
            let dir = written();
            fs::write(dir.path().join(file), content).unwrap();
            let error = ReadRelease::read(dir.path()).unwrap_err().to_string();
            assert!(error.contains(wanted), "`{error}` must tell `{wanted}`");
        }
    }

    #[test]
    fn a_missing_file_is_told_by_its_name() {
        for file in FILES {
            let dir = written();
            fs::remove_file(dir.path().join(file)).unwrap();
            let error = ReadRelease::read(dir.path()).unwrap_err();
            assert_eq!((error.path, error.line), (dir.path().join(file), 0));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_in_a_file_do_worse_than_an_error_that_names_it(
            file in 0..FILES.len(), foreign in prop::collection::vec(any::<u8>(), 0..200), packed in any::<bool>()
        ) {
            let dir = written();
            let path = dir.path().join(FILES[file]);
            fs::write(&path, if packed { zipped(&foreign) } else { foreign }).unwrap();
            if let Err(error) = ReadRelease::read(dir.path()) {
                // A catalogue that lost its movies is noticed where the log names them.
                prop_assert!(error.path == path || FILES[file] == "movies.jsonl", "{}", error);
            }
        }

        #[test]
        fn a_changed_byte_is_read_or_told(file in 0..FILES.len(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let dir = written();
            let path = dir.path().join(FILES[file]);
            let mut bytes = fs::read(&path).unwrap();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            fs::write(&path, bytes).unwrap();
            match ReadRelease::read(dir.path()) {
                Ok(read) => prop_assert!(read.movies.len() == 200 && !read.users.is_empty()),
                Err(error) => prop_assert!(!error.what.is_empty() && error.path.starts_with(dir.path())),
            }
        }
    }
}
