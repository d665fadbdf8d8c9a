//! A submission's files on their way into a sandbox: read outside without following links, written inside without believing names.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

/// The longest header of an entry; a path is at most 4 KiB.
const HEADER_BYTES: u32 = 32 << 10;
/// What files are rounded up to where they lie in memory.
const PAGE: u64 = 4096;
/// The files of the sandbox itself where a submission lies, and their bytes.
const OWN_FILES: u32 = 32;
const OWN_BYTES: u64 = 1 << 20;
/// The folder of our own reports in a repository, which is no part of a submission.
const OURS: &str = ".reelworld";

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    path: String,
    folder: bool,
    executable: bool,
    bytes: u64,
}

/// Writes the files of a folder, in the order of their names; links and special files are left out.
///
/// # Errors
/// When a file cannot be read, when there are more bytes or files than the most, or when the other side is gone.
pub(super) fn pack(dir: &Path, most_bytes: u64, most_files: u32, mut to: impl Write) -> io::Result<()> {
    let (mut bytes, mut files) = (0, 0);
    let entries = WalkDir::new(dir)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.file_name() != OURS);
    for found in entries {
        let found = found.map_err(io::Error::other)?;
        let Ok(inside) = found.path().strip_prefix(dir) else {
            continue;
        };
        // A name that is no text cannot be asked for by a program of ours; it is left out, as a link is.
        let Some(path) = inside.to_str() else { continue };
        let folder = found.file_type().is_dir();
        if !folder && !found.file_type().is_file() {
            continue;
        }
        files += 1;
        if files > most_files {
            return Err(io::Error::other(format!(
                "the submission has more than {most_files} files"
            )));
        }
        if folder {
            header(&mut to, path, true, false, 0)?;
            continue;
        }
        let file = open(found.path())?;
        let about = file.metadata()?;
        if !about.is_file() {
            continue;
        }
        bytes += about.len();
        if bytes > most_bytes {
            return Err(io::Error::other(format!(
                "the submission is larger than {} MiB",
                most_bytes >> 20
            )));
        }
        let executable = about.permissions().mode() & 0o100 != 0;
        header(&mut to, path, false, executable, about.len())?;
        let copied = io::copy(&mut file.take(about.len()), &mut to)?;
        if copied < about.len() {
            return Err(io::Error::other(format!(
                "`{path}` became shorter while it was read"
            )));
        }
    }
    to.write_all(&0_u32.to_le_bytes())?;
    to.flush()
}

/// Returns why a folder does not fit into a sandbox: how much of its disk the files take there, and how many they are.
///
/// # Errors
/// When the folder cannot be read.
pub(in super::super) fn misfit(dir: &Path, disk_mib: u32, most_files: u32) -> io::Result<Option<String>> {
    let (mut bytes, mut files) = (0_u64, 0_u32);
    for found in WalkDir::new(dir).min_depth(1) {
        let found = found.map_err(io::Error::other)?;
        files += 1;
        if found.file_type().is_file() {
            bytes += found
                .metadata()
                .map_err(io::Error::other)?
                .len()
                .next_multiple_of(PAGE);
        }
    }
    let most_bytes = u64::from(disk_mib) << 20;
    Ok(if files + OWN_FILES > most_files {
        Some(format!(
            "it has {files} files and folders, and its sandbox has room for {most_files}"
        ))
    } else if bytes + OWN_BYTES > most_bytes {
        Some(format!(
            "its files take {} MiB, and its sandbox has room for {disk_mib} MiB",
            bytes.div_ceil(1 << 20)
        ))
    } else {
        None
    })
}

/// Opens a file, but not what a link leads to: it may have become one since it was looked at.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

fn header(to: &mut impl Write, path: &str, folder: bool, executable: bool, bytes: u64) -> io::Result<()> {
    let entry = Entry {
        path: path.to_owned(),
        folder,
        executable,
        bytes,
    };
    let text = serde_json::to_vec(&entry).map_err(io::Error::other)?;
    to.write_all(&(text.len() as u32).to_le_bytes())?;
    to.write_all(&text)
}

/// Reads what [`pack`] wrote into a folder.
///
/// # Errors
/// When it does not fit, or when it is not what `pack` writes.
pub(super) fn unpack(mut from: impl Read, dir: &Path) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length == 0 {
            return Ok(());
        }
        if length > HEADER_BYTES {
            return Err(io::Error::other("an entry's header is too long"));
        }
        let mut text = vec![0; length as usize];
        from.read_exact(&mut text)?;
        let entry: Entry = serde_json::from_slice(&text).map_err(io::Error::other)?;
        let path = Path::new(&entry.path);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::Error::other(format!("`{}` leads outside", entry.path)));
        }
        let path = dir.join(path);
        if entry.folder {
            match fs::DirBuilder::new().mode(0o755).create(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => continue,
            }
        }
        let mode = if entry.executable { 0o755 } else { 0o644 };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)?;
        let copied = io::copy(&mut (&mut from).take(entry.bytes), &mut file)?;
        if copied < entry.bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_arrive_and_links_setuid_bits_and_our_own_reports_do_not() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |name: &str, mode| {
            fs::write(from.path().join(name), name).unwrap();
            fs::set_permissions(from.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::create_dir_all(from.path().join("a/b")).unwrap();
        fs::create_dir(from.path().join(OURS)).unwrap();
        write("a/b/plain", 0o600);
        write("program", 0o4755);
        write(".reelworld/key", 0o644);
        symlink("/etc/passwd", from.path().join("link")).unwrap();
        symlink("/", from.path().join("a/all")).unwrap();
        let mut bytes = Vec::new();
        pack(from.path(), 1 << 20, 100, &mut bytes).unwrap();
        unpack(bytes.as_slice(), to.path()).unwrap();
        let mut names: Vec<String> = WalkDir::new(to.path())
            .min_depth(1)
            .into_iter()
            .map(|entry| {
                let entry = entry.unwrap();
                entry
                    .path()
                    .strip_prefix(to.path())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        names.sort();
        assert_eq!(names, ["a", "a/b", "a/b/plain", "program"]);
        let mode = |name: &str| fs::metadata(to.path().join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("program"), mode("a/b/plain") & 0o111), (0o755, 0));
    }

    #[test]
    fn what_is_too_much_is_told() {
        let from = tempfile::tempdir().unwrap();
        fs::write(from.path().join("a"), vec![0; 2 << 20]).unwrap();
        fs::write(from.path().join("b"), "").unwrap();
        let told = |bytes, files| {
            pack(from.path(), bytes, files, io::sink())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(told(1 << 20, 9), "the submission is larger than 1 MiB");
        assert_eq!(told(9 << 20, 1), "the submission has more than 1 files");
    }

    #[test]
    fn what_does_not_fit_beside_what_is_ours_is_told_before_a_sandbox_is_made() {
        let from = tempfile::tempdir().unwrap();
        let most = (2 << 20) - OWN_BYTES;
        let file = File::create(from.path().join("a")).unwrap();
        // A file takes whole pages: one byte of a page is as much as all of it.
        file.set_len(most - PAGE + 1).unwrap();
        let told = |files| misfit(from.path(), 2, files).unwrap();
        assert_eq!(told(1 + OWN_FILES), None);
        let few = OWN_FILES;
        assert_eq!(
            told(few).unwrap(),
            format!("it has 1 files and folders, and its sandbox has room for {few}")
        );
        file.set_len(most + 1).unwrap();
        assert_eq!(
            told(1 + OWN_FILES).unwrap(),
            "its files take 2 MiB, and its sandbox has room for 2 MiB"
        );
    }

    #[test]
    fn a_name_that_leads_outside_is_refused() {
        for name in ["../x", "/x", "a/../../x", "./x"] {
            let mut bytes = Vec::new();
            header(&mut bytes, name, false, false, 0).unwrap();
            bytes.extend(0_u32.to_le_bytes());
            let dir = tempfile::tempdir().unwrap();
            assert!(unpack(bytes.as_slice(), dir.path()).is_err(), "{name}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    proptest! {
        #[test]
        fn bytes_that_nobody_packed_are_an_error_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let dir = tempfile::tempdir().unwrap();
            // Four zeros at the start are an empty package.
            let empty = bytes.starts_with(&[0; 4]);
            prop_assert_eq!(unpack(bytes.as_slice(), dir.path()).is_ok(), empty);
        }
    }
}
