//! The company's log on disk: what was published is read back, whatever happened to the writer and to the files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;
use reelworld::clock::Clock;
use reelworld::stream::{
    Archive, ArchivePublisher, At, Page, Publisher, Reader, StreamError, SyncPolicy, TopicName, WriteOptions,
};

/// Segments of a few batches, so that small tests have many.
const SMALL: WriteOptions = WriteOptions {
    sync: SyncPolicy::Closing,
    segment_bytes: 2000,
    keep_bytes: None,
    first_seq: 0,
};
/// The directory in which the child of the test of crashes writes.
const CHILD_DIR: &str = "REELWORLD_TEST_ARCHIVE";

fn topic() -> TopicName {
    TopicName::of_team("7").unwrap()
}

fn folder(archive: &Archive) -> PathBuf {
    archive.dir().join(topic().as_str())
}

fn open(archive: &Archive) -> ArchivePublisher {
    archive.publisher(&topic(), SMALL, Clock::start()).unwrap()
}

/// Returns every event from a place on.
fn read_from(archive: &Archive, at: At) -> Vec<(u64, i64, String)> {
    let mut reader = archive.reader(&topic(), Clock::start()).unwrap();
    reader.seek(at).unwrap();
    let (mut page, mut all) = (Page::default(), Vec::new());
    while reader.read(&mut page, Duration::ZERO).unwrap() > 0 {
        all.extend(page.entries().map(|entry| {
            let line = String::from_utf8(entry.line.to_vec()).unwrap();
            (entry.seq, entry.stamp_ms, line)
        }));
    }
    all
}

/// The event with a number, as all tests publish it.
fn event(seq: u64) -> (u64, i64, String) {
    let line = format!(
        "2023-02-08T02:{:02},{seq},GET /data/m/heat+1995/{seq}.mpg",
        seq % 60
    );
    (seq, 1_700_000_000_000 + seq as i64 * 3, line)
}

fn publish(publisher: &mut ArchivePublisher, count: u64) {
    for _ in 0..count {
        let (seq, stamp_ms, line) = event(publisher.next_seq());
        assert_eq!(publisher.publish(stamp_ms, line.as_bytes()).unwrap(), seq);
    }
}

fn events(range: std::ops::Range<u64>) -> Vec<(u64, i64, String)> {
    range.map(event).collect()
}

fn files(archive: &Archive, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(archive))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn archive() -> (tempfile::TempDir, Archive) {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::new(dir.path().join("archive"));
    (dir, archive)
}

/// What may happen to a writer.
#[derive(Debug, Clone)]
enum Step {
    Publish(u64),
    Flush,
    Sync,
    Reopen,
    Finish,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..60_u64).prop_map(Step::Publish),
        6 => Just(Step::Flush),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        1 => Just(Step::Finish),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_published_is_read_back_by_number_and_by_time(steps in steps(), from: prop::sample::Index) {
        let (_dir, archive) = archive();
        let mut publisher = open(&archive);
        // One reader that is there from the beginning, while segments are closed, packed and taken away.
        let mut tail = archive.reader(&topic(), Clock::start()).unwrap();
        let (mut page, mut tailed, mut published) = (Page::default(), 0, 0);
        for step in steps {
            match step {
                Step::Publish(count) => {
                    publish(&mut publisher, count);
                    published += count;
                }
                Step::Flush => publisher.flush().unwrap(),
                Step::Sync => publisher.sync().unwrap(),
                Step::Reopen => {
                    drop(publisher);
                    publisher = open(&archive);
                }
                Step::Finish => {
                    publisher.finish().unwrap();
                    publisher = open(&archive);
                }
            }
            prop_assert_eq!(publisher.next_seq(), published);
            while tail.read(&mut page, Duration::ZERO).unwrap() > 0 {
                for entry in page.entries() {
                    prop_assert_eq!(entry.seq, tailed);
                    tailed += 1;
                }
            }
            prop_assert_eq!(tailed, publisher.acked());
        }
        publisher.flush().unwrap();
        prop_assert_eq!(read_from(&archive, At::Start), events(0..published));
        if published > 0 {
            let from = from.index(published as usize) as u64;
            prop_assert_eq!(read_from(&archive, At::Seq(from)), events(from..published));
            let (_, stamp_ms, _) = event(from);
            prop_assert_eq!(read_from(&archive, At::Time(stamp_ms)), events(from..published));
            prop_assert_eq!(read_from(&archive, At::Time(stamp_ms - 1)), events(from..published));
        }
        prop_assert_eq!(read_from(&archive, At::End), []);
        prop_assert_eq!(read_from(&archive, At::Time(i64::MAX)), []);
    }

    #[test]
    fn a_topic_that_was_cut_anywhere_goes_on_behind_its_last_whole_batch(cut in 0..4000_u64, junk in any::<bool>()) {
        let (_dir, archive) = archive();
        let mut publisher = archive
            .publisher(&topic(), WriteOptions { segment_bytes: 1 << 20, ..SMALL }, Clock::start())
            .unwrap();
        for _ in 0..10 {
            publish(&mut publisher, 5);
            publisher.flush().unwrap();
        }
        drop(publisher);
        let newest = files(&archive, "log").pop().unwrap();
        let mut bytes = fs::read(&newest).unwrap();
        let cut = cut % bytes.len() as u64;
        bytes.truncate(cut as usize);
        if junk {
            bytes.extend([0; 300]);
        }
        fs::write(&newest, &bytes).unwrap();

        let left = archive.reader(&topic(), Clock::start()).unwrap().bounds().unwrap().end;
        prop_assert_eq!(left % 5, 0);
        prop_assert!(left < 50);
        let mut publisher = open(&archive);
        prop_assert_eq!(publisher.next_seq(), left);
        publish(&mut publisher, 20);
        publisher.flush().unwrap();
        prop_assert_eq!(read_from(&archive, At::Start), events(0..left + 20));
    }

    #[test]
    fn a_damaged_byte_costs_one_batch_at_most_and_is_told(at: prop::sample::Index, bit in 0..8_u32, pick: prop::sample::Index) {
        let (_dir, archive) = archive();
        let mut publisher = open(&archive);
        for _ in 0..12 {
            publish(&mut publisher, 20);
            publisher.flush().unwrap();
        }
        publisher.finish().unwrap();
        let packed = files(&archive, "packed");
        prop_assert!(packed.len() > 3);
        prop_assert!(files(&archive, "log").is_empty());
        let damaged = pick.get(&packed);
        let mut bytes = fs::read(damaged).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        fs::write(damaged, &bytes).unwrap();

        let mut reader = archive.reader(&topic(), Clock::start()).unwrap();
        let (mut page, mut next, mut lost) = (Page::default(), 0, 0);
        loop {
            match reader.read(&mut page, Duration::ZERO) {
                Ok(0) => break,
                Ok(_) => {
                    for entry in page.entries() {
                        let (seq, stamp_ms, line) = event(next);
                        prop_assert_eq!((entry.seq, entry.stamp_ms), (seq, stamp_ms));
                        prop_assert_eq!(entry.line, line.as_bytes());
                        next += 1;
                    }
                }
                Err(StreamError::Corrupt { path, lost: range, .. }) => {
                    prop_assert_eq!(&path, damaged);
                    prop_assert_eq!(range.start, next);
                    prop_assert!(range.end > next);
                    lost += range.end - range.start;
                    next = range.end;
                    reader.seek(At::Seq(next)).unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
        prop_assert_eq!(next, 240);
        // The leader's epoch lies before what the checksum covers, and says nothing here.
        let unchecked = (12..16).contains(&at);
        prop_assert!(unchecked || (1..=60).contains(&lost), "byte {} lost {}", at, lost);
    }
}

/// The numbers of events that are lost.
type Lost = std::ops::Range<u64>;

/// Reads a topic from its beginning and passes what is lost; returns the events and what was lost, and checks that both together
/// are all events up to the end.
fn read_past_damage(archive: &Archive) -> (Vec<(u64, i64, String)>, Vec<Lost>) {
    let mut reader = archive.reader(&topic(), Clock::start()).unwrap();
    let (mut page, mut all, mut gone) = (Page::default(), Vec::new(), Vec::new());
    let mut next = reader.bounds().unwrap().start;
    loop {
        match reader.read(&mut page, Duration::ZERO) {
            Ok(0) => break,
            Ok(_) => {
                for entry in page.entries() {
                    assert_eq!(entry.seq, next);
                    let line = String::from_utf8(entry.line.to_vec()).unwrap();
                    all.push((entry.seq, entry.stamp_ms, line));
                    next += 1;
                }
            }
            Err(error) => {
                let lost = error.lost().unwrap_or_else(|| panic!("{error}"));
                assert!(lost.start == next && lost.end > next, "{error}");
                next = lost.end;
                // Behind the last whole batch nobody knows how much is lost.
                if next > reader.bounds().unwrap().end {
                    break;
                }
                gone.push(lost);
                reader.seek(At::Seq(next)).unwrap();
            }
        }
    }
    (all, gone)
}

/// Publishes batches of five events that stay in one segment, and returns where the segment's file lies and its batches begin.
fn one_segment(archive: &Archive, batches: u64) -> (PathBuf, Vec<usize>) {
    let options = WriteOptions {
        segment_bytes: 1 << 20,
        ..SMALL
    };
    let mut publisher = archive.publisher(&topic(), options, Clock::start()).unwrap();
    let mut begins = Vec::new();
    for _ in 0..batches {
        let length = files(archive, "log")
            .first()
            .map_or(0, |file| fs::metadata(file).unwrap().len());
        begins.push(length as usize);
        publish(&mut publisher, 5);
        publisher.flush().unwrap();
    }
    drop(publisher);
    (files(archive, "log").pop().unwrap(), begins)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_byte_of_the_newest_segment_costs_its_batch_and_no_number_twice(at: prop::sample::Index, byte: u8) {
        let (_dir, archive) = archive();
        let (newest, begins) = one_segment(&archive, 12);
        let mut bytes = fs::read(&newest).unwrap();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        fs::write(&newest, &bytes).unwrap();
        let batch = begins.partition_point(|begin| *begin <= at) as u64 - 1;
        let hit = batch * 5..batch * 5 + 5;
        // The leader's epoch lies before what the checksum covers, and says nothing here.
        let is_seen = !(12..16).contains(&(at - begins[batch as usize]));
        let is_last = batch == 11;

        let (read, lost) = read_past_damage(&archive);
        let left = |range: std::ops::Range<u64>| -> Vec<_> {
            events(range).into_iter().filter(|(seq, ..)| !is_seen || !hit.contains(seq)).collect()
        };
        prop_assert_eq!(read, left(0..60));
        prop_assert_eq!(lost, if is_seen && !is_last { vec![hit.clone()] } else { vec![] });

        // Behind the last whole batch nothing is known: what stands there is put aside.
        let mut publisher = open(&archive);
        let next = if is_seen && is_last { 55 } else { 60 };
        prop_assert_eq!(publisher.next_seq(), next);
        prop_assert_eq!(publisher.lost().to_vec(), if is_seen && !is_last { vec![hit.clone()] } else { vec![] });
        publish(&mut publisher, 40);
        publisher.sync().unwrap();
        let (read, _) = read_past_damage(&archive);
        let whole = if is_last { events(0..next + 40) } else { left(0..next + 40) };
        prop_assert_eq!(&read, &whole);
        drop(publisher);

        // The damaged segment stays as it is, and is read in the same way when it is closed for long.
        let mut publisher = open(&archive);
        for _ in 0..20 {
            publish(&mut publisher, 20);
            publisher.flush().unwrap();
        }
        publisher.finish().unwrap();
        let (read, _) = read_past_damage(&archive);
        prop_assert_eq!(&read[..whole.len()], &whole[..]);
        prop_assert_eq!(read.len(), whole.len() + 400);
    }

    #[test]
    fn whole_batches_are_found_behind_any_damage(from: prop::sample::Index, length in 1..900_usize, fill: Option<u8>) {
        let (_dir, archive) = archive();
        let (newest, begins) = one_segment(&archive, 12);
        let mut bytes = fs::read(&newest).unwrap();
        let from = from.index(bytes.len());
        let until = (from + length).min(bytes.len());
        match fill {
            Some(fill) => bytes[from..until].fill(fill),
            // A part is missing, and everything behind it lies elsewhere.
            None => drop(bytes.drain(from..until)),
        }
        fs::write(&newest, &bytes).unwrap();
        let ends = begins.iter().skip(1).copied().chain([usize::MAX]);
        let is_hit = |begin: usize, end: usize| begin < until && from < end;
        let whole: Vec<u64> = (0..).zip(begins.iter().zip(ends)).filter(|(_, (begin, end))| !is_hit(**begin, *end)).map(|(batch, _)| batch).collect();
        let (read, _) = read_past_damage(&archive);
        for batch in whole {
            for event in events(batch * 5..batch * 5 + 5) {
                prop_assert!(read.contains(&event), "{} is lost with {}..{}", event.0, from, until);
            }
        }
        let next = open(&archive).next_seq();
        prop_assert!(read.last().is_none_or(|last| last.0 < next));
    }
}

#[test]
fn a_number_that_is_passed_is_never_given_and_readers_are_told() {
    let (_dir, archive) = archive();
    let mut publisher = open(&archive);
    publish(&mut publisher, 10);
    publisher.skip_to(4).unwrap();
    assert_eq!(publisher.next_seq(), 10);
    publisher.skip_to(25).unwrap();
    assert_eq!(
        (publisher.next_seq(), publisher.acked(), publisher.kept()),
        (25, 25, 25)
    );
    publish(&mut publisher, 5);
    publisher.flush().unwrap();
    let wanted: Vec<_> = events(0..10).into_iter().chain(events(25..30)).collect();
    let (read, gone) = read_past_damage(&archive);
    assert_eq!(read, wanted);
    let [gap] = gone.as_slice() else {
        panic!("{gone:?}")
    };
    assert_eq!(*gap, 10..25);
    drop(publisher);

    // At once after it was opened, with nothing behind, and before the first event of all.
    let mut publisher = open(&archive);
    publisher.skip_to(40).unwrap();
    publisher.skip_to(50).unwrap();
    drop(publisher);
    let mut publisher = open(&archive);
    assert_eq!(publisher.next_seq(), 50);
    publish(&mut publisher, 1);
    publisher.finish().unwrap();
    assert_eq!(read_past_damage(&archive).1, [10..25, 30..50]);
    assert_eq!(read_from(&archive, At::Seq(50)), events(50..51));
}

#[test]
fn what_a_loss_of_power_may_take_is_not_kept() {
    let (_dir, archive) = archive();
    let mut publisher = open(&archive);
    publish(&mut publisher, 10);
    publisher.flush().unwrap();
    assert_eq!((publisher.acked(), publisher.kept()), (10, 0));
    publisher.sync().unwrap();
    assert_eq!((publisher.acked(), publisher.kept()), (10, 10));
}

#[test]
fn a_topic_has_one_writer_at_a_time() {
    let (_dir, archive) = archive();
    let first = open(&archive);
    let second = archive.publisher(&topic(), SMALL, Clock::start());
    assert!(matches!(second, Err(StreamError::Locked(_))), "{second:?}");
    drop(first);
    open(&archive);
}

#[test]
fn a_topic_that_is_not_there_is_told_by_its_name() {
    let (_dir, archive) = archive();
    let missing = archive.reader(&topic(), Clock::start());
    assert!(matches!(missing, Err(StreamError::NoTopic(name)) if name == "movielog7"));
}

#[test]
fn topics_are_listed_by_their_names() {
    let (_dir, archive) = archive();
    for team in ["9", "12", "falcons"] {
        let topic = TopicName::of_team(team).unwrap();
        archive.publisher(&topic, SMALL, Clock::start()).unwrap();
    }
    fs::write(archive.dir().join("movielog1"), "no folder").unwrap();
    let names: Vec<String> = archive
        .topics()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["movielog12", "movielog9", "movielogfalcons"]);
}

#[test]
fn a_name_that_kafka_refuses_is_no_topic() {
    for team in ["a b", "../x", "é", "a/b", &"x".repeat(250)] {
        assert!(TopicName::of_team(team).is_err(), "{team}");
    }
    assert!(TopicName::new("..").is_err());
    assert!(TopicName::new("").is_err());
}

#[test]
fn what_stands_for_no_batch_is_put_aside_and_never_thrown_away() {
    let (_dir, archive) = archive();
    let mut publisher = open(&archive);
    publish(&mut publisher, 3);
    drop(publisher);
    let newest = files(&archive, "log").pop().unwrap();
    let whole = fs::metadata(&newest).unwrap().len();
    let junk = [b'x'; 500];
    fs::OpenOptions::new()
        .append(true)
        .open(&newest)
        .unwrap()
        .write_all(&junk)
        .unwrap();
    let stuck = archive.reader(&topic(), Clock::start()).map(|mut reader| {
        reader.seek(At::End).unwrap();
        reader.read(&mut Page::default(), Duration::ZERO)
    });
    assert!(matches!(stuck, Ok(Err(StreamError::Corrupt { .. }))), "{stuck:?}");
    assert_eq!(open(&archive).next_seq(), 3);
    let aside = files(&archive, &format!("cut-at-{whole}"));
    assert_eq!(fs::read(&aside[0]).unwrap(), junk);
}

#[test]
fn the_oldest_events_go_when_a_topic_has_a_limit() {
    let (_dir, archive) = archive();
    let options = WriteOptions {
        keep_bytes: Some(2000),
        ..SMALL
    };
    let mut publisher = archive.publisher(&topic(), options, Clock::start()).unwrap();
    let mut reader = archive.reader(&topic(), Clock::start()).unwrap();
    for _ in 0..400 {
        publish(&mut publisher, 20);
        publisher.flush().unwrap();
    }
    drop(publisher);
    // What is packed when the next segment is closed counts; the reader of the beginning goes on with what is left.
    let bounds = reader.bounds().unwrap();
    assert!(bounds.start > 0, "{bounds:?}");
    assert_eq!(bounds.end, 8000);
    let mut page = Page::default();
    reader.read(&mut page, Duration::ZERO).unwrap();
    assert_eq!(page.entries().next().unwrap().seq, bounds.start);
    assert_eq!(read_from(&archive, At::Start), events(bounds));
}

#[test]
fn a_topic_may_begin_at_any_number() {
    let (_dir, archive) = archive();
    let options = WriteOptions {
        first_seq: 1000,
        ..SMALL
    };
    let mut publisher = archive.publisher(&topic(), options, Clock::start()).unwrap();
    publish(&mut publisher, 100);
    drop(publisher);
    assert_eq!(read_from(&archive, At::Start), events(1000..1100));
    assert_eq!(read_from(&archive, At::Seq(0)), events(1000..1100));
}

#[test]
fn a_line_that_is_none_is_refused_and_the_next_one_taken() {
    let (_dir, archive) = archive();
    let mut publisher = open(&archive);
    assert!(matches!(
        publisher.publish(0, b"two\nlines"),
        Err(StreamError::Line(_))
    ));
    assert!(matches!(
        publisher.publish(0, &vec![b'x'; 20 << 10]),
        Err(StreamError::Line(_))
    ));
    publish(&mut publisher, 1);
    drop(publisher);
    assert_eq!(read_from(&archive, At::Start), events(0..1));
}

#[test]
fn packed_segments_take_a_fraction_of_the_room() {
    let (_dir, archive) = archive();
    let mut publisher = archive
        .publisher(&topic(), WriteOptions::default(), Clock::start())
        .unwrap();
    publish(&mut publisher, 50_000);
    publisher.flush().unwrap();
    let plain = fs::metadata(&files(&archive, "log")[0]).unwrap().len();
    publisher.finish().unwrap();
    let packed = fs::metadata(&files(&archive, "packed")[0]).unwrap().len();
    assert!(packed * 5 < plain, "{packed} of {plain}");
    assert_eq!(read_from(&archive, At::Start).len(), 50_000);
}

/// A program of its own that publishes until it is killed, and says how far it was told that it came.
#[test]
#[ignore = "started by the tests of crashes"]
fn child() {
    #[expect(clippy::disallowed_methods, reason = "the parent's word to its child")]
    let dir = std::env::var(CHILD_DIR).unwrap();
    let mut publisher = open(&Archive::new(dir));
    let mut out = std::io::stdout().lock();
    writeln!(out, "next {}", publisher.next_seq()).unwrap();
    loop {
        publish(&mut publisher, 7);
        publisher.flush().unwrap();
        writeln!(out, "acked {}", publisher.acked()).unwrap();
    }
}

fn start_child(archive: &Archive) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stream::child", "--ignored", "--nocapture"])
        .env(CHILD_DIR, archive.dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_writer_that_is_killed_thirty_times_loses_and_repeats_nothing() {
    let (_dir, archive) = archive();
    let mut acked = 0;
    for round in 0..30_u64 {
        let mut child = start_child(&archive);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after another number of batches each time, in whatever it is doing then.
        let mut said = Vec::new();
        while said.len() < 5 + (round as usize * 37) % 101 {
            let line = lines.next().unwrap().unwrap();
            said.extend(number(&line, "next ").into_iter().chain(number(&line, "acked ")));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        said.extend(
            lines
                .map_while(Result::ok)
                .filter_map(|line| number(&line, "acked ")),
        );
        // It began behind everything that was there, and no earlier acknowledgement was taken back.
        assert!(
            said[0] >= acked,
            "round {round}: began at {} after {acked}",
            said[0]
        );
        acked = *said.last().unwrap();
    }
    let all = read_from(&archive, At::Start);
    assert!(all.len() as u64 >= acked);
    assert_eq!(all, events(0..all.len() as u64));
}

fn number(line: &str, prefix: &str) -> Option<u64> {
    line.split_once(prefix)?.1.trim().parse().ok()
}

/// A disk of a size, in memory, for the life of a mount of this process.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(dir: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir)
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(dir.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}

#[test]
fn a_full_disk_is_an_error_that_loses_nothing_and_can_be_tried_again() {
    // In one segment nothing is packed, and so nothing makes room by itself: what was refused stays refused.
    let one = WriteOptions {
        segment_bytes: 1 << 20,
        ..SMALL
    };
    let mounted = on_a_full_disk(one, |publisher| {
        assert!(publisher.flush().is_err());
        assert!(publisher.acked() < publisher.next_seq());
    });
    if !mounted {
        println!("SKIPPED: mounting a small disk needs root");
        return;
    }
    // Of many, closed ones are packed meanwhile: what that takes for a while, and gives back, may have been the last room.
    assert!(on_a_full_disk(SMALL, |_| ()));
}

/// Writes until the disk is full, looks, makes room, and goes on: nothing is lost. Tells whether a small disk could be mounted.
fn on_a_full_disk(options: WriteOptions, look: impl FnOnce(&mut ArchivePublisher)) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), "1m") else {
        #[expect(clippy::disallowed_methods, reason = "the machine of all tests says so")]
        let ci = std::env::var("CI").is_ok();
        assert!(!ci, "no small disk can be mounted");
        return false;
    };
    let archive = Archive::new(disk.0.join("archive"));
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![1; 600 << 10]).unwrap();
    let mut publisher = archive.publisher(&topic(), options, Clock::start()).unwrap();
    let mut refused = None;
    for _ in 0..100_000 {
        let (_, stamp_ms, line) = event(publisher.next_seq());
        let published = publisher
            .publish(stamp_ms, line.as_bytes())
            .and_then(|seq| if seq % 7 == 0 { publisher.flush() } else { Ok(()) });
        if let Err(error) = published {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(StreamError::Io { .. })), "{refused:?}");
    // As long as it is full, readers see what was acknowledged.
    look(&mut publisher);
    let (acked, published) = (publisher.acked(), publisher.next_seq());
    assert_eq!(read_from(&archive, At::Start), events(0..acked));
    fs::remove_file(&ballast).unwrap();
    publisher.flush().unwrap();
    publish(&mut publisher, 50);
    publisher.sync().unwrap();
    drop(publisher);
    assert_eq!(read_from(&archive, At::Start), events(0..published + 50));
    true
}

#[test]
fn readers_of_an_archive_that_grows_see_every_event_once() {
    let (_dir, archive) = archive();
    drop(open(&archive));
    let mut child = start_child(&archive);
    let mut reader = archive.reader(&topic(), Clock::start()).unwrap();
    let (mut page, mut seen) = (Page::default(), BTreeMap::new());
    while seen.len() < 20_000 {
        assert!(
            reader.read(&mut page, Duration::from_secs(20)).unwrap() > 0,
            "the writer is silent"
        );
        for entry in page.entries() {
            *seen.entry(entry.seq).or_insert(0) += 1;
        }
        // A pipe that nobody reads would stop the writer.
        if seen.len() < 100 {
            let out = child.stdout.take();
            std::thread::spawn(move || out.map(|mut out| std::io::copy(&mut out, &mut std::io::sink())));
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen.values().all(|count| *count == 1));
    assert_eq!(
        seen.keys().copied().collect::<Vec<_>>(),
        (0..seen.len() as u64).collect::<Vec<_>>()
    );
}
