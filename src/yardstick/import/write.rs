//! Writes a plain log as a folder of the company's files: `users.jsonl`, `movies.jsonl`, `log.csv.gz`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::super::Dataset;
use crate::event::{Event, Record, SimTime};
use crate::world::{Profile, slug};

/// What was written, and what the company's line format could not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// The lines of the log.
    pub lines: u64,
    /// Half stars that were rounded up, as a line holds whole ones.
    pub rounded_stars: u64,
    /// Meetings of unknown length without stars, written as one minute.
    pub unknown_minutes: u64,
}

/// Writes a folder, which is made; the user numbers are the data set's own where they are numbers.
///
/// Movies have the records that are given, in their order, where there are any.
///
/// # Errors
/// When the disk refuses.
pub fn write_folder(data: &Dataset, records: &[Value], dir: &Path) -> io::Result<Written> {
    fs::create_dir_all(dir)?;
    let users = user_numbers(data);
    let mut out = BufWriter::new(File::create(dir.join("users.jsonl"))?);
    for (row, number) in data.users.iter().zip(&users) {
        let gender = row.is_female.map(|female| if female { "F" } else { "M" });
        let record =
            json!({"user_id": number, "age": row.age, "occupation": row.occupation, "gender": gender});
        writeln!(out, "{record}")?;
    }
    out.flush()?;
    let movies = movie_ids(data);
    let mut out = BufWriter::new(File::create(dir.join("movies.jsonl"))?);
    for (place, (row, id)) in data.movies.iter().zip(&movies).enumerate() {
        if let Some(record) = records.get(place) {
            let mut record = record.clone();
            record["id"] = Value::from(id.as_str());
            writeln!(out, "{record}")?;
            continue;
        }
        let genres: Vec<_> = row
            .genres
            .iter()
            .filter_map(|genre| data.genres.get(usize::from(*genre)))
            .map(|name| json!({"name": name}))
            .collect();
        let released = row.year.map(|year| format!("{year:04}-01-01"));
        let record =
            json!({"id": id, "genres": genres, "runtime": row.runtime_min, "release_date": released});
        writeln!(out, "{record}")?;
    }
    out.flush()?;
    write_log(data, &users, &movies, &dir.join("log.csv.gz"))
}

fn write_log(data: &Dataset, users: &[u32], movies: &[String], path: &Path) -> io::Result<Written> {
    let mut written = Written::default();
    let mut records: Vec<Record> = Vec::new();
    for meeting in &data.meetings {
        let movie = &movies[meeting.movie as usize];
        let user = users[meeting.user as usize];
        let last = meeting.minutes.map_or(0, |minutes| minutes.max(1) - 1);
        let ended = SimTime::from_seconds(meeting.at + i64::from(last) * 60);
        if meeting.minutes.is_some() || meeting.stars.is_none() {
            written.unknown_minutes += u64::from(meeting.minutes.is_none());
            let event = Event::Watch {
                movie: movie.clone(),
                minute: u32::from(last),
            };
            records.push(Record {
                time: ended,
                user,
                event,
            });
        }
        if let Some(stars) = meeting.stars {
            written.rounded_stars += u64::from(stars.fract() != 0.0);
            let event = Event::Rate {
                movie: movie.clone(),
                stars: stars.ceil().clamp(1.0, 5.0) as u32,
            };
            records.push(Record {
                time: ended,
                user,
                event,
            });
        }
    }
    records.sort_by_key(|record| record.time);
    written.lines = records.len() as u64;
    let mut out = GzEncoder::new(BufWriter::new(File::create(path)?), Compression::default());
    let mut line = Vec::new();
    for record in &records {
        line.clear();
        record.print(Profile::Classic, &mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.finish()?.flush()?;
    Ok(written)
}

/// Returns a number for each user: their own, or their place where a name is no number or stands twice.
fn user_numbers(data: &Dataset) -> Vec<u32> {
    let own: Vec<Option<u32>> = data.users.iter().map(|row| row.id.parse().ok()).collect();
    let distinct: BTreeSet<u32> = own.iter().flatten().copied().collect();
    if distinct.len() == own.len() {
        own.into_iter().flatten().collect()
    } else {
        (1..=data.users.len() as u32).collect()
    }
}

/// Returns an id by the company's rule for each movie.
fn movie_ids(data: &Dataset) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let fits = |id: &str| {
        id.contains('+')
            && id
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-*_+".contains(&byte))
    };
    data.movies
        .iter()
        .enumerate()
        .map(|(place, row)| {
            let mut id = if fits(&row.id) {
                row.id.clone()
            } else {
                slug(&row.id, row.year)
            };
            if !taken.insert(id.clone()) {
                id = slug(
                    &format!("{} no. {}", row.id.replace('+', " "), place + 1),
                    row.year,
                );
                taken.insert(id.clone());
            }
            id
        })
        .collect()
}
