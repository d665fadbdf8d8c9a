//! The requests of a minute in few bytes, from which the lines of the stream come back to the last letter.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::StoreError;
use crate::event::{Event, Record, SimTime};
use crate::exchange::MAX_IDS;

/// The most bytes of a minute that is unpacked: a thousand requests a second with the longest results.
const MAX_MINUTE: u64 = 256 << 20;

/// What is known of the catalogue: the place of a movie, and its id.
pub trait Movies {
    /// Returns the place of the movie with this id.
    fn place(&self, id: &str) -> Option<u32>;
    /// Returns the id of the movie at a place.
    fn id(&self, place: u32) -> Option<&str>;
}

/// What a row says without its records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) ok: i64,
    pub(super) sum_ms: i64,
    pub(super) worst_ms: i64,
}

/// Counts the requests that are successful: status 200, a list of known ids, none twice, in time.
pub(super) fn figures(records: &[&Record], movies: &dyn Movies, deadline_ms: u64) -> Figures {
    let mut figures = Figures::default();
    for record in records {
        if let Event::Recommend {
            status,
            result,
            millis,
            ..
        } = &record.event
        {
            let is_ok = *status == 200
                && u64::from(*millis) <= deadline_ms
                && places(result, movies).is_some_and(|places| {
                    (1..places.len()).all(|last| !places[..last].contains(&places[last]))
                });
            figures.ok += i64::from(is_ok);
            figures.sum_ms += i64::from(*millis);
            figures.worst_ms = figures.worst_ms.max(i64::from(*millis));
        }
    }
    figures
}

/// Returns the places of the ids of a result, where it is a list as the company writes it and nothing else.
fn places(result: &str, movies: &dyn Movies) -> Option<Vec<u32>> {
    let places: Option<Vec<u32>> = result.split(", ").map(|id| movies.place(id)).collect();
    places.filter(|places| places.len() <= MAX_IDS)
}

/// Packs requests; other events are passed over.
pub(super) fn pack(records: &[&Record], movies: &dyn Movies) -> Result<Vec<u8>, StoreError> {
    let mut plain = Vec::new();
    for record in records {
        let Event::Recommend {
            server,
            status,
            result,
            millis,
        } = &record.event
        else {
            continue;
        };
        push(record.time.0 as u64, &mut plain);
        push(u64::from(record.user), &mut plain);
        push_text(server, &mut plain);
        push(u64::from(*status), &mut plain);
        push(u64::from(*millis), &mut plain);
        if let Some(places) = places(result, movies) {
            push(places.len() as u64, &mut plain);
            for place in places {
                push(u64::from(place), &mut plain);
            }
        } else {
            // A list is never empty: 0 says that a text follows.
            push(0, &mut plain);
            push_text(result, &mut plain);
        }
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(&plain)
        .and_then(|()| encoder.finish())
        .map_err(StoreError::new)
}

/// Unpacks requests.
pub(super) fn unpack(packed: &[u8], movies: &dyn Movies) -> Result<Vec<Record>, StoreError> {
    let mut plain = Vec::new();
    ZlibDecoder::new(packed)
        .take(MAX_MINUTE)
        .read_to_end(&mut plain)
        .map_err(StoreError::new)?;
    let mut rest = plain.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        let record = take_record(&mut rest, movies).ok_or_else(|| {
            StoreError("the requests of a minute cannot be read: is it another world?".to_owned())
        })?;
        records.push(record);
    }
    Ok(records)
}

fn take_record(rest: &mut &[u8], movies: &dyn Movies) -> Option<Record> {
    let time = SimTime(take(rest)? as i64);
    let user = u32::try_from(take(rest)?).ok()?;
    let server = take_text(rest)?;
    let status = u16::try_from(take(rest)?).ok()?;
    let millis = u32::try_from(take(rest)?).ok()?;
    let result = match take(rest)? {
        0 => take_text(rest)?,
        count => {
            let ids: Option<Vec<&str>> = (0..count.min(MAX_IDS as u64 + 1))
                .map(|_| movies.id(u32::try_from(take(rest)?).ok()?))
                .collect();
            ids?.join(", ")
        }
    };
    Some(Record {
        time,
        user,
        event: Event::Recommend {
            server,
            status,
            result,
            millis,
        },
    })
}

/// Appends a number, seven bits a byte, the lowest first.
fn push(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    push(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Numbered;

    impl Movies for Numbered {
        fn place(&self, id: &str) -> Option<u32> {
            let number = id
                .strip_prefix("m+")?
                .parse()
                .ok()
                .filter(|number| *number < 300)?;
            (self.id(number)? == id).then_some(number)
        }

        fn id(&self, place: u32) -> Option<&str> {
            const IDS: [&str; 3] = ["m+0", "m+1", "m+2"];
            IDS.get(place as usize).copied()
        }
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let result = prop_oneof![
            proptest::sample::subsequence(vec!["m+0", "m+1", "m+2"], 1..=3).prop_map(|ids| ids.join(", ")),
            "\\PC{0,40}",
            Just("m+0,m+1".to_owned()),
            Just("m+0, m+7".to_owned()),
        ];
        (0_i64..i64::MAX, any::<u32>(), any::<u16>(), result, any::<u32>()).prop_map(
            |(time, user, status, result, millis)| Record {
                time: SimTime(time),
                user,
                event: Event::Recommend {
                    server: "team1:8082".to_owned(),
                    status,
                    result,
                    millis,
                },
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back_to_the_last_letter(records in proptest::collection::vec(any_record(), 0..20)) {
            let borrowed: Vec<&Record> = records.iter().collect();
            let packed = pack(&borrowed, &Numbered).unwrap();
            prop_assert_eq!(unpack(&packed, &Numbered).unwrap(), records);
        }

        #[test]
        fn no_bytes_break_the_unpacking(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&bytes).unwrap();
            // What comes of it does not matter: it must end.
            drop(unpack(&encoder.finish().unwrap(), &Numbered));
            drop(unpack(&bytes, &Numbered));
        }
    }

    #[test]
    fn a_success_has_status_200_known_ids_and_came_in_time() {
        let record = |status: u16, result: &str, millis: u32| Record {
            time: SimTime(0),
            user: 1,
            event: Event::Recommend {
                server: String::new(),
                status,
                result: result.to_owned(),
                millis,
            },
        };
        let records = [
            record(200, "m+0, m+1", 800),
            record(200, "m+0", 801),
            record(200, "m+9", 10),
            record(0, "m+0", 10),
        ];
        let borrowed: Vec<&Record> = records.iter().collect();
        let wanted = Figures {
            ok: 1,
            sum_ms: 1621,
            worst_ms: 801,
        };
        assert_eq!(figures(&borrowed, &Numbered, 800), wanted);
    }
}
