//! What the readers make of small files, of damaged ones, and of bytes from anywhere.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

const LOG: &str = "\
2023-02-08T02:29:01,7,GET /data/m/heat+1995/0.mpg
2023-02-08T02:30:01,7,GET /data/m/heat+1995/1.mpg
2023-02-08T02:30:30,9,GET /rate/fargo+1996=4
2023-02-08T02:31:01,7,GET /data/m/heat+1995/2.mpg
2023-02-08T02:31:02,7,GET /rate/heat+1995=5
2023-02-08T02:31:03.100,7,recommendation request a:1, status 200, result: heat+1995, 3 ms
";

#[test]
fn the_minutes_of_a_viewing_become_one_meeting() {
    let dir = folder(&[("movielog.csv", LOG.as_bytes())]);
    let read = import(&dir.path().join("movielog.csv"), None).unwrap();
    assert_eq!(read.format, LogFormat::Log);
    assert_eq!(read.data.meetings.len(), 2);
    let first = read.data.meetings[0];
    assert_eq!((first.user, first.minutes, first.stars), (0, Some(3), Some(5.0)));
    assert_eq!(read.data.meetings[1].stars, Some(4.0));
    assert_eq!(read.data.meetings[1].minutes, None);
    assert_eq!(read.data.movies[0].year, Some(1995));
    assert_eq!(read.skipped, Skipped::default());
}

#[test]
fn a_packed_log_reads_as_the_plain_one() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(LOG.as_bytes()).unwrap();
    let dir = folder(&[("a", LOG.as_bytes()), ("b", &packed.finish().unwrap())]);
    let plain = import(&dir.path().join("a"), None).unwrap();
    let packed = import(&dir.path().join("b"), None).unwrap();
    assert_eq!(plain.data.meetings, packed.data.meetings);
}

#[test]
fn ten_stars_become_five() {
    let lines: Vec<String> = (1..=10)
        .map(|stars| format!("2026-02-08T02:29:01.250,{stars},GET /rate/heat+1995={stars}\n"))
        .collect();
    let lines = lines.concat();
    let dir = folder(&[("log", lines.as_bytes())]);
    let read = import(&dir.path().join("log"), None).unwrap();
    let stars: Vec<f32> = read
        .data
        .meetings
        .iter()
        .filter_map(|meeting| meeting.stars)
        .collect();
    assert_eq!(stars, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0]);
}

#[test]
fn a_damaged_line_is_counted_and_left_out() {
    let text = format!(
        "{LOG}2023-02-08T02:32:01,7,GET /da ta/m/heat+1995/3.mpg\n2023-02-08T02:33:00,8,GET /rate/heat+1995=15\n"
    );
    let dir = folder(&[("log", text.as_bytes())]);
    let read = import(&dir.path().join("log"), None).unwrap();
    assert_eq!(
        (read.skipped.inserted.count, read.skipped.inserted.first),
        (1, vec![7])
    );
    assert_eq!(read.skipped.impossible.first, [8]);
    assert_eq!(read.data.meetings.len(), 2);
}

#[test]
fn faults_are_told_by_file_and_line_and_end_at_a_limit() {
    let dir = folder(&[(
        "u.data",
        b"1\t1\t5\t9\n1\t1\t4\t9\n1\tx\t5\t9\n1\t2\t9\t9\n1\t2\n",
    )]);
    let bad = import(dir.path(), None).unwrap_err();
    let lines: Vec<u64> = bad.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [2, 3, 4, 5]);
    assert!(
        bad.to_string()
            .contains("u.data:3: a movie must be a number, found `x`")
    );
    let dir = folder(&[("u.data", "nothing\n".repeat(1000).as_bytes())]);
    let bad = import(dir.path(), None).unwrap_err();
    assert_eq!(bad.faults.len(), MAX_FAULTS);
    assert!(bad.to_string().ends_with("stopped after 20 faults"));
}

#[test]
fn a_missing_or_empty_or_unknown_file_is_told() {
    let dir = folder(&[("empty", b""), ("words", b"hello\n")]);
    for name in ["nowhere", "empty", "words", "."] {
        assert!(import(&dir.path().join(name), None).is_err(), "{name}");
    }
    let long = vec![b'x'; lines::MAX_LINE as usize + 9];
    let dir = folder(&[("long", &long)]);
    let bad = import(&dir.path().join("long"), Some(LogFormat::Log)).unwrap_err();
    assert!(bad.to_string().contains("long:1: a line of more than"), "{bad}");
}

#[test]
fn the_three_forms_of_movielens_read_alike() {
    let item = |number: u32, title: &str, flags: &str| {
        let mut line: Vec<u8> = format!("{number}|").into_bytes();
        line.extend(title.chars().map(|letter| letter as u32 as u8));
        line.extend(format!("|01-Jan-1995|||{flags}\n").into_bytes());
        line
    };
    let heat = item(1, "Heat (1995)", "0|1|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0");
    let cafe = item(2, "Café (1994)", "0|0|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0");
    let old = folder(&[
        ("u.data", b"7\t1\t5\t30\n8\t2\t3\t20\n"),
        ("u.user", b"7|30|F|writer|0\n8|40|M|artist|0\n"),
        ("u.item", &[heat, cafe].concat()),
    ]);
    let middle = folder(&[
        ("ratings.dat", b"7::1::5::30\n8::2::3::20\n"),
        ("users.dat", b"7::F::30::20::0\n8::M::40::2::0\n"),
        (
            "movies.dat",
            b"1::Heat (1995)::Action|Crime\n2::Caf\xe9 (1994)::Drama\n",
        ),
    ]);
    let new = folder(&[
        (
            "ratings.csv",
            b"userId,movieId,rating,timestamp\n7,1,5.0,30\n8,2,3.0,20\n",
        ),
        (
            "movies.csv",
            "movieId,title,genres\n1,Heat (1995),Action|Crime\n2,\"Café (1994)\",Drama\n".as_bytes(),
        ),
    ]);
    let all = [old, middle, new].map(|dir| import(dir.path(), None).unwrap());
    let formats = all.each_ref().map(|read| read.format.name());
    assert_eq!(formats, ["ml100k", "ml1m", "ml20m"]);
    for read in &all {
        let data = &read.data;
        let meetings: Vec<_> = data
            .meetings
            .iter()
            .map(|meeting| {
                let movie = &data.movies[meeting.movie as usize];
                let genres: Vec<&str> = movie
                    .genres
                    .iter()
                    .map(|genre| data.genres[usize::from(*genre)].as_str())
                    .collect();
                let user = data.users[meeting.user as usize].id.as_str();
                (user, movie.id.as_str(), movie.year, genres, meeting.stars)
            })
            .collect();
        assert_eq!(
            meetings,
            [
                ("8", "caf+1994", Some(1994), vec!["Drama"], Some(3.0)),
                ("7", "heat+1995", Some(1995), vec!["Action", "Crime"], Some(5.0)),
            ]
        );
    }
    assert_eq!(all[0].data.users[0].age, Some(30));
    assert_eq!(all[1].data.users[0].is_female, Some(true));
}

#[test]
fn a_written_folder_reads_back() {
    let dir = folder(&[("log", LOG.as_bytes())]);
    let mut before = import(&dir.path().join("log"), None).unwrap().data;
    before.users[0].is_female = Some(true);
    before.users[0].age = Some(30);
    before.genres = vec!["Crime".into()];
    before.movies[0].genres = vec![0];
    before.movies[0].runtime_min = Some(170);
    let out = dir.path().join("out");
    let written = write_folder(&before, &[], &out).unwrap();
    assert_eq!((written.lines, written.unknown_minutes), (3, 0));
    let after = import(&out, None).unwrap();
    assert_eq!(after.format, LogFormat::Release);
    assert_eq!(after.data.users, before.users);
    assert_eq!(after.data.movies, before.movies);
    assert_eq!(after.data.meetings, before.meetings);
}

const NAMES: [&str; 7] = [
    "u.data",
    "u.user",
    "u.item",
    "ratings.dat",
    "movies.dat",
    "ratings.csv",
    "log.csv",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_from_anywhere_do_no_worse_than_faults_that_name_the_file(
        name in 0..NAMES.len(), bytes in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        let dir = folder(&[("u.data", b"1\t1\t5\t9\n"), (NAMES[name], &bytes)]);
        for format in [LogFormat::MovieLens100k, LogFormat::MovieLens1m, LogFormat::MovieLens20m, LogFormat::Log, LogFormat::Release] {
            if let Err(bad) = import(&dir.path().join(NAMES[name]), Some(format)) {
                prop_assert!(!bad.faults.is_empty() && bad.faults.len() <= MAX_FAULTS + 1);
                prop_assert!(bad.faults.iter().all(|fault| fault.path.starts_with(dir.path())));
            }
        }
    }

    #[test]
    fn ratings_read_as_they_were_written(rows in prop::collection::btree_map((1_u32..50, 1_u32..50), (1_u8..=5, 0_i64..2_000_000_000), 1..60)) {
        let lines: Vec<String> = rows.iter().map(|((user, movie), (stars, at))| format!("{user}\t{movie}\t{stars}\t{at}\n")).collect();
        let text = lines.concat();
        let dir = folder(&[("u.data", text.as_bytes())]);
        let data = import(dir.path(), None).unwrap().data;
        prop_assert_eq!(data.meetings.len(), rows.len());
        prop_assert!(data.meetings.is_sorted_by_key(|meeting| meeting.at));
        for meeting in &data.meetings {
            let key = (data.users[meeting.user as usize].id.parse().unwrap(), data.movies[meeting.movie as usize].id.parse().unwrap());
            prop_assert_eq!((meeting.stars, meeting.at), (Some(f32::from(rows[&key].0)), rows[&key].1));
        }
    }
}
