//! Reads CSV with the place of every field: in quotes a field may hold commas, doubled quotes and line ends.

use std::path::{Path, PathBuf};

use super::lines::{BadImport, LineFault, MAX_FAULTS, each_line};

/// The most bytes of one record: a quote that is never closed would otherwise take in the rest of the file.
const MAX_RECORD: usize = 1 << 18;

/// A field, and where its content begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Field {
    pub(super) text: String,
    pub(super) line: u64,
    /// In characters, from 1; of the quote where it is in quotes.
    pub(super) column: u64,
}

/// The faults of a file, as many as are told.
#[derive(Debug)]
pub(super) struct Faults {
    path: PathBuf,
    found: Vec<LineFault>,
}

impl Faults {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            found: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, (line, column): (u64, u64), what: impl Into<String>) {
        if !self.are_enough() {
            self.found.push(LineFault {
                path: self.path.clone(),
                line,
                column,
                what: what.into(),
            });
        }
    }

    pub(super) fn are_enough(&self) -> bool {
        self.found.len() >= MAX_FAULTS
    }

    /// Adds those of a file that could not be read on.
    pub(super) fn extend(&mut self, bad: BadImport) {
        self.found.extend(bad.faults);
        self.found.truncate(MAX_FAULTS);
    }

    /// Returns the faults in the order of their places.
    pub(super) fn into_found(mut self) -> Vec<LineFault> {
        self.found.sort_by_key(|fault| (fault.line, fault.column));
        self.found
    }
}

/// Takes a record and complains where it must.
type RecordReader<'r> = dyn FnMut(&[Field], &mut Faults) + 'r;

/// Gives each record to a reader, empty lines left out; what is no CSV is a fault of its place, and reading goes on.
pub(super) fn each_record(path: &Path, faults: &mut Faults, each: &mut RecordReader<'_>) {
    let mut open = Open::default();
    let read = each_line(path, &mut |number, line| {
        if faults.are_enough() {
            return Ok(());
        }
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            Err(error) => {
                let before = String::from_utf8_lossy(&line[..error.valid_up_to()]);
                faults.push((number, before.chars().count() as u64 + 1), "this is no UTF-8");
                open = Open::default();
                return Ok(());
            }
        };
        let text = if number == 1 {
            text.trim_start_matches('\u{feff}')
        } else {
            text
        };
        match open.take(number, text) {
            Ok(true) => each(&std::mem::take(&mut open).fields, faults),
            Ok(false) => {}
            Err((place, what)) => {
                faults.push(place, what);
                open = Open::default();
            }
        }
        Ok(())
    });
    if let Err(bad) = read {
        faults.extend(bad);
    } else if let Some(place) = open.quote {
        faults.push(place, UNCLOSED);
    }
}

const UNCLOSED: &str = "a quote that is not closed";

type Place = (u64, u64);

/// A record in the making.
#[derive(Debug, Default)]
struct Open {
    fields: Vec<Field>,
    /// Where the quote stands in which the text goes on.
    quote: Option<Place>,
    bytes: usize,
}

impl Open {
    /// Takes a line; true when the record ends with it.
    fn take(&mut self, line: u64, text: &str) -> Result<bool, (Place, &'static str)> {
        self.bytes += text.len() + 1;
        if self.quote.is_none() {
            if text.is_empty() {
                return Ok(false);
            }
            self.begin(line, 1);
        } else {
            self.push('\n');
        }
        let mut closed = false;
        let mut letters = text.chars().zip(1_u64..).peekable();
        while let Some((letter, column)) = letters.next() {
            let is_empty = self.fields.last().is_some_and(|field| field.text.is_empty());
            match letter {
                '"' if self.quote.is_some() => {
                    if letters.next_if(|(next, _)| *next == '"').is_some() {
                        self.push('"');
                    } else {
                        (self.quote, closed) = (None, true);
                    }
                }
                _ if self.quote.is_some() => self.push(letter),
                ',' => {
                    closed = false;
                    self.begin(line, column + 1);
                }
                _ if closed => return Err(((line, column), "text behind a closing quote")),
                '"' if is_empty => self.quote = Some((line, column)),
                '"' => {
                    return Err((
                        (line, column),
                        "a quote within a field that does not begin with one",
                    ));
                }
                _ => self.push(letter),
            }
        }
        match self.quote {
            Some(place) if self.bytes > MAX_RECORD => Err((place, UNCLOSED)),
            quote => Ok(quote.is_none()),
        }
    }

    fn begin(&mut self, line: u64, column: u64) {
        self.fields.push(Field {
            text: String::new(),
            line,
            column,
        });
    }

    fn push(&mut self, letter: char) {
        if let Some(field) = self.fields.last_mut() {
            field.text.push(letter);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> (Vec<Vec<Field>>, Vec<LineFault>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, bytes).unwrap();
        let (mut records, mut faults) = (Vec::new(), Faults::new(&path));
        each_record(&path, &mut faults, &mut |fields, _| records.push(fields.to_vec()));
        (records, faults.into_found())
    }

    #[test]
    fn what_is_no_csv_is_told_by_line_and_column_and_reading_goes_on() {
        let (records, faults) = read(b"a,b\nc,d\"e\n\"f\"g,h\ni,\xff\nj,k\n\"l,m\nn\n");
        let told: Vec<(u64, u64)> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
        assert_eq!(told, [(2, 4), (3, 4), (4, 3), (6, 1)]);
        let texts: Vec<&str> = records.iter().map(|fields| fields[0].text.as_str()).collect();
        assert_eq!(texts, ["a", "j"]);
    }

    proptest! {
        #[test]
        fn records_read_back_with_the_places_at_which_they_were_written(
            rows in prop::collection::vec(prop::collection::vec("[a-c,\"\n é]{0,8}", 1..5), 1..6)
        ) {
            let (mut text, mut line, mut column, mut places) = (String::new(), 1_u64, 1_u64, Vec::new());
            for row in &rows {
                for (number, field) in row.iter().enumerate() {
                    places.push((line, column));
                    let quoted = format!("\"{}\"", field.replace('"', "\"\""));
                    for letter in quoted.chars().chain(std::iter::once(if number + 1 < row.len() { ',' } else { '\n' })) {
                        (line, column) = if letter == '\n' { (line + 1, 1) } else { (line, column + 1) };
                        text.push(letter);
                    }
                }
            }
            let (records, faults) = read(text.as_bytes());
            prop_assert!(faults.is_empty());
            let found: Vec<Vec<String>> = records.iter().map(|fields| fields.iter().map(|field| field.text.clone()).collect()).collect();
            prop_assert_eq!(found, rows);
            let found: Vec<(u64, u64)> = records.iter().flatten().map(|field| (field.line, field.column)).collect();
            prop_assert_eq!(found, places);
        }

        #[test]
        fn bytes_from_anywhere_never_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_, faults) = read(&bytes);
            prop_assert!(faults.len() <= MAX_FAULTS);
        }
    }
}
