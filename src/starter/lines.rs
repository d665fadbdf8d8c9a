//! Texts as lines: what two have in common, and whether a merge has kept what somebody wrote.

use std::collections::BTreeMap;

/// How far into a file a byte is looked for that no text holds. As in git.
const LOOKED_AT: usize = 8_000;

/// Returns the lines of a text, each with its end.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Whether a file is a text: no zero byte near its start.
pub(super) fn is_text(content: &[u8]) -> bool {
    !content.iter().take(LOOKED_AT).any(|byte| *byte == 0)
}

/// Whether every line ends as on Windows, and there is one.
pub(super) fn uses_crlf(text: &[u8]) -> bool {
    let mut ends = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .peekable();
    ends.peek().is_some() && ends.all(|(place, _)| place > 0 && text[place - 1] == b'\r')
}

/// Returns a text with every line's end as on Windows.
pub(super) fn to_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 20);
    for line in lines(text) {
        match line.strip_suffix(b"\n") {
            Some(bare) => {
                out.extend_from_slice(bare.strip_suffix(b"\r").unwrap_or(bare));
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// Returns how many lines two texts begin with together, and how many they end with.
pub(super) fn common_ends(a: &[&[u8]], b: &[&[u8]]) -> (usize, usize) {
    let head = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let tail = a[head..]
        .iter()
        .rev()
        .zip(b[head..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    (head, tail)
}

/// Returns the share of the longer text's lines that the other has as well, blank lines aside.
pub(super) fn likeness(a: &[u8], b: &[u8]) -> f64 {
    let (a, b) = (counts(a), counts(b));
    let both: usize = a
        .iter()
        .map(|(line, count)| b.get(line).map_or(0, |other| *count.min(other)))
        .sum();
    let all = a.values().sum::<usize>().max(b.values().sum());
    if all == 0 { 0.0 } else { both as f64 / all as f64 }
}

/// Whether a merge holds every line that the team has added to what it was given, at least as often.
pub(super) fn keeps_lines(base: &[u8], team: &[u8], merged: &[u8]) -> bool {
    let (base, team, merged) = (counts(base), counts(team), counts(merged));
    team.iter().all(|(line, count)| {
        let given = base.get(line).copied().unwrap_or(0);
        merged.get(line).copied().unwrap_or(0) >= count.saturating_sub(given)
    })
}

/// Counts the lines of a text, without their ends; blank ones say nothing.
fn counts(text: &[u8]) -> BTreeMap<&[u8], usize> {
    let mut counts = BTreeMap::new();
    for line in lines(text) {
        let bare = line.trim_ascii_end();
        if !bare.is_empty() {
            *counts.entry(bare).or_insert(0) += 1;
        }
    }
    counts
}
