//! What was fetched, kept in a folder: a file an address, named by its digest, with a line about it and then the body.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

/// The most bytes and the most files that a folder keeps: what comes then is handed on and not kept.
const MOST_BYTES: u64 = 32 << 30;
const MOST_FILES: u64 = 200_000;
/// The longest line about a file.
const LINE_BYTES: u64 = 8 << 10;

/// The line about a file.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    address: String,
    status: u16,
}

/// A folder of what was fetched.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// The bytes and files in it, as far as this run knows.
    holds: Mutex<(u64, u64)>,
}

/// Something that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) status: u16,
    pub(super) file: File,
    /// Where the body begins.
    pub(super) begins: u64,
    pub(super) bytes: u64,
}

/// A place for something that is being fetched.
#[derive(Debug)]
pub(super) struct Staged {
    address: String,
    body: File,
}

impl Staged {
    pub(super) fn body(&mut self) -> &mut File {
        &mut self.body
    }
}

impl Store {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut holds = (0, 0);
        for entry in fs::read_dir(&folder)? {
            // One that another run has just renamed is not counted.
            holds.0 += entry?.metadata().map_or(0, |about| about.len());
            holds.1 += 1;
        }
        Ok(Self {
            folder,
            holds: Mutex::new(holds),
        })
    }

    /// Returns what is kept of an address; what is no file of ours counts as not there.
    pub(super) fn get(&self, address: &str) -> io::Result<Option<Kept>> {
        let file = match File::open(self.place(address)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        kept(file, address)
    }

    pub(super) fn stage(&self, address: &str) -> io::Result<Staged> {
        Ok(Staged {
            address: address.to_owned(),
            body: tempfile::tempfile_in(&self.folder)?,
        })
    }

    /// Keeps what was fetched whole: it gets its name when it is there.
    pub(super) fn keep(&self, mut staged: Staged, status: u16) -> io::Result<Kept> {
        let about = About {
            address: staged.address.clone(),
            status,
        };
        let mut line = serde_json::to_vec(&about).map_err(io::Error::other)?;
        line.push(b'\n');
        let mut file = NamedTempFile::with_prefix_in(".fetched-", &self.folder)?;
        file.write_all(&line)?;
        staged.body.rewind()?;
        io::copy(&mut staged.body, &mut file)?;
        let bytes = file.as_file().metadata()?.len();
        let has_room = {
            let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
            let has_room = holds.0 + bytes <= MOST_BYTES && holds.1 < MOST_FILES;
            if has_room {
                holds.0 += bytes;
                holds.1 += 1;
            }
            has_room
        };
        if has_room {
            file.persist(self.place(&staged.address))
                .map_err(|error| error.error)?;
            return self
                .get(&staged.address)?
                .ok_or_else(|| io::Error::other("what was kept is gone"));
        }
        kept(file.reopen()?, &staged.address)?.ok_or_else(|| io::Error::other("what was fetched is gone"))
    }

    fn place(&self, address: &str) -> PathBuf {
        let digest = Sha256::digest(address.as_bytes());
        let name = digest
            .iter()
            .fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
        self.folder.join(name)
    }
}

fn kept(file: File, address: &str) -> io::Result<Option<Kept>> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(file);
    reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)?;
    let about: Option<About> = serde_json::from_slice(&line).ok();
    let Some(about) = about.filter(|about| about.address == address) else {
        return Ok(None);
    };
    let file = reader.into_inner();
    let begins = line.len() as u64;
    let bytes = file.metadata()?.len().saturating_sub(begins);
    Ok(Some(Kept {
        status: about.status,
        file,
        begins,
        bytes,
    }))
}
