//! Requests that the open company has sent to a team, out of its store or of its streams: the same ones, to the last letter.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::exit::Exit;
use super::ui::{Failure, Stop};
use crate::clock::Clock;
use crate::course::Team;
use crate::event::{Record, SimTime};
use crate::server::{Reading, Titles, shown};
use crate::store::Store;
use crate::stream::{At, Page, Place, Reader, StreamError};
use crate::window::Span;
use crate::world::World;

/// What is read of the store at once: an hour of a team's requests.
const AT_ONCE_US: i64 = 3_600_000_000;
/// How far before and behind a window a stream is read: requests of a moment stand within their deadline of each other.
const SLACK_US: i64 = 600_000_000;
/// How many lines are looked at for a request, whose moment is sure.
const LOOKS: u64 = 1_000;
/// How near the beginning is sought: so many lines too many are read sooner than a broker looks for them.
const NEAR: u64 = 10_000;
/// How long a stream that has more may take to give it.
const WAIT: Duration = Duration::from_secs(20);

/// Where requests are read, and what that needs.
pub(super) struct Source<'a> {
    pub(super) world: &'a Arc<World>,
    pub(super) reading: Reading,
    /// The moment before which the store has forgotten single requests.
    pub(super) forgotten: Option<SimTime>,
    /// The streams, where it is not the store that is read.
    pub(super) from_log: Option<&'a str>,
    /// Settings of the client of Kafka.
    pub(super) client: BTreeMap<String, String>,
    pub(super) stop: &'a Stop,
    pub(super) clock: Clock,
}

/// Opens the store that a server keeps; one that is not there would be made, and be empty.
pub(super) fn open(state: &Path, store: Option<&String>) -> Result<Store, Failure> {
    let in_state = || state.join("store.sqlite").display().to_string();
    let place = store.cloned().unwrap_or_else(in_state);
    if !place.contains("://") && !Path::new(&place).is_file() {
        return Err(Failure::usage(format!("there is no store at `{place}`"))
            .hint("--state is the folder that `serve` writes to; --store names a PostgreSQL, or a file"));
    }
    Store::open(&place).map_err(|error| failed(&error))
}

/// A failure of this machine, or of what it reaches.
pub(super) fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::machine(error.to_string())
}

impl Source<'_> {
    /// Tells every request to a team in a span.
    pub(super) fn each(
        &self,
        store: &mut Store,
        team: &Team,
        span: Span,
        take: &mut dyn FnMut(&Record),
    ) -> Result<(), Failure> {
        match self.from_log {
            Some(place) => self.read_stream(place, team, span, take),
            None => self.read_store(store, team, span, take),
        }
    }

    /// Tells whether the store has forgotten some of a span, and nothing else is read.
    pub(super) fn has_forgotten(&self, span: Span) -> Option<SimTime> {
        let forgotten = self.forgotten.filter(|_| self.from_log.is_none());
        forgotten.filter(|forgotten| span.from < *forgotten)
    }

    /// Tells every request of a span that the store has of a team, in its order.
    fn read_store(
        &self,
        store: &mut Store,
        team: &Team,
        span: Span,
        take: &mut dyn FnMut(&Record),
    ) -> Result<(), Failure> {
        if let Some(forgotten) = self.has_forgotten(span) {
            return Err(Failure::usage(format!(
                "the store has forgotten single requests before {}, and the window begins at {}",
                shown(forgotten),
                shown(span.from)
            ))
            .hint("--from-log STATE/streams reads them from the streams, which forget nothing; `keep_days` under [live] keeps more"));
        }
        let titles = Titles(Arc::clone(self.world));
        let mut from = span.from;
        while from < span.until {
            self.go_on()?;
            let until = SimTime(from.0.saturating_add(AT_ONCE_US)).min(span.until);
            let records = store
                .requests(team.number, (from, until), &titles)
                .map_err(|error| failed(&error))?;
            records.iter().for_each(&mut *take);
            from = until;
        }
        Ok(())
    }

    /// Tells every request of a span that stands in a team's stream, in its order.
    fn read_stream(
        &self,
        place: &str,
        team: &Team,
        span: Span,
        take: &mut dyn FnMut(&Record),
    ) -> Result<(), Failure> {
        let topic = format!("{}/{}", place.trim_end_matches('/'), team.topic());
        let told = |error: StreamError| {
            match error {
            StreamError::NoTopic(topic) => Failure::usage(format!("`{place}` has no topic `{topic}` of the team `{}`", team.name))
                .hint("--from-log takes the folder of the streams, STATE/streams, or kafka://host:port; --only leaves teams out"),
            other => Failure::machine(other.to_string()),
        }
        };
        let place = Place::parse(&topic).map_err(told)?.with_client(&self.client);
        let mut reader = place.reader(self.clock).map_err(told)?;
        let bounds = reader.bounds().map_err(told)?;
        let from = SimTime(span.from.0.saturating_sub(SLACK_US));
        let moment = |seq: u64, line: &[u8]| Some(self.reading.request(seq, line)?.time);
        let first = begin(reader.as_mut(), bounds.clone(), from, &moment).map_err(told)?;
        reader.seek(At::Seq(first)).map_err(told)?;
        let mut page = Page::default();
        let last = span.until.0.saturating_add(SLACK_US);
        // Whether nothing before the first request that is read can be looked at any more.
        let mut is_cut = bounds.start > 0 && first == bounds.start;
        // What is lost since the last request that was read.
        let mut gap: Option<Range<u64>> = None;
        let refused = |lost: &Range<u64>| {
            Failure::usage(format!(
                "events {} to {} of `{topic}` are lost, and the window that begins at {} may have some of them",
                lost.start,
                lost.end - 1,
                shown(span.from)
            ))
            .hint("--live reads the store, which has counted what it knew of them; with Kafka, --from-log kafka://HOST:PORT")
        };
        while reader.position() < bounds.end {
            self.go_on()?;
            let count = match reader.read(&mut page, WAIT) {
                Err(error) if error.lost().is_some_and(|lost| lost.end <= bounds.end) => {
                    let lost = error.lost().unwrap_or_default();
                    reader.seek(At::Seq(lost.end)).map_err(told)?;
                    gap.get_or_insert(lost);
                    continue;
                }
                other => other.map_err(told)?,
            };
            if count == 0 {
                return Err(Failure::machine(format!(
                    "`{topic}` gave nothing within {} s behind its event {}",
                    WAIT.as_secs(),
                    reader.position()
                )));
            }
            for entry in page.entries() {
                if let Some(record) = self.reading.request(entry.seq, entry.line) {
                    if is_cut && record.time > span.from {
                        return Err(Failure::usage(format!(
                            "`{topic}` begins at {}, as its older part was moved away, and the window begins at {}",
                            shown(record.time),
                            shown(span.from)
                        ))
                        .hint("put the older segments back beside the others, or grade with --live if the store still has the window"));
                    }
                    is_cut = false;
                    if let Some(lost) = gap.take()
                        && record.time >= from
                    {
                        return Err(refused(&lost));
                    }
                    if record.time.0 > last {
                        return Ok(());
                    }
                    if span.holds(record.time) {
                        take(&record);
                    }
                }
            }
        }
        gap.map_or(Ok(()), |lost| Err(refused(&lost)))
    }

    fn go_on(&self) -> Result<(), Failure> {
        if self.stop.is_set() {
            return Err(Failure {
                exit: Exit::Interrupted,
                message: "interrupted; the same command begins again".to_owned(),
                hint: None,
            });
        }
        Ok(())
    }
}

/// Returns the moment of a line, where it is sure.
type Moment<'m> = &'m dyn Fn(u64, &[u8]) -> Option<SimTime>;

/// Returns the first event from which on none of a moment or later is missed: requests stand in a stream in order of time, but
/// for those that took until their deadline. Other lines may be late, or have the time of a clock that is off.
fn begin(
    reader: &mut dyn Reader,
    bounds: Range<u64>,
    from: SimTime,
    moment: Moment<'_>,
) -> Result<u64, StreamError> {
    let (mut low, mut high) = (bounds.start, bounds.end);
    while low + NEAR < high {
        let middle = low + (high - low) / 2;
        match moment_at(reader, middle..high, moment)? {
            Some(at) if at < from => low = middle + 1,
            _ => high = middle,
        }
    }
    // The line before may be one that could not be read, with others like it.
    Ok(low.saturating_sub(LOOKS).max(bounds.start))
}

/// Returns the moment of the first line of a range whose moment is sure.
fn moment_at(
    reader: &mut dyn Reader,
    range: Range<u64>,
    moment: Moment<'_>,
) -> Result<Option<SimTime>, StreamError> {
    reader.seek(At::Seq(range.start))?;
    let mut page = Page::default();
    let mut end = range.end.min(range.start + LOOKS);
    while reader.position() < end {
        let count = match reader.read(&mut page, WAIT) {
            Err(error) => {
                // What is lost tells no moment: the one behind it does.
                let Some(lost) = error.lost().filter(|lost| lost.end <= range.end) else {
                    return Err(error);
                };
                reader.seek(At::Seq(lost.end))?;
                end = range.end.min(lost.end + LOOKS);
                continue;
            }
            Ok(count) => count,
        };
        if count == 0 {
            break;
        }
        for entry in page.entries().filter(|entry| entry.seq < end) {
            if let Some(at) = moment(entry.seq, entry.line) {
                return Ok(Some(at));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::stream::{Archive, Publisher, TopicName, WriteOptions};
    use crate::world::Profile;

    #[test]
    fn a_stream_is_read_from_just_before_a_moment_on_whatever_its_lines_are() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let (archive, topic) = (Archive::new(dir.path()), TopicName::new("movielog1").unwrap());
        let mut publisher = archive.publisher(&topic, WriteOptions::default(), clock).unwrap();
        let start = SimTime::from_date(2026, 9, 1).seconds();
        for second in 0..40_000 {
            // Some are lost, where it is looked first.
            if (19_000..22_000).contains(&second) {
                publisher.skip_to(second as u64 + 1).unwrap();
                continue;
            }
            let record = Record {
                time: SimTime::from_seconds(start + second),
                user: 1,
                event: Event::CreateAccount,
            };
            let mut line = Vec::new();
            record.print(Profile::Current, &mut line);
            // Every third has a character that leaves no line of the log.
            if second % 3 == 0 {
                line.insert(2, b' ');
            }
            publisher.publish(0, &line).unwrap();
        }
        publisher.flush().unwrap();
        let mut reader = archive.reader(&topic, clock).unwrap();
        let read = |_: u64, line: &[u8]| {
            let record = Record::parse(std::str::from_utf8(line).ok()?).ok();
            record.map(|record| record.time)
        };
        let at = |second: i64| SimTime::from_seconds(start + second);
        for second in [0, 1, 1_500, 13_000, 25_000, 39_999] {
            let first = begin(&mut reader, 0..40_000, at(second), &read).unwrap();
            assert!(first <= second as u64, "{first} {second}");
            assert!(first + NEAR + LOOKS >= second as u64, "{first} {second}");
        }
        let behind = begin(&mut reader, 0..40_000, at(90_000), &read).unwrap();
        assert!(behind >= 40_000 - NEAR - LOOKS, "{behind}");
    }
}
