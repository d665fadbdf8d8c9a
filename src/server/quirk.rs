//! What is odd about single lines, decided by their sequence numbers alone: the same line gets the same oddity again.

use crate::course::{Quirk, QuirkKind};
use crate::event::{Event, Record, SimTime};
use crate::seed::{Branch, Draws};
use crate::world::{Profile, UserId, World};

/// The share of inserted characters that are blanks.
const BLANKS: f64 = 0.7;

/// Writes lines with their oddities, and takes inserted characters out again.
#[derive(Debug)]
pub(super) struct Pen<'p> {
    quirks: &'p [Quirk],
    branch: Branch,
    world: &'p World,
}

impl<'p> Pen<'p> {
    pub(super) fn new(quirks: &'p [Quirk], branch: &Branch, world: &'p World) -> Self {
        Self {
            quirks,
            branch: branch.branch("quirks"),
            world,
        }
    }

    /// Appends what stands in the stream under a number for an event of a moment.
    pub(super) fn write(&self, seq: u64, time: SimTime, user: UserId, event: Event, out: &mut Vec<u8>) {
        let profile = self.world.spec().profile;
        let mut record = Record {
            time,
            user: user.0,
            event,
        };
        if let Some(mut draws) = self.hit(seq, time, QuirkKind::Implausible) {
            distort(&mut record, self.world.spec().users, profile, &mut draws);
        }
        record.print(profile, out);
        if let Some(mut draws) = self.hit(seq, time, QuirkKind::Inserted) {
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

    /// Reads a line of the stream as it was before a character was put into it. The moment of a line that is hit cannot be
    /// read from it; `about` is one near it.
    pub(super) fn read(&self, seq: u64, line: &[u8], about: SimTime) -> Option<Record> {
        let text = std::str::from_utf8(line).ok()?;
        let Some(mut draws) = self.hit(seq, about, QuirkKind::Inserted) else {
            return Record::parse(text).ok();
        };
        let place = draws.below(line.len() as u64) as usize;
        let mut line = line.to_vec();
        line.remove(place);
        Record::parse(std::str::from_utf8(&line).ok()?).ok()
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
        let pen = Pen::new(&quirks, &key.branch("x"), &world);
        let time = SimTime::from_date(2026, 9, 1);
        let (mut hit, mut wrong) = (0, 0);
        for seq in 0..2_000 {
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
            let mut line = Vec::new();
            pen.write(seq, time, UserId(7), event.clone(), &mut line);
            hit += usize::from(
                std::str::from_utf8(&line)
                    .ok()
                    .is_none_or(|line| Record::parse(line).is_err()),
            );
            let read = pen.read(seq, &line, time).unwrap();
            if seq % 3 == 2 {
                assert_eq!(read.event, event);
            }
            wrong += usize::from(read.user > 100 || matches!(read.event, Event::Rate { stars: 15, .. }));
        }
        assert!(hit > 200 && (300..500).contains(&wrong), "{hit} {wrong}");
    }
}
