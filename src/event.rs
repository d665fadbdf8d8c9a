//! A line of the company's log: what it says, printed and parsed exactly.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::world::Profile;

/// A moment of company time: microseconds since 1970-01-01T00:00:00, without a zone, as the log has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(pub i64);

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

impl SimTime {
    /// Returns the moment of whole seconds since 1970.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds * SECOND)
    }

    /// Returns midnight of a day of the calendar.
    pub fn from_date(year: i64, month: u8, day: u8) -> Self {
        Self(days_from_civil(year, month, day) * DAY)
    }

    /// Reads a moment as the log writes it; none where that is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { line: text, at: 0 };
        let time = reader.time().ok()?;
        reader.rest().is_empty().then_some(time)
    }

    /// Returns the whole seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(SECOND)
    }

    /// Returns a moment within the second that follows from the user, in milliseconds, so that a line's fraction is the same in any run.
    #[must_use]
    pub fn within_second(self, user: u32) -> Self {
        let millis = i64::from(user.wrapping_mul(0x9e37_79b1) >> 22) % 1000;
        Self(self.0 + millis * 1000)
    }

    /// Returns the moment some seconds later.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0 + seconds * SECOND)
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        push_time(*self, Profile::Classic, true, &mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A minute of a movie was watched: `GET /data/m/<movie>/<minute>.mpg`.
    Watch {
        /// The movie.
        movie: String,
        /// The minute, from 0.
        minute: u32,
    },
    /// A movie was rated: `GET /rate/<movie>=<stars>`.
    Rate {
        /// The movie.
        movie: String,
        /// The stars; a faulty line may hold any number.
        stars: u32,
    },
    /// A team's service was asked: `recommendation request <server>, status <status>, result: <result>, <n> ms`.
    Recommend {
        /// Host and port.
        server: String,
        /// The HTTP status; 0 where there was no answer.
        status: u16,
        /// The ids joined by comma and blank, or the text of an error.
        result: String,
        /// The response time in milliseconds.
        millis: u32,
    },
    /// An account was made: `GET /create_account`.
    CreateAccount,
}

/// A whole line: when, who, what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub time: SimTime,
    /// Who.
    pub user: u32,
    /// What.
    pub event: Event,
}

/// Why a line can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseFault {
    /// The column in bytes, from 1.
    pub column: usize,
    /// What was wanted there.
    pub wanted: &'static str,
}

impl fmt::Display for ParseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: expected {}", self.column, self.wanted)
    }
}

impl std::error::Error for ParseFault {}

/// The most bytes that a line may have; the longest real one is a failed request with its error text.
pub const MAX_LINE: usize = 16 << 10;

impl Record {
    /// Appends the line, without a newline, as the profile writes it.
    pub fn print(&self, profile: Profile, out: &mut Vec<u8>) {
        let fraction = matches!(self.event, Event::Recommend { .. });
        push_time(self.time, profile, fraction, out);
        out.push(b',');
        push_number(u64::from(self.user), out);
        out.push(b',');
        match &self.event {
            Event::Watch { movie, minute } => push_watch(movie, *minute, out),
            Event::Rate { movie, stars } => push_rate(movie, *stars, out),
            Event::Recommend {
                server,
                status,
                result,
                millis,
            } => {
                push_recommend(server, *status, result, *millis, out);
            }
            Event::CreateAccount => out.extend_from_slice(CREATE),
        }
    }

    /// Reads a line, without its newline.
    ///
    /// # Errors
    /// The first place where the line is not what the company writes.
    pub fn parse(line: &str) -> Result<Self, ParseFault> {
        if line.len() > MAX_LINE {
            return Err(ParseFault {
                column: MAX_LINE,
                wanted: "a line of bounded length",
            });
        }
        let mut reader = Reader { line, at: 0 };
        let time = reader.time()?;
        reader.literal(",", "a comma")?;
        let user = reader.number("a user id")?;
        reader.literal(",", "a comma")?;
        let event = reader.event()?;
        Ok(Self { time, user, event })
    }
}

const WATCH: &[u8] = b"GET /data/m/";
const RATE: &[u8] = b"GET /rate/";
const CREATE: &[u8] = b"GET /create_account";
const RECOMMEND: &str = "recommendation request ";

/// Appends what a watch line says.
pub fn push_watch(movie: &str, minute: u32, out: &mut Vec<u8>) {
    push_watch_begin(movie, out);
    push_watch_end(minute, out);
}

/// Appends what a watch line says before its minute: the same for all lines of a viewing.
pub fn push_watch_begin(movie: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(WATCH);
    out.extend_from_slice(movie.as_bytes());
    out.push(b'/');
}

/// Appends what a watch line says from its minute on.
pub fn push_watch_end(minute: u32, out: &mut Vec<u8>) {
    push_number(u64::from(minute), out);
    out.extend_from_slice(b".mpg");
}

/// Appends what a rating line says.
pub fn push_rate(movie: &str, stars: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(RATE);
    out.extend_from_slice(movie.as_bytes());
    out.push(b'=');
    push_number(u64::from(stars), out);
}

/// Appends what a line about a recommendation request says.
pub fn push_recommend(server: &str, status: u16, result: &str, millis: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(RECOMMEND.as_bytes());
    out.extend_from_slice(server.as_bytes());
    out.extend_from_slice(b", status ");
    push_number(u64::from(status), out);
    out.extend_from_slice(b", result: ");
    out.extend_from_slice(result.as_bytes());
    out.extend_from_slice(b", ");
    push_number(u64::from(millis), out);
    out.extend_from_slice(b" ms");
}

/// Appends a number.
pub fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Appends a time: seconds are left out when they are 0; recommendation lines carry a fraction in groups of three
/// digits unless it is 0 too, and so do all lines of the profile `current`, in milliseconds.
pub fn push_time(time: SimTime, profile: Profile, recommendation: bool, out: &mut Vec<u8>) {
    let days = time.0.div_euclid(DAY);
    let micros = time.0.rem_euclid(DAY);
    let (year, month, day) = civil_from_days(days);
    push_padded(year.unsigned_abs(), 4, out);
    out.push(b'-');
    push_padded(u64::from(month), 2, out);
    out.push(b'-');
    push_padded(u64::from(day), 2, out);
    out.push(b'T');
    let seconds = micros / SECOND;
    push_padded((seconds / 3600) as u64, 2, out);
    out.push(b':');
    push_padded((seconds / 60 % 60) as u64, 2, out);
    let fraction = if recommendation || profile == Profile::Current {
        (micros % SECOND) as u64
    } else {
        0
    };
    if seconds % 60 == 0 && fraction == 0 {
        return;
    }
    out.push(b':');
    push_padded((seconds % 60) as u64, 2, out);
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    push_padded(fraction / 1000, 3, out);
    if recommendation && fraction % 1000 != 0 {
        push_padded(fraction % 1000, 3, out);
    }
}

fn push_padded(number: u64, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(b'0' + (number / 10_u64.pow(place) % 10) as u8);
    }
}

struct Reader<'l> {
    line: &'l str,
    at: usize,
}

impl<'l> Reader<'l> {
    fn rest(&self) -> &'l str {
        &self.line[self.at..]
    }

    fn fault<T>(&self, wanted: &'static str) -> Result<T, ParseFault> {
        Err(ParseFault {
            column: self.at + 1,
            wanted,
        })
    }

    fn literal(&mut self, text: &str, wanted: &'static str) -> Result<(), ParseFault> {
        if !self.rest().starts_with(text) {
            return self.fault(wanted);
        }
        self.at += text.len();
        Ok(())
    }

    fn number<T: std::str::FromStr>(&mut self, wanted: &'static str) -> Result<T, ParseFault> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let text = &self.rest()[..digits];
        if text.is_empty() || (digits > 1 && text.starts_with('0')) {
            return self.fault(wanted);
        }
        let Ok(number) = text.parse() else {
            return self.fault(wanted);
        };
        self.at += digits;
        Ok(number)
    }

    /// Reads exactly this many digits.
    fn digits(&mut self, count: usize, wanted: &'static str) -> Result<i64, ParseFault> {
        let text = self.rest().as_bytes();
        if text.len() < count || !text[..count].iter().all(u8::is_ascii_digit) {
            return self.fault(wanted);
        }
        let number = text[..count]
            .iter()
            .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        self.at += count;
        Ok(number)
    }

    fn time(&mut self) -> Result<SimTime, ParseFault> {
        let year = self.digits(4, "a year of four digits")?;
        self.literal("-", "a hyphen")?;
        let month = self.digits(2, "a month of two digits")?;
        self.literal("-", "a hyphen")?;
        let day = self.digits(2, "a day of two digits")?;
        let days = days_from_civil(year, month as u8, day as u8);
        if civil_from_days(days) != (year, month as u8, day as u8) {
            self.at = 0;
            return self.fault("a day of the calendar");
        }
        self.literal("T", "a `T`")?;
        let hour = self.digits(2, "an hour of two digits")?;
        self.literal(":", "a colon")?;
        let minute = self.digits(2, "a minute of two digits")?;
        let second = if self.literal(":", "").is_ok() {
            self.digits(2, "seconds of two digits")?
        } else {
            0
        };
        if hour > 23 || minute > 59 || second > 59 {
            return self.fault("a time of the day");
        }
        let mut micros = 0;
        if self.literal(".", "").is_ok() {
            let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
            if !matches!(digits, 3 | 6 | 9) {
                return self.fault("a fraction of 3, 6 or 9 digits");
            }
            micros = self.digits(digits, "a fraction")?;
            micros = match digits {
                3 => micros * 1000,
                6 => micros,
                _ => micros / 1000,
            };
        }
        Ok(SimTime(
            days * DAY + (hour * 3600 + minute * 60 + second) * SECOND + micros,
        ))
    }

    fn event(&mut self) -> Result<Event, ParseFault> {
        let event = if self.literal("GET /data/m/", "").is_ok() {
            let movie = self.until('/', "a movie id")?;
            let minute = self.number("a minute")?;
            self.literal(".mpg", "`.mpg`")?;
            Event::Watch { movie, minute }
        } else if self.literal("GET /rate/", "").is_ok() {
            let movie = self.until('=', "a movie id")?;
            Event::Rate {
                movie,
                stars: self.number("a number of stars")?,
            }
        } else if self.literal("GET /create_account", "").is_ok() {
            Event::CreateAccount
        } else if self.literal(RECOMMEND, "").is_ok() {
            self.recommend()?
        } else {
            return self.fault("an event of the company");
        };
        if self.rest().is_empty() {
            Ok(event)
        } else {
            self.fault("the end of the line")
        }
    }

    fn recommend(&mut self) -> Result<Event, ParseFault> {
        let server = self.until(',', "a server")?;
        self.literal(" status ", "` status `")?;
        let status = self.number("a status")?;
        self.literal(", result: ", "`, result: `")?;
        // The result is whatever the team sent, commas and colons included; only the response time ends it.
        let rest = self.rest();
        let end = rest.rfind(", ").filter(|end| rest[end + 2..].ends_with(" ms"));
        let Some(end) = end else {
            return self.fault("a result and a response time");
        };
        let result = rest[..end].to_owned();
        self.at += end + 2;
        let millis = self.number("a response time")?;
        self.literal(" ms", "` ms`")?;
        Ok(Event::Recommend {
            server,
            status,
            result,
            millis,
        })
    }

    fn until(&mut self, end: char, wanted: &'static str) -> Result<String, ParseFault> {
        let Some(length) = self.rest().find(end).filter(|length| *length > 0) else {
            return self.fault(wanted);
        };
        let text = &self.rest()[..length];
        if text.contains([',', ' ', '\n']) {
            return self.fault(wanted);
        }
        self.at += length + end.len_utf8();
        Ok(text.to_owned())
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = (i64::from(month) + 9) % 12;
    let of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a number of days since 1970-01-01, by the same source.
fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u8, day as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(record: &Record, profile: Profile) -> String {
        let mut out = Vec::new();
        record.print(profile, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn real_lines_read_and_print_as_they_were() {
        for line in [
            "2022-11-14T12:23:12.202,650856,recommendation request fall2022-comp585-4.cs.mcgill.ca:8082, status 200, result: shooter+2007, hercules+1997, 102 ms",
            "2023-04-23T23:46:18.872015,698809,recommendation request team12.example.edu:8082, status 0, result: java.util.concurrent.TimeoutException: Request timeout to team12.example.edu/10.0.0.12:8082 after 800 ms, 832 ms",
            "2023-02-08T02:29:01,362500,GET /data/m/barbarians+at+the+gate+1993/84.mpg",
            "2023-02-08T02:29,797760,GET /rate/get+thrashed+2006=4",
        ] {
            let record = Record::parse(line).unwrap();
            assert_eq!(printed(&record, Profile::Classic), line);
        }
        let line = "2026-02-14T10:30:03,99999,GET /create_account";
        assert_eq!(printed(&Record::parse(line).unwrap(), Profile::Current), line);
    }

    #[test]
    fn a_broken_line_is_told_with_its_column() {
        for (line, column) in [
            ("", 1),
            ("2023-02-30T02:29:01,1,GET /create_account", 1),
            ("2023-02-08T02:29:01,x,GET /create_account", 21),
            ("2023-02-08T02:29:01,1,GET /data/m/a b/1.mpg", 35),
            ("2023-02-08T02:29:01,1,GET /data/m/a+1990/1.mp4", 43),
            ("2023-02-08T02:29:01,1,GET /rate/a+1990=3 ", 41),
        ] {
            assert_eq!(Record::parse(line).unwrap_err().column, column, "{line}");
        }
    }

    #[test]
    fn dates_are_those_of_chrono() {
        for days in (-200_000..200_000).step_by(37) {
            let date = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + chrono::Duration::days(days);
            let (year, month, day) = civil_from_days(days);
            assert_eq!(
                format!("{year:04}-{month:02}-{day:02}"),
                date.format("%Y-%m-%d").to_string().trim_start_matches('+')
            );
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    fn events() -> impl Strategy<Value = Event> {
        let movie = "[a-z0-9.\\-*_+]{1,30}";
        prop_oneof![
            (movie, 0_u32..300).prop_map(|(movie, minute)| Event::Watch { movie, minute }),
            (movie, 0_u32..20).prop_map(|(movie, stars)| Event::Rate { movie, stars }),
            ("[a-z0-9.:-]{1,30}", 0_u16..600, "[^\\n]{0,40}", 0_u32..100_000).prop_map(
                |(server, status, result, millis)| Event::Recommend {
                    server,
                    status,
                    result,
                    millis
                }
            ),
            Just(Event::CreateAccount),
        ]
    }

    proptest! {
        #[test]
        fn parsing_what_was_printed_gives_the_same(micros in 0_i64..4_000_000_000_000_000, user in any::<u32>(), event in events()) {
            for profile in [Profile::Classic, Profile::Current] {
                let recommendation = matches!(event, Event::Recommend { .. });
                let time = match (profile, recommendation) {
                    (_, true) => micros,
                    (Profile::Classic, _) => micros / SECOND * SECOND,
                    (Profile::Current, _) => micros / 1000 * 1000,
                };
                let record = Record { time: SimTime(time), user, event: event.clone() };
                prop_assert_eq!(Record::parse(&printed(&record, profile)), Ok(record));
            }
        }

        #[test]
        fn no_line_breaks_the_parser(line in "\\PC{0,80}") {
            if let Err(fault) = Record::parse(&line) {
                prop_assert!(fault.column <= line.len() + 1);
            }
        }

        #[test]
        fn a_line_with_one_sign_changed_never_breaks_the_parser(place in 0_usize..70, sign in any::<char>()) {
            let line = "2023-02-08T02:29:01,362500,GET /data/m/barbarians+at+the+gate+1993/84.mpg";
            let mut letters: Vec<char> = line.chars().collect();
            letters[place] = sign;
            let _read = Record::parse(&letters.iter().collect::<String>());
        }
    }
}
