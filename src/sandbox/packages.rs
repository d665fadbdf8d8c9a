//! Packages that a class shares: what the same requirements ask for is built once, in a sandbox that holds nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sha2::{Digest, Sha256};

use super::bounds::Bounds;
use super::isolate::Isolation;
use super::launch::{BuildEnd, Limits, Workplace, build, build_with_mirror};
use super::leash::Leash;
use crate::clock::Clock;
use crate::meter::{Allowance, Metered};
use crate::mirror::{Front, Mirror};

/// The file that says which packages a repository needs.
const REQUIREMENTS: &str = "requirements.txt";
/// The most bytes of that file: thousands of lines with their hashes.
const REQUIREMENTS_BYTES: u64 = 1 << 20;
/// The most packages of one set, and their bytes together: what a sandbox's disk can hold is less.
const MOST_PACKAGES: usize = 2_000;
const PACKAGES_BYTES: u64 = 4 << 30;
/// The most bytes of an archive between two packages: the names and notes of the second, which a library takes into memory.
const MOST_RECORDS: u64 = 64 << 10;
/// What the sandbox hands out.
const TAR: &str = "packages.tar";
/// Makes every package that the requirements name installable without compiling, and packs them.
const MAKE: &str =
    "python3 -m pip wheel --quiet --wheel-dir made -r requirements.txt && tar -cf packages.tar -C made .";
/// Tells for which interpreter packages are made.
const TELL: &str =
    "import sys, sysconfig, pip; print(sys.version, sysconfig.get_platform(), pip.__version__)";

/// Where a class's packages are kept.
#[derive(Debug)]
pub struct Packages {
    folder: PathBuf,
    /// What the packages depend on beside the requirements; none where no Python with pip is inside.
    around: OnceLock<Option<String>>,
    /// Sets that somebody makes, so that others wait for it.
    making: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

/// What came of asking for the packages of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// They are in this folder.
    Shared(PathBuf),
    /// The repository builds for itself what it needs; if that was tried for it and failed, why.
    Own(Option<String>),
}

/// With what packages are made.
#[derive(Clone, Copy)]
pub struct Maker<'a> {
    /// How programs are kept from this machine, with the folder that packages come from.
    pub isolation: &'a Isolation,
    /// How much of it they may use.
    pub bounds: Bounds,
    /// How long they may take.
    pub limits: Limits,
    /// How programs are held.
    pub leash: &'a Leash,
    /// The clock.
    pub clock: Clock,
    /// The flag that stops the run.
    pub stop: &'a AtomicBool,
    /// Told when packages are made, not only found.
    pub begins: &'a (dyn Fn() + Sync),
}

impl Packages {
    /// Keeps packages in a folder, made if need be.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            around: OnceLock::new(),
            making: Mutex::default(),
        }
    }

    /// Returns the packages that a repository's requirements name; whoever comes first makes them, and who comes meanwhile waits.
    ///
    /// # Errors
    /// When this machine gives no sandbox, or its disk refuses.
    pub fn prepare(&self, repository: &Path, maker: Maker<'_>) -> io::Result<Prepared> {
        if maker.isolation.wheels().is_none() && !maker.isolation.mirror().is_some_and(has_pip) {
            return Ok(Prepared::Own(None));
        }
        let Some(text) = read(&repository.join(REQUIREMENTS))?.filter(|text| shareable(text)) else {
            return Ok(Prepared::Own(None));
        };
        let around = if let Some(known) = self.around.get() {
            known
        } else {
            let found = around(maker)?;
            self.around.get_or_init(|| found)
        };
        let Some(around) = around else {
            return Ok(Prepared::Own(None));
        };
        let key = key(&text, around);
        let lock = Arc::clone(self.lock().entry(key.clone()).or_default());
        let _making = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.folder.join(&key);
        if place.is_dir() {
            return Ok(Prepared::Shared(place));
        }
        (maker.begins)();
        self.make(&text, &place, maker)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Mutex<()>>>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a set in a folder of its own, which gets its name when it is whole.
    fn make(&self, text: &str, place: &Path, maker: Maker<'_>) -> io::Result<Prepared> {
        fs::create_dir_all(&self.folder)?;
        let staging = tempfile::Builder::new()
            .prefix(".making-")
            .tempdir_in(&self.folder)?;
        let (from, made) = (staging.path().join("from"), staging.path().join("made"));
        for folder in [&from, &made] {
            fs::create_dir(folder)?;
            // Sandboxes are other users.
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        fs::write(from.join(REQUIREMENTS), text)?;
        let workplace = inside(&from, maker);
        let words = ["sh", "-c", MAKE].map(str::to_owned);
        let (end, lines, fetched) = build_with_mirror(
            &words,
            &workplace,
            maker.limits,
            maker.leash,
            maker.clock,
            maker.stop,
        )?;
        if let Some(fetched) = fetched {
            // What a set was made of is evidence as the set itself is.
            let text = serde_json::to_string_pretty(&fetched).map_err(io::Error::other)?;
            fs::write(place.with_extension("fetched.json"), text + "\n")?;
        }
        let tar = match &end {
            BuildEnd::Built(_) => workplace.open(TAR)?,
            BuildEnd::Failed(_) | BuildEnd::TimedOut | BuildEnd::Interrupted => None,
        };
        let Some(tar) = tar else {
            let why = end.told("making its packages", maker.limits.build);
            let last = lines.last().map(|line| format!(": {line}")).unwrap_or_default();
            return Ok(Prepared::Own(why.map(|(_, why)| format!("{why}{last}"))));
        };
        if let Err(error) = unpack(tar, &made) {
            return Ok(Prepared::Own(Some(format!(
                "its packages cannot be kept: {error}"
            ))));
        }
        match fs::rename(&made, place) {
            // Another grader has made the same meanwhile.
            Err(_) if place.is_dir() => {}
            other => other?,
        }
        Ok(Prepared::Shared(place.to_owned()))
    }
}

/// Returns a sandbox with a folder's files and nothing of any submission.
fn inside(dir: &Path, maker: Maker<'_>) -> Workplace {
    let mut env = BTreeMap::from([("LANG".to_owned(), "C.UTF-8".to_owned())]);
    maker.isolation.adapt(&mut env);
    let sandbox = maker
        .isolation
        .sandbox(dir, None, maker.bounds, Vec::new(), maker.clock);
    Workplace {
        dir: dir.to_owned(),
        home: dir.to_owned(),
        env,
        sandbox: Some(sandbox),
    }
}

fn run(words: &[&str], place: &Workplace, maker: Maker<'_>) -> io::Result<(BuildEnd, Vec<String>)> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    build(&words, place, maker.limits, maker.leash, maker.clock, maker.stop)
}

/// Returns what made packages depend on beside the requirements: the interpreter inside, and the folder that they come from.
fn around(maker: Maker<'_>) -> io::Result<Option<String>> {
    let empty = tempfile::tempdir()?;
    let (end, lines) = run(&["python3", "-c", TELL], &inside(empty.path(), maker), maker)?;
    if !matches!(end, BuildEnd::Built(_)) {
        return Ok(None);
    }
    let mut files = Vec::new();
    let entries = maker.isolation.wheels().map(fs::read_dir).transpose()?;
    for entry in entries.into_iter().flatten() {
        let entry = entry?;
        let about = entry.metadata()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((name, about.len(), about.mtime(), about.mtime_nsec()));
    }
    files.sort();
    let mirror = maker
        .isolation
        .mirror()
        .map(|mirror| mirror.declared().addresses());
    Ok(Some(format!("{lines:?} {files:?} {mirror:?}")))
}

fn has_pip(mirror: &Mirror) -> bool {
    mirror.fronts().contains(&Front::Pip)
}

fn key(text: &str, around: &str) -> String {
    let mut hash = Sha256::new();
    for part in [MAKE, around, text] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

/// Reads the requirements of a repository; none if they are no plain text.
fn read(path: &Path) -> io::Result<Option<String>> {
    if !fs::symlink_metadata(path).is_ok_and(|about| about.is_file() && about.len() <= REQUIREMENTS_BYTES) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(REQUIREMENTS_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).ok())
}

/// Whether requirements say all by themselves: names with versions, markers and hashes, but no option that leads to other files, and
/// no path or address, which may be the team's own code.
fn shareable(text: &str) -> bool {
    text.replace("\\\n", " ")
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .all(|line| {
            let named = line.starts_with(|first: char| first.is_ascii_alphanumeric());
            let options = line
                .split_whitespace()
                .filter(|word| word.starts_with('-'))
                .all(|word| word.starts_with("--hash"));
            let leads = line.contains('/') || line.contains('@') || line.contains('\\');
            let archive = [".whl", ".zip", ".gz", ".tgz"]
                .iter()
                .any(|end| line.ends_with(end));
            named && options && !leads && !archive
        })
}

/// Writes the packages of an archive into a folder: plain files with the names of packages, and nothing else.
///
/// The archive was made where packages' own code may run, so that nothing of it is taken into memory unmeasured.
fn unpack(tar: impl Read, to: &Path) -> io::Result<()> {
    let (mut bytes, mut count) = (0, 0);
    let allowance = Allowance::default();
    let bound = PACKAGES_BYTES + MOST_PACKAGES as u64 * MOST_RECORDS;
    let mut archive = tar::Archive::new(Metered::new(tar.take(bound), &allowance));
    let mut all = archive.entries()?;
    loop {
        allowance.set(MOST_RECORDS);
        let Some(entry) = all.next() else { return Ok(()) };
        let mut entry = entry.map_err(|error| {
            if allowance.is_spent() {
                io::Error::other(format!(
                    "names and notes of a package have more than {} KiB",
                    MOST_RECORDS >> 10
                ))
            } else {
                error
            }
        })?;
        allowance.set(u64::MAX);
        count += 1;
        let name = entry.path()?.to_string_lossy().into_owned();
        let name = name.trim_start_matches("./");
        if entry.header().entry_type().is_dir() && name.is_empty() {
            continue;
        }
        if !entry.header().entry_type().is_file() || !is_wheel(name) {
            return Err(io::Error::other(format!(
                "`{}` is no package",
                name.escape_debug()
            )));
        }
        // A size is whatever was written.
        bytes = u64::saturating_add(bytes, entry.size());
        if bytes > PACKAGES_BYTES || count > MOST_PACKAGES {
            return Err(io::Error::other("there are too many"));
        }
        let mut file = File::create_new(to.join(name))?;
        io::copy(&mut entry, &mut file)?;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
}

/// Whether a file's name is that of a package, with nothing in it that is more than a name.
fn is_wheel(name: &str) -> bool {
    let plain = |sign: u8| sign.is_ascii_alphanumeric() || b"._+-!".contains(&sign);
    name.strip_suffix(".whl").is_some_and(|stem| {
        stem.starts_with(|first: char| first.is_ascii_alphanumeric()) && stem.bytes().all(plain)
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requirements_are_shared_only_if_they_say_all_by_themselves() {
        for text in [
            "",
            "Flask==3.1.3\nwaitress==3.0.2\n",
            "# what it needs\nnumpy>=2,<3 ; python_version >= \"3.9\"  # figures\n",
            "a==1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n",
            "uvicorn[standard]~=0.54",
        ] {
            assert!(shareable(text), "{text}");
        }
        for text in [
            "-r other.txt",
            "-e .",
            "--index-url https://x",
            "a==1\n--find-links wheels",
            "a @ https://x/a.whl",
            "git+https://x/y",
            ".",
            "./own",
            "own/",
            "own.whl",
            "a==1 --global-option=x",
            "..\\own",
        ] {
            assert!(!shareable(text), "{text}");
        }
    }

    #[test]
    fn only_plain_files_with_the_names_of_packages_are_kept() {
        let tar = |name: &str, kind: tar::EntryType| {
            let mut tar = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            header.set_entry_type(kind);
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            if kind.is_symlink() {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            tar.append(&header, io::empty()).unwrap();
            let path = tempfile::NamedTempFile::new().unwrap();
            fs::write(path.path(), tar.into_inner().unwrap()).unwrap();
            let to = tempfile::tempdir().unwrap();
            let end = unpack(File::open(path.path()).unwrap(), to.path());
            (end.is_ok(), fs::read_dir(to.path()).unwrap().count())
        };
        assert_eq!(
            tar("./a-1.0-py3-none-any.whl", tar::EntryType::Regular),
            (true, 1)
        );
        for (name, kind) in [
            ("../a-1.0-py3-none-any.whl", tar::EntryType::Regular),
            ("/a-1.0-py3-none-any.whl", tar::EntryType::Regular),
            ("b/a-1.0-py3-none-any.whl", tar::EntryType::Regular),
            ("a.tar.gz", tar::EntryType::Regular),
            (".whl", tar::EntryType::Regular),
            ("a-1.0-py3-none-any.whl", tar::EntryType::Symlink),
            ("a-1.0-py3-none-any.whl", tar::EntryType::Directory),
        ] {
            assert_eq!(tar(name, kind), (false, 0), "{name} {kind:?}");
        }
    }

    /// A reader that counts.
    struct Counted<R>(R, Rc<Cell<u64>>);

    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            self.1.set(self.1.get() + count as u64);
            Ok(count)
        }
    }

    #[test]
    fn a_name_or_a_note_without_end_is_read_as_far_as_is_allowed_and_refused() {
        for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader] {
            let mut header = tar::Header::new_gnu();
            header.set_size(1 << 30);
            header.set_entry_type(kind);
            header.set_cksum();
            let read = Rc::new(Cell::new(0));
            let endless = header.as_bytes().as_slice().chain(io::repeat(b'a'));
            let to = tempfile::tempdir().unwrap();
            let error = unpack(Counted(endless, Rc::clone(&read)), to.path()).unwrap_err();
            assert!(error.to_string().contains("names and notes"), "{kind:?} {error}");
            assert!(
                (MOST_RECORDS..2 * MOST_RECORDS).contains(&read.get()),
                "{kind:?} {}",
                read.get()
            );
            assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn other_requirements_or_surroundings_have_another_key() {
        let one = key("a==1", "3.13");
        assert_eq!(one, key("a==1", "3.13"));
        assert_eq!(one.len(), 64);
        assert_ne!(one, key("a==2", "3.13"));
        assert_ne!(one, key("a==1", "3.14"));
        assert_ne!(key("ab", "c"), key("b", "ca"));
    }

    proptest! {
        #[test]
        fn a_name_that_is_kept_is_one_part_of_a_path(name in "\\PC{0,20}(\\.whl)?") {
            if is_wheel(&name) {
                prop_assert_eq!(Path::new(&name).components().count(), 1);
                prop_assert!(!name.starts_with('.'));
            }
        }
    }
}
