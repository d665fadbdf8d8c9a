//! The company's own files: a log of lines, alone or with the records of users and movies beside it.

use std::path::Path;

use serde_json::Value;

use super::Skipped;
use super::builder::Builder;
use super::lines::{BadImport, each_line, utf8};
use crate::event::{Event, Record};

/// A line longer than this is not tried for an inserted character: a watch or rating line is a tenth of it.
const MAX_MENDED: usize = 1024;
/// The longest viewing, in minutes: a longer one is a wrong number.
const MAX_MINUTE: u32 = 1440;
/// A log whose ratings above five stars are more than one in this many has ten stars.
const TEN_STARS: u64 = 50;

/// Reads a log; movies and users are those that it names.
pub(super) fn read_log(path: &Path) -> Result<(Builder, Skipped), BadImport> {
    let mut builder = Builder::default();
    let skipped = read_lines(path, &mut builder, Catalogue::AsNamed)?;
    Ok((builder, skipped))
}

/// Reads `movies.jsonl`, `users.jsonl` and `log.csv.gz` (or `log.csv`) of a folder.
pub(super) fn read_release(dir: &Path) -> Result<(Builder, Skipped), BadImport> {
    let mut builder = Builder::default();
    each_line(&dir.join("movies.jsonl"), &mut |_, line| {
        movie(&mut builder, utf8(line)?)
    })?;
    each_line(&dir.join("users.jsonl"), &mut |_, line| {
        user(&mut builder, utf8(line)?)
    })?;
    let packed = dir.join("log.csv.gz");
    let log = if packed.is_file() {
        packed
    } else {
        dir.join("log.csv")
    };
    let skipped = read_lines(&log, &mut builder, Catalogue::Given)?;
    Ok((builder, skipped))
}

/// Where the movies come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Catalogue {
    /// From the log itself.
    AsNamed,
    /// From a file; a line that names another is damaged.
    Given,
}

fn read_lines(path: &Path, builder: &mut Builder, catalogue: Catalogue) -> Result<Skipped, BadImport> {
    let mut skipped = Skipped::default();
    let mut high_stars = 0;
    let mut ratings = 0;
    let movies = builder.data.movies.len();
    each_line(path, &mut |number, line| {
        let text = String::from_utf8_lossy(line);
        let record = match Record::parse(&text) {
            Ok(record) => record,
            Err(_) if has_one_letter_too_many(&text) => {
                skipped.inserted.note(number);
                return Ok(());
            }
            Err(fault) => return Err(fault.to_string()),
        };
        let (movie, at, minute, stars) = match &record.event {
            Event::Watch { movie, minute } => (movie, record.time.seconds(), Some(*minute), None),
            Event::Rate { movie, stars } => (movie, record.time.seconds(), None, Some(*stars)),
            Event::Recommend { .. } | Event::CreateAccount => return Ok(()),
        };
        if minute.is_some_and(|minute| minute >= MAX_MINUTE)
            || stars.is_some_and(|stars| !(1..=10).contains(&stars))
        {
            skipped.impossible.note(number);
            return Ok(());
        }
        let place = builder.movie(movie);
        if catalogue == Catalogue::Given && place as usize >= movies {
            builder.forget_last_movie(movie);
            skipped.unknown_movie.note(number);
            return Ok(());
        }
        let user = builder.user(&record.user.to_string());
        let began = at - i64::from(minute.unwrap_or(0)) * 60;
        let meeting = builder.meeting(user, place, began)?;
        if let Some(minute) = minute {
            let watched = minute as u16 + 1;
            meeting.minutes = Some(meeting.minutes.map_or(watched, |known| known.max(watched)));
            meeting.at = meeting.at.min(began);
        }
        if let Some(stars) = stars {
            ratings += 1;
            high_stars += u64::from(stars > 5);
            // The first rating stands, as the first meeting does.
            meeting.stars = meeting.stars.or(Some(stars as f32));
        }
        Ok(())
    })?;
    settle_stars(builder, high_stars * TEN_STARS > ratings, &mut skipped);
    Ok(skipped)
}

/// Brings all stars to the scale of 1 to 5: ten stars are halved, upwards, as the company made them out of five.
fn settle_stars(builder: &mut Builder, ten: bool, skipped: &mut Skipped) {
    for meeting in &mut builder.data.meetings {
        match meeting.stars {
            Some(stars) if ten => meeting.stars = Some((stars / 2.0).ceil()),
            Some(stars) if stars > 5.0 => {
                skipped.impossible.count += 1;
                meeting.stars = None;
            }
            _ => {}
        }
    }
}

/// Tells whether a line is one of the company's with one random character inserted, as about one in 1,700 is.
fn has_one_letter_too_many(line: &str) -> bool {
    if line.len() > MAX_MENDED {
        return false;
    }
    line.char_indices().any(|(place, letter)| {
        let mut mended = String::with_capacity(line.len());
        mended.push_str(&line[..place]);
        mended.push_str(&line[place + letter.len_utf8()..]);
        Record::parse(&mended).is_ok()
    })
}

fn user(builder: &mut Builder, line: &str) -> Result<(), String> {
    let record: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let id = record["user_id"].as_u64().ok_or("a user without `user_id`")?;
    let row = builder.new_user(&id.to_string())?;
    row.age = record["age"].as_u64().and_then(|age| u16::try_from(age).ok());
    row.is_female = match record["gender"].as_str() {
        Some("F") => Some(true),
        Some("M") => Some(false),
        _ => None,
    };
    row.occupation = record["occupation"].as_str().map(str::to_owned);
    Ok(())
}

fn movie(builder: &mut Builder, line: &str) -> Result<(), String> {
    let record: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let id = record["id"].as_str().ok_or("a movie without `id`")?;
    let mut genres = Vec::new();
    for genre in record["genres"].as_array().into_iter().flatten() {
        let name = genre["name"].as_str().ok_or("a genre without `name`")?;
        genres.push(builder.genre(name)?);
    }
    genres.sort_unstable();
    genres.dedup();
    let row = builder.new_movie(id)?;
    row.genres = genres;
    row.runtime_min = record["runtime"]
        .as_u64()
        .and_then(|minutes| u16::try_from(minutes).ok())
        .filter(|minutes| *minutes > 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_with_one_letter_inserted_reads_or_is_known_as_such(place in 0_usize..77, letter in any::<char>()) {
            let line = "2023-02-08T02:29:01,362500,GET /data/m/barbarians+at+the+gate+1993/84.mpg";
            let mut letters: Vec<char> = line.chars().collect();
            letters.insert(place.min(letters.len()), letter);
            let line: String = letters.into_iter().collect();
            prop_assert!(Record::parse(&line).is_ok() || has_one_letter_too_many(&line), "{}", line);
        }
    }

    #[test]
    fn a_line_of_something_else_is_no_damaged_line() {
        assert!(!has_one_letter_too_many("1,2,3"));
        assert!(!has_one_letter_too_many(""));
    }
}
