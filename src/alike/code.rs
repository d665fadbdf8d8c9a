//! Code that two teams share beyond their starter: winnowed fingerprints of tokens, as MOSS and compare50 take them.
//!
//! The method is that of Schleimer, Wilkerson and Aiken (2003): tokens without names, comments and blanks; a hash for each run of
//! [`RUN`] of them; of each window of hashes the least. Whatever of that is the starter's, or many teams', is left out.

use std::collections::{BTreeMap, BTreeSet};

/// The tokens of one hash: what is shorter is an idiom.
const RUN: usize = 25;
/// The hashes of one window: a passage of `RUN` + `WINDOW` - 1 tokens that two files share is never missed.
const WINDOW: usize = 11;
/// A passage that this share of the class has is the course's: what the documentation shows, say. Two teams are no class.
const COMMON: f64 = 0.25;
/// In a small class a passage may be with so many teams before it is common.
const COMMON_LEAST: usize = 3;
/// A pair is flagged when it shares at least so many fingerprints, some ten passages of ten lines ...
const LEAST_SHARED: usize = 30;
/// ... and they are at least this share of the fingerprints that the team with fewer has of its own.
const LEAST_SHARE: f64 = 0.2;
/// The passages that are named as evidence.
const NAMED: usize = 6;
/// Words of the languages that teams write, which are no names of theirs.
const KEYWORDS: &[&str] = &[
    "and",
    "as",
    "async",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "def",
    "del",
    "do",
    "elif",
    "else",
    "except",
    "export",
    "extends",
    "false",
    "finally",
    "fn",
    "for",
    "from",
    "func",
    "function",
    "go",
    "if",
    "impl",
    "import",
    "in",
    "interface",
    "is",
    "lambda",
    "let",
    "match",
    "mod",
    "new",
    "none",
    "not",
    "null",
    "or",
    "package",
    "pass",
    "private",
    "public",
    "raise",
    "return",
    "static",
    "struct",
    "switch",
    "throw",
    "true",
    "try",
    "type",
    "use",
    "var",
    "void",
    "while",
    "with",
    "yield",
];

/// A file of a submission: its path and its text.
pub type SourceFile = (String, String);

/// Two submissions that share code.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedCode {
    /// The teams.
    pub teams: [String; 2],
    /// The fingerprints that both have, and nearly nobody else.
    pub shared: usize,
    /// That as a share of what the team with fewer fingerprints has of its own.
    pub share: f64,
    /// Whether somebody should look.
    pub flagged: bool,
    /// Where the longest passages are: file and lines of both.
    pub evidence: Vec<String>,
}

/// Where a fingerprint stands in the files of two teams: the file's place and the line, of each.
type Meeting = [(usize, usize); 2];

/// A fingerprint of a file: its hash, and the line on which it begins.
type Print = (u64, usize);

/// Returns how much code each two submissions share beyond the base, the most first; pairs that share nothing are left out.
pub fn shared_code(teams: &BTreeMap<String, Vec<SourceFile>>, base: &[SourceFile]) -> Vec<SharedCode> {
    let of_base: BTreeSet<u64> = base
        .iter()
        .flat_map(|(_, text)| runs(&tokens(text)))
        .map(|(hash, _)| hash)
        .collect();
    let prints: BTreeMap<&String, BTreeMap<u64, (usize, usize)>> = teams
        .iter()
        .map(|(team, files)| (team, of_team(files, &of_base)))
        .collect();
    let mut holders: BTreeMap<u64, usize> = BTreeMap::new();
    for hash in prints.values().flat_map(BTreeMap::keys) {
        *holders.entry(*hash).or_default() += 1;
    }
    let most = COMMON_LEAST.max((COMMON * teams.len() as f64) as usize);
    let own = |hash: &u64| holders.get(hash).is_some_and(|count| *count <= most);
    let sizes: BTreeMap<&String, usize> = prints
        .iter()
        .map(|(team, prints)| (*team, prints.keys().filter(|hash| own(hash)).count()))
        .collect();
    let names: Vec<&String> = teams.keys().collect();
    let mut found = Vec::new();
    for (place, a) in names.iter().enumerate() {
        for b in &names[place + 1..] {
            let both: Vec<u64> = prints[a]
                .keys()
                .filter(|hash| own(hash) && prints[b].contains_key(*hash))
                .copied()
                .collect();
            if both.is_empty() {
                continue;
            }
            let share = both.len() as f64 / sizes[a].min(sizes[b]).max(1) as f64;
            let flagged = both.len() >= LEAST_SHARED && share >= LEAST_SHARE;
            found.push(SharedCode {
                teams: [(*a).clone(), (*b).clone()],
                shared: both.len(),
                share,
                flagged,
                evidence: if flagged {
                    passages(&both, [&prints[a], &prints[b]], [&teams[*a], &teams[*b]])
                } else {
                    Vec::new()
                },
            });
        }
    }
    found.sort_by(|a, b| {
        b.flagged
            .cmp(&a.flagged)
            .then(b.share.total_cmp(&a.share))
            .then(a.teams.cmp(&b.teams))
    });
    found
}

/// The fingerprints of a team that are not the base's, each with its file's place and its line.
fn of_team(files: &[SourceFile], base: &BTreeSet<u64>) -> BTreeMap<u64, (usize, usize)> {
    let mut prints = BTreeMap::new();
    for (place, (_, text)) in files.iter().enumerate() {
        for (hash, line) in winnow(&runs(&tokens(text))) {
            if !base.contains(&hash) {
                prints.entry(hash).or_insert((place, line));
            }
        }
    }
    prints
}

/// Joins fingerprints that lie near each other in both teams into passages, the longest first.
fn passages(
    both: &[u64],
    prints: [&BTreeMap<u64, (usize, usize)>; 2],
    files: [&Vec<SourceFile>; 2],
) -> Vec<String> {
    let mut places: Vec<Meeting> = both
        .iter()
        .map(|hash| [prints[0][hash], prints[1][hash]])
        .collect();
    places.sort_unstable();
    // A window's fingerprints are a few lines apart at most.
    let near = |a: (usize, usize), b: (usize, usize)| a.0 == b.0 && a.1.abs_diff(b.1) <= WINDOW;
    let mut spans: Vec<(Meeting, Meeting)> = Vec::new();
    for place in places {
        match spans.last_mut() {
            Some((_, last)) if near(last[0], place[0]) && near(last[1], place[1]) => *last = place,
            _ => spans.push((place, place)),
        }
    }
    spans.sort_by_key(|(first, last)| std::cmp::Reverse(last[0].1 - first[0].1));
    let at = |side: usize, first: (usize, usize), last: (usize, usize)| {
        let (low, high) = (first.1.min(last.1), first.1.max(last.1));
        format!("{}:{low}-{high}", files[side][first.0].0)
    };
    spans
        .iter()
        .take(NAMED)
        .map(|(first, last)| format!("{} and {}", at(0, first[0], last[0]), at(1, first[1], last[1])))
        .collect()
}

/// The tokens of a text with their lines: names are all one, as are numbers and texts; comments and blanks are nothing.
fn tokens(text: &str) -> Vec<(String, usize)> {
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            let token = if letter.is_whitespace() {
                continue;
            } else if letter == '#' || letter == '/' && letters.peek() == Some(&'/') {
                break;
            } else if letter.is_alphabetic() || letter == '_' {
                let mut word = letter.to_string();
                while let Some(next) = letters.next_if(|next| next.is_alphanumeric() || *next == '_') {
                    word.push(next);
                }
                let lower = word.to_lowercase();
                if KEYWORDS.contains(&lower.as_str()) {
                    lower
                } else {
                    "v".to_owned()
                }
            } else if letter.is_ascii_digit() {
                while letters
                    .next_if(|next| next.is_alphanumeric() || ['.', '_'].contains(next))
                    .is_some()
                {}
                "n".to_owned()
            } else if letter == '"' || letter == '\'' {
                let mut escaped = false;
                for next in letters.by_ref() {
                    if next == letter && !escaped {
                        break;
                    }
                    escaped = next == '\\' && !escaped;
                }
                "s".to_owned()
            } else {
                letter.to_string()
            };
            tokens.push((token, number + 1));
        }
    }
    tokens
}

/// The hash of each run of tokens, with the line on which it begins.
fn runs(tokens: &[(String, usize)]) -> Vec<Print> {
    tokens
        .windows(RUN)
        .map(|run| {
            // FNV-1a: nothing hangs on its strength, as who forges a collision accuses nobody but themselves.
            let hash = run.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, (token, _)| {
                token.bytes().chain([0]).fold(hash, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
                })
            });
            (hash, run[0].1)
        })
        .collect()
}

/// Of each window the least hash, the last of equals; a fingerprint that several windows share is taken once.
fn winnow(runs: &[Print]) -> Vec<Print> {
    let mut kept: Vec<(usize, Print)> = Vec::new();
    let windows = runs.windows(WINDOW.min(runs.len().max(1)));
    for (from, window) in windows.enumerate() {
        let least = window
            .iter()
            .enumerate()
            .min_by(|a, b| a.1.0.cmp(&b.1.0).then(b.0.cmp(&a.0)));
        if let Some((place, print)) = least
            && kept.last().is_none_or(|(last, _)| *last != from + place)
        {
            kept.push((from + place, *print));
        }
    }
    kept.into_iter().map(|(_, print)| print).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seed::{Draws, Key};

    /// A program of some functions, with lines that nobody else would write.
    fn program(draws: &mut Draws, functions: u64) -> String {
        const SIGNS: [&str; 8] = ["+", "-", "*", "/", "%", "<", "and", "or"];
        let mut text = String::new();
        for _ in 0..functions {
            text.push_str(&format!("def name_{}(a, b):\n", draws.below(1000)));
            for _ in 0..8 {
                text.push_str("    a = b");
                for _ in 0..6 {
                    let sign = SIGNS[draws.below(8) as usize];
                    let operand = if draws.chance(0.5) { "b" } else { "7.5" };
                    text.push_str(&format!(" {sign} {operand}"));
                }
                text.push('\n');
            }
        }
        text
    }

    fn renamed(text: &str) -> String {
        text.replace("name_", "f")
            .replace("a, b", "first, second")
            .replace("    ", "\t")
    }

    fn class(seed: u64) -> (BTreeMap<String, Vec<SourceFile>>, Vec<SourceFile>, Draws) {
        let mut draws = Key::from_seed(seed).branch("programs").at(0);
        let starter = program(&mut draws, 20);
        let teams = (0..6)
            .map(|team| {
                let text = format!("{starter}\n{}", program(&mut draws, 30));
                (format!("team{team}"), vec![("service.py".to_owned(), text)])
            })
            .collect();
        (teams, vec![("service.py".to_owned(), starter)], draws)
    }

    #[test]
    fn code_that_was_taken_over_is_found_under_other_names_and_the_starter_is_not() {
        let (mut teams, base, mut draws) = class(1);
        let clean = shared_code(&teams, &base);
        assert!(clean.iter().all(|pair| !pair.flagged), "{clean:?}");
        let taken = renamed(&teams["team2"][0].1);
        let mut own = program(&mut draws, 15);
        own.push_str(&taken);
        teams.insert("copy".to_owned(), vec![("app.py".to_owned(), own)]);
        let found = shared_code(&teams, &base);
        let flagged: Vec<&SharedCode> = found.iter().filter(|pair| pair.flagged).collect();
        assert_eq!(flagged.len(), 1, "{found:?}");
        assert_eq!(flagged[0].teams, ["copy", "team2"]);
        assert!(flagged[0].share > 0.6, "{found:?}");
        assert!(
            flagged[0].evidence[0].starts_with("app.py:"),
            "{:?}",
            flagged[0].evidence
        );
        // Without the base the starter would accuse everybody.
        let small: BTreeMap<_, _> = teams
            .into_iter()
            .filter(|(team, _)| team < &"team2".to_owned())
            .collect();
        assert!(shared_code(&small, &[]).iter().all(|pair| pair.flagged));
    }

    #[test]
    fn names_numbers_texts_comments_and_blanks_are_no_difference() {
        let words = |text: &str| {
            tokens(text)
                .into_iter()
                .map(|(token, _)| token)
                .collect::<Vec<_>>()
        };
        assert_eq!(words("total = price * 3.5  # euros"), words("x=y*2"));
        assert_eq!(words("if a: return 'it\\'s'"), ["if", "v", ":", "return", "s"]);
        assert_eq!(words("a // b"), ["v"]);
        assert!(words("").is_empty());
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "\\PC{0,400}", other in proptest::collection::vec(any::<u8>(), 0..400)) {
            let other = String::from_utf8_lossy(&other).into_owned();
            let teams = [("a", text), ("b", other)].map(|(team, text)| (team.to_owned(), vec![("x".to_owned(), text)]));
            for pair in shared_code(&teams.into(), &[]) {
                prop_assert!(pair.share <= 1.0);
            }
        }

        #[test]
        fn a_passage_that_is_long_enough_is_never_missed(seed in 0..200_u64, cut in 0..30_usize) {
            let mut draws = Key::from_seed(seed).branch("passage").at(0);
            let passage = program(&mut draws, 3);
            let longer = format!("{}{passage}", "x = 1\n".repeat(cut));
            let a: BTreeSet<u64> = winnow(&runs(&tokens(&passage))).into_iter().map(|(hash, _)| hash).collect();
            let b: BTreeSet<u64> = winnow(&runs(&tokens(&longer))).into_iter().map(|(hash, _)| hash).collect();
            prop_assert!(a.intersection(&b).next().is_some());
        }
    }
}
