//! A catalogue in TMDB's forms: a table with columns of JSON, or a record a line; with ratings in MovieLens' form beside it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Skipped;
use super::builder::Builder;
use super::csv::{Faults, Field, each_record};
use super::lines::{BadImport, LineFault, MAX_FAULTS, each_line};
use crate::world::classic_text;

/// A catalogue that was read: the data set in the making, the company's record of each movie, and what was left out.
pub(super) struct Catalogue {
    pub(super) builder: Builder,
    pub(super) records: Vec<Value>,
    pub(super) skipped: Skipped,
}

/// Reads a table such as `tmdb_5000_movies.csv`: columns in any order, those that the company's record lacks left out.
pub(super) fn read_csv(path: &Path) -> Result<Catalogue, BadImport> {
    let mut faults = Faults::new(path);
    let mut movies = Movies::default();
    let mut names: Vec<String> = Vec::new();
    each_record(path, &mut faults, &mut |fields, faults| {
        if names.is_empty() {
            names = fields.iter().map(|field| field.text.trim().to_owned()).collect();
            for wanted in ["id", "title"] {
                if !names.iter().any(|name| name == wanted) {
                    faults.push((1, 1), format!("the table has no column `{wanted}`"));
                }
            }
            return;
        }
        if fields.len() != names.len() {
            let what = format!("expected {} fields, found {}", names.len(), fields.len());
            faults.push((fields[0].line, 1), what);
            return;
        }
        let cells = names.iter().zip(fields).map(|(name, field)| {
            let cell = cell(name, field, faults);
            (name.clone(), cell)
        });
        let cells: BTreeMap<String, Cell> = cells.collect();
        movies.take(&cells, (fields[0].line, 1), faults);
    });
    finish(path, movies, faults)
}

/// Reads records line by line, as TMDB's API and the company's own give them.
pub(super) fn read_jsonl(path: &Path) -> Result<Catalogue, BadImport> {
    let mut faults = Faults::new(path);
    let mut movies = Movies::default();
    let read = each_line(path, &mut |number, line| {
        if faults.are_enough() || line.is_empty() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(line);
        match serde_json::from_str::<Map<String, Value>>(&text) {
            Err(error) => faults.push((number, (error.column() as u64).max(1)), plain(&error)),
            Ok(record) => {
                let columns = key_columns(&text);
                let cells = record.into_iter().map(|(name, value)| {
                    let column = columns.get(&name).copied().unwrap_or(1);
                    let place = (number, column);
                    (name, Cell { value, place })
                });
                movies.take(&cells.collect(), (number, 1), &mut faults);
            }
        }
        Ok(())
    });
    if let Err(bad) = read {
        faults.extend(bad);
    }
    finish(path, movies, faults)
}

/// Reads the ratings beside a catalogue, where there are any, and tells the faults of all files together.
fn finish(path: &Path, movies: Movies, faults: Faults) -> Result<Catalogue, BadImport> {
    let mut found = faults.into_found();
    let mut catalogue = Catalogue {
        builder: movies.builder,
        records: movies.records,
        skipped: Skipped::default(),
    };
    let dir = path.parent().unwrap_or(Path::new("."));
    let ratings = dir.join("ratings.csv");
    if ratings.is_file() {
        let links = dir.join("links.csv");
        let links = links.is_file().then(|| read_links(&links, &mut found));
        read_ratings(&ratings, links.as_ref(), &mut catalogue, &mut found);
    }
    found.truncate(MAX_FAULTS);
    if !found.is_empty() {
        return Err(BadImport { faults: found });
    }
    catalogue.builder.name_movies(&movies.titles);
    for (place, id) in movies.own_ids {
        catalogue.builder.data.movies[place as usize].id = id;
    }
    Ok(catalogue)
}

/// A value and where it stands.
struct Cell {
    value: Value,
    place: (u64, u64),
}

/// Makes a field of a table a value: columns that hold lists and objects are JSON, all else is text.
fn cell(name: &str, field: &Field, faults: &mut Faults) -> Cell {
    let place = (field.line, field.column);
    let text = field.text.trim();
    let is_json = LISTS.iter().any(|list| list.name == name) || name == COLLECTION;
    if !is_json || text.is_empty() {
        let value = if text.is_empty() {
            Value::Null
        } else {
            Value::from(text)
        };
        return Cell { value, place };
    }
    let value = serde_json::from_str(text).unwrap_or_else(|error| {
        faults.push(place, format!("column `{name}` must be JSON: {}", plain(&error)));
        Value::Null
    });
    Cell { value, place }
}

/// Returns what is wrong with JSON, without the place that serde adds.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ")
        .map_or(text.clone(), |(what, _)| what.to_owned())
}

/// Returns the columns, in characters from 1, at which the keys of an object's own level stand.
fn key_columns(text: &str) -> HashMap<String, u64> {
    let mut columns = HashMap::new();
    let (mut depth, mut quoted, mut escaped) = (0_u32, None, false);
    let mut last: Option<(String, u64)> = None;
    for (letter, column) in text.chars().zip(1_u64..) {
        match (letter, &mut quoted) {
            ('"', Some((begin, inside))) if !escaped => {
                last = Some((std::mem::take(inside), *begin));
                quoted = None;
            }
            (_, Some((_, inside))) => {
                inside.push(letter);
                escaped = letter == '\\' && !escaped;
            }
            ('"', None) => quoted = Some((column, String::new())),
            ('{' | '[', None) => depth += 1,
            ('}' | ']', None) => depth = depth.saturating_sub(1),
            (':', None) if depth == 1 => {
                if let Some((key, begin)) = last.take() {
                    columns.insert(key, begin);
                }
            }
            _ => {}
        }
    }
    columns
}

/// A list of the record, and the keys that each of its objects has.
struct List {
    name: &'static str,
    keys: [&'static str; 2],
}

const LISTS: [List; 4] = [
    List {
        name: "genres",
        keys: ["id", "name"],
    },
    List {
        name: "production_companies",
        keys: ["name", "id"],
    },
    List {
        name: "production_countries",
        keys: ["iso_3166_1", "name"],
    },
    List {
        name: "spoken_languages",
        keys: ["iso_639_1", "name"],
    },
];
const COLLECTION: &str = "belongs_to_collection";
/// Fields that must be numbers where they are told.
const NUMBERS: [&str; 5] = ["budget", "revenue", "popularity", "vote_average", "vote_count"];
/// Fields that are text, whatever it says.
const TEXTS: [&str; 8] = [
    "imdb_id",
    "original_title",
    "homepage",
    "original_language",
    "overview",
    "poster_path",
    "release_date",
    "status",
];

/// The movies so far.
#[derive(Default)]
struct Movies {
    builder: Builder,
    records: Vec<Value>,
    titles: HashMap<u32, String>,
    /// Ids by the company's rule that the records bring along.
    own_ids: Vec<(u32, String)>,
}

impl Movies {
    /// Takes a movie, or tells all that is wrong with it.
    fn take(&mut self, cells: &BTreeMap<String, Cell>, begin: (u64, u64), faults: &mut Faults) {
        let mut row = Row {
            cells,
            begin,
            faults,
            is_bad: false,
        };
        let own_id = cells
            .get("tmdb_id")
            .and_then(|_| row.text("id"))
            .filter(|id| id.contains('+'));
        let number_key = if cells.contains_key("tmdb_id") {
            "tmdb_id"
        } else {
            "id"
        };
        let number = row.whole(number_key);
        if row.told(number_key).is_none() || number == Some(0) {
            row.fault(number_key, "a movie must have a number");
        }
        let title = row.text("title");
        if title.is_none() {
            row.fault("title", "a movie must have a title");
        }
        let year = row.year();
        let runtime_min = row
            .whole("runtime")
            .and_then(|minutes| u16::try_from(minutes).ok());
        for name in NUMBERS {
            row.number(name);
        }
        let mut record = Map::new();
        for list in &LISTS {
            let items = row.list(list);
            record.insert(list.name.to_owned(), Value::from(items));
        }
        let adult = row.truth("adult");
        let (Some(number), Some(title), false) = (number, title, row.is_bad) else {
            return;
        };
        let name = number.to_string();
        let mut genres = Vec::new();
        for genre in record["genres"].as_array().into_iter().flatten() {
            match self.builder.genre(genre["name"].as_str().unwrap_or_default()) {
                Ok(place) => genres.push(place),
                Err(what) => faults.push(begin, what),
            }
        }
        genres.sort_unstable();
        genres.dedup();
        let place_of = |name: &str| cells.get(name).map_or(begin, |cell| cell.place);
        match self.builder.new_movie(&name) {
            Err(what) => return faults.push(place_of(number_key), what),
            Ok(row) => {
                row.year = year;
                row.genres = genres;
                row.runtime_min = runtime_min.filter(|minutes| *minutes > 0);
            }
        }
        let place = self.builder.movie(&name);
        let told = |name: &str| {
            cells
                .get(name)
                .map(|cell| &cell.value)
                .filter(|value| is_told(value))
        };
        for name in NUMBERS.into_iter().chain(TEXTS) {
            let text = told(name).map_or_else(|| "null".to_owned(), classic_text);
            record.insert(name.to_owned(), Value::from(text));
        }
        let collection = told(COLLECTION).filter(|value| value.is_object());
        record.insert(COLLECTION.to_owned(), collection.cloned().unwrap_or(json!({})));
        record.insert("title".to_owned(), Value::from(title.as_str()));
        record.insert("adult".to_owned(), Value::from(classic_text(&Value::from(adult))));
        record.insert("tmdb_id".to_owned(), Value::from(number));
        record.insert("runtime".to_owned(), Value::from(runtime_min.unwrap_or(0)));
        self.records.push(Value::Object(record));
        match own_id {
            Some(id) => self.own_ids.push((place, id)),
            None => {
                self.titles.insert(place, title);
            }
        }
    }
}

/// Whether a value tells anything: the company's records and TMDB's tables have several ways of saying nothing.
fn is_told(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !matches!(text.trim(), "" | "null" | "None" | "NaN"),
        _ => true,
    }
}

/// A movie's cells while they are looked at.
struct Row<'r> {
    cells: &'r BTreeMap<String, Cell>,
    begin: (u64, u64),
    faults: &'r mut Faults,
    is_bad: bool,
}

impl<'r> Row<'r> {
    fn fault(&mut self, name: &str, what: impl Into<String>) {
        let place = self.cells.get(name).map_or(self.begin, |cell| cell.place);
        self.faults.push(place, what);
        self.is_bad = true;
    }

    fn told(&self, name: &str) -> Option<&'r Value> {
        let value = &self.cells.get(name)?.value;
        is_told(value).then_some(value)
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.told(name)? {
            Value::String(text) => Some(text.trim().to_owned()),
            other => Some(other.to_string()),
        }
    }

    fn number(&mut self, name: &str) -> Option<f64> {
        let text = self.text(name)?;
        let number = text
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            self.fault(
                name,
                format!("`{name}` must be a number, found `{}`", shorten(&text)),
            );
        }
        number
    }

    /// Reads a whole number, which tables of floats write as `162.0`.
    fn whole(&mut self, name: &str) -> Option<u32> {
        let number = self.number(name)?;
        if number.fract() != 0.0 || number > f64::from(u32::MAX) {
            self.fault(name, format!("`{name}` must be a whole number, found `{number}`"));
            return None;
        }
        Some(number as u32)
    }

    fn truth(&mut self, name: &str) -> bool {
        let text = self.text(name).unwrap_or_default();
        match text.to_lowercase().as_str() {
            "true" | "1" => true,
            "" | "false" | "0" => false,
            _ => {
                self.fault(
                    name,
                    format!("`{name}` must be true or false, found `{}`", shorten(&text)),
                );
                false
            }
        }
    }

    fn year(&mut self) -> Option<u16> {
        let text = self.text("release_date")?;
        let parts: Vec<&str> = text.split('-').collect();
        let part = |place: usize, letters: usize, range: std::ops::RangeInclusive<u16>| {
            let part: &&str = parts.get(place)?;
            let is_number = part.len() == letters && part.bytes().all(|byte| byte.is_ascii_digit());
            let number = is_number.then(|| part.parse().ok())?;
            number.filter(|number| range.contains(number))
        };
        let year = part(0, 4, 1..=9999);
        if parts.len() != 3 || year.is_none() || part(1, 2, 1..=12).is_none() || part(2, 2, 1..=31).is_none()
        {
            let what = format!("`release_date` must be as 1999-12-31, found `{}`", shorten(&text));
            self.fault("release_date", what);
            return None;
        }
        year
    }

    /// Reads a list of objects, of which the two keys of the company's record are kept.
    fn list(&mut self, list: &List) -> Vec<Value> {
        let Some(value) = self.told(list.name) else {
            return Vec::new();
        };
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        let is_list = value.is_array() && items.iter().all(|item| item["name"].is_string());
        if !is_list {
            self.fault(
                list.name,
                format!("`{}` must be a list of objects with a `name`", list.name),
            );
            return Vec::new();
        }
        let kept = |item: &Value| -> Map<String, Value> {
            list.keys
                .iter()
                .map(|key| ((*key).to_owned(), item[*key].clone()))
                .collect()
        };
        items.iter().map(|item| Value::Object(kept(item))).collect()
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(30).collect()
}

/// Looks whether a table begins with the columns that it must have.
fn is_header(fields: &[Field], wanted: &[&str], faults: &mut Faults) -> bool {
    let is = fields.len() >= wanted.len()
        && fields
            .iter()
            .zip(wanted)
            .all(|(field, name)| field.text.trim() == *name);
    if !is {
        faults.push(
            (fields[0].line, 1),
            format!("expected the columns `{}`", wanted.join(",")),
        );
    }
    is
}

/// Reads a field as a number, or complains at its place.
fn numeric<T: std::str::FromStr>(field: &Field, what: &str, faults: &mut Faults) -> Option<T> {
    let number = field.text.trim().parse().ok();
    if number.is_none() {
        let text = format!("{what} must be a number, found `{}`", shorten(&field.text));
        faults.push((field.line, field.column), text);
    }
    number
}

/// Reads MovieLens' table of its movies' numbers at TMDB; some have none.
fn read_links(path: &Path, found: &mut Vec<LineFault>) -> HashMap<u64, u64> {
    let mut faults = Faults::new(path);
    let mut links = HashMap::new();
    let mut is_first = true;
    each_record(path, &mut faults, &mut |fields, faults| {
        if std::mem::take(&mut is_first) {
            is_header(fields, &["movieId", "imdbId", "tmdbId"], faults);
            return;
        }
        let [movie, _, tmdb] = fields else {
            return faults.push(
                (fields[0].line, 1),
                format!("expected 3 fields, found {}", fields.len()),
            );
        };
        let own: Option<u64> = numeric(movie, "a movie", faults);
        if tmdb.text.trim().is_empty() {
            return;
        }
        let tmdb: Option<f64> = numeric(tmdb, "a movie at TMDB", faults);
        if let (Some(own), Some(tmdb)) = (own, tmdb) {
            links.insert(own, tmdb as u64);
        }
    });
    found.extend(faults.into_found());
    links
}

/// Reads ratings; movies are named by MovieLens' numbers where there are links, and by TMDB's where there are none.
fn read_ratings(
    path: &Path,
    links: Option<&HashMap<u64, u64>>,
    catalogue: &mut Catalogue,
    found: &mut Vec<LineFault>,
) {
    let mut faults = Faults::new(path);
    let mut is_first = true;
    let movies = catalogue.builder.data.movies.len();
    let (builder, skipped) = (&mut catalogue.builder, &mut catalogue.skipped);
    each_record(path, &mut faults, &mut |fields, faults| {
        if std::mem::take(&mut is_first) {
            is_header(fields, &["userId", "movieId", "rating", "timestamp"], faults);
            return;
        }
        let [user, movie, stars, at] = fields else {
            return faults.push(
                (fields[0].line, 1),
                format!("expected 4 fields, found {}", fields.len()),
            );
        };
        let place = |field: &Field| (field.line, field.column);
        let number: Option<u64> = numeric(user, "a user", faults);
        let own: Option<u64> = numeric(movie, "a movie", faults);
        let given: Option<f32> = numeric(stars, "a rating", faults);
        let seconds: Option<i64> = numeric(at, "a time", faults);
        let (Some(number), Some(own), Some(given), Some(seconds)) = (number, own, given, seconds) else {
            return;
        };
        if !(0.5..=5.0).contains(&given) {
            return faults.push(
                place(stars),
                format!("a rating is 0.5 to 5 stars, found `{given}`"),
            );
        }
        let tmdb = links.map_or(Some(own), |links| links.get(&own).copied());
        let name = tmdb.unwrap_or_default().to_string();
        let movie_place = builder.movie(&name);
        if movie_place as usize >= movies {
            builder.forget_last_movie(&name);
            skipped.unknown_movie.note(user.line);
            return;
        }
        let user_place = builder.user(&number.to_string());
        match builder.meeting(user_place, movie_place, seconds) {
            Err(what) => faults.push(place(user), what),
            // Meetings are made without stars: one that has some was there before.
            Ok(meeting) if meeting.stars.is_some() => {
                faults.push(place(movie), "this user rated this movie before");
            }
            Ok(meeting) => meeting.stars = Some(given),
        }
    });
    found.extend(faults.into_found());
}
