//! Unpacking what somebody else packed: entry by entry, each looked at before anything is written.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use tar::EntryType;
use zip::ZipArchive;
use zip::result::ZipError;

use super::StageError;
use super::stage::Stage;
use crate::meter::{Allowance, Metered};

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Zip,
    Tar,
    TarGz,
}

/// The ends of names that are taken for archives, the longer before the shorter.
pub(super) const ENDINGS: [(&str, Packing); 4] = [
    (".tar.gz", Packing::TarGz),
    (".tgz", Packing::TarGz),
    (".tar", Packing::Tar),
    (".zip", Packing::Zip),
];

/// The most bytes between two entries of a tar: the long name of the second and the like, which are read into memory.
const MOST_RECORDS: u64 = 64 << 10;
/// What an entry may take in the directory of a zip, name and notes included: three times what it has in most.
const MOST_OF_AN_ENTRY: u64 = 256;
/// The end of a zip, where the ends of its directory are: a comment of any length, and room for the records before it.
const ENDS: u64 = 68 << 10;

/// Returns the packing that a name stands for, and the name without its ending.
pub(super) fn packing(name: &str) -> Option<(Packing, &str)> {
    let lower = name.to_ascii_lowercase();
    ENDINGS.iter().find_map(|(ending, packing)| {
        lower
            .ends_with(ending)
            .then(|| (*packing, &name[..name.len() - ending.len()]))
    })
}

/// Unpacks an archive.
pub(super) fn unpack(file: &Path, stage: &mut Stage<'_>) -> Result<(), StageError> {
    let name = file.to_string_lossy();
    let Some((packing, _)) = packing(&name) else {
        return Err(StageError::Refused("it is no archive of a known kind".to_owned()));
    };
    let open = || {
        File::open(file)
            .map_err(|error| StageError::Ours(format!("cannot read `{}`: {error}", file.display())))
    };
    stage.packed(open()?.metadata()?.len())?;
    match packing {
        Packing::Zip => unzip(BufReader::new(open()?), stage),
        Packing::Tar => untar(BufReader::new(open()?), stage),
        Packing::TarGz => untar(MultiGzDecoder::new(BufReader::new(open()?)), stage),
    }
}

fn unzip(mut from: impl Read + Seek, stage: &mut Stage<'_>) -> Result<(), StageError> {
    let most = u64::from(stage.limits().entries);
    let too_many = || StageError::Refused(format!("it holds more than {most} files and folders"));
    if most_claimed(&mut from)? > most {
        return Err(too_many());
    }
    // The library takes the whole directory into memory, which another than the one looked at may turn out to be.
    let allowance = Allowance::default();
    let bound = most * MOST_OF_AN_ENTRY + ENDS;
    allowance.set(bound);
    let mut archive = ZipArchive::new(Metered::new(from, &allowance)).map_err(|error| {
        if allowance.is_spent() {
            StageError::Refused(format!(
                "the archive's list of its files has more than {} KiB",
                bound >> 10
            ))
        } else {
            damaged(&error)
        }
    })?;
    allowance.set(u64::MAX);
    if archive.len() as u64 > most {
        return Err(too_many());
    }
    for place in 0..archive.len() {
        let mut entry = archive.by_index(place).map_err(|error| damaged(&error))?;
        let name = entry.name().map_err(|error| damaged(&error))?.into_owned();
        let mode = entry.unix_mode().unwrap_or(0o644);
        // The kind that Unix packers write beside the rights: 0 where none is written.
        let kind = mode & 0o170_000;
        if entry.is_symlink() {
            stage.leave_out("a link", &name)?;
        } else if ![0, 0o040_000, 0o100_000].contains(&kind) {
            stage.leave_out("neither a file nor a folder", &name)?;
        } else if entry.is_dir() {
            stage.folder(&name)?;
        } else {
            stage.file(&name, mode & 0o100 != 0, &mut entry)?;
        }
    }
    Ok(())
}

/// Returns the most entries that an end of the directory, of either size, speaks of in the tail of a zip: which of them a library
/// believes is its own matter.
fn most_claimed(from: &mut (impl Read + Seek)) -> Result<u64, StageError> {
    let length = from.seek(SeekFrom::End(0))?;
    from.seek(SeekFrom::Start(length.saturating_sub(ENDS)))?;
    let mut tail = Vec::new();
    from.take(ENDS).read_to_end(&mut tail)?;
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for place in 0..tail.len() {
        let record = &tail[place..];
        if record.starts_with(b"PK\x05\x06")
            && let Some(count) = record.get(10..).and_then(<[u8]>::first_chunk)
        {
            small.push(u64::from(u16::from_le_bytes(*count)));
        }
        if record.starts_with(b"PK\x06\x06")
            && let Some(count) = record.get(32..).and_then(<[u8]>::first_chunk)
        {
            large.push(u64::from_le_bytes(*count));
        }
    }
    // The small one says by its highest number that the large one knows.
    if !large.is_empty() {
        small.retain(|count| *count != u64::from(u16::MAX));
    }
    Ok(small.into_iter().chain(large).max().unwrap_or(0))
}

fn damaged(error: &ZipError) -> StageError {
    match error {
        ZipError::UnsupportedArchive(why) if *why == ZipError::PASSWORD_REQUIRED => {
            StageError::Refused("the archive wants a password".to_owned())
        }
        ZipError::UnsupportedArchive(why) => {
            StageError::Refused(format!("the archive cannot be read: {why}"))
        }
        other => StageError::Refused(format!("the archive is damaged: {other}")),
    }
}

/// Unpacks a tar entry by entry. What is read between two of them are the names and notes of the second, which the library takes into
/// memory: by what it makes of them alone, whoever else may read the archive otherwise.
fn untar(packed: impl Read, stage: &mut Stage<'_>) -> Result<(), StageError> {
    let damaged = |error: io::Error| StageError::Refused(format!("the archive is damaged: {error}"));
    let entries = u64::from(stage.limits().entries);
    // Headers and padding come on top of files; what is cut here is refused as damaged at the latest.
    let bound = stage.limits().bytes + entries * 2_048;
    let allowance = Allowance::default();
    let mut archive = tar::Archive::new(Metered::new(packed.take(bound), &allowance));
    let mut all = archive.entries().map_err(damaged)?;
    let (mut count, mut unread) = (0, bound);
    loop {
        allowance.set(MOST_RECORDS);
        let Some(entry) = all.next() else { return Ok(()) };
        let mut entry = entry.map_err(|error| {
            if allowance.is_spent() {
                StageError::Refused(format!(
                    "names and notes of an entry of the archive have more than {} KiB",
                    MOST_RECORDS >> 10
                ))
            } else {
                damaged(error)
            }
        })?;
        allowance.set(u64::MAX);
        count += 1;
        if count > 3 * entries {
            return Err(StageError::Refused(
                "it holds too many files and folders".to_owned(),
            ));
        }
        if stage.stopped() {
            return Err(StageError::Interrupted);
        }
        take(&mut entry, stage)?;
        // What is left of it, and be it zeros that are nowhere, is passed over here, so that what is read next is about the next.
        let passed = io::copy(&mut entry.take(unread), &mut io::sink()).map_err(damaged)?;
        unread -= passed;
    }
}

/// Takes an entry of a tar.
fn take<R: Read>(entry: &mut tar::Entry<'_, R>, stage: &mut Stage<'_>) -> Result<(), StageError> {
    let Ok(name) = String::from_utf8(entry.path_bytes().into_owned()) else {
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        return stage.leave_out("its name is not UTF-8", &name);
    };
    match entry.header().entry_type() {
        EntryType::Directory => stage.folder(&name),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mode = entry.header().mode().unwrap_or(0o644);
            stage.file(&name, mode & 0o100 != 0, entry)
        }
        EntryType::Symlink | EntryType::Link => stage.leave_out("a link", &name),
        EntryType::XGlobalHeader => Ok(()),
        _ => stage.leave_out("neither a file nor a folder", &name),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::io::{Cursor, Write};
    use std::path::PathBuf;
    use std::rc::Rc;
    use std::sync::atomic::AtomicBool;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use walkdir::WalkDir;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::super::{LIMITS, Source, StageLimits, stage};
    use super::*;
    use crate::clock::Clock;

    /// An entry to pack: name, content, kind of tar.
    type Packed<'a> = (&'a str, &'a [u8], EntryType);

    const FILE: EntryType = EntryType::Regular;

    fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            zip.start_file(*name, SimpleFileOptions::default().unix_permissions(0o4755))
                .unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    /// Packs names as they are: the crate's own writer refuses those that we want to see refused.
    fn tarred(entries: &[Packed<'_>]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content, kind) in entries {
            let mut header = tar::Header::new_gnu();
            let bytes = name.as_bytes();
            header.as_old_mut().name[..bytes.len()].copy_from_slice(bytes);
            header.set_entry_type(*kind);
            header.set_mode(0o4755);
            let link = matches!(kind, EntryType::Symlink | EntryType::Link);
            if link {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
            }
            let content = if link { &[][..] } else { content };
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append(&header, content).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    }

    /// A folder with an archive, a secret beside it, and the place to unpack to.
    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            let bench = Self(tempfile::tempdir().unwrap());
            fs::write(bench.path("secret"), "s3cret").unwrap();
            bench
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn unpack(&self, name: &str, bytes: &[u8], limits: StageLimits) -> Result<Vec<String>, String> {
            fs::write(self.path(name), bytes).unwrap();
            let source = Source::Archive(self.path(name));
            let result = stage(
                &source,
                &self.path("out/team"),
                limits,
                (Clock::start(), &AtomicBool::new(false)),
            );
            self.assert_harmless(name, limits);
            match result {
                Ok(staged) => Ok(staged.notes),
                Err(StageError::Refused(why)) => Err(why),
                Err(other) => panic!("{other:?}"),
            }
        }

        /// Nothing is outside, no link is inside, no right but the usual ones, and no more than the limits.
        fn assert_harmless(&self, name: &str, limits: StageLimits) {
            let mut names: Vec<_> = fs::read_dir(self.0.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            assert_eq!(names.len(), 3, "{names:?}");
            assert!(names.contains(&name.into()) && names.contains(&"out".into()));
            assert_eq!(fs::read_to_string(self.path("secret")).unwrap(), "s3cret");
            let mut bytes = 0;
            for entry in WalkDir::new(self.path("out")).min_depth(1) {
                use std::os::unix::fs::PermissionsExt;
                let entry = entry.unwrap();
                let about = entry.metadata().unwrap();
                assert!(about.is_dir() || about.is_file(), "{:?}", entry.path());
                assert_eq!(about.permissions().mode() & 0o7022, 0, "{:?}", entry.path());
                bytes += if about.is_file() { about.len() } else { 0 };
            }
            assert!(bytes <= limits.bytes);
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.path("out/team").join(name)).unwrap()
        }
    }

    #[test]
    fn the_usual_archives_unpack_and_their_one_folder_is_the_submission() {
        let bench = Bench::new();
        let files: [(&str, &[u8]); 4] = [
            ("falcons-main/reelworld.toml", b"[service]"),
            ("falcons-main/src/app.py", b"print()"),
            ("__MACOSX/._app.py", b"x"),
            (".DS_Store", b"x"),
        ];
        assert_eq!(bench.unpack("a.zip", &zipped(&files), LIMITS), Ok(vec![]));
        assert_eq!(
            (bench.text("reelworld.toml"), bench.text("src/app.py")),
            ("[service]".to_owned(), "print()".to_owned())
        );
        let bench = Bench::new();
        let entries = files.map(|(name, content)| (name, content, FILE));
        assert_eq!(bench.unpack("a.tar", &tarred(&entries), LIMITS), Ok(vec![]));
        assert_eq!(bench.text("src/app.py"), "print()");
        let bench = Bench::new();
        assert_eq!(
            bench.unpack("a.TGZ", &gzipped(&tarred(&entries)), LIMITS),
            Ok(vec![])
        );
        assert_eq!(bench.text("reelworld.toml"), "[service]");
    }

    #[test]
    fn an_entry_that_climbs_out_has_the_archive_refused() {
        for name in [
            "../secret",
            "a/../../secret",
            "/tmp/reelworld-slip",
            "..\\secret",
            "C:\\secret",
        ] {
            let told = Bench::new().unpack("a.zip", &zipped(&[("ok", b"x"), (name, b"evil")]), LIMITS);
            assert!(
                told.as_ref()
                    .is_err_and(|why| why.contains("path") || why.contains("leads out")),
                "{told:?}"
            );
            let told = Bench::new().unpack(
                "a.tar",
                &tarred(&[("ok", b"x", FILE), (name, b"evil", FILE)]),
                LIMITS,
            );
            assert!(
                told.as_ref()
                    .is_err_and(|why| why.contains("path") || why.contains("leads out")),
                "{told:?}"
            );
        }
        assert!(!Path::new("/tmp/reelworld-slip").exists());
    }

    #[test]
    fn links_are_left_out_and_nothing_is_written_through_them() {
        let bench = Bench::new();
        let secret = bench.path("secret").display().to_string();
        let up = bench.path("").display().to_string();
        let entries: [Packed<'_>; 5] = [
            ("a", b"x", FILE),
            ("data", up.as_bytes(), EntryType::Symlink),
            ("data/secret", b"evil", FILE),
            ("copy", secret.as_bytes(), EntryType::Link),
            ("null", b"", EntryType::Char),
        ];
        let notes = bench.unpack("a.tar", &tarred(&entries), LIMITS).unwrap();
        assert_eq!(
            notes,
            [
                "left out, a link: \"data\", \"copy\"",
                "left out, neither a file nor a folder: \"null\""
            ]
        );
        assert_eq!(bench.text("data/secret"), "evil");

        let bench = Bench::new();
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.add_symlink("data", &up, SimpleFileOptions::default())
            .unwrap();
        zip.start_file("data/secret", SimpleFileOptions::default())
            .unwrap();
        zip.write_all(b"evil").unwrap();
        let bytes = zip.finish().unwrap().into_inner();
        let notes = bench.unpack("a.zip", &bytes, LIMITS).unwrap();
        assert_eq!(notes, ["left out, a link: \"data\""]);
    }

    #[test]
    fn bombs_are_stopped_by_the_limit_they_reach_first() {
        let zeros = vec![0; 8 << 20];
        let limits = StageLimits {
            bytes: 64 << 20,
            free: 4 << 20,
            ..LIMITS
        };
        let packed = [
            gzipped(&tarred(&[("zeros", &zeros, FILE)])),
            zipped(&[("zeros", &zeros)]),
        ];
        for (bytes, name) in packed.iter().zip(["a.tar.gz", "a.zip"]) {
            let why = Bench::new().unpack(name, bytes, limits).unwrap_err();
            assert!(why.contains("more than 200 times its size"), "{why}");
            assert_eq!(
                Bench::new().unpack(name, bytes, LIMITS),
                Ok(vec![]),
                "a table of zeros is no bomb"
            );
            let small = StageLimits {
                bytes: 1 << 20,
                ..LIMITS
            };
            let why = Bench::new().unpack(name, bytes, small).unwrap_err();
            assert!(why.contains("more than 1 MiB"), "{why}");
        }
        let many: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let few = StageLimits {
            entries: 100,
            ..LIMITS
        };
        let entries: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert!(
            Bench::new()
                .unpack("a.zip", &zipped(&entries), few)
                .unwrap_err()
                .contains("100 files")
        );
        let entries: Vec<Packed<'_>> = many.iter().map(|name| (name.as_str(), &b""[..], FILE)).collect();
        assert!(
            Bench::new()
                .unpack("a.tar", &tarred(&entries), few)
                .unwrap_err()
                .contains("100 files")
        );
        let deep = "d/".repeat(45) + "x";
        assert!(
            Bench::new()
                .unpack("a.zip", &zipped(&[(&deep, b"")]), LIMITS)
                .unwrap_err()
                .contains("deep")
        );
    }

    #[test]
    fn a_long_record_is_refused_before_it_is_read() {
        let name = vec![b'n'; 100 << 10];
        let bytes = tarred(&[("long", &name, EntryType::GNULongName), ("x", b"", FILE)]);
        let why = Bench::new().unpack("a.tar", &bytes, LIMITS).unwrap_err();
        assert!(why.contains("64 KiB"), "{why}");
    }

    /// A reader that counts what is read of it.
    struct Counted<R>(R, Rc<Cell<u64>>);

    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            self.1.set(self.1.get() + count as u64);
            Ok(count)
        }
    }

    impl<R: Seek> Seek for Counted<R> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    /// Why bytes are refused, and how many are read of them before that is known.
    fn refused<T>(
        bytes: T,
        limits: StageLimits,
        by: impl FnOnce(Counted<T>, &mut Stage<'_>) -> Result<(), StageError>,
    ) -> (String, u64) {
        let (dir, flag, read) = (
            tempfile::tempdir().unwrap(),
            AtomicBool::new(false),
            Rc::default(),
        );
        let mut stage = Stage::begin(&dir.path().join("team"), limits, &flag).unwrap();
        match by(Counted(bytes, Rc::clone(&read)), &mut stage) {
            Err(StageError::Refused(why)) => (why, read.get()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_record_that_a_note_hides_in_a_file_is_refused_before_it_is_read() {
        // By its header the file holds all that follows; by the note before it, it is empty, and what follows are entries.
        let name = vec![b'n'; 8 << 20];
        let hidden = tarred(&[("long", &name, EntryType::GNULongName), ("x", b"", FILE)]);
        let note = b"9 size=0\n";
        let gz = gzipped(&tarred(&[
            ("note", note, EntryType::XHeader),
            ("file", &hidden, FILE),
        ]));
        assert!(gz.len() < 128 << 10, "{}", gz.len());
        let (why, read) = refused(MultiGzDecoder::new(&gz[..]), LIMITS, untar);
        assert!(why.contains("64 KiB"), "{why}");
        assert!(read <= 4 * MOST_RECORDS, "{read} bytes were read");
        // Nor are several that stay below the bound each.
        let part = vec![b'n'; 60 << 10];
        let several = tarred(&[
            ("long", &part, EntryType::GNULongName),
            ("link", &part, EntryType::GNULongLink),
            ("x", b"", FILE),
        ]);
        let (why, read) = refused(&several[..], LIMITS, untar);
        assert!(why.contains("64 KiB"), "{why}");
        assert!(read <= 4 * MOST_RECORDS, "{read} bytes were read");
    }

    /// The directory of a zip and its end, without the files that it names.
    fn directory(entries: u64, name: &[u8], large: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..entries {
            let mut header = [0; 46];
            header[..4].copy_from_slice(b"PK\x01\x02");
            header[28..30].copy_from_slice(&(name.len() as u16).to_le_bytes());
            bytes.extend([&header, name].concat());
        }
        let size = bytes.len() as u64;
        if large {
            let mut end = [0; 56];
            end[..4].copy_from_slice(b"PK\x06\x06");
            end[4..12].copy_from_slice(&44_u64.to_le_bytes());
            for at in [24, 32] {
                end[at..at + 8].copy_from_slice(&entries.to_le_bytes());
            }
            end[40..48].copy_from_slice(&size.to_le_bytes());
            let mut place = [0; 20];
            place[..4].copy_from_slice(b"PK\x06\x07");
            place[8..16].copy_from_slice(&size.to_le_bytes());
            place[16] = 1;
            bytes.extend([&end[..], &place].concat());
        }
        let mut end = [0; 22];
        end[..4].copy_from_slice(b"PK\x05\x06");
        let count = u16::try_from(entries).unwrap_or(u16::MAX).to_le_bytes();
        for at in [8, 10] {
            end[at..at + 2].copy_from_slice(&count);
        }
        end[12..16].copy_from_slice(&(size as u32).to_le_bytes());
        bytes.extend(end);
        bytes
    }

    #[test]
    fn a_directory_of_too_many_files_is_refused_before_it_is_read() {
        for (entries, large) in [(60_000, false), (200_000, true)] {
            let bytes = directory(entries, b"n", large);
            let (why, read) = refused(Cursor::new(bytes), LIMITS, unzip);
            assert!(why.contains("more than 50000 files and folders"), "{why}");
            assert!(read <= ENDS, "{read} bytes were read");
        }
        // As many as may be, each with more to its name than a name has.
        let few = StageLimits {
            entries: 100,
            ..LIMITS
        };
        let bytes = directory(100, &vec![b'n'; 60_000], false);
        let (why, read) = refused(Cursor::new(bytes), few, unzip);
        assert!(why.contains("list of its files"), "{why}");
        assert!(
            read <= 2 * ENDS + 100 * MOST_OF_AN_ENTRY,
            "{read} bytes were read"
        );
    }

    #[test]
    fn what_is_no_archive_or_is_damaged_is_refused_with_a_reason() {
        for (name, bytes) in [
            ("a.zip", &b"PK\x03\x04 not really"[..]),
            ("a.zip", b""),
            ("a.tar.gz", b"\x1f\x8b\x08 broken"),
            ("a.tar", &[7; 1024]),
        ] {
            let why = Bench::new().unpack(name, bytes, LIMITS).unwrap_err();
            assert!(why.contains("damaged") || why.contains("cannot be read"), "{why}");
        }
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("a", stored).unwrap();
        zip.write_all(&[7; 500]).unwrap();
        let mut changed = zip.finish().unwrap().into_inner();
        let place = changed.windows(9).position(|bytes| bytes == [7; 9]).unwrap();
        changed[place + 4] = 8;
        let why = Bench::new().unpack("a.zip", &changed, LIMITS).unwrap_err();
        assert!(why.contains("cannot be read"), "its sum does not fit: {why}");
        let twice = tarred(&[("a", b"file", FILE), ("a/b", b"", FILE)]);
        let why = Bench::new().unpack("a.tar", &twice, LIMITS).unwrap_err();
        assert!(why.contains("as a file and as a folder"), "{why}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn a_changed_archive_writes_nothing_outside(
            which in 0..3_usize,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            cut in any::<prop::sample::Index>(),
            whole in any::<bool>(),
        ) {
            let entries: [Packed<'_>; 4] = [
                ("a/b.py", b"print()", FILE),
                ("link", b"../../secret", EntryType::Symlink),
                ("link/x", b"evil", FILE),
                ("c", &[7; 600], FILE),
            ];
            let (name, mut bytes) = match which {
                0 => ("a.zip", zipped(&entries.map(|(name, content, _)| (name, content)))),
                1 => ("a.tar", tarred(&entries)),
                _ => ("a.tar.gz", gzipped(&tarred(&entries))),
            };
            for (place, byte) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len()));
            }
            let limits = StageLimits { bytes: 1 << 20, entries: 50, ..LIMITS };
            drop(Bench::new().unpack(name, &bytes, limits));
        }

        #[test]
        fn whatever_names_a_tar_holds_nothing_is_written_outside(names in prop::collection::vec("(\\.\\.|/|\\.|[a-c]|\\PC){1,8}", 1..6)) {
            let entries: Vec<Packed<'_>> = names.iter().map(|name| (name.as_str(), &b"x"[..], FILE)).collect();
            drop(Bench::new().unpack("a.tar", &tarred(&entries), LIMITS));
        }
    }
}
