//! Logs of other people and our own, read into the plain form: MovieLens 100K, 1M and 20M, a release, the company's lines.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::dataset::{Dataset, Meeting, MovieRow, UserRow};
use crate::event::{Event, Record};

/// The form of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A folder with `u.data`, and `u.user` and `u.item` beside it where there are any.
    MovieLens100k,
    /// A folder with `ratings.dat`, fields parted by `::`, and `users.dat` and `movies.dat`.
    MovieLens1m,
    /// A folder with `ratings.csv` and `movies.csv`.
    MovieLens20m,
    /// A release of the company: `release.json`, `log.csv.gz`, `users.jsonl`, `movies.jsonl`.
    Release,
    /// A file of the company's lines, packed with gzip or not.
    Log,
}

impl Format {
    /// Finds the form of what lies at a path, by the names of files; none for a folder that holds none of them.
    pub fn of(path: &Path) -> Option<Self> {
        let holds = |name: &str| path.join(name).is_file();
        if path.is_file() {
            return Some(Self::Log);
        }
        [
            ("u.data", Self::MovieLens100k),
            ("ratings.dat", Self::MovieLens1m),
            ("ratings.csv", Self::MovieLens20m),
            ("release.json", Self::Release),
        ]
        .into_iter()
        .find(|(name, _)| holds(name))
        .map(|(_, format)| format)
    }
}

/// A log that was read, and what of it could not be.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Imported {
    /// The log.
    pub data: Dataset,
    /// Lines that are not what they should be; real logs have some.
    pub faulty: u64,
    /// The first of them: file, line, what is wrong.
    pub examples: Vec<String>,
}

/// Why a log can't be read.
#[derive(Debug)]
pub enum ImportError {
    /// The system refused a file.
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Nothing at the path is of a form that we read.
    Unknown(PathBuf),
    /// Too much of it is not what it should be.
    Faulty {
        /// The file.
        path: PathBuf,
        /// The first faults, one a line.
        faults: Vec<String>,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(to, "cannot read `{}`: {error}", path.display()),
            Self::Unknown(path) => write!(
                to,
                "`{}` holds no u.data, ratings.dat, ratings.csv or release.json, and is no log",
                path.display()
            ),
            Self::Faulty { path, faults } => {
                write!(to, "`{}` is not what it should be", path.display())?;
                faults.iter().try_for_each(|fault| write!(to, "\n  {fault}"))
            }
        }
    }
}

impl std::error::Error for ImportError {}

/// The longest line that is read.
const MAX_LINE: u64 = 1 << 16;
/// How many faulty lines are told.
const TOLD: usize = 5;
/// A log of which more than this share is faulty is something else.
const MOST_FAULTY: f64 = 0.05;

/// Reads a log.
///
/// Lines that are faulty are counted and told, not passed over in silence; our own logs hold some on purpose.
///
/// # Errors
/// When a file cannot be read, nothing is of a known form, or more than a twentieth of the lines are faulty.
pub fn import(path: &Path, format: Option<Format>) -> Result<Imported, ImportError> {
    let format = format
        .or_else(|| Format::of(path))
        .ok_or_else(|| ImportError::Unknown(path.to_owned()))?;
    let mut reader = Reader::default();
    match format {
        Format::MovieLens100k => reader.movielens_100k(path)?,
        Format::MovieLens1m => reader.movielens_1m(path)?,
        Format::MovieLens20m => reader.movielens_20m(path)?,
        Format::Release => reader.release(path)?,
        Format::Log => reader.log(path)?,
    }
    Ok(reader.finish(path))
}

#[derive(Default)]
struct Reader {
    found: Imported,
    users: BTreeMap<String, u32>,
    movies: BTreeMap<String, u32>,
    genres: BTreeMap<String, u16>,
    /// Where the meeting of a user and a movie stands: the company's log tells it in many lines.
    met: BTreeMap<(u32, u32), usize>,
}

type Fault = &'static str;

impl Reader {
    fn user(&mut self, id: &str) -> u32 {
        if let Some(place) = self.users.get(id) {
            return *place;
        }
        let place = self.found.data.users.len() as u32;
        self.users.insert(id.to_owned(), place);
        self.found.data.users.push(UserRow {
            id: id.to_owned(),
            ..UserRow::default()
        });
        place
    }

    fn movie(&mut self, id: &str) -> u32 {
        if let Some(place) = self.movies.get(id) {
            return *place;
        }
        let place = self.found.data.movies.len() as u32;
        self.movies.insert(id.to_owned(), place);
        self.found.data.movies.push(MovieRow {
            id: id.to_owned(),
            ..MovieRow::default()
        });
        place
    }

    fn genre(&mut self, name: &str) -> u16 {
        if let Some(place) = self.genres.get(name) {
            return *place;
        }
        let place = self.found.data.genres.len() as u16;
        self.genres.insert(name.to_owned(), place);
        self.found.data.genres.push(name.to_owned());
        place
    }

    fn set_genres<'n>(&mut self, movie: u32, names: impl Iterator<Item = &'n str>) {
        let mut genres: Vec<u16> = names.map(|name| self.genre(name)).collect();
        genres.sort_unstable();
        genres.dedup();
        self.found.data.movies[movie as usize].genres = genres;
    }

    /// Reads a file line by line; each line that `each` refuses is a fault.
    fn lines(
        &mut self,
        path: &Path,
        mut each: impl FnMut(&mut Self, &str) -> Result<(), Fault>,
    ) -> Result<(), ImportError> {
        let refused = |error: io::Error| ImportError::Io {
            path: path.to_owned(),
            error,
        };
        let file = File::open(path).map_err(refused)?;
        let is_packed = path.extension().is_some_and(|end| end == "gz");
        let mut source: Box<dyn BufRead> = if is_packed {
            Box::new(BufReader::new(MultiGzDecoder::new(file)))
        } else {
            Box::new(BufReader::with_capacity(1 << 20, file))
        };
        let (mut number, mut faulty) = (0_u64, 0_u64);
        let mut examples = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = source
                .by_ref()
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)
                .map_err(refused)?;
            if read == 0 {
                break;
            }
            number += 1;
            let text = latin(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            if text.is_empty() {
                continue;
            }
            if let Err(fault) = each(self, text) {
                faulty += 1;
                if examples.len() < TOLD {
                    examples.push(format!("{}:{number}:1: {fault}", path.display()));
                }
            }
        }
        // Of a short file a single line may be a large share.
        if faulty as f64 > MOST_FAULTY * number as f64 && faulty > 1 {
            return Err(ImportError::Faulty {
                path: path.to_owned(),
                faults: examples,
            });
        }
        self.found.faulty += faulty;
        let room = TOLD.saturating_sub(self.found.examples.len());
        self.found.examples.extend(examples.into_iter().take(room));
        Ok(())
    }

    fn meet(&mut self, user: u32, movie: u32, at: i64, stars: f32) {
        self.found.data.meetings.push(Meeting {
            user,
            movie,
            at,
            minutes: None,
            stars: Some(stars),
        });
    }

    fn movielens_100k(&mut self, folder: &Path) -> Result<(), ImportError> {
        for name in GENRES_100K {
            self.genre(name);
        }
        if folder.join("u.user").is_file() {
            self.lines(&folder.join("u.user"), |reader, line| {
                let mut fields = line.split('|');
                let id = fields.next().ok_or("a user without a number")?;
                let place = reader.user(id);
                let age = fields.next().and_then(|age| age.parse().ok());
                let gender = fields.next().ok_or("a user without a gender")?;
                let row = &mut reader.found.data.users[place as usize];
                row.age = Some(age.ok_or("an age that is no number")?);
                row.is_female = female(gender);
                row.occupation = fields.next().map(str::to_owned);
                Ok(())
            })?;
        }
        if folder.join("u.item").is_file() {
            self.lines(&folder.join("u.item"), |reader, line| {
                let fields: Vec<&str> = line.split('|').collect();
                let flags = fields
                    .len()
                    .checked_sub(GENRES_100K.len())
                    .filter(|rest| *rest >= 3)
                    .ok_or("a movie with too few fields")?;
                let place = reader.movie(fields[0]);
                reader.found.data.movies[place as usize].year =
                    fields[2].rsplit('-').next().and_then(|year| year.parse().ok());
                // The first flag says that the genre is unknown.
                let genres = GENRES_100K
                    .iter()
                    .zip(&fields[flags..])
                    .skip(1)
                    .filter(|(_, flag)| **flag == "1")
                    .map(|(name, _)| *name);
                reader.set_genres(place, genres);
                Ok(())
            })?;
        }
        self.lines(&folder.join("u.data"), |reader, line| {
            reader.rating(line.split('\t'))
        })
    }

    /// Takes user, movie, stars and time, in this order.
    fn rating<'f>(&mut self, mut fields: impl Iterator<Item = &'f str>) -> Result<(), Fault> {
        let user = fields.next().filter(|id| !id.is_empty()).ok_or("no user")?;
        let movie = fields.next().filter(|id| !id.is_empty()).ok_or("no movie")?;
        let stars = fields
            .next()
            .and_then(|stars| stars.parse::<f32>().ok())
            .filter(|stars| (0.5..=5.0).contains(stars))
            .ok_or("stars that are no number from 0.5 to 5")?;
        let at = fields
            .next()
            .and_then(|at| at.trim().parse().ok())
            .ok_or("a time that is no number of seconds")?;
        let (user, movie) = (self.user(user), self.movie(movie));
        self.meet(user, movie, at, stars);
        Ok(())
    }

    fn movielens_1m(&mut self, folder: &Path) -> Result<(), ImportError> {
        if folder.join("users.dat").is_file() {
            self.lines(&folder.join("users.dat"), |reader, line| {
                let fields: Vec<&str> = line.split("::").collect();
                let [id, gender, age, ..] = fields[..] else {
                    return Err("a user with too few fields");
                };
                let place = reader.user(id);
                let row = &mut reader.found.data.users[place as usize];
                row.is_female = female(gender);
                row.age = Some(age.parse().map_err(|_| "an age that is no number")?);
                Ok(())
            })?;
        }
        if folder.join("movies.dat").is_file() {
            self.lines(&folder.join("movies.dat"), |reader, line| {
                let fields: Vec<&str> = line.split("::").collect();
                let [id, title, genres] = fields[..] else {
                    return Err("a movie that has not three fields");
                };
                reader.titled(id, title, genres);
                Ok(())
            })?;
        }
        self.lines(&folder.join("ratings.dat"), |reader, line| {
            reader.rating(line.split("::"))
        })
    }

    fn movielens_20m(&mut self, folder: &Path) -> Result<(), ImportError> {
        if folder.join("movies.csv").is_file() {
            self.lines(&folder.join("movies.csv"), |reader, line| {
                let (id, rest) = line.split_once(',').ok_or("a movie with too few fields")?;
                let (title, genres) = rest.rsplit_once(',').ok_or("a movie with too few fields")?;
                if id != "movieId" {
                    reader.titled(id, title.trim_matches('"'), genres);
                }
                Ok(())
            })?;
        }
        self.lines(&folder.join("ratings.csv"), |reader, line| {
            if line.starts_with("userId") {
                return Ok(());
            }
            reader.rating(line.split(','))
        })
    }

    /// Takes a movie whose title ends in its year, `Title (1995)`, and genres parted by bars.
    fn titled(&mut self, id: &str, title: &str, genres: &str) {
        let place = self.movie(id);
        self.found.data.movies[place as usize].year = title
            .trim_end()
            .strip_suffix(')')
            .and_then(|title| title.rsplit('(').next())
            .and_then(|year| year.parse().ok());
        let names = genres.split('|').filter(|name| !name.starts_with('('));
        self.set_genres(place, names);
    }

    fn release(&mut self, folder: &Path) -> Result<(), ImportError> {
        self.lines(&folder.join("movies.jsonl"), |reader, line| {
            let movie: Value = serde_json::from_str(line).map_err(|_| "a movie that is no JSON")?;
            let place = reader.movie(movie["id"].as_str().ok_or("a movie without `id`")?);
            let genres: Vec<&str> = movie["genres"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|genre| genre["name"].as_str())
                .collect();
            reader.set_genres(place, genres.into_iter());
            let row = &mut reader.found.data.movies[place as usize];
            row.runtime_min = movie["runtime"]
                .as_u64()
                .and_then(|minutes| minutes.try_into().ok());
            row.year = movie["release_date"]
                .as_str()
                .and_then(|date| date.get(..4)?.parse().ok());
            Ok(())
        })?;
        self.lines(&folder.join("users.jsonl"), |reader, line| {
            let user: Value = serde_json::from_str(line).map_err(|_| "a user that is no JSON")?;
            let id = user["user_id"].as_u64().ok_or("a user without `user_id`")?;
            let place = reader.user(&id.to_string());
            let row = &mut reader.found.data.users[place as usize];
            row.age = user["age"].as_u64().and_then(|age| age.try_into().ok());
            row.is_female = user["gender"].as_str().and_then(female);
            row.occupation = user["occupation"].as_str().map(str::to_owned);
            Ok(())
        })?;
        self.log(&folder.join("log.csv.gz"))
    }

    fn log(&mut self, path: &Path) -> Result<(), ImportError> {
        self.lines(path, |reader, line| {
            let record = Record::parse(line).map_err(|fault| fault.wanted)?;
            let at = record.time.seconds();
            let user = record.user.to_string();
            match record.event {
                Event::Watch { movie, minute } => {
                    let meeting = reader.meeting(&user, &movie, at);
                    let minutes = u16::try_from(minute + 1).unwrap_or(u16::MAX);
                    meeting.minutes = Some(meeting.minutes.map_or(minutes, |most| most.max(minutes)));
                    // The line that is kept of a viewing may be its last.
                    meeting.at = meeting.at.min(at - i64::from(minute) * 60);
                    Ok(())
                }
                Event::Rate { movie, stars } => {
                    if !(1..=10).contains(&stars) {
                        return Err("stars beyond any scale");
                    }
                    reader.meeting(&user, &movie, at).stars = Some(stars as f32);
                    Ok(())
                }
                Event::Recommend { .. } | Event::CreateAccount => Ok(()),
            }
        })
    }

    fn meeting(&mut self, user: &str, movie: &str, at: i64) -> &mut Meeting {
        let (user, movie) = (self.user(user), self.movie(movie));
        let next = self.found.data.meetings.len();
        let place = *self.met.entry((user, movie)).or_insert(next);
        if place == next {
            self.found.data.meetings.push(Meeting {
                user,
                movie,
                at,
                minutes: None,
                stars: None,
            });
        }
        &mut self.found.data.meetings[place]
    }

    fn finish(mut self, path: &Path) -> Imported {
        let data = &mut self.found.data;
        data.name = path
            .file_name()
            .map_or_else(|| "log".to_owned(), |name| name.to_string_lossy().into_owned());
        // Ten stars are finer, not other.
        let is_fine = data
            .meetings
            .iter()
            .any(|meeting| meeting.stars.is_some_and(|stars| stars > 5.0));
        if is_fine {
            for meeting in &mut data.meetings {
                meeting.stars = meeting.stars.map(|stars| (stars / 2.0).clamp(1.0, 5.0));
            }
        }
        data.settle();
        self.found
    }
}

/// Reads bytes as UTF-8, or as Latin-1 where they are none: MovieLens 100K has titles in it.
fn latin(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn female(word: &str) -> Option<bool> {
    match word {
        "F" => Some(true),
        "M" => Some(false),
        _ => None,
    }
}

/// The flags at the end of a line of `u.item`, in order.
const GENRES_100K: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn movielens_100k_is_read_with_its_users_and_genres() {
        let flags = "0|1|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0";
        let item = format!("9|T\u{e9}st (1995)|01-Jan-1995||url|{flags}\n");
        let latin: Vec<u8> = item.chars().map(|letter| letter as u32 as u8).collect();
        let dir = folder(&[
            ("u.data", "1\t9\t4\t880\n1\t9\t2\t900\n"),
            ("u.user", "1|24|F|writer|85711\n"),
        ]);
        fs::write(dir.path().join("u.item"), latin).unwrap();
        let read = import(dir.path(), None).unwrap();
        assert_eq!(read.faulty, 0);
        assert_eq!(read.data.meetings.len(), 1, "the first of two ratings counts");
        assert_eq!(read.data.meetings[0].stars, Some(4.0));
        assert_eq!(
            (read.data.users[0].age, read.data.users[0].is_female),
            (Some(24), Some(true))
        );
        let names: Vec<&str> = read.data.movies[0]
            .genres
            .iter()
            .map(|genre| read.data.genres[usize::from(*genre)].as_str())
            .collect();
        assert_eq!(
            (names, read.data.movies[0].year),
            (vec!["Action", "Comedy"], Some(1995))
        );
    }

    #[test]
    fn the_larger_sets_are_read_as_well() {
        let million = folder(&[
            ("ratings.dat", "1::2::5::978300760\n"),
            ("users.dat", "1::M::35::7::02139\n"),
            ("movies.dat", "2::Jumanji (1995)::Adventure|Fantasy\n"),
        ]);
        let read = import(million.path(), None).unwrap().data;
        assert_eq!(
            (read.movies[0].year, read.movies[0].genres.len()),
            (Some(1995), 2)
        );
        assert_eq!((read.users[0].age, read.meetings[0].stars), (Some(35), Some(5.0)));
        let twenty = folder(&[
            (
                "ratings.csv",
                "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n",
            ),
            (
                "movies.csv",
                "movieId,title,genres\n2,\"American President, The (1995)\",Comedy|Drama\n",
            ),
        ]);
        let read = import(twenty.path(), None).unwrap().data;
        assert_eq!(
            (read.meetings[0].stars, read.movies[0].year),
            (Some(3.5), Some(1995))
        );
    }

    #[test]
    fn the_companys_lines_become_one_meeting_each() {
        let text = "2023-02-08T02:29:01,7,GET /data/m/m*a*s*h+1970/0.mpg\n\
                    2023-02-08T02:30:01,7,GET /data/m/m*a*s*h+1970/1.mpg\n\
                    2023-02-08T02:31,7,GET /rate/m*a*s*h+1970=4\n\
                    2023-02-08T02:31,8,GET /data/m/i_+robot+2004/3.mpg\n";
        let dir = folder(&[("log.csv", text)]);
        let read = import(&dir.path().join("log.csv"), None).unwrap().data;
        assert_eq!(read.meetings.len(), 2);
        let first = read.meetings.iter().find(|meeting| meeting.user == 0).unwrap();
        assert_eq!((first.minutes, first.stars), (Some(2), Some(4.0)));
        let second = read.meetings.iter().find(|meeting| meeting.user == 1).unwrap();
        assert_eq!(second.minutes, Some(4));
    }

    #[test]
    fn a_few_faulty_lines_are_told_and_many_refused() {
        let good = "2023-02-08T02:29:01,7,GET /data/m/m*a*s*h+1970/0.mpg\n";
        let one = folder(&[("log.csv", &format!("{}2023-0 2-08\n", good.repeat(40)))]);
        let read = import(&one.path().join("log.csv"), None).unwrap();
        assert_eq!((read.faulty, read.examples.len()), (1, 1));
        assert!(read.examples[0].contains("log.csv:41:1:"), "{:?}", read.examples);
        let all = folder(&[("log.csv", "what\nis\nthis\n")]);
        let told = import(&all.path().join("log.csv"), None).unwrap_err().to_string();
        assert!(
            told.contains("log.csv:1:1:") && told.contains("log.csv:3:1:"),
            "{told}"
        );
        let empty = folder(&[("notes.txt", "")]);
        assert!(matches!(import(empty.path(), None), Err(ImportError::Unknown(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for (name, format) in [
                ("u.data", Format::MovieLens100k),
                ("ratings.dat", Format::MovieLens1m),
                ("ratings.csv", Format::MovieLens20m),
                ("log.csv", Format::Log),
            ] {
                let dir = tempfile::tempdir().unwrap();
                for beside in [name, "u.item", "u.user", "users.dat", "movies.dat", "movies.csv"] {
                    fs::write(dir.path().join(beside), &bytes).unwrap();
                }
                let path = if format == Format::Log { dir.path().join(name) } else { dir.path().to_owned() };
                drop(import(&path, Some(format)));
            }
        }
    }
}
