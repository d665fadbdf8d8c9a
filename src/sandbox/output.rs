//! What a program prints, drained as fast as it comes and kept only at its end.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// The last bytes that are kept: a traceback fits, a flood does not.
const KEPT: usize = 64 << 10;
/// The most lines and the longest line that evidence quotes.
const LINES: usize = 40;
const LINE: usize = 300;
/// How long after a command's end its last words may take to be read.
pub(super) const SETTLING: Duration = Duration::from_secs(2);

/// The end of a program's output, shared with the thread that drains it.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    total: u64,
    /// Whether everybody who could print has ended.
    ended: bool,
}

impl Tail {
    /// Drains a stream on a thread of its own until it ends. Where there is a most, in bytes a second, whoever prints faster waits:
    /// reading a flood as fast as it comes would take a processor from the measurement.
    pub(super) fn drain(&self, mut stream: impl Read + Send + 'static, most: Option<u64>, clock: Clock) {
        let kept = Arc::clone(&self.0);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 32 << 10];
            let (mut second, mut read) = (clock.elapsed().as_secs(), 0);
            while let Ok(count) = stream.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                read += count as u64;
                let now = clock.elapsed();
                if now.as_secs() != second {
                    (second, read) = (now.as_secs(), 0);
                } else if most.is_some_and(|most| read > most) {
                    clock.sleep(Duration::from_secs(second + 1).saturating_sub(now));
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.total += count as u64;
                kept.bytes.extend(&buffer[count.saturating_sub(KEPT)..count]);
                let over = kept.bytes.len().saturating_sub(KEPT);
                kept.bytes.drain(..over);
            }
            kept.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        });
    }

    /// Waits until all that was printed is read, or somebody holds the stream open beyond a short while.
    pub(super) fn settle(&self, most: Duration, clock: Clock) {
        let begun = clock.elapsed();
        while clock.elapsed() - begun < most && !self.0.lock().unwrap_or_else(PoisonError::into_inner).ended {
            clock.sleep(Duration::from_millis(1));
        }
    }

    /// Returns the last lines, each made printable and bounded, and the number of bytes printed in all.
    pub(super) fn lines(&self) -> (Vec<String>, u64) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let all: Vec<&str> = text.lines().collect();
        let last = &all[all.len().saturating_sub(LINES)..];
        (last.iter().map(|line| shown(line)).collect(), kept.total)
    }
}

/// Makes a line printable: signs that steer a terminal become visible, and the length is bounded.
fn shown(line: &str) -> String {
    let mut shown = String::new();
    for letter in line.chars().take(LINE) {
        if letter == '\t' {
            shown.push_str("    ");
        } else if letter.is_control() || turns(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Tells whether a sign is unseen or changes the direction of what follows.
fn turns(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
