//! `log cat|grep|replay` and `broker`: topics of the company's log, read, carried elsewhere, and served.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::DateTime;
use regex::bytes::Regex;
use serde_json::json;

use super::args::{BrokerArgs, LogAccess, LogCat, LogCommand, LogGrep, LogReplay, LogWhat};
use super::exit::Exit;
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::CourseFiles;
use crate::stream::{
    Access, Archive, At, Broker, BrokerOptions, Page, Place, Publisher, StreamError, TopicName, shell,
};

/// How long a read waits for something new before it looks whether it is to stop.
const WAIT: Duration = Duration::from_millis(200);
/// The lines after which a replay hands on what it has, so that readers see them.
const FLUSH_EVERY: u64 = 10_000;

pub(super) fn log(
    command: &LogCommand,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    match command {
        LogCommand::Cat(LogCat { what }) => print(what, None, stop, clock),
        LogCommand::Grep(LogGrep { pattern, what }) => {
            let pattern = Regex::new(pattern)
                .map_err(|error| Failure::usage(format!("`{pattern}` is no regular expression: {error}")))?;
            print(what, Some(&pattern), stop, clock)
        }
        LogCommand::Replay(args) => replay(args, ui, stop, clock),
        LogCommand::Access(args) => access(args, files, ui),
    }
}

/// Reads a place of a topic as people write it: a word, a number, a moment.
pub(super) fn at(text: &str) -> Result<At, String> {
    match text {
        "start" => return Ok(At::Start),
        "end" => return Ok(At::End),
        _ => {}
    }
    if let Ok(seq) = text.parse() {
        return Ok(At::Seq(seq));
    }
    DateTime::parse_from_rfc3339(text)
        .map(|moment| At::Time(moment.timestamp_millis()))
        .map_err(|_| format!("`{text}` is not start, end, a number or a moment as 2026-02-08T02:29:00Z"))
}

/// Reads settings of Kafka's client, as Kafka's own tools have them: a key and a value a line, `#` before what is said aside.
pub(super) fn kafka_config(file: Option<&Path>) -> Result<BTreeMap<String, String>, Failure> {
    let Some(file) = file else {
        return Ok(BTreeMap::new());
    };
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read `{shown}`: {error}")))?;
    let mut settings = BTreeMap::new();
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                settings.insert(key.trim().to_owned(), value.trim().to_owned());
            }
            // The line may hold a password: it is not repeated.
            _ => faults.push(format!("{shown}:{}: no `key=value`", number + 1)),
        }
    }
    if faults.is_empty() {
        Ok(settings)
    } else {
        Err(Failure::usage(faults.join("\n")))
    }
}

pub(super) fn failure(error: StreamError) -> Failure {
    let text = error.to_string();
    match error {
        StreamError::Name(_) | StreamError::NoTopic(_) => Failure::usage(text),
        StreamError::Locked(_) => Failure::machine(text)
            .hint("one process writes a topic at a time, and one broker serves an archive"),
        StreamError::Corrupt { lost, .. } | StreamError::Missing { lost, .. } => {
            Failure::machine(text).hint(format!("read on behind it with --from {}", lost.end))
        }
        StreamError::Io { .. }
        | StreamError::Line(_)
        | StreamError::Broken(_)
        | StreamError::Unavailable(_) => Failure::machine(text),
    }
}

/// Prints the events of a topic, or those that match.
fn print(what: &LogWhat, pattern: Option<&Regex>, stop: &Stop, clock: Clock) -> Result<Exit, Failure> {
    let client = kafka_config(what.kafka_config.as_deref())?;
    let mut reader = Place::parse(&what.place)
        .and_then(|place| place.with_client(&client).reader(clock))
        .map_err(failure)?;
    reader.seek(what.from).map_err(failure)?;
    let until = if what.follow {
        u64::MAX
    } else {
        reader.bounds().map_err(failure)?.end
    };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut left = what.limit.unwrap_or(u64::MAX);
    let mut page = Page::default();
    let mut patience = Patience::new(clock);
    while left > 0 && reader.position() < until {
        if stop.is_set() {
            return Ok(Exit::Interrupted);
        }
        let count = reader.read(&mut page, WAIT).map_err(failure)?;
        patience.heard(count, what.follow)?;
        let wrote = page
            .entries()
            .filter(|entry| entry.seq < until)
            .filter(|entry| pattern.is_none_or(|pattern| pattern.is_match(entry.line)))
            .take(usize::try_from(left).unwrap_or(usize::MAX))
            .try_for_each(|entry| {
                left -= 1;
                if what.json {
                    let line = String::from_utf8_lossy(entry.line);
                    writeln!(
                        out,
                        "{}",
                        json!({"seq": entry.seq, "stamp_ms": entry.stamp_ms, "line": line})
                    )
                } else {
                    out.write_all(entry.line)?;
                    out.write_all(b"\n")
                }
            });
        match wrote.and_then(|()| if what.follow { out.flush() } else { Ok(()) }) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Passed),
            other => other.map_err(|error| Failure::machine(format!("cannot print: {error}")))?,
        }
    }
    match out.flush() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::machine(format!("cannot print: {error}")))
        }
        _ => Ok(Exit::Passed),
    }
}

/// Carries a topic elsewhere; begun again, it goes on where it was.
fn replay(args: &LogReplay, ui: &Ui, stop: &Stop, clock: Clock) -> Result<Exit, Failure> {
    let client = kafka_config(args.kafka_config.as_deref())?;
    let (from, to) = (Place::parse(&args.place), Place::parse(&args.to));
    let (from, to) = (
        from.map_err(failure)?.with_client(&client),
        to.map_err(failure)?.with_client(&client),
    );
    let mut reader = from.reader(clock).map_err(failure)?;
    let bounds = reader.bounds().map_err(failure)?;
    let mut publisher = to.publisher(bounds.start, clock).map_err(failure)?;
    let first = publisher.next_seq();
    if first < bounds.start || first > bounds.end {
        return Err(Failure::usage(format!(
            "`{}` goes on at event {first}, and `{}` has {} to {}",
            args.to, args.place, bounds.start, bounds.end
        ))
        .hint("replay into a topic that is new, or that an earlier replay of the same topic has begun"));
    }
    reader.seek(At::Seq(first)).map_err(failure)?;
    let mut patience = Patience::new(clock);
    let mut pace = args.speed.map(|speed| Pace::new(speed, clock));
    let mut page = Page::default();
    let mut lost = 0;
    while publisher.next_seq() < bounds.end || args.follow {
        if stop.is_set() {
            publisher.sync().map_err(failure)?;
            return Ok(Exit::Interrupted);
        }
        let count = match reader.read(&mut page, WAIT) {
            Ok(count) => count,
            Err(error) => {
                let end = reader.bounds().map_err(failure)?.end;
                let Some(gone) = error.lost().filter(|gone| gone.end <= end) else {
                    return Err(failure(error));
                };
                ui.progress(format_args!("passed over: {error}"));
                publisher.skip_to(gone.end).map_err(failure)?;
                reader.seek(At::Seq(gone.end)).map_err(failure)?;
                lost += gone.end - gone.start;
                continue;
            }
        };
        patience.heard(count, args.follow)?;
        for entry in page.entries() {
            if let Some(pace) = &mut pace
                && !pace.wait(entry.stamp_ms, publisher.as_mut(), stop)?
            {
                break;
            }
            // A replay at a pace happens now; a copy keeps the stamps.
            let stamp_ms = if pace.is_some() {
                clock.now_utc().timestamp_millis()
            } else {
                entry.stamp_ms
            };
            if entry.seq != publisher.next_seq() {
                return Err(Failure::machine(format!(
                    "events {} to {} are not in `{}` any more",
                    publisher.next_seq(),
                    entry.seq - 1,
                    args.place
                )));
            }
            publisher.publish(stamp_ms, entry.line).map_err(failure)?;
            if (entry.seq + 1) % FLUSH_EVERY == 0 {
                publisher.flush().map_err(failure)?;
            }
        }
        if args.follow {
            publisher.flush().map_err(failure)?;
        }
    }
    publisher.sync().map_err(failure)?;
    let carried = publisher.next_seq() - first - lost;
    let text = if args.json {
        format!(
            "{}\n",
            json!({"events": carried, "first": first, "next": publisher.next_seq(), "lost": lost})
        )
    } else if lost > 0 {
        format!(
            "{carried} events, up to {}; {lost} are lost and were passed over\n",
            publisher.next_seq()
        )
    } else {
        format!("{carried} events, up to {}\n", publisher.next_seq())
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(error.to_string()))?;
    Ok(Exit::Passed)
}

/// How long what is there may take to come.
struct Patience {
    clock: Clock,
    since: Duration,
}

impl Patience {
    /// The longest silence of a broker that has more.
    const MOST: Duration = Duration::from_secs(30);

    fn new(clock: Clock) -> Self {
        Self {
            clock,
            since: clock.elapsed(),
        }
    }

    /// Hears how many events came; silence is a fault unless one waits for what is not there yet.
    fn heard(&mut self, count: usize, follow: bool) -> Result<(), Failure> {
        let now = self.clock.elapsed();
        if count > 0 || follow {
            self.since = now;
        }
        if now - self.since < Self::MOST {
            return Ok(());
        }
        let silent = Self::MOST.as_secs();
        Err(Failure::machine(format!(
            "nothing came for {silent} s, and there is more"
        )))
    }
}

/// The times between events, stretched.
struct Pace {
    speed: f64,
    clock: Clock,
    /// The first event's stamp, and when it went out.
    begin: Option<(i64, Duration)>,
}

impl Pace {
    fn new(speed: f64, clock: Clock) -> Self {
        Self {
            speed,
            clock,
            begin: None,
        }
    }

    /// Waits until an event's time has come; false when the replay is stopped before.
    fn wait(&mut self, stamp_ms: i64, publisher: &mut dyn Publisher, stop: &Stop) -> Result<bool, Failure> {
        let now = self.clock.elapsed();
        let (first_ms, began) = *self.begin.get_or_insert((stamp_ms, now));
        let due_ms = (stamp_ms - first_ms).max(0) as f64 / self.speed;
        let due = began + Duration::from_secs_f64(due_ms / 1000.0);
        if due > now {
            publisher.flush().map_err(failure)?;
        }
        while self.clock.elapsed() < due {
            if stop.is_set() {
                return Ok(false);
            }
            self.clock
                .sleep(WAIT.min(due.saturating_sub(self.clock.elapsed())));
        }
        Ok(true)
    }
}

/// Prints the commands that let each team read its topic, or runs them one by one.
fn access(args: &LogAccess, files: &CourseFiles, ui: &Ui) -> Result<Exit, Failure> {
    let course = files.course()?;
    if course.teams.is_empty() {
        return Err(Failure::usage("the course has no teams").hint("add a [[team]] to course.toml for each"));
    }
    if course.practice {
        ui.progress(format_args!(
            "note: there is no world.key: everybody can know these passwords"
        ));
    }
    let bin = args
        .bin
        .as_ref()
        .map_or_else(String::new, |bin| format!("{bin}/"));
    let access = Access {
        server: &args.server,
        config: args.config.as_deref(),
        bin: &bin,
        partitions: args.partitions,
        replication: args.replication,
    };
    for team in &course.teams {
        let topic = TopicName::new(&team.topic()).map_err(failure)?;
        let mut draws = course.key.branch("kafka password").at(u64::from(team.number));
        let password = format!("{:016x}{:016x}", draws.bits(), draws.bits());
        for command in access.commands(&format!("team{}", team.number), &password, &topic) {
            if args.apply {
                apply(&command)?;
            } else {
                ui.data(&(shell(&command) + "\n"))
                    .map_err(|error| Failure::machine(error.to_string()))?;
            }
        }
        if args.apply {
            ui.progress(format_args!("{}: {topic}", team.name));
        }
    }
    Ok(Exit::Passed)
}

/// Runs a command; what it says of its failure is passed on, its words (which hold a password) are not. What it sets goes to it
/// by a file that is ours alone: everybody on this machine sees the words of a program that runs.
fn apply(command: &[String]) -> Result<(), Failure> {
    let mut command = command.to_vec();
    let at = command.iter().position(|word| word == "--add-config");
    let refused = |error: io::Error| Failure::machine(format!("a file for Kafka's command: {error}"));
    let mut file = tempfile::NamedTempFile::new().map_err(refused)?;
    if let Some(at) = at {
        // In a file nothing has to be kept together by brackets.
        let setting = command[at + 1].replacen("=[", "=", 1);
        writeln!(file, "{}", setting.trim_end_matches(']')).map_err(refused)?;
        command[at] = "--add-config-file".to_owned();
        command[at + 1] = file.path().display().to_string();
    }
    let (program, words) = command.split_first().expect("a command has a program");
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            Failure::machine(format!("cannot run `{program}`: {error}"))
                .hint("name the folder of Kafka's scripts with --bin")
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    Err(Failure::machine(format!("`{program}` failed: {last}")))
}

/// Serves an archive until it is interrupted.
pub(super) fn broker(args: &BrokerArgs, ui: &Ui, stop: &Stop, clock: Clock) -> Result<Exit, Failure> {
    let options = BrokerOptions {
        listen: args.listen,
        advertised: args.advertise.clone(),
    };
    let archive = Archive::new(&args.archive);
    let broker = Broker::start(archive.clone(), &options, clock).map_err(failure)?;
    let topics = archive.topics().map_err(failure)?;
    let names: Vec<String> = topics.iter().map(ToString::to_string).collect();
    let address = broker.address();
    let text = if args.json {
        format!("{}\n", json!({"address": address.to_string(), "topics": names}))
    } else {
        let found = if names.is_empty() {
            "no topics yet".to_owned()
        } else {
            names.join(", ")
        };
        format!("kafka at {address}: {found}\n")
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(error.to_string()))?;
    while !stop.is_set() {
        clock.sleep(WAIT);
    }
    broker.stop().map_err(failure)?;
    Ok(Exit::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_kafka_are_read_and_all_faults_told_without_what_stands_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("client.properties");
        fs::write(
            &file,
            "# us\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b \n",
        )
        .unwrap();
        let settings = kafka_config(Some(&file)).unwrap();
        assert_eq!(settings["security.protocol"], "SASL_SSL");
        assert_eq!(settings["sasl.password"], "a=b");
        fs::write(&file, "secret\n=x\na=b\n").unwrap();
        let failure = kafka_config(Some(&file)).unwrap_err();
        assert!(
            failure.message.contains(":1: ") && failure.message.contains(":2: "),
            "{failure:?}"
        );
        assert!(!failure.message.contains("secret"), "{failure:?}");
    }
}
