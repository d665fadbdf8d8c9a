//! The fresh folder that a submission is copied to: plain files and folders only, within limits that have names.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::name::{MOST_DEPTH, entry_path};
use super::{Source, StageError, archive, checkout};
use crate::clock::Clock;

/// How much a submission may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageLimits {
    /// The most bytes of all files, and of an archive as it comes: data and models go elsewhere.
    pub bytes: u64,
    /// The most files and folders.
    pub entries: u32,
    /// The most times its own size that an archive may unpack to, once that is more than [`StageLimits::free`].
    pub ratio: u64,
    /// What an archive may unpack to whatever its ratio: a table of zeros is no bomb.
    pub free: u64,
    /// How long a repository may take to arrive.
    pub clone: Duration,
}

/// The limits of a course.
pub const LIMITS: StageLimits = StageLimits {
    bytes: 512 << 20,
    entries: 50_000,
    ratio: 200,
    free: 32 << 20,
    clone: Duration::from_secs(300),
};

/// A submission that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// What was left out or is odd, for the reader of the report.
    pub notes: Vec<String>,
}

/// The most examples of a note.
const SHOWN: usize = 3;
/// How much is copied between two looks at the flag.
const CHUNK: usize = 256 << 10;
/// What a pointer of git LFS begins with.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";
/// A pointer is small.
const LFS_BYTES: u64 = 1 << 10;

/// Copies a submission to a folder, which is made anew.
///
/// # Errors
/// [`StageError::Refused`] where the submission is at fault; anything else is no fact about it.
pub fn stage(
    source: &Source,
    to: &Path,
    limits: StageLimits,
    (clock, stop): (Clock, &AtomicBool),
) -> Result<Staged, StageError> {
    let mut stage = Stage::begin(to, limits, stop)?;
    match source {
        Source::Folder(folder) => copy(folder, &mut stage)?,
        Source::Archive(file) => {
            archive::unpack(file, &mut stage)?;
            stage.descend()?;
        }
        Source::Git { url, commit } => checkout::check_out(url, commit, &mut stage, clock)?,
    }
    Ok(Staged { notes: stage.notes() })
}

/// A folder that is being filled.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    top: PathBuf,
    limits: StageLimits,
    stop: &'a AtomicBool,
    bytes: u64,
    entries: u32,
    /// The most bytes that may come, where what they come from is small.
    allowed: u64,
    left_out: BTreeMap<&'static str, Vec<String>>,
}

impl<'a> Stage<'a> {
    pub(super) fn begin(top: &Path, limits: StageLimits, stop: &'a AtomicBool) -> Result<Self, StageError> {
        match fs::remove_dir_all(top) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StageError::Ours(format!(
                    "cannot empty `{}`: {error}",
                    top.display()
                )));
            }
            _ => {}
        }
        fs::create_dir_all(top)
            .map_err(|error| StageError::Ours(format!("cannot make `{}`: {error}", top.display())))?;
        Ok(Self {
            top: top.to_owned(),
            limits,
            stop,
            bytes: 0,
            entries: 0,
            allowed: limits.bytes,
            left_out: BTreeMap::new(),
        })
    }

    pub(super) fn top(&self) -> &Path {
        &self.top
    }

    pub(super) fn limits(&self) -> StageLimits {
        self.limits
    }

    /// The flag that stops it.
    pub(super) fn flag(&self) -> &'a AtomicBool {
        self.stop
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Bounds what may come out of so many packed bytes.
    pub(super) fn packed(&mut self, bytes: u64) -> Result<(), StageError> {
        if bytes > self.limits.bytes {
            return Err(self.too_large());
        }
        let most = self.limits.ratio.saturating_mul(bytes).max(self.limits.free);
        self.allowed = self.limits.bytes.min(most);
        Ok(())
    }

    fn too_large(&self) -> StageError {
        StageError::Refused(if self.allowed < self.limits.bytes {
            format!(
                "it unpacks to more than {} times its size, and more than {} MiB",
                self.limits.ratio,
                self.limits.free >> 20
            )
        } else {
            format!(
                "it holds more than {} MiB; data and models belong elsewhere",
                self.limits.bytes >> 20
            )
        })
    }

    /// Notes an entry that is written nowhere, and why.
    pub(super) fn leave_out(&mut self, why: &'static str, name: &str) -> Result<(), StageError> {
        self.count()?;
        let all = self.left_out.entry(why).or_default();
        // The examples are shown; of the rest only the number is.
        let kept = if all.len() < SHOWN { name } else { "" };
        all.push(kept.chars().take(100).collect());
        Ok(())
    }

    fn count(&mut self) -> Result<(), StageError> {
        if self.stopped() {
            return Err(StageError::Interrupted);
        }
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(StageError::Refused(format!(
                "it holds more than {} files and folders",
                self.limits.entries
            )));
        }
        Ok(())
    }

    /// Makes a folder.
    pub(super) fn folder(&mut self, name: &str) -> Result<(), StageError> {
        self.count()?;
        match entry_path(name).map_err(StageError::Refused)? {
            Some(path) => self.make(&path),
            None => Ok(()),
        }
    }

    /// Makes a folder with those above it. Nothing in the stage is a link, so that a path stays where it says.
    fn make(&mut self, path: &Path) -> Result<(), StageError> {
        fs::create_dir_all(self.top.join(path)).map_err(|error| self.clash(path, &error))
    }

    /// A path that is a file here and a folder there is the submission's doing; the rest is the disk's.
    fn clash(&self, path: &Path, error: &io::Error) -> StageError {
        match error.kind() {
            io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidFilename => StageError::Refused(format!(
                "{:?} is there as a file and as a folder",
                path.to_string_lossy()
            )),
            _ => StageError::Ours(format!(
                "cannot write `{}`: {error}",
                self.top.join(path).display()
            )),
        }
    }

    /// Writes a file; a later one of the same name takes the place of an earlier one, as packers mean it.
    pub(super) fn file(
        &mut self,
        name: &str,
        executable: bool,
        from: &mut dyn Read,
    ) -> Result<(), StageError> {
        self.count()?;
        let Some(path) = entry_path(name).map_err(StageError::Refused)? else {
            return Err(StageError::Refused(format!("{name:?} is no name of a file")));
        };
        if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
            self.make(above)?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(self.top.join(&path))
            .map_err(|error| self.clash(&path, &error))?;
        self.pour(name, from, &mut file)?;
        // Neither setuid nor anybody else's rights come along.
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    fn pour(&mut self, name: &str, from: &mut dyn Read, file: &mut File) -> Result<(), StageError> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = match from.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StageError::Refused(format!("{name:?} cannot be read: {error}"))),
            };
            self.bytes += count as u64;
            if self.bytes > self.allowed {
                return Err(self.too_large());
            }
            if self.stopped() {
                return Err(StageError::Interrupted);
            }
            file.write_all(&chunk[..count])?;
        }
    }

    /// Takes the one folder that an archive holds for the submission itself, as packers put it there.
    fn descend(&mut self) -> Result<(), StageError> {
        for _ in 0..MOST_DEPTH {
            let entries: Vec<PathBuf> = fs::read_dir(&self.top)?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<_>>()?;
            let junk = |path: &PathBuf| {
                path.file_name()
                    .is_some_and(|name| name == "__MACOSX" || name == ".DS_Store")
            };
            let own: Vec<&PathBuf> = entries.iter().filter(|path| !junk(path)).collect();
            let [only] = own[..] else { return Ok(()) };
            if !fs::symlink_metadata(only)?.is_dir() || only.file_name().is_some_and(|name| name == ".git") {
                return Ok(());
            }
            // Beside the folder first: the inner one may have the outer one's name.
            let aside = self.top.with_extension("inner");
            drop(fs::remove_dir_all(&aside));
            fs::rename(only, &aside)?;
            fs::remove_dir_all(&self.top)?;
            fs::rename(&aside, &self.top)?;
        }
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.left_out
            .iter()
            .map(|(why, names)| {
                let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
                let more = names.len().saturating_sub(SHOWN);
                let more = if more > 0 {
                    format!(" and {more} more")
                } else {
                    String::new()
                };
                format!("left out, {why}: {}{more}", shown.join(", "))
            })
            .collect()
    }

    /// Looks whether a file that was written is a pointer to content that is not there.
    pub(super) fn note_pointer(&mut self, name: &str, content: &[u8]) -> Result<(), StageError> {
        if (content.len() as u64) <= LFS_BYTES && content.starts_with(LFS) {
            return self.leave_out(
                "only a pointer of git LFS, whose content is not in the repository",
                name,
            );
        }
        Ok(())
    }
}

/// Copies a folder. Links are left out, as they may lead anywhere; pipes and devices are nothing that is handed in.
fn copy(from: &Path, stage: &mut Stage<'_>) -> Result<(), StageError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        StageError::Ours(format!("cannot read `{}`: {error}", from.display()))
    };
    let walk = WalkDir::new(from)
        .min_depth(1)
        .max_depth(MOST_DEPTH + 1)
        .follow_links(false)
        .sort_by_file_name();
    for entry in walk
        .into_iter()
        .filter_entry(|entry| entry.file_name() != ".reelworld")
    {
        let entry = entry.map_err(|error| unreadable(&error))?;
        let Ok(inside) = entry.path().strip_prefix(from) else {
            continue;
        };
        let Some(name) = inside.to_str() else {
            stage.leave_out("its name is not UTF-8", &inside.to_string_lossy())?;
            continue;
        };
        let kind = entry.file_type();
        if kind.is_dir() {
            stage.folder(name)?;
        } else if kind.is_symlink() {
            stage.leave_out("a link", name)?;
        } else if kind.is_file() {
            let mut file = open_plain(entry.path()).map_err(|error| unreadable(&error))?;
            let mode = file.metadata()?.permissions().mode();
            stage.file(name, mode & 0o100 != 0, &mut file)?;
        } else {
            stage.leave_out("neither a file nor a folder", name)?;
        }
    }
    Ok(())
}

/// Opens a file that is still one when it is open: no link is followed and no pipe is waited for.
fn open_plain(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is no plain file"))
}

impl Source {
    /// Returns what tells these files from others: a commit is its own name, the rest is a digest of names and content.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn identity(&self) -> io::Result<String> {
        let mut sum = Sha256::new();
        match self {
            Self::Git { commit, .. } => return Ok(commit.clone()),
            Self::Archive(file) => digest(&mut sum, &mut open_plain(file)?)?,
            Self::Folder(folder) => {
                let walk = WalkDir::new(folder).min_depth(1).sort_by_file_name();
                for entry in walk
                    .into_iter()
                    .filter_entry(|entry| entry.file_name() != ".reelworld")
                {
                    let entry = entry?;
                    if !entry.file_type().is_file() {
                        continue;
                    }
                    let name = entry.path().strip_prefix(folder).unwrap_or(entry.path());
                    let mut file = open_plain(entry.path())?;
                    let about = file.metadata()?;
                    // Lengths stand before what they count, so that no two lists of files give the same bytes.
                    let name = name.as_os_str().as_encoded_bytes();
                    sum.update((name.len() as u64).to_le_bytes());
                    sum.update(name);
                    sum.update(about.len().to_le_bytes());
                    sum.update([u8::from(about.permissions().mode() & 0o100 != 0)]);
                    digest(&mut sum, &mut file)?;
                }
            }
        }
        Ok(hex(&sum.finalize()))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _written = write!(text, "{byte:02x}");
        text
    })
}

fn digest(sum: &mut Sha256, from: &mut File) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(()),
            count => sum.update(&chunk[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn staged(source: &Source, to: &Path, limits: StageLimits) -> Result<Staged, StageError> {
        stage(source, to, limits, (Clock::start(), &AtomicBool::new(false)))
    }

    #[test]
    fn a_folder_is_copied_without_its_links_and_rights() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        fs::create_dir_all(from.join("src")).unwrap();
        fs::create_dir_all(from.join(".reelworld")).unwrap();
        fs::write(from.join(".reelworld/old"), "x").unwrap();
        fs::write(from.join("src/app.py"), "print()").unwrap();
        fs::write(from.join("run"), "#!/bin/sh").unwrap();
        fs::set_permissions(from.join("run"), fs::Permissions::from_mode(0o4777)).unwrap();
        fs::write(home.path().join("secret"), "s3cret").unwrap();
        symlink(home.path().join("secret"), from.join("data")).unwrap();
        symlink("/", from.join("root")).unwrap();
        nix::unistd::mkfifo(&from.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();

        let notes = staged(&Source::Folder(from.clone()), &to, LIMITS).unwrap().notes;
        assert_eq!(
            notes,
            [
                "left out, a link: \"data\", \"root\"",
                "left out, neither a file nor a folder: \"pipe\""
            ]
        );
        assert_eq!(fs::read_to_string(to.join("src/app.py")).unwrap(), "print()");
        let mode = fs::metadata(to.join("run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        let mut names: Vec<_> = fs::read_dir(&to)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["run", "src"]);
    }

    #[test]
    fn what_is_too_large_or_too_many_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        fs::create_dir_all(&from).unwrap();
        for n in 0..4 {
            fs::write(from.join(n.to_string()), vec![7; 1 << 20]).unwrap();
        }
        let source = Source::Folder(from);
        let refused = |limits| match staged(&source, &to, limits) {
            Err(StageError::Refused(why)) => why,
            other => panic!("{other:?}"),
        };
        let small = StageLimits {
            bytes: 3 << 20,
            ..LIMITS
        };
        assert!(refused(small).contains("more than 3 MiB"));
        let few = StageLimits { entries: 3, ..LIMITS };
        assert!(refused(few).contains("more than 3 files"));
        assert!(staged(&source, &to, LIMITS).is_ok());
        let stopped = stage(&source, &to, LIMITS, (Clock::start(), &AtomicBool::new(true)));
        assert!(matches!(stopped, Err(StageError::Interrupted)));
    }

    #[test]
    fn the_identity_of_a_folder_follows_its_files() {
        let home = tempfile::tempdir().unwrap();
        let source = Source::Folder(home.path().to_owned());
        fs::write(home.path().join("a"), "bc").unwrap();
        let one = source.identity().unwrap();
        assert_eq!(one, source.identity().unwrap());
        fs::rename(home.path().join("a"), home.path().join("ab")).unwrap();
        fs::write(home.path().join("ab"), "c").unwrap();
        assert_ne!(one, source.identity().unwrap());
    }
}
