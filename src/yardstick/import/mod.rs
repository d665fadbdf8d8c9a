//! Reads logs into the plain form: MovieLens in its published forms, the company's lines and releases, catalogues of TMDB.

mod builder;
mod company;
mod csv;
mod lines;
mod movielens;
mod tmdb;
mod write;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

pub use lines::{BadImport, LineFault, MAX_FAULTS};
pub use write::{Written, write_folder};

use super::Dataset;

/// A form in which a log may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// MovieLens 100K: `u.data`, and `u.user` and `u.item` beside it.
    MovieLens100k,
    /// MovieLens 1M: `ratings.dat`, and `users.dat` and `movies.dat` beside it.
    MovieLens1m,
    /// MovieLens 20M and 25M: `ratings.csv`, and `movies.csv` beside it.
    MovieLens20m,
    /// The company's log, plain or packed.
    Log,
    /// A folder of the company's data: `users.jsonl`, `movies.jsonl`, `log.csv.gz`.
    Release,
    /// A catalogue of TMDB as a table with columns of JSON: `tmdb_5000_movies.csv`, and `ratings.csv` and `links.csv` beside it.
    TmdbTable,
    /// A catalogue of TMDB as a record a line: `movies.jsonl`, and `ratings.csv` and `links.csv` beside it.
    TmdbRecords,
}

impl LogFormat {
    /// Returns the name that tables use.
    pub fn name(self) -> &'static str {
        match self {
            Self::MovieLens100k => "ml100k",
            Self::MovieLens1m => "ml1m",
            Self::MovieLens20m => "ml20m",
            Self::Log => "log",
            Self::Release => "release",
            Self::TmdbTable => "tmdb-csv",
            Self::TmdbRecords => "tmdb-jsonl",
        }
    }
}

/// Lines of one kind that were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkippedLines {
    /// How many.
    pub count: u64,
    /// The first few, by number.
    pub first: Vec<u64>,
}

/// The number of skipped lines that are told by number.
const SHOWN: usize = 5;

impl SkippedLines {
    fn note(&mut self, line: u64) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(line);
        }
    }
}

/// What was left out of a company's log, because the wild log is damaged in these ways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Lines that would be well-formed without one character.
    pub inserted: SkippedLines,
    /// Well-formed lines that cannot be true: stars outside the scale, a minute beyond a day.
    pub impossible: SkippedLines,
    /// Lines that name a movie which the catalogue does not have.
    pub unknown_movie: SkippedLines,
}

/// A log that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The log in plain form.
    pub data: Dataset,
    /// The form it came in.
    pub format: LogFormat,
    /// What was left out.
    pub skipped: Skipped,
    /// The company's record of each movie, in the order of the movies and without its id; empty where the form tells no
    /// more than the data set.
    pub records: Vec<Value>,
}

/// Reads a log, a file or a folder; the form is found from names and content unless it is given.
///
/// # Errors
/// All faults with file and line, up to [`MAX_FAULTS`].
pub fn import(path: &Path, format: Option<LogFormat>) -> Result<Imported, BadImport> {
    let format = format.map_or_else(|| detect(path), Ok)?;
    let file = |name: &str| -> PathBuf {
        if path.is_dir() {
            path.join(name)
        } else {
            path.to_owned()
        }
    };
    let plain = |builder| (builder, Skipped::default());
    let mut records = Vec::new();
    let mut catalogue = |read: tmdb::Catalogue| {
        records = read.records;
        (read.builder, read.skipped)
    };
    let (builder, skipped) = match format {
        LogFormat::MovieLens100k => plain(movielens::read_100k(&file("u.data"))?),
        LogFormat::MovieLens1m => plain(movielens::read_1m(&file("ratings.dat"))?),
        LogFormat::MovieLens20m => plain(movielens::read_20m(&file("ratings.csv"))?),
        LogFormat::Log => company::read_log(&file("log.csv.gz"))?,
        LogFormat::Release => company::read_release(path)?,
        LogFormat::TmdbTable => catalogue(tmdb::read_csv(&file("tmdb_5000_movies.csv"))?),
        LogFormat::TmdbRecords => catalogue(tmdb::read_jsonl(&file("movies.jsonl"))?),
    };
    if builder.data.movies.is_empty() {
        return Err(BadImport::of(path, 0, "there is no movie in it"));
    }
    // A catalogue is worth something without ratings.
    if builder.len() == 0 && records.is_empty() {
        return Err(BadImport::of(
            path,
            0,
            "there is no meeting of a user and a movie in it",
        ));
    }
    let name = path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    );
    Ok(Imported {
        data: builder.finish(name),
        format,
        skipped,
        records,
    })
}

/// Files by which a folder tells its form, in the order of asking.
const MARKS: [(&str, LogFormat); 7] = [
    ("tmdb_5000_movies.csv", LogFormat::TmdbTable),
    ("u.data", LogFormat::MovieLens100k),
    ("ratings.dat", LogFormat::MovieLens1m),
    ("log.csv.gz", LogFormat::Release),
    ("log.csv", LogFormat::Release),
    ("movies.jsonl", LogFormat::TmdbRecords),
    ("ratings.csv", LogFormat::MovieLens20m),
];

/// Columns by which a table of TMDB is known.
const TABLE: [&str; 3] = ["id", "title", "genres"];

fn detect(path: &Path) -> Result<LogFormat, BadImport> {
    if path.is_dir() {
        return MARKS
            .iter()
            .find(|(name, _)| path.join(name).is_file())
            .map(|(_, format)| *format)
            .ok_or_else(|| {
                let names: Vec<String> = MARKS.iter().map(|(name, _)| format!("`{name}`")).collect();
                BadImport::of(path, 0, format!("the folder has none of {}", names.join(", ")))
            });
    }
    let first = first_line(path)?;
    if first.starts_with("userId,") {
        Ok(LogFormat::MovieLens20m)
    } else if first.starts_with('{') {
        Ok(LogFormat::TmdbRecords)
    } else if TABLE
        .iter()
        .all(|column| first.split(',').any(|name| name.trim() == *column))
    {
        Ok(LogFormat::TmdbTable)
    } else if first.contains("::") && !first.contains(',') {
        Ok(LogFormat::MovieLens1m)
    } else if first.matches('\t').count() == 3 {
        Ok(LogFormat::MovieLens100k)
    } else if first.contains(',') {
        Ok(LogFormat::Log)
    } else {
        Err(BadImport::of(
            path,
            1,
            "this is no log that is known; say which with --format",
        ))
    }
}

fn first_line(path: &Path) -> Result<String, BadImport> {
    let fault = |error: std::io::Error| BadImport::of(path, 0, error.to_string());
    let mut start = [0; 2];
    let read = File::open(path)
        .and_then(|mut file| file.read(&mut start))
        .map_err(fault)?;
    let file = BufReader::new(File::open(path).map_err(fault)?);
    let mut source: Box<dyn Read> = if read == 2 && start == [0x1f, 0x8b] {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut bytes = Vec::new();
    source
        .by_ref()
        .take(1024)
        .read_to_end(&mut bytes)
        .map_err(fault)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tmdb_tests;
