//! Reads lines of foreign files one by one: bounded, packed or plain, with every fault told by file and line.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

/// The longest line that is read; the longest real one is a movie's record of some two thousand bytes.
pub(super) const MAX_LINE: u64 = 1 << 16;
/// The most bytes that a file may unfold to: the largest public set of ratings is a hundredth of it.
pub(super) const MAX_UNFOLDED: u64 = 64 << 30;
/// After this many faults reading stops: the file is something else than was thought.
pub const MAX_FAULTS: usize = 20;

/// One place where a file is not what its format says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; 0 where it is the file as a whole.
    pub line: u64,
    /// The column in characters, from 1; 0 where it is the line as a whole.
    pub column: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path.display(), self.what),
            line if self.column == 0 => write!(f, "{}:{line}: {}", self.path.display(), self.what),
            line => write!(f, "{}:{line}:{}: {}", self.path.display(), self.column, self.what),
        }
    }
}

/// Why a log cannot be imported: all faults found, up to [`MAX_FAULTS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadImport {
    /// The faults, in the order of reading.
    pub faults: Vec<LineFault>,
}

impl BadImport {
    pub(super) fn of(path: &Path, line: u64, what: impl Into<String>) -> Self {
        Self {
            faults: vec![LineFault {
                path: path.to_owned(),
                line,
                column: 0,
                what: what.into(),
            }],
        }
    }
}

impl fmt::Display for BadImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.faults.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        if self.faults.len() >= MAX_FAULTS {
            write!(f, "\nstopped after {MAX_FAULTS} faults")?;
        }
        Ok(())
    }
}

impl std::error::Error for BadImport {}

/// Takes the number of a line, from 1, and its bytes, and may complain.
type LineReader<'r> = dyn FnMut(u64, &[u8]) -> Result<(), String> + 'r;

/// Gives each line, without its end, to a reader; a complaint of the reader is a fault of that line, and reading goes on.
pub(super) fn each_line(path: &Path, each: &mut LineReader<'_>) -> Result<u64, BadImport> {
    let file = File::open(path).map_err(|error| BadImport::of(path, 0, error.to_string()))?;
    let mut file = BufReader::new(file);
    let packed = file
        .fill_buf()
        .map_err(|error| BadImport::of(path, 0, error.to_string()))?
        .starts_with(&[0x1f, 0x8b]);
    if packed {
        each_line_of(path, MultiGzDecoder::new(file), each)
    } else {
        each_line_of(path, file, each)
    }
}

fn each_line_of(path: &Path, source: impl Read, each: &mut LineReader<'_>) -> Result<u64, BadImport> {
    let mut source = BufReader::new(source.take(MAX_UNFOLDED));
    let (mut line, mut number, mut unfolded) = (Vec::new(), 0_u64, 0_u64);
    let mut bad = BadImport { faults: Vec::new() };
    loop {
        line.clear();
        let read = source.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line);
        let outcome = match read {
            Ok(0) => break,
            Ok(read) => {
                number += 1;
                unfolded += read as u64;
                if unfolded >= MAX_UNFOLDED {
                    Err((format!("the file goes on after {MAX_UNFOLDED} bytes"), true))
                } else if line.last() != Some(&b'\n') && line.len() as u64 > MAX_LINE {
                    Err((format!("a line of more than {MAX_LINE} bytes"), true))
                } else {
                    while line.last().is_some_and(|end| matches!(end, b'\n' | b'\r')) {
                        line.pop();
                    }
                    each(number, &line).map_err(|what| (what, false))
                }
            }
            // A damaged archive or disk: what follows cannot be trusted.
            Err(error) => {
                number += 1;
                Err((error.to_string(), true))
            }
        };
        if let Err((what, last)) = outcome {
            bad.faults.extend(BadImport::of(path, number, what).faults);
            if last || bad.faults.len() >= MAX_FAULTS {
                break;
            }
        }
    }
    if bad.faults.is_empty() {
        Ok(number)
    } else {
        Err(bad)
    }
}

/// Returns the text of a line that must be UTF-8.
pub(super) fn utf8(line: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(line).map_err(|error| error.to_string())
}

/// Returns the text of a line in latin-1, which cannot fail.
pub(super) fn latin1(line: &[u8]) -> String {
    line.iter().map(|byte| char::from(*byte)).collect()
}

/// Returns the text of a line that is UTF-8 in some copies of a data set and latin-1 in others.
pub(super) fn either(line: &[u8]) -> String {
    std::str::from_utf8(line).map_or_else(|_| latin1(line), str::to_owned)
}
