//! Reports of coverage as tools write them (Cobertura, JaCoCo, lcov), read line by line and laid over the files of the commit.
//!
//! A report's own sums are not believed: lines are counted, a line that its file does not have is a report of something else, and
//! a file that a report leaves out counts as one of which nothing ran.

use std::collections::{BTreeMap, BTreeSet};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde::{Deserialize, Serialize};

/// The largest report: a line of code is some eighty bytes of it.
pub(super) const REPORT_BYTES: u64 = 32 << 20;
/// The most files and lines of a report.
const MOST_LINES: usize = 2_000_000;
/// The deepest nesting of a report; its formats have seven levels.
const MOST_DEPTH: usize = 32;
/// The files that are told of as left out.
const SHOWN: usize = 20;

/// What a report says of each file: line, and whether it ran.
pub(super) type Covered = BTreeMap<String, BTreeMap<u32, bool>>;

/// Coverage of the files of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CoverageFacts {
    /// The report, by its path in the repository.
    pub report: Option<String>,
    /// Why there is nothing to count, if there isn't.
    pub fault: Option<String>,
    /// Lines that the report knows, in files of the commit that are no tests, and lines that hold something of files left out.
    pub lines: u64,
    /// Those of them that ran.
    pub ran: u64,
    /// Files that the report knows.
    pub files: u32,
    /// Files in the same languages that it leaves out, with their lines: a part of them.
    pub left_out: Vec<String>,
    /// Their number.
    pub left_out_files: u32,
}

/// Reads a report by what it holds.
///
/// # Errors
/// Why it is none, as a phrase.
pub(super) fn parse(text: &str) -> Result<Covered, String> {
    let begin = text.trim_start_matches('\u{feff}').trim_start();
    if begin.starts_with('<') {
        xml(begin)
    } else {
        lcov(begin)
    }
}

fn lcov(text: &str) -> Result<Covered, String> {
    let mut covered = Covered::new();
    let mut file: Option<String> = None;
    let mut count = 0_usize;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        match key {
            "SF" => file = Some(value.to_owned()),
            "end_of_record" => file = None,
            "DA" => {
                let mut parts = value.split(',');
                let place = parts.next().and_then(|part| part.trim().parse::<u32>().ok());
                let hits = parts.next().and_then(|part| part.trim().parse::<f64>().ok());
                let (Some(file), Some(place), Some(hits)) = (&file, place, hits) else {
                    return Err(format!(
                        "line {}: `DA` wants a file, a line and a count",
                        number + 1
                    ));
                };
                count += 1;
                if count > MOST_LINES {
                    return Err(format!("it has more than {MOST_LINES} lines of code"));
                }
                note(&mut covered, file, place, hits > 0.0);
            }
            _ => {}
        }
    }
    if covered.is_empty() {
        return Err("it holds no line of lcov, Cobertura or JaCoCo".to_owned());
    }
    Ok(covered)
}

/// A line that several parts of a report know ran if any of them says so. No file has a line 0.
fn note(covered: &mut Covered, file: &str, line: u32, ran: bool) {
    if line == 0 {
        return;
    }
    if !covered.contains_key(file) {
        covered.insert(file.to_owned(), BTreeMap::new());
    }
    if let Some(lines) = covered.get_mut(file) {
        *lines.entry(line).or_default() |= ran;
    }
}

/// The two formats of XML, by the name of their outermost element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Cobertura,
    Jacoco,
}

fn xml(text: &str) -> Result<Covered, String> {
    let mut reader = Reader::from_str(text);
    let mut form = None;
    let mut covered = Covered::new();
    let (mut sources, mut in_source, mut source) = (Vec::new(), false, String::new());
    let (mut package, mut file) = (String::new(), None::<String>);
    let (mut depth, mut count) = (0_usize, 0_usize);
    loop {
        let event = reader
            .read_event()
            .map_err(|error| format!("it is no XML at byte {}: {error}", reader.error_position()))?;
        let (tag, is_open) = match event {
            Event::Start(tag) => (tag, true),
            Event::Empty(tag) => (tag, false),
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                match tag.name().as_ref() {
                    b"source" => {
                        in_source = false;
                        sources.push(std::mem::take(&mut source).trim().to_owned());
                    }
                    b"class" | b"sourcefile" => file = None,
                    _ => {}
                }
                continue;
            }
            Event::Text(piece) if in_source => {
                source.push_str(&piece.decode().unwrap_or_default());
                continue;
            }
            Event::Eof => break,
            _ => continue,
        };
        depth += usize::from(is_open);
        if depth > MOST_DEPTH {
            return Err(format!("it is nested deeper than {MOST_DEPTH} levels"));
        }
        let number = |name: &str| attribute(&tag, name).and_then(|value| value.trim().parse::<u64>().ok());
        match (form, tag.name().as_ref()) {
            (None, b"coverage") => form = Some(Form::Cobertura),
            (None, b"report") => form = Some(Form::Jacoco),
            (None, _) => return Err("its outermost element is neither `coverage` nor `report`".to_owned()),
            (Some(Form::Cobertura), b"source") => in_source = is_open,
            (Some(Form::Cobertura), b"class") if is_open => file = attribute(&tag, "filename"),
            (Some(Form::Jacoco), b"package") => package = attribute(&tag, "name").unwrap_or_default(),
            (Some(Form::Jacoco), b"sourcefile") if is_open => {
                let name = attribute(&tag, "name").unwrap_or_default();
                file = Some(format!("{package}/{name}"));
            }
            (Some(form), b"line") => {
                let (place, ran) = match form {
                    Form::Cobertura => (number("number"), number("hits")),
                    Form::Jacoco => (number("nr"), number("ci")),
                };
                if let Some(file) = &file {
                    let place = place.ok_or("it has a line without a number")?;
                    count += 1;
                    if count > MOST_LINES {
                        return Err(format!("it has more than {MOST_LINES} lines of code"));
                    }
                    note(
                        &mut covered,
                        file,
                        u32::try_from(place).unwrap_or(u32::MAX),
                        // Hits that nobody can read, or fewer than none, are no proof that it ran.
                        ran.is_some_and(|ran| ran > 0),
                    );
                }
            }
            _ => {}
        }
    }
    if covered.is_empty() {
        return Err("it knows no line of code".to_owned());
    }
    // Names are relative to where the sources lie; with several of those, which one is found by what the commit has.
    if let [only] = &sources[..] {
        covered = covered
            .into_iter()
            .map(|(file, lines)| (format!("{only}/{file}"), lines))
            .collect();
    }
    Ok(covered)
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.try_get_attribute(name).ok()??;
    Some(String::from_utf8_lossy(&found.value).into_owned())
}

/// Lays a report over the files of a commit: path, and its lines that hold something.
pub(super) fn laid_over(
    report: &str,
    covered: &Covered,
    files: &BTreeMap<String, Vec<bool>>,
) -> CoverageFacts {
    let mut facts = CoverageFacts {
        report: Some(report.to_owned()),
        ..CoverageFacts::default()
    };
    // Of several files that a report could mean by one of the commit, the nearest counts: the others are a library's.
    let mut nearest: BTreeMap<&str, (usize, BTreeMap<u32, bool>)> = BTreeMap::new();
    let mut strange = None;
    for (name, lines) in covered {
        let Some((path, about, off)) = find(name, files) else {
            continue;
        };
        if let Some(beyond) = lines.keys().find(|line| **line as usize > about.len()) {
            let last = about.len();
            let fault = format!("`{report}` knows line {beyond} of `{path}`, which has {last}");
            // One that has the name by its end alone can be another file, which is left out alone.
            if off == 0 {
                facts.fault = Some(fault);
                return facts;
            }
            strange.get_or_insert(fault);
            continue;
        }
        match nearest.get_mut(path) {
            Some((known, _)) if *known < off => {}
            Some((known, into)) if *known == off => {
                for (line, ran) in lines {
                    *into.entry(*line).or_default() |= ran;
                }
            }
            _ => drop(nearest.insert(path, (off, lines.clone()))),
        }
    }
    let mut known: BTreeMap<&str, BTreeMap<u32, bool>> = nearest
        .into_iter()
        .map(|(path, (_, lines))| (path, lines))
        .collect();
    if known.is_empty() {
        facts.fault = Some(strange.unwrap_or_else(|| format!("`{report}` knows no file of the commit")));
        return facts;
    }
    let endings: BTreeSet<&str> = known.keys().filter_map(|path| ending(path)).collect();
    known.retain(|path, _| !is_test(path));
    facts.files = known.len() as u32;
    for lines in known.values() {
        facts.lines += lines.len() as u64;
        facts.ran += lines.values().filter(|ran| **ran).count() as u64;
    }
    for (path, about) in files {
        let same_language = ending(path).is_some_and(|end| endings.contains(end));
        let lines = about.iter().filter(|holds| **holds).count() as u64;
        if !same_language || is_test(path) || known.contains_key(path.as_str()) || lines == 0 {
            continue;
        }
        facts.lines += lines;
        facts.left_out_files += 1;
        if facts.left_out.len() < SHOWN {
            facts
                .left_out
                .push(format!("`{path}` is left out: {lines} lines"));
        }
    }
    facts
}

/// Folders of what others wrote: a file in them is none of the commit by its end.
const OF_OTHERS: &[&str] = &[
    ".nox",
    ".tox",
    ".venv",
    "dist-packages",
    "node_modules",
    "site-packages",
    "venv",
];

/// Finds the file of the commit that a report means: what is left of its path when folders above the repository are taken off,
/// or the only file whose path ends as its does. With it comes how many folders the two paths do not share.
fn find<'a>(name: &str, files: &'a BTreeMap<String, Vec<bool>>) -> Option<(&'a str, &'a Vec<bool>, usize)> {
    let name = name.replace('\\', "/");
    let parts: Vec<&str> = name
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    for begin in 0..parts.len() {
        if let Some((path, lines)) = files.get_key_value(&parts[begin..].join("/")) {
            let of_others = parts[..begin].iter().any(|part| OF_OTHERS.contains(part));
            return (!of_others).then_some((path, lines, begin));
        }
    }
    let end = format!("/{}", parts.join("/"));
    let mut fits = files.iter().filter(|(path, _)| path.ends_with(&end));
    let (path, lines) = fits.next()?;
    let off = path.split('/').count() - parts.len();
    fits.next().is_none().then_some((path.as_str(), lines, off))
}

fn ending(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    name.rsplit_once('.').map(|(_, end)| end)
}

/// Whether a file is a test or supports tests, by the names that runners look for.
fn is_test(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default().to_ascii_lowercase();
    let stem = name.split('.').next().unwrap_or_default();
    let folder = parts
        .iter()
        .any(|part| ["test", "tests", "__tests__", "spec"].contains(part));
    folder
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem == "conftest"
        || name.contains(".test.")
        || name.contains(".spec.")
}

/// Tells of each line of a file whether it holds something that could run: not blank, and no comment of the usual forms.
pub(super) fn holding(text: &str) -> Vec<bool> {
    let holds = |line: &str| {
        let line = line.trim();
        !line.is_empty() && !["#", "//", "/*", "*"].iter().any(|sign| line.starts_with(sign))
    };
    text.lines().map(holds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COBERTURA: &str = r#"<?xml version="1.0" ?>
<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">
<coverage line-rate="1.0" lines-valid="1" lines-covered="1">
  <sources><source>/work/x/service</source></sources>
  <packages><package name="."><classes>
    <class name="a.py" filename="a.py"><methods/><lines>
      <line number="1" hits="1"/><line number="2" hits="0"/><line number="3" hits="7"/>
    </lines></class>
    <class name="test_a.py" filename="tests/test_a.py"><lines><line number="1" hits="1"/></lines></class>
  </classes></package></packages>
</coverage>"#;
    const JACOCO: &str = r#"<report name="x"><package name="org/x"><class name="org/x/A"><method name="m"><counter type="LINE" missed="0" covered="9"/></method></class>
<sourcefile name="A.java"><line nr="3" mi="0" ci="4" mb="0" cb="0"/><line nr="4" mi="2" ci="0" mb="0" cb="0"/></sourcefile></package></report>"#;
    const LCOV: &str = "TN:\nSF:src/a.js\nDA:1,1\nDA:2,0\nDA:3,5\nLF:3\nLH:3\nend_of_record\n";

    fn files(names: &[(&str, usize)]) -> BTreeMap<String, Vec<bool>> {
        names
            .iter()
            .map(|(name, lines)| ((*name).to_owned(), vec![true; *lines]))
            .collect()
    }

    #[test]
    fn the_usual_reports_are_read_line_by_line() {
        let found = parse(COBERTURA).unwrap();
        assert_eq!(
            found["/work/x/service/a.py"],
            [(1, true), (2, false), (3, true)].into()
        );
        assert_eq!(
            parse(JACOCO).unwrap()["org/x/A.java"],
            [(3, true), (4, false)].into()
        );
        assert_eq!(
            parse(LCOV).unwrap()["src/a.js"],
            [(1, true), (2, false), (3, true)].into()
        );
    }

    #[test]
    fn coverage_is_of_the_files_of_the_commit_that_are_no_tests() {
        let commit = files(&[("service/a.py", 10), ("service/tests/test_a.py", 5)]);
        let facts = laid_over("coverage.xml", &parse(COBERTURA).unwrap(), &commit);
        assert_eq!(
            (facts.fault, facts.ran, facts.lines, facts.files),
            (None, 2, 3, 1)
        );
        let commit = files(&[("app/src/main/java/org/x/A.java", 10)]);
        let facts = laid_over("jacoco.xml", &parse(JACOCO).unwrap(), &commit);
        assert_eq!((facts.fault, facts.ran, facts.lines), (None, 1, 2));
    }

    #[test]
    fn a_file_that_is_left_out_counts_as_one_of_which_nothing_ran() {
        let commit = files(&[
            ("src/a.js", 3),
            ("src/b.js", 7),
            ("src/c.py", 9),
            ("src/b.test.js", 9),
        ]);
        let facts = laid_over("lcov.info", &parse(LCOV).unwrap(), &commit);
        assert_eq!((facts.ran, facts.lines, facts.left_out_files), (2, 10, 1));
        assert_eq!(facts.left_out, ["`src/b.js` is left out: 7 lines"]);
    }

    #[test]
    fn a_report_of_something_else_is_told() {
        let covered = parse(LCOV).unwrap();
        let fault =
            |commit: &[(&str, usize)]| laid_over("lcov.info", &covered, &files(commit)).fault.unwrap();
        assert!(fault(&[("src/a.js", 2)]).contains("knows line 3 of `src/a.js`, which has 2"));
        assert!(fault(&[("lib/x.js", 2)]).contains("knows no file of the commit"));
        // Two files whose paths end alike are neither.
        assert!(fault(&[("p/src/a.js", 3), ("q/src/a.js", 3)]).contains("knows no file"));
    }

    #[test]
    fn hits_that_nobody_can_read_are_lines_that_did_not_run_and_no_file_has_a_line_0() {
        let broken = COBERTURA.replace("hits=\"7\"", "hits=\"-5\"");
        let odd = COBERTURA.replace("hits=\"7\"", "hits=\"many\"");
        let none = COBERTURA.replace(" hits=\"7\"", "");
        for text in [broken, odd, none] {
            let lines = &parse(&text).unwrap()["/work/x/service/a.py"];
            assert_eq!(*lines, [(1, true), (2, false), (3, false)].into(), "{text}");
        }
        assert!(
            parse(&COBERTURA.replace("number=\"3\"", "number=\"x\""))
                .unwrap_err()
                .contains("without a number")
        );
        let zero = parse("SF:a.js\nDA:0,1\nDA:1,0\n").unwrap();
        assert_eq!(zero["a.js"], [(1, false)].into());
        let zero = parse(&COBERTURA.replace("number=\"3\"", "number=\"0\"")).unwrap();
        assert_eq!(zero["/work/x/service/a.py"], [(1, true), (2, false)].into());
    }

    #[test]
    fn a_librarys_file_of_the_same_name_is_left_out_alone() {
        let commit = files(&[("service.py", 2), ("src/app.py", 1)]);
        let of = |text: &str| laid_over("lcov.info", &parse(text).unwrap(), &commit);
        for (library, ran, lines) in [
            // It lies among what others wrote, whether its lines would fit or not.
            (".venv/lib/python3/site-packages/x/service.py", 2, 3),
            // It has the same name by its end alone.
            ("/usr/lib/x/service.py", 2, 3),
        ] {
            for line in [900, 2] {
                let text = format!(
                    "SF:src/app.py\nDA:1,1\nend_of_record\nSF:{library}\nDA:{line},1\nend_of_record\nSF:service.py\nDA:1,1\nDA:2,0\n"
                );
                let facts = of(&text);
                assert_eq!(
                    (facts.fault, facts.ran, facts.lines),
                    (None, ran, lines),
                    "{text}"
                );
            }
        }
        // Where the report knows nothing nearer, the repository's own file is one that it leaves out.
        let facts = of("SF:src/app.py\nDA:1,1\nend_of_record\nSF:.venv/x/service.py\nDA:1,1\n");
        assert_eq!((facts.ran, facts.lines, facts.left_out_files), (1, 3, 1));
        let far = of("SF:/other/service.py\nDA:900,1\n").fault.unwrap();
        assert!(far.contains("knows line 900 of `service.py`"), "{far}");
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let deep = format!("<coverage>{}", "<a>".repeat(1_000));
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><coverage><sources><source>&b;</source></sources></coverage>";
        for text in [
            "",
            "all is well",
            "<html></html>",
            "<coverage/>",
            "<coverage><class",
            "DA:1,1\n",
            "SF:a\nDA:x,1\n",
            &deep,
            bomb,
        ] {
            assert!(parse(text).is_err(), "{text:.60}");
        }
    }

    #[test]
    fn tests_are_known_by_their_names() {
        for path in [
            "tests/a.py",
            "test_a.py",
            "a/a_test.go",
            "src/a.spec.ts",
            "a/conftest.py",
            "src/test/java/A.java",
        ] {
            assert!(is_test(path), "{path}");
        }
        for path in ["src/latest.py", "contest.py", "service.py", "attestation/a.py"] {
            assert!(!is_test(path), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_report_is_read_or_refused(text in "(<coverage>|<class filename='a'>|<line number='1' hits='2'/>|</class>|<source>|</|>|<!|SF:a\n|DA:1,1\n|&|;|'){0,30}") {
            drop(parse(&text));
        }
    }
}
