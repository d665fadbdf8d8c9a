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
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::event::{Event, Record, SimTime};
use crate::seed::Key;
use crate::sim::{Viewing, term_start, viewings};
use crate::world::{UserId, World};

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
}

impl Release {
    /// Plays the released users; the same key gives the same release, for any number of threads.
    pub fn make(world: &World, key: &Key, spec: ReleaseSpec, threads: usize) -> Self {
        let branch = key.branch("release");
        let mut users: Vec<UserId> = world
            .user_ids()
            .filter(|id| world.activity(*id).is_some_and(|found| found >= LEAST_ACTIVITY))
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
        }
    }

    /// Returns what each released user has watched, as places of the catalogue.
    pub fn seen(&self) -> BTreeMap<u32, BTreeSet<usize>> {
        by_user(&self.viewings)
    }

    /// Returns the number of viewers of each movie that has any.
    pub fn viewers(&self) -> BTreeMap<usize, u32> {
        let mut viewers = BTreeMap::new();
        for viewing in &self.viewings {
            *viewers.entry(viewing.movie.0 as usize).or_insert(0) += 1;
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
        for id in &self.users {
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
        let lines = write_log(world, &self.viewings, &dir.join("log.csv.gz"))?;
        let heldout = write_log(world, &self.heldout, &dir.join("heldout.csv.gz"))?;
        let about = json!({
            "schema": SCHEMA, "profile": profile.name(), "users": self.users.len(), "movies": world.spec().movies,
            "company_users": world.spec().users, "days": self.spec.days, "heldout_days": self.spec.heldout_days,
            "log_lines": lines, "heldout_lines": heldout,
        });
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

fn write_log(world: &World, viewings: &[Viewing], path: &Path) -> io::Result<usize> {
    let mut records = Vec::new();
    for viewing in viewings {
        let movie = &world.movie(viewing.movie).id;
        let last = i64::from(viewing.minutes) - 1;
        let user = viewing.user.0;
        let event = Event::Watch {
            movie: movie.clone(),
            minute: last as u32,
        };
        records.push(Record {
            time: viewing.at.plus_seconds(last * 60),
            user,
            event,
        });
        if let Some(stars) = viewing.stars {
            let event = Event::Rate {
                movie: movie.clone(),
                stars: u32::from(stars),
            };
            records.push(Record {
                time: viewing.at.plus_seconds(last * 60 + 30),
                user,
                event,
            });
        }
    }
    records.sort_by_key(|record| (record.time, record.user));
    let mut out = GzEncoder::new(BufWriter::new(File::create(path)?), Compression::default());
    let mut line = Vec::new();
    for record in &records {
        line.clear();
        record.print(world.spec().profile, &mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.finish()?.flush()?;
    Ok(records.len())
}

/// A release as it is read from a folder: what a self-check knows.
#[derive(Debug, Clone, Default)]
pub struct ReadRelease {
    /// The catalogue's ids, in the order of the file.
    pub movies: Vec<String>,
    /// The genres of each movie.
    pub genres: Vec<Vec<String>>,
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
        let about: Value = {
            let path = dir.join("release.json");
            let text = fs::read_to_string(&path).map_err(|error| bad(&path, 0, error.to_string()))?;
            serde_json::from_str(&text).map_err(|error| bad(&path, error.line(), error.to_string()))?
        };
        if about["schema"] != SCHEMA {
            return Err(bad(
                &dir.join("release.json"),
                1,
                format!("this is no `{SCHEMA}`"),
            ));
        }
        release.company_users = about["company_users"].as_u64().unwrap_or(0) as u32;
        about["profile"]
            .as_str()
            .unwrap_or("classic")
            .clone_into(&mut release.profile);
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        each_json(&dir.join("movies.jsonl"), &mut |movie| {
            let id = movie["id"].as_str().ok_or("a movie without `id`")?;
            places.insert(id.to_owned(), release.movies.len());
            release.movies.push(id.to_owned());
            let genres = movie["genres"].as_array().into_iter().flatten();
            release.genres.push(
                genres
                    .filter_map(|genre| genre["name"].as_str())
                    .map(str::to_owned)
                    .collect(),
            );
            Ok(())
        })?;
        each_json(&dir.join("users.jsonl"), &mut |user| {
            let id = user["user_id"]
                .as_u64()
                .and_then(|id| u32::try_from(id).ok())
                .ok_or("a user without `user_id`")?;
            let age = user["age"].as_u64().ok_or("a user without `age`")?;
            let text = |key: &str| user[key].as_str().unwrap_or("unknown").to_owned();
            release
                .users
                .insert(id, groups(&text("gender"), age_band(age), &text("occupation")));
            Ok(())
        })?;
        release.seen = read_log(&dir.join("log.csv.gz"), &places)?;
        release.heldout = read_log(&dir.join("heldout.csv.gz"), &places)?;
        for seen in release.seen.values() {
            for movie in seen {
                *release.viewers.entry(*movie).or_insert(0) += 1;
            }
        }
        Ok(release)
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
    for (number, line) in BufReader::new(file.take(MAX_UNFOLDED)).lines().enumerate() {
        let line = line.map_err(|error| bad(path, number + 1, error.to_string()))?;
        let value = serde_json::from_str(&line).map_err(|error| bad(path, number + 1, error.to_string()))?;
        each(&value).map_err(|what| bad(path, number + 1, what))?;
    }
    Ok(())
}

fn read_log(
    path: &Path,
    places: &BTreeMap<String, usize>,
) -> Result<BTreeMap<u32, BTreeSet<usize>>, BadRelease> {
    let file = File::open(path).map_err(|error| bad(path, 0, error.to_string()))?;
    let mut seen: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
    for (number, line) in BufReader::new(GzDecoder::new(file).take(MAX_UNFOLDED))
        .lines()
        .enumerate()
    {
        let line = line.map_err(|error| bad(path, number + 1, error.to_string()))?;
        let record = Record::parse(&line).map_err(|fault| bad(path, number + 1, fault.to_string()))?;
        if let Event::Watch { movie, .. } = &record.event
            && let Some(place) = places.get(movie)
        {
            seen.entry(record.user).or_default().insert(*place);
        }
    }
    Ok(seen)
}

/// Returns the moment that separates the log from what came afterwards.
pub fn cut() -> SimTime {
    term_start()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Profile, WorldSpec};

    fn release() -> (World, Release) {
        let key = Key::from_seed(3);
        let world = World::new(
            &key,
            WorldSpec {
                users: 600,
                movies: 200,
                profile: Profile::Classic,
            },
            1,
        );
        let spec = ReleaseSpec {
            users: 80,
            days: 20,
            heldout_days: 5,
        };
        let release = Release::make(&world, &key, spec, 2);
        (world, release)
    }

    #[test]
    fn a_release_reads_back_from_its_folder() {
        let (world, release) = release();
        let dir = tempfile::tempdir().unwrap();
        release.write(&world, dir.path()).unwrap();
        let read = ReadRelease::read(dir.path()).unwrap();
        assert_eq!(read.seen, release.seen());
        assert_eq!(read.popular(), release.popular());
        assert_eq!(read.users.len(), 80);
        assert_eq!(read.movies[7], world.movie(crate::world::MovieIndex(7)).id);
        assert_eq!(read.heldout, by_user(&release.heldout));
        assert!(release.viewings.iter().all(|viewing| viewing.at < cut()));
    }

    #[test]
    fn nobody_watches_afterwards_what_they_watched_before() {
        let (_, release) = release();
        let seen = release.seen();
        assert!(
            release
                .heldout
                .iter()
                .all(|viewing| !seen[&viewing.user.0].contains(&(viewing.movie.0 as usize)))
        );
    }

    #[test]
    fn a_broken_file_is_told_with_its_line() {
        let (world, release) = release();
        let dir = tempfile::tempdir().unwrap();
        release.write(&world, dir.path()).unwrap();
        fs::write(
            dir.path().join("users.jsonl"),
            "{\"user_id\": 1, \"age\": 3}\n{\"user_id\": \"x\"}\n",
        )
        .unwrap();
        let error = ReadRelease::read(dir.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("users.jsonl:2:1: a user without `user_id`"),
            "{error}"
        );
    }
}
