//! Files that people write, read so that every fault is told at once with its line and column.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A suggestion is made when a known key is at least this similar to the one found (Jaro and Winkler, 0 to 1).
const SIMILAR: f64 = 0.75;
/// The largest course file that is read: a rubric of a thousand criteria is a tenth of it.
pub const MAX_BYTES: usize = 4 << 20;

/// One fault of a course file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named to us.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right, if we know it.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

/// All faults of a file, in the order of their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A parsed file with the list of faults that its readers fill.
#[derive(Debug)]
pub struct Document<'i> {
    sink: Rc<Sink>,
    root: Spanned<DeTable<'i>>,
}

#[derive(Debug)]
struct Sink {
    file: String,
    text: String,
    faults: RefCell<Vec<(usize, Fault)>>,
}

impl Sink {
    fn report(&self, offset: usize, message: String, hint: Option<String>) {
        let (line, column) = position(&self.text, offset);
        let fault = Fault {
            file: self.file.clone(),
            line,
            column,
            message,
            hint,
        };
        self.faults.borrow_mut().push((offset, fault));
    }
}

impl<'i> Document<'i> {
    /// Parses a TOML file.
    ///
    /// # Errors
    /// All faults of its syntax, when it has any.
    pub fn parse(file: &str, text: &'i str) -> Result<Self, Faults> {
        let sink = Rc::new(Sink {
            file: file.to_owned(),
            text: text.to_owned(),
            faults: RefCell::default(),
        });
        if text.len() > MAX_BYTES {
            sink.report(0, format!("the file is larger than {MAX_BYTES} bytes"), None);
            return Err(drain(&sink));
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            sink.report(offset, one_line(error.message()), None);
        }
        if sink.faults.borrow().is_empty() {
            Ok(Self { sink, root })
        } else {
            Err(drain(&sink))
        }
    }

    /// Returns the file's outermost table.
    pub fn root(&self) -> Section<'_> {
        Section {
            sink: Rc::clone(&self.sink),
            table: self.root.get_ref(),
            span: self.root.span(),
            name: String::new(),
            asked: RefCell::default(),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All faults that any reader told, in the order of their places.
    pub fn finish(self) -> Result<(), Faults> {
        if self.sink.faults.borrow().is_empty() {
            Ok(())
        } else {
            Err(drain(&self.sink))
        }
    }
}

/// One table of a file. Every read names a key; [`Section::finish`] reports the keys that nobody named.
#[derive(Debug)]
pub struct Section<'d> {
    sink: Rc<Sink>,
    table: &'d DeTable<'d>,
    span: Range<usize>,
    name: String,
    asked: RefCell<Vec<String>>,
}

impl<'d> Section<'d> {
    /// Tells whether a key is there, without reading it.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Tells whether a key is there and holds a text, without reading it.
    pub fn is_text(&self, key: &str) -> bool {
        self.find(key).is_some_and(|value| value.get_ref().is_str())
    }

    /// Returns the table's own name, empty for the root.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a text.
    pub fn text(&self, key: &str) -> Option<String> {
        let value = self.ask(key)?;
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong_type(key, value, "a text in quotes");
        }
        text
    }

    /// Reads a text that must be there and hold something.
    pub fn required_text(&self, key: &str) -> String {
        self.require(key);
        let text = self.text(key);
        if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            self.fault_at(key, format!("`{key}` is empty"), None);
        }
        text.unwrap_or_default()
    }

    /// Reads a truth value.
    pub fn flag(&self, key: &str) -> Option<bool> {
        let value = self.ask(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(key, value, "true or false");
        }
        flag
    }

    /// Reads a number, whole or not.
    pub fn number(&self, key: &str) -> Option<f64> {
        let value = self.ask(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(_) => integer(value.get_ref()).map(|number| number as f64),
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => None,
        };
        match number {
            None => self.wrong_type(key, value, "a number"),
            Some(number) if !number.is_finite() => {
                self.fault_at(
                    key,
                    format!("`{key}` is {number}, which nothing can be compared with"),
                    None,
                );
                return None;
            }
            Some(_) => {}
        }
        number
    }

    /// Reads a number that lies within a range, both ends included.
    pub fn number_in(&self, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let number = self.number(key)?;
        if range.contains(&number) {
            return Some(number);
        }
        let message = format!(
            "`{key}` is {number}, it must lie within {} to {}",
            range.start(),
            range.end()
        );
        self.fault_at(key, message, None);
        None
    }

    /// Reads a whole number that lies within a range, both ends included.
    pub fn integer_in(&self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.ask(key)?;
        let Some(number) = integer(value.get_ref()) else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        if range.contains(&number) {
            return Some(number);
        }
        let message = format!(
            "`{key}` is {number}, it must lie within {} to {}",
            range.start(),
            range.end()
        );
        self.fault_at(key, message, None);
        None
    }

    /// Reads a list of whole numbers that lie within a range, both ends included; none is an empty one.
    pub fn integers_in(&self, key: &str, range: RangeInclusive<i64>) -> Vec<i64> {
        let Some(value) = self.ask(key) else {
            return Vec::new();
        };
        let wanted = || {
            format!(
                "a list of whole numbers from {} to {}",
                range.start(),
                range.end()
            )
        };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, &wanted());
            return Vec::new();
        };
        let mut numbers = Vec::new();
        for item in array {
            match integer(item.get_ref()).filter(|number| range.contains(number)) {
                Some(number) => numbers.push(number),
                None => self.wrong_type(key, item, &wanted()),
            }
        }
        numbers
    }

    /// Reads one of some words.
    pub fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let word = self.text(key)?;
        if let Some((_, meaning)) = words.iter().find(|(known, _)| *known == word) {
            return Some(*meaning);
        }
        let all: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        let hint = suggest(&word, &all).unwrap_or_else(|| format!("one of `{}`", all.join("`, `")));
        self.fault_at(key, format!("`{key}` cannot be `{}`", shorten(&word)), Some(hint));
        None
    }

    /// Reads a list of texts; none is an empty one.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let Some(value) = self.ask(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of texts");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in array {
            match item.get_ref().as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => self.wrong_type(key, item, "a list of texts"),
            }
        }
        texts
    }

    /// Returns the keys, in the order of the file's table.
    pub fn keys(&self) -> Vec<String> {
        self.table
            .iter()
            .map(|(key, _)| key.get_ref().to_string())
            .collect()
    }

    /// Reads a table of texts; none is an empty one.
    pub fn text_map(&self, key: &str) -> BTreeMap<String, String> {
        let Some(value) = self.ask(key) else {
            return BTreeMap::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table of texts");
            return BTreeMap::new();
        };
        let mut map = BTreeMap::new();
        for (name, item) in table {
            match item.get_ref().as_str() {
                Some(text) => {
                    map.insert(name.get_ref().to_string(), text.to_owned());
                }
                None => self.wrong_type(name.get_ref(), item, "a text in quotes"),
            }
        }
        map
    }

    /// Reads a table.
    pub fn table(&self, key: &str) -> Option<Section<'d>> {
        let value = self.ask(key)?;
        if let Some(table) = value.get_ref().as_table() {
            return Some(self.inner(key, table, value.span()));
        }
        self.wrong_type(key, value, &format!("a table: [{key}]"));
        None
    }

    /// Reads a list of tables; none is an empty one.
    pub fn tables(&self, key: &str) -> Vec<Section<'d>> {
        let Some(value) = self.ask(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, &format!("a list of tables: [[{key}]]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in array {
            match item.get_ref().as_table() {
                Some(table) => sections.push(self.inner(key, table, item.span())),
                None => self.wrong_type(key, item, &format!("a list of tables: [[{key}]]")),
            }
        }
        sections
    }

    /// Reads every key of this table as a table of its own, in the order of the file.
    pub fn all_tables(&self) -> Vec<(String, Section<'d>)> {
        let mut names: Vec<(usize, String)> = self
            .table
            .iter()
            .map(|(name, _)| (name.span().start, name.get_ref().to_string()))
            .collect();
        names.sort();
        names
            .into_iter()
            .filter_map(|(_, name)| self.table(&name).map(|section| (name, section)))
            .collect()
    }

    /// Reports a key that must be there and is not.
    pub fn require(&self, key: &str) {
        if self.find(key).is_none() {
            self.asked.borrow_mut().push(key.to_owned());
            let message = if self.name.is_empty() {
                format!("`{key}` is missing")
            } else {
                format!("`{key}` is missing in `{}`", self.name)
            };
            self.sink.report(self.span.start, message, None);
        }
    }

    /// Reports a fault at the value of a key, or at the table if the key is not there.
    pub fn fault_at(&self, key: &str, message: impl Into<String>, hint: Option<String>) {
        let offset = self.find(key).map_or(self.span.start, |value| value.span().start);
        self.sink.report(offset, message.into(), hint);
    }

    /// Ends the reading of this table: each key that nobody asked for is a fault.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        let known: Vec<&str> = asked.iter().map(String::as_str).collect();
        for (key, _) in self.table {
            let name = key.get_ref();
            if !known.iter().any(|asked| asked == name) {
                let hint = suggest(name, &known);
                self.sink
                    .report(key.span().start, format!("unknown key `{}`", shorten(name)), hint);
            }
        }
    }

    fn inner(&self, key: &str, table: &'d DeTable<'d>, span: Range<usize>) -> Section<'d> {
        Section {
            sink: Rc::clone(&self.sink),
            table,
            span,
            name: key.to_owned(),
            asked: RefCell::default(),
        }
    }

    fn ask(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.borrow_mut().push(key.to_owned());
        self.find(key)
    }

    fn find(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = value.get_ref().type_str();
        self.sink.report(
            value.span().start,
            format!("`{key}` must be {wanted}, found a {found}"),
            None,
        );
    }
}

/// Suggests the known word that is nearest to the one found, if one is near.
pub fn suggest(found: &str, known: &[&str]) -> Option<String> {
    known
        .iter()
        .map(|word| (strsim::jaro_winkler(found, word), *word))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, word)| format!("did you mean `{word}`?"))
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn drain(sink: &Sink) -> Faults {
    let mut faults = sink.faults.take();
    faults.sort_by_key(|(offset, _)| *offset);
    Faults(faults.into_iter().map(|(_, fault)| fault).collect())
}

/// Returns line and column, both from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
    (line, column)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A value is quoted in a message up to this many characters.
const QUOTED: usize = 60;

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<(String, f64, Vec<String>), Faults> {
        let document = Document::parse("course.toml", text)?;
        let root = document.root();
        let name = root.required_text("name");
        let share = root.number_in("share", 0.0..=1.0).unwrap_or(0.5);
        let inner = root.tables("team");
        let teams = inner.iter().map(|team| team.required_text("name")).collect();
        inner.into_iter().for_each(Section::finish);
        root.finish();
        document.finish()?;
        Ok((name, share, teams))
    }

    #[test]
    fn a_good_file_reads() {
        let read = read("name = 'x'\nshare = 1\n[[team]]\nname = 'a'\n[[team]]\nname = \"b\"\n").unwrap();
        assert_eq!(read, ("x".to_owned(), 1.0, vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn all_faults_are_told_at_once_with_their_places() {
        let faults = read("nme = 'x'\nshare = 3\n\n[[team]]\nname = 4\ncolour = 1\n")
            .unwrap_err()
            .to_string();
        assert_eq!(
            faults,
            "course.toml:1:1: `name` is missing\n\
             course.toml:1:1: unknown key `nme`\n  hint: did you mean `name`?\n\
             course.toml:2:9: `share` is 3, it must lie within 0 to 1\n\
             course.toml:5:8: `name` must be a text in quotes, found a integer\n\
             course.toml:6:1: unknown key `colour`"
        );
    }

    #[test]
    fn faults_of_syntax_have_their_places_too() {
        let faults = read("name = \nshare = ]\n").unwrap_err();
        assert_eq!(
            faults.0.iter().map(|fault| fault.line).collect::<Vec<_>>(),
            [1, 2],
            "{faults}"
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader_and_every_place_lies_inside(text in "(?s)[\\[\\]a-z='\"\\n .#{}0-9é]{0,60}") {
            if let Err(Faults(faults)) = read(&text) {
                prop_assert!(!faults.is_empty());
                for fault in faults {
                    let lines: Vec<&str> = text.split('\n').collect();
                    prop_assert!(fault.line >= 1 && fault.line <= lines.len());
                    prop_assert!(fault.column >= 1 && fault.column <= lines[fault.line - 1].chars().count() + 1);
                }
            }
        }
    }
}
