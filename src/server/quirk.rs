//! What is odd about single lines: quirks go by their sequence numbers alone, incidents by what they say, so that the same line
//! gets the same oddity again, and what a request was can be read.

use crate::course::{Quirk, QuirkKind};
use crate::event::{Event, MAX_LINE, Record, SimTime};
use crate::seed::{Branch, Draws};
use crate::trouble::{Spoil, Written};
use crate::world::{Profile, World};

/// The share of inserted characters that are blanks.
const BLANKS: f64 = 0.7;

/// Writes lines with their oddities, and reads what a line was before.
#[derive(Debug)]
pub(super) struct Pen<'p> {
    quirks: &'p [Quirk],
    spoil: &'p Spoil,
    branch: Branch,
    world: &'p World,
}

impl<'p> Pen<'p> {
    pub(super) fn new(quirks: &'p [Quirk], spoil: &'p Spoil, branch: &Branch, world: &'p World) -> Self {
        Self {
            quirks,
            spoil,
            branch: branch.branch("quirks"),
            world,
        }
    }

    /// Returns what incidents make of a record, whatever its number will be; none where it is lost.
    pub(super) fn fate(&self, record: &Record) -> Option<Written> {
        self.spoil.fate(self.world, record)
    }

    /// Appends what stands in the stream under a number for a record whose fate has left this text.
    pub(super) fn write(&self, seq: u64, record: &Record, text: &[u8], out: &mut Vec<u8>) {
        let profile = self.world.spec().profile;
        let mut distorted = self
            .hit(seq, record.time, QuirkKind::Implausible)
            .map(|mut draws| {
                let mut record = record.clone();
                distort(&mut record, self.world.spec().users, profile, &mut draws);
                record
            });
        match distorted.take().filter(|distorted| distorted != record) {
            Some(distorted) => distorted.print(profile, out),
            None => out.extend_from_slice(text),
        }
        if is_request(record) {
            self.spoil.put_into(seq, record.time, out);
        }
        if let Some(mut draws) = self.hit(seq, record.time, QuirkKind::Inserted) {
            let place = draws.below(out.len() as u64 + 1) as usize;
            let letter = if draws.chance(BLANKS) {
                b' '
            } else {
                // Any that can be seen, and no comma less than others.
                b'!' + draws.below(94) as u8
            };
            out.insert(place, letter);
        }
    }

    /// Reads what a line of the stream was before anything was done to it, which for requests is sure: it is what would be
    /// written so under this number. Of another line it may be what the line now says.
    pub(super) fn read(&self, seq: u64, line: &[u8]) -> Option<Record> {
        let as_it_is = parsed(line);
        if as_it_is
            .as_ref()
            .is_some_and(|record| !is_request(record) || self.would_write(seq, record, line))
        {
            return as_it_is;
        }
        let less = self.quirks.iter().enumerate().filter_map(|(number, quirk)| {
            // Of a line that was hit one knows where, if not when.
            let mut draws = self.branch.numbered(number as u64).at(seq);
            if quirk.kind != QuirkKind::Inserted || !draws.chance(quirk.share) || line.is_empty() {
                return None;
            }
            let mut less = line.to_vec();
            less.remove(draws.below(line.len() as u64) as usize);
            Some(less)
        });
        let mut other = None;
        for text in std::iter::once(line.to_vec()).chain(less) {
            for origin in self.spoil.origins(seq, &text) {
                let Some(record) = parsed(&origin) else { continue };
                if !is_request(&record) {
                    other = other.or(Some(record));
                    continue;
                }
                if self.would_write(seq, &record, line) {
                    return Some(record);
                }
            }
        }
        as_it_is.or(other)
    }

    /// Tells whether a record stands in the stream under a number as this line.
    fn would_write(&self, seq: u64, record: &Record, line: &[u8]) -> bool {
        let mut again = Vec::with_capacity(line.len());
        let text = self.fate(record).map(|written| written.text);
        self.write(seq, record, &text.unwrap_or_default(), &mut again);
        again.truncate(MAX_LINE);
        again == line
    }

    /// Returns the moment of a record that was read, by the company's own clock.
    pub(super) fn time(&self, record: &Record) -> SimTime {
        self.spoil.true_time(record)
    }

    /// Returns the draws of a line that a quirk hits at a moment.
    fn hit(&self, seq: u64, time: SimTime, kind: QuirkKind) -> Option<Draws> {
        self.quirks.iter().enumerate().find_map(|(number, quirk)| {
            let is_now = quirk.kind == kind && quirk.from <= time && time < quirk.until;
            let mut draws = self.branch.numbered(number as u64).at(seq);
            (is_now && draws.chance(quirk.share)).then_some(draws)
        })
    }
}

fn parsed(line: &[u8]) -> Option<Record> {
    Record::parse(std::str::from_utf8(line).ok()?).ok()
}

fn is_request(record: &Record) -> bool {
    matches!(record.event, Event::Recommend { .. })
}

/// Makes an event one that cannot be true. Requests stay as they are: they are what grades are made from.
fn distort(record: &mut Record, users: u32, profile: Profile, draws: &mut Draws) {
    match &mut record.event {
        Event::Rate { stars, .. } => *stars = u32::from(profile.stars()) * 3,
        Event::Watch { .. } => record.user = users + 1 + draws.below(1_000) as u32,
        Event::Recommend { .. } | Event::CreateAccount => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;
    use crate::trouble::{Fault, Order};
    use crate::world::WorldSpec;

    #[test]
    fn a_line_is_read_as_it_was_before_a_character_was_put_into_it() {
        let key = Key::from_seed(2);
        let spec = WorldSpec {
            users: 100,
            movies: 50,
            profile: Profile::Classic,
        };
        let world = World::new(&key, spec, 1);
        let always = |kind: QuirkKind, share: f64| Quirk {
            kind,
            share,
            from: SimTime(0),
            until: SimTime(i64::MAX),
        };
        let quirks = [
            always(QuirkKind::Inserted, 0.4),
            always(QuirkKind::Implausible, 0.3),
        ];
        let mut spoil = Spoil::new(&world);
        let time = SimTime::from_date(2026, 9, 1);
        // The quirks are there all the time, the incidents from some line on to before another.
        let span = (time.plus_seconds(300), time.plus_seconds(900));
        for (number, fault) in [
            Fault::SchemaChange(Order::Semicolons),
            Fault::RandomCharacter { share: 0.3 },
            Fault::ClockSkew {
                share: 0.5,
                seconds: 200,
            },
        ]
        .into_iter()
        .enumerate()
        {
            spoil.add(fault, span, key.branch("y").numbered(number as u64));
        }
        let pen = Pen::new(&quirks, &spoil, &key.branch("x"), &world);
        let (mut hit, mut wrong) = (0, 0);
        for seq in 0..1_200 {
            let event = match seq % 3 {
                0 => Event::Rate {
                    movie: "a+2000".to_owned(),
                    stars: 4,
                },
                1 => Event::Watch {
                    movie: "a+2000".to_owned(),
                    minute: 3,
                },
                _ => Event::Recommend {
                    server: "a:1".to_owned(),
                    status: 200,
                    result: "a+2000, b+2001".to_owned(),
                    millis: 5,
                },
            };
            let record = Record {
                time: time.plus_seconds(seq as i64),
                user: 7 + seq as u32 % 50,
                event,
            };
            let mut line = Vec::new();
            let written = pen.fate(&record).unwrap();
            pen.write(seq, &record, &written.text, &mut line);
            hit += usize::from(parsed(&line).is_none());
            let read = pen.read(seq, &line);
            if seq % 3 == 2 {
                assert_eq!(read, Some(record), "{}", String::from_utf8_lossy(&line));
            } else if let Some(read) = read {
                wrong += usize::from(read.user > 100 || matches!(read.event, Event::Rate { stars: 15, .. }));
                if seq >= 1_100 {
                    assert_eq!(pen.time(&read), read.time);
                }
            }
        }
        // All lines of the incident, and those with a character too many.
        assert!(hit > 700 && (150..400).contains(&wrong), "{hit} {wrong}");
    }
}
