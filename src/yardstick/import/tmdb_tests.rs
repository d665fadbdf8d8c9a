//! What becomes of invented catalogues in TMDB's forms, of damaged ones, and of cells from anywhere.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::world::{Profile, World, WorldSpec};

const HEADER: &str = "budget,genres,homepage,id,keywords,original_language,original_title,overview,popularity,\
production_companies,production_countries,release_date,revenue,runtime,spoken_languages,status,tagline,title,vote_average,vote_count\n";

const TABLE: &str = r#"5000000,"[{""id"": 18, ""name"": ""Drama""}, {""id"": 53, ""name"": ""Thriller""}]",,9001,"[]",en,The Lamp & the Lake,"Two sisters.
A lake, and a ""lamp"".",12.5,"[{""name"": ""Kestrel"", ""id"": 4}]","[{""iso_3166_1"": ""GB"", ""name"": ""United Kingdom""}]",2009-12-10,7000000,162.0,"[{""iso_639_1"": ""en"", ""name"": ""English""}]",Released,Look down.,"The Lamp, the Lake",7.2,118
0,[],,9002,[],fr,Élan,,0.1,[],[],,0,,[],Rumored,,Élan,0.0,0
0,[],,9003,[],fr,Élan,,0.1,[],[],,0,,[],Rumored,,Élan,0.0,0
"#;

const RATINGS: &str =
    "userId,movieId,rating,timestamp\n7,1,4.5,1000\n7,2,3.0,2000\n8,1,2.0,1500\n8,3,5.0,1600\n";
const LINKS: &str = "movieId,imdbId,tmdbId\n1,0000001,9001\n2,0000002,9002\n3,0000003,\n";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_table_becomes_the_companys_records_and_ratings_find_their_movies() {
    let table = format!("{HEADER}{TABLE}");
    let dir = folder(&[
        ("tmdb_5000_movies.csv", &table),
        ("ratings.csv", RATINGS),
        ("links.csv", LINKS),
    ]);
    let read = import(dir.path(), None).unwrap();
    assert_eq!(read.format, LogFormat::TmdbTable);
    let data = &read.data;
    let ids: Vec<&str> = data.movies.iter().map(|movie| movie.id.as_str()).collect();
    assert_eq!(ids, ["the+lamp_+the+lake+2009", "lan+", "lan+no.+3+"]);
    assert_eq!(data.movies[0].runtime_min, Some(162));
    assert_eq!(data.genres, ["Drama", "Thriller"]);
    let meetings: Vec<_> = data
        .meetings
        .iter()
        .map(|meeting| (meeting.at, meeting.movie, meeting.stars))
        .collect();
    assert_eq!(
        meetings,
        [(1000, 0, Some(4.5)), (1500, 0, Some(2.0)), (2000, 1, Some(3.0))]
    );
    // Movie 3 has no number at TMDB.
    assert_eq!(
        (read.skipped.unknown_movie.count, read.skipped.unknown_movie.first),
        (1, vec![5])
    );
    let out = dir.path().join("out");
    write_folder(data, &read.records, &out).unwrap();
    let records = lines(&out.join("movies.jsonl"));
    assert_eq!(
        records[0],
        json!({
            "id": "the+lamp_+the+lake+2009", "tmdb_id": 9001, "imdb_id": "null", "title": "The Lamp, the Lake",
            "original_title": "The Lamp & the Lake", "adult": "False", "belongs_to_collection": {},
            "budget": "5000000", "genres": [{"id": 18, "name": "Drama"}, {"id": 53, "name": "Thriller"}],
            "homepage": "null", "original_language": "en", "overview": "Two sisters.\nA lake, and a \"lamp\".",
            "popularity": "12.5", "poster_path": "null", "production_companies": [{"name": "Kestrel", "id": 4}],
            "production_countries": [{"iso_3166_1": "GB", "name": "United Kingdom"}], "release_date": "2009-12-10",
            "revenue": "7000000", "runtime": 162, "spoken_languages": [{"iso_639_1": "en", "name": "English"}],
            "status": "Released", "vote_average": "7.2", "vote_count": "118",
        })
    );
    assert_eq!(
        (&records[1]["runtime"], &records[1]["release_date"]),
        (&json!(0), &json!("null"))
    );
    // What was written is a release that reads back.
    let again = import(&out, None).unwrap();
    assert_eq!(again.format, LogFormat::Release);
    assert_eq!(again.data.movies.len(), 3);
    assert_eq!(again.data.meetings.len(), 3);
}

#[test]
fn ratings_without_links_name_movies_by_tmdbs_numbers_and_a_catalogue_needs_no_ratings() {
    let table = format!("{HEADER}{TABLE}");
    let dir = folder(&[("tmdb_5000_movies.csv", &table)]);
    let read = import(&dir.path().join("tmdb_5000_movies.csv"), None).unwrap();
    assert_eq!((read.data.movies.len(), read.data.meetings.len()), (3, 0));
    fs::write(
        dir.path().join("ratings.csv"),
        "userId,movieId,rating,timestamp\n7,9003,4.0,1\n",
    )
    .unwrap();
    let read = import(dir.path(), None).unwrap();
    assert_eq!(read.data.meetings[0].movie, 2);
}

#[test]
fn the_companys_own_records_read_back_as_they_were_written_in_both_profiles() {
    for profile in [Profile::Classic, Profile::Current] {
        let spec = WorldSpec {
            users: 10,
            movies: 60,
            profile,
        };
        let world = World::new(&crate::seed::Key::from_seed(2), spec, 1);
        let written = |profile| -> Vec<Value> {
            world
                .movie_indices()
                .map(|movie| world.movie(movie).to_json(profile))
                .collect()
        };
        let text: Vec<String> = written(profile)
            .iter()
            .map(|record| format!("{record}\n"))
            .collect();
        let dir = folder(&[("movies.jsonl", &text.concat())]);
        let read = import(dir.path(), None).unwrap();
        assert_eq!(read.format, LogFormat::TmdbRecords);
        let out = dir.path().join("out");
        write_folder(&read.data, &read.records, &out).unwrap();
        assert_eq!(lines(&out.join("movies.jsonl")), written(Profile::Classic));
    }
}

#[test]
fn all_faults_of_all_files_are_told_at_once_with_line_and_column() {
    let row = |id: &str, genres: &str, date: &str, runtime: &str, title: &str| {
        format!("0,{genres},,{id},[],en,,\"a\nb\",1,[],[],{date},0,{runtime},[],Released,,{title},1,1\n")
    };
    let table = [
        HEADER.to_owned(),
        row("1", "[]", "2001-02-03", "90", "Fine"),
        row("x", "\"[{'id': 18}]\"", "2001", "ninety", "Bad"),
        row("1", "[]", "2001-02-03", "90", "Twice"),
        "1,2,3\n".to_owned(),
        row("4", "\"[{\"\"id\"\": 1}]\"", "2001-13-01", "90.5", ""),
    ]
    .concat();
    let ratings = "userId,movieId,rating,timestamp\n7,1,4.5,1\n7,1,4,2\n7,one,9,3\n8,1,9,3\n";
    let dir = folder(&[("tmdb_5000_movies.csv", &table), ("ratings.csv", ratings)]);
    let bad = import(dir.path(), None).unwrap_err();
    let told: Vec<String> = bad
        .faults
        .iter()
        .map(|fault| {
            let file = fault.path.file_name().unwrap().to_string_lossy().into_owned();
            format!("{file}:{}:{}: {}", fault.line, fault.column, fault.what)
        })
        .collect();
    for wanted in [
        "tmdb_5000_movies.csv:4:3: column `genres` must be JSON: key must be a string",
        "tmdb_5000_movies.csv:4:19: `id` must be a number, found `x`",
        "tmdb_5000_movies.csv:5:12: `release_date` must be as 1999-12-31, found `2001`",
        "tmdb_5000_movies.csv:5:19: `runtime` must be a number, found `ninety`",
        "tmdb_5000_movies.csv:6:7: movie `1` stood here before",
        "tmdb_5000_movies.csv:8:1: expected 20 fields, found 3",
        "tmdb_5000_movies.csv:9:3: `genres` must be a list of objects with a `name`",
        "tmdb_5000_movies.csv:10:12: `release_date` must be as 1999-12-31, found `2001-13-01`",
        "tmdb_5000_movies.csv:10:25: `runtime` must be a whole number, found `90.5`",
        "tmdb_5000_movies.csv:10:43: a movie must have a title",
        "ratings.csv:3:3: this user rated this movie before",
        "ratings.csv:4:3: a movie must be a number, found `one`",
        "ratings.csv:5:5: a rating is 0.5 to 5 stars, found `9`",
    ] {
        assert!(
            told.iter().any(|fault| fault == wanted),
            "`{wanted}` is not in\n{told:#?}"
        );
    }
    assert_eq!(told.len(), 13, "{told:#?}");
}

#[test]
fn a_faulty_record_is_told_by_the_column_of_its_key() {
    let text = "{\"genres\": [{\"id\": 1, \"name\": \"Drama\"}], \"id\": 3, \"title\": \"A\", \"runtime\": \"long\"}\n{\"id\": 4,}\n";
    let dir = folder(&[("a", text)]);
    let bad = import(&dir.path().join("a"), None).unwrap_err();
    let told: Vec<(u64, u64)> = bad
        .faults
        .iter()
        .map(|fault| (fault.line, fault.column))
        .collect();
    assert_eq!(told, [(1, 65), (2, 10)]);
    assert!(
        bad.to_string()
            .contains("a:1:65: `runtime` must be a number, found `long`"),
        "{bad}"
    );
}

#[test]
fn a_table_without_its_columns_or_a_quote_without_its_end_is_told_once() {
    let dir = folder(&[("tmdb_5000_movies.csv", "budget,name\n1,A\n2,\"B\n")]);
    let bad = import(dir.path(), None).unwrap_err();
    let text = bad.to_string();
    assert!(text.contains(":1:1: the table has no column `id`"), "{text}");
    assert!(text.contains(":3:3: a quote that is not closed"), "{text}");
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

proptest! {
    #[test]
    fn titles_and_genres_of_any_letters_read_as_they_were_written(
        rows in prop::collection::vec(("[a-z ,\"\né]{0,10}[a-z]", prop::collection::vec("[A-Z][a-z\"\\\\]{1,5}", 0..3), 1900_u16..2030), 1..8)
    ) {
        let mut text = "id,genres,title,release_date\n".to_owned();
        for (number, (title, genres, year)) in rows.iter().enumerate() {
            let genres: Vec<Value> = genres.iter().map(|name| json!({"id": 1, "name": name})).collect();
            let genres = Value::from(genres).to_string();
            text += &format!("{},{},{},{year}-01-02\n", number + 1, quoted(&genres), quoted(title));
        }
        let dir = folder(&[("tmdb_5000_movies.csv", &text)]);
        let read = import(dir.path(), None).unwrap();
        prop_assert_eq!(read.records.len(), rows.len());
        for ((title, genres, year), (movie, record)) in rows.iter().zip(read.data.movies.iter().zip(&read.records)) {
            prop_assert_eq!(record["title"].as_str(), Some(title.trim()));
            prop_assert_eq!(movie.year, Some(*year));
            let mut names: Vec<&str> = genres.iter().map(String::as_str).collect();
            let mut found: Vec<&str> = movie.genres.iter().map(|genre| read.data.genres[usize::from(*genre)].as_str()).collect();
            names.sort_unstable();
            names.dedup();
            found.sort_unstable();
            prop_assert_eq!(found, names);
        }
        let ids: std::collections::BTreeSet<&str> = read.data.movies.iter().map(|movie| movie.id.as_str()).collect();
        prop_assert_eq!(ids.len(), rows.len());
    }

    #[test]
    fn bytes_from_anywhere_are_a_catalogue_or_faults_with_places(bytes in prop::collection::vec(any::<u8>(), 0..400), table in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut text = if table { b"id,genres,title\n1,".to_vec() } else { b"{\"id\": ".to_vec() };
        text.extend(bytes);
        let path = dir.path().join("a");
        fs::write(&path, &text).unwrap();
        let format = if table { LogFormat::TmdbTable } else { LogFormat::TmdbRecords };
        match import(&path, Some(format)) {
            Ok(read) => prop_assert_eq!(read.data.movies.len(), read.records.len()),
            Err(bad) => prop_assert!(!bad.faults.is_empty() && bad.faults.len() <= MAX_FAULTS),
        }
    }
}
