//! A newer starter merged into what a team has made of the old one: a table of cases, and the law that no team line is lost.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reelworld::starter::{BaseFile, Change, Kind, Left, StarterFile, TeamFile, Three, What, merge};

/// Files of a case: a path, and a letter for each line.
type Files<'a> = &'a [(&'a str, &'a str)];

/// A letter is a line of that letter; the signs of markers are marker lines.
fn text(letters: &str) -> Vec<u8> {
    let line = |letter: char| match letter {
        '<' => "<<<<<<< yours\n".to_owned(),
        '|' => "||||||| the starter you began with\n".to_owned(),
        '=' => "=======\n".to_owned(),
        '>' => ">>>>>>> the new starter\n".to_owned(),
        '0' => "\0\n".to_owned(),
        letter => format!("line {letter}\n"),
    };
    letters.chars().map(line).collect::<String>().into_bytes()
}

fn id(content: &[u8]) -> String {
    format!("{content:?}")
}

fn three(base: Files<'_>, team: Files<'_>, starter: Files<'_>) -> Three {
    Three {
        base: base
            .iter()
            .map(|(path, letters)| {
                let content = text(letters);
                (
                    (*path).to_owned(),
                    BaseFile {
                        id: id(&content),
                        content: Some(content),
                    },
                )
            })
            .collect(),
        team: team
            .iter()
            .map(|(path, letters)| {
                let content = text(letters);
                let file = TeamFile {
                    id: id(&content),
                    kind: Kind::Plain,
                    content: Some(content),
                };
                ((*path).to_owned(), file)
            })
            .collect(),
        starter: starter
            .iter()
            .map(|(path, letters)| {
                let content = text(letters);
                (
                    (*path).to_owned(),
                    StarterFile {
                        id: id(&content),
                        content,
                    },
                )
            })
            .collect(),
    }
}

/// Files of a team: paths and contents.
type Held = BTreeMap<String, Vec<u8>>;

/// What a team has after the changes of a merge, and what it is told.
fn after(three: &Three) -> (Held, Vec<(String, What)>) {
    let merged = merge(three);
    let mut files: BTreeMap<String, Vec<u8>> = three
        .team
        .iter()
        .map(|(path, file)| (path.clone(), file.content.clone().unwrap_or_default()))
        .collect();
    for change in &merged.changes {
        if let Change::Remove { path } = change {
            assert!(files.remove(path).is_some(), "{path} is taken away twice");
        }
    }
    for change in merged.changes {
        if let Change::Put { path, content, .. } = change {
            files.insert(path, content);
        }
    }
    // No path is a file and a folder at once.
    for path in files.keys() {
        let below = format!("{path}/");
        assert!(!files.keys().any(|other| other.starts_with(&below)), "{path}");
    }
    let notes = merged
        .notes
        .into_iter()
        .map(|note| (note.path, note.what))
        .collect();
    (files, notes)
}

struct Case<'a> {
    name: &'a str,
    base: Files<'a>,
    team: Files<'a>,
    starter: Files<'a>,
    wanted: Files<'a>,
    notes: &'a [(&'a str, What)],
}

/// One file `f` in all three.
macro_rules! one {
    ($name:literal, $base:literal, $team:literal, $starter:literal => $wanted:literal, $what:expr) => {
        Case {
            name: $name,
            base: &[("f", $base)],
            team: &[("f", $team)],
            starter: &[("f", $starter)],
            wanted: &[("f", $wanted)],
            notes: $what,
        }
    };
}

#[test]
fn what_becomes_of_a_file_follows_from_who_has_changed_it() {
    let cases = [
        // One file, edited.
        one!("nobody has changed it", "abc", "abc", "abc" => "abc", &[]),
        one!("the team alone has edited it", "abc", "abXc", "abc" => "abXc", &[]),
        one!("the starter alone has edited it", "abc", "abc", "aYc" => "aYc", &[("f", What::Updated)]),
        one!("both have edited it alike", "abc", "aXc", "aXc" => "aXc", &[]),
        one!("both have edited it in different places", "abcdefgh", "Xbcdefgh", "abcdefgY" => "XbcdefgY", &[("f", What::Merged)]),
        one!("both have edited the same line", "abc", "aXc", "aYc" => "a<X|b=Y>c", &[("f", What::Conflict(vec![2]))]),
        one!("the team has added at the end, the starter at the start", "abcdef", "abcdefX", "Yabcdef" => "YabcdefX", &[("f", What::Merged)]),
        one!("both have added at the same place", "abc", "abcX", "abcY" => "abc<X|=Y>", &[("f", What::Conflict(vec![4]))]),
        one!("the team has deleted lines that the starter left", "abcdef", "adef", "abcdeY" => "adeY", &[("f", What::Merged)]),
        one!("the starter has deleted lines that the team left", "abcdef", "Xbcdef", "abcd" => "Xbcd", &[("f", What::Merged)]),
        one!("the starter has deleted a line that the team has edited", "abcd", "abXd", "abd" => "ab<X|c=>d", &[("f", What::Conflict(vec![3]))]),
        one!("the team has deleted a line that the starter has edited", "abcd", "abd", "abYd" => "ab<|c=Y>d", &[("f", What::Conflict(vec![3]))]),
        one!("the team has emptied it", "abc", "", "aYc" => "<|abc=aYc>", &[("f", What::Conflict(vec![1]))]),
        one!("the team has written it anew", "abcde", "VWXYZ", "abcdQ" => "<VWXYZ|abcde=abcdQ>", &[("f", What::Conflict(vec![1]))]),
        one!("two conflicts in one file", "abcdefghi", "aXcdefgUi", "aYcdefgVi" => "a<X|b=Y>cdefg<U|h=V>i", &[("f", What::Conflict(vec![2, 14]))]),
        one!("a conflict and a change beside it", "abcdefghi", "aXcdefghi", "aYcdefgVi" => "a<X|b=Y>cdefgVi", &[("f", What::Conflict(vec![2]))]),
        one!("markers of an earlier merge are solved first", "abc", "a<X=Y>c", "aZc" => "a<X=Y>c", &[("f", What::Left(Left::Unresolved))]),
        one!("the team has what the starter brings, and more", "abcdef", "aYcdeX", "aYcdef" => "aYcdeX", &[]),
        one!("no text, the starter alone", "0a", "0a", "0b" => "0b", &[("f", What::Updated)]),
        one!("no text, both", "0a", "0b", "0c" => "0b", &[("f", What::Left(Left::NoText))]),
        // Files that come.
        Case {
            name: "the starter brings a file",
            base: &[],
            team: &[],
            starter: &[("a/n", "abc")],
            wanted: &[("a/n", "abc")],
            notes: &[("a/n", What::Added)],
        },
        Case {
            name: "both bring the same file",
            base: &[],
            team: &[("n", "abc")],
            starter: &[("n", "abc")],
            wanted: &[("n", "abc")],
            notes: &[],
        },
        Case {
            name: "both bring another file of the same name",
            base: &[],
            team: &[("n", "aXc")],
            starter: &[("n", "aYc")],
            wanted: &[("n", "a<X=Y>c")],
            notes: &[("n", What::Conflict(vec![2]))],
        },
        Case {
            name: "the team's own files are none of the starter's",
            base: &[("f", "abc")],
            team: &[("f", "abc"), ("own", "abc"), ("d/own", "xyz")],
            starter: &[("f", "abY")],
            wanted: &[("f", "abY"), ("own", "abc"), ("d/own", "xyz")],
            notes: &[("f", What::Updated)],
        },
        Case {
            name: "a folder of the team's is where the starter brings a file",
            base: &[],
            team: &[("n/own", "abc")],
            starter: &[("n", "xyz")],
            wanted: &[("n/own", "abc")],
            notes: &[("n", What::Left(Left::InTheWay))],
        },
        Case {
            name: "a file of the team's is where the starter brings a folder",
            base: &[],
            team: &[("n", "abc")],
            starter: &[("n/new", "xyz")],
            wanted: &[("n", "abc")],
            notes: &[("n/new", What::Left(Left::InTheWay))],
        },
        // Files that go.
        Case {
            name: "the team has deleted it, the starter has left it",
            base: &[("f", "abc")],
            team: &[],
            starter: &[("f", "abc")],
            wanted: &[],
            notes: &[],
        },
        Case {
            name: "the team has deleted it, the starter has edited it",
            base: &[("f", "abc")],
            team: &[],
            starter: &[("f", "aYc")],
            wanted: &[],
            notes: &[("f", What::Left(Left::Deleted))],
        },
        Case {
            name: "the starter has removed it, the team has left it",
            base: &[("f", "abc")],
            team: &[("f", "abc")],
            starter: &[],
            wanted: &[],
            notes: &[("f", What::Removed)],
        },
        Case {
            name: "the starter has removed it, the team has edited it",
            base: &[("f", "abc")],
            team: &[("f", "abXc")],
            starter: &[],
            wanted: &[("f", "abXc")],
            notes: &[("f", What::Left(Left::NoLongerGiven))],
        },
        Case {
            name: "both have removed it",
            base: &[("f", "abc")],
            team: &[],
            starter: &[],
            wanted: &[],
            notes: &[],
        },
        Case {
            name: "the starter makes a folder of a file that the team has left",
            base: &[("n", "abc")],
            team: &[("n", "abc")],
            starter: &[("n/new", "xyz")],
            wanted: &[("n/new", "xyz")],
            notes: &[("n", What::Removed), ("n/new", What::Added)],
        },
        Case {
            name: "the starter makes a folder of a file that the team has edited",
            base: &[("n", "abc")],
            team: &[("n", "abX")],
            starter: &[("n/new", "xyz")],
            wanted: &[("n", "abX")],
            notes: &[
                ("n", What::Left(Left::NoLongerGiven)),
                ("n/new", What::Left(Left::InTheWay)),
            ],
        },
        // Files that the team has moved or renamed.
        Case {
            name: "the team has moved it, the starter has left it",
            base: &[("f", "abcd")],
            team: &[("src/f", "abcd")],
            starter: &[("f", "abcd")],
            wanted: &[("src/f", "abcd")],
            notes: &[],
        },
        Case {
            name: "the team has moved it, the starter has edited it",
            base: &[("f", "abcd")],
            team: &[("src/f", "abcd")],
            starter: &[("f", "aYcd")],
            wanted: &[("src/f", "aYcd")],
            notes: &[("src/f", What::Updated)],
        },
        Case {
            name: "the team has renamed and edited it, the starter has edited another place",
            base: &[("f", "abcdefgh")],
            team: &[("g", "Xbcdefgh")],
            starter: &[("f", "abcdefgY")],
            wanted: &[("g", "XbcdefgY")],
            notes: &[("g", What::Merged)],
        },
        Case {
            name: "the team has renamed and edited it, the starter has edited the same place",
            base: &[("f", "abcdef")],
            team: &[("g", "aXcdef")],
            starter: &[("f", "aYcdef")],
            wanted: &[("g", "a<X|b=Y>cdef")],
            notes: &[("g", What::Conflict(vec![2]))],
        },
        Case {
            name: "the team has moved it, the starter has removed it",
            base: &[("f", "abcd")],
            team: &[("src/f", "abcd")],
            starter: &[],
            wanted: &[("src/f", "abcd")],
            notes: &[("src/f", What::Left(Left::NoLongerGiven))],
        },
        Case {
            name: "what is half another file is no move",
            base: &[("f", "abcdef")],
            team: &[("g", "abUVWX")],
            starter: &[("f", "aYcdef")],
            wanted: &[("g", "abUVWX")],
            notes: &[("f", What::Left(Left::Deleted))],
        },
        Case {
            name: "the same content goes to the file of the same name",
            base: &[("a/f", "abcd"), ("b/g", "abcd")],
            team: &[("x/f", "abcd"), ("x/g", "abcd")],
            starter: &[("a/f", "Ybcd"), ("b/g", "abcZ")],
            wanted: &[("x/f", "Ybcd"), ("x/g", "abcZ")],
            notes: &[("x/f", What::Updated), ("x/g", What::Updated)],
        },
        Case {
            name: "empty files are no moves of each other",
            base: &[("e", "")],
            team: &[("d/e", "")],
            starter: &[("e", "Y")],
            wanted: &[("d/e", "")],
            notes: &[("e", What::Left(Left::Deleted))],
        },
        // Files that the starter has moved or renamed.
        Case {
            name: "the starter has moved it, the team has left it",
            base: &[("f", "abcd")],
            team: &[("f", "abcd")],
            starter: &[("src/f", "abcd")],
            wanted: &[("src/f", "abcd")],
            notes: &[("f", What::Moved("src/f".to_owned()))],
        },
        Case {
            name: "the starter has moved it, the team has edited it",
            base: &[("f", "abcd")],
            team: &[("f", "abXcd")],
            starter: &[("src/f", "abcd")],
            wanted: &[("src/f", "abXcd")],
            notes: &[("f", What::Moved("src/f".to_owned()))],
        },
        Case {
            name: "the starter has moved and edited it, the team has edited another place",
            base: &[("f", "abcdefgh")],
            team: &[("f", "Xbcdefgh")],
            starter: &[("g", "abcdefgY")],
            wanted: &[("g", "XbcdefgY")],
            notes: &[("f", What::Moved("g".to_owned())), ("g", What::Merged)],
        },
        Case {
            name: "the starter has moved it, the team has deleted it",
            base: &[("f", "abcd")],
            team: &[],
            starter: &[("g", "abcd")],
            wanted: &[],
            notes: &[],
        },
        Case {
            name: "the starter has moved it to where the team has a file of its own",
            base: &[("f", "abcd")],
            team: &[("f", "abXcd"), ("g", "mine")],
            starter: &[("g", "abcd")],
            wanted: &[("f", "abXcd"), ("g", "mine")],
            notes: &[("g", What::Left(Left::InTheWay))],
        },
        Case {
            name: "both have moved it to the same place",
            base: &[("f", "abcdef")],
            team: &[("g", "Xbcdef")],
            starter: &[("g", "abcdeY")],
            wanted: &[("g", "XbcdeY")],
            notes: &[("g", What::Merged)],
        },
        Case {
            name: "both have moved it, to different places: the team's counts",
            base: &[("f", "abcdef")],
            team: &[("g", "Xbcdef")],
            starter: &[("h", "abcdeY")],
            wanted: &[("g", "XbcdeY")],
            notes: &[("g", What::Merged)],
        },
    ];
    assert!(cases.len() >= 30);
    for case in cases {
        let (files, notes) = after(&three(case.base, case.team, case.starter));
        let shown = |files: &BTreeMap<String, Vec<u8>>| -> BTreeMap<String, String> {
            files
                .iter()
                .map(|(path, text)| (path.clone(), String::from_utf8_lossy(text).into_owned()))
                .collect()
        };
        let wanted = case
            .wanted
            .iter()
            .map(|(path, letters)| ((*path).to_owned(), text(letters)))
            .collect();
        assert_eq!(shown(&files), shown(&wanted), "{}", case.name);
        let told: Vec<(&str, What)> = notes
            .iter()
            .map(|(path, what)| (path.as_str(), what.clone()))
            .collect();
        assert_eq!(told, case.notes, "{}", case.name);
    }
}

fn lone(base: &[u8], team: &[u8], starter: &[u8]) -> Three {
    let (base, team, starter) = (base.to_vec(), team.to_vec(), starter.to_vec());
    Three {
        base: [(
            "f".to_owned(),
            BaseFile {
                id: id(&base),
                content: Some(base),
            },
        )]
        .into(),
        team: [(
            "f".to_owned(),
            TeamFile {
                id: id(&team),
                kind: Kind::Plain,
                content: Some(team),
            },
        )]
        .into(),
        starter: [(
            "f".to_owned(),
            StarterFile {
                id: id(&starter),
                content: starter,
            },
        )]
        .into(),
    }
}

#[test]
fn an_editor_that_writes_the_line_ends_of_windows_has_changed_nothing() {
    let (files, notes) = after(&lone(b"a\nb\n", b"a\r\nb\r\n", b"a\nY\n"));
    assert_eq!(files["f"], b"a\r\nY\r\n");
    assert_eq!(notes[0].1, What::Updated);
    let (files, notes) = after(&lone(
        b"a\nb\nc\nd\ne\n",
        b"X\r\nb\r\nc\r\nd\r\ne\r\n",
        b"a\nb\nc\nd\nY\n",
    ));
    assert_eq!(files["f"], b"X\r\nb\r\nc\r\nd\r\nY\r\n");
    assert_eq!(notes[0].1, What::Merged);
}

#[test]
fn a_file_that_may_be_executed_stays_so_and_a_link_is_left_alone() {
    let mut three = lone(b"a\n", b"a\n", b"Y\n");
    three.team.get_mut("f").unwrap().kind = Kind::Executable;
    assert!(matches!(
        merge(&three).changes[..],
        [Change::Put { executable: true, .. }]
    ));
    let team = three.team.get_mut("f").unwrap();
    (team.kind, team.content) = (Kind::Other, None);
    let merged = merge(&three);
    assert!(merged.changes.is_empty());
    assert_eq!(merged.notes[0].what, What::Left(Left::NoFile));
}

#[test]
fn where_the_history_has_lost_what_was_given_out_both_stand_side_by_side() {
    let mut three = lone(b"a\nb\nc\n", b"a\nX\nc\n", b"a\nY\nc\n");
    three.base.get_mut("f").unwrap().content = None;
    let (files, notes) = after(&three);
    assert_eq!(
        files["f"],
        b"a\n<<<<<<< yours\nX\n=======\nY\n>>>>>>> the new starter\nc\n"
    );
    assert_eq!(notes[0].1, What::Conflict(vec![2]));
    // What the team has not touched is known by its name, and needs no content.
    let mut three = lone(b"a\n", b"a\n", b"Y\n");
    three.base.get_mut("f").unwrap().content = None;
    assert_eq!(after(&three).0["f"], b"Y\n");
}

/// Lines without their ends; blank ones say nothing.
fn counts(text: &[u8]) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    for line in text
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .filter(|line| !line.is_empty())
    {
        *counts.entry(line.to_vec()).or_insert(0) += 1;
    }
    counts
}

/// A text of few different lines, so that they come again and again, as braces and returns do; and sometimes markers.
fn some_text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        8 => "[abcdef]".prop_map(|line| format!("{line}\n")),
        1 => Just("\n".to_owned()),
        1 => Just("=======\n".to_owned()),
        1 => Just("<<<<<<< HEAD\n".to_owned()),
        1 => Just("f\r\n".to_owned()),
    ];
    (proptest::collection::vec(line, 0..14), any::<bool>()).prop_map(|(lines, ends)| {
        let mut text = lines.concat();
        if !ends {
            text.pop();
        }
        text.into_bytes()
    })
}

/// A text with some of its lines deleted, doubled or replaced.
fn edited(text: &[u8]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let lines: Vec<Vec<u8>> = text
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let edits = proptest::collection::vec((0_u8..10, "[a-hXYZ]"), lines.len() + 1);
    edits.prop_map(move |edits| {
        let mut out = Vec::new();
        for ((edit, letter), line) in edits.iter().zip(lines.iter().chain([&Vec::new()])) {
            match edit {
                0 => {}
                1 => out.extend(format!("{letter}\n").into_bytes()),
                2 => {
                    out.extend_from_slice(line);
                    out.extend(format!("{letter}{letter}\n").into_bytes());
                }
                _ => out.extend_from_slice(line),
            }
        }
        out
    })
}

fn a_case() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<u8>)> {
    some_text().prop_flat_map(|base| {
        (
            Just(base.clone()),
            prop_oneof![edited(&base), some_text()],
            prop_oneof![edited(&base), some_text()],
        )
    })
}

const PATHS: [&str; 7] = ["f", "g", "d/f", "d/g", "d", "f/x", "e"];

/// Files at some of few paths; none is a file and a folder at once.
fn some_files() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    proptest::collection::btree_map(0..PATHS.len(), some_text(), 0..4).prop_map(|found| {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (place, text) in found {
            let path = PATHS[place];
            let clash = |other: &String| {
                other.starts_with(&format!("{path}/")) || path.starts_with(&format!("{other}/"))
            };
            if !files.keys().any(clash) {
                files.insert(path.to_owned(), text);
            }
        }
        files
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_line_that_the_team_has_written_is_lost((base, team, starter) in a_case()) {
        let (files, _) = after(&lone(&base, &team, &starter));
        let (given, own, merged) = (counts(&base), counts(&team), counts(&files["f"]));
        for (line, count) in own {
            let added = count.saturating_sub(given.get(&line).copied().unwrap_or(0));
            prop_assert!(merged.get(&line).copied().unwrap_or(0) >= added, "{:?}", String::from_utf8_lossy(&line));
        }
    }

    #[test]
    fn a_starter_that_has_changed_nothing_changes_nothing((base, team, _) in a_case()) {
        prop_assert!(merge(&lone(&base, &team, &base)).changes.is_empty());
    }

    #[test]
    fn a_team_that_has_changed_nothing_gets_the_starter_as_it_is((base, _, starter) in a_case()) {
        let (files, _) = after(&lone(&base, &base, &starter));
        let same = files["f"] == starter || files["f"] == String::from_utf8_lossy(&starter).replace("\r\n", "\n").replace('\n', "\r\n").into_bytes();
        prop_assert!(same);
    }

    #[test]
    fn no_file_of_the_teams_is_lost_wherever_files_come_go_and_move(base in some_files(), team in some_files(), starter in some_files()) {
        let three = Three {
            base: base.iter().map(|(path, text)| (path.clone(), BaseFile { id: id(text), content: Some(text.clone()) })).collect(),
            team: team.iter().map(|(path, text)| (path.clone(), TeamFile { id: id(text), kind: Kind::Plain, content: Some(text.clone()) })).collect(),
            starter: starter.iter().map(|(path, text)| (path.clone(), StarterFile { id: id(text), content: text.clone() })).collect(),
        };
        let (files, _) = after(&three);
        let all = |files: &BTreeMap<String, Vec<u8>>| {
            let mut all: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
            for (line, count) in files.values().flat_map(|text| counts(text)) {
                *all.entry(line).or_insert(0) += count;
            }
            all
        };
        let (given, own, merged) = (all(&base), all(&team), all(&files));
        for (line, count) in own {
            let added = count.saturating_sub(given.get(&line).copied().unwrap_or(0));
            prop_assert!(merged.get(&line).copied().unwrap_or(0) >= added, "{:?} in {:?}", String::from_utf8_lossy(&line), files);
        }
        // What the starter has not touched is as the team has it.
        for (path, text) in &team {
            if base.get(path) == starter.get(path) && base.contains_key(path) {
                prop_assert_eq!(files.get(path), Some(text));
            }
        }
    }
}
