//! How numbered events lie in the partitions of a topic, and how the first of them that lies behind a place is found (pure).

use std::ops::Range;

/// The events of a block, which lie in one partition; the next block lies in the next. Across partitions, consumers see
/// jumps of about a second, as those of a course do.
const BLOCK: u64 = 500;

/// Returns the partition of an event.
pub(super) fn partition_of(seq: u64, partitions: u64) -> u64 {
    seq / BLOCK % partitions
}

/// Returns the first event from `seq` on that lies in a partition.
pub(super) fn next_in(partition: u64, partitions: u64, seq: u64) -> u64 {
    if partition_of(seq, partitions) == partition {
        return seq;
    }
    let block = seq / BLOCK;
    let ahead = (partition + partitions - block % partitions) % partitions;
    (block + ahead) * BLOCK
}

/// Returns the first place of a range from which on something holds, its end if nowhere, in few looks if `guess` is near it.
pub(super) fn first_from<E>(
    range: Range<i64>,
    guess: i64,
    mut holds: impl FnMut(i64) -> Result<bool, E>,
) -> Result<i64, E> {
    let (mut low, mut high) = (range.start, range.end);
    let mut look = guess.clamp(low, high - 1);
    let mut step = 1;
    // Ever longer steps away from the guess, until the place lies between two looks.
    let mut side = None;
    while low < high {
        let is_behind = holds(look)?;
        if is_behind {
            high = look;
        } else {
            low = look + 1;
        }
        if *side.get_or_insert(is_behind) != is_behind {
            break;
        }
        look = if is_behind { high - step } else { low + step - 1 };
        if look < low || look >= high {
            break;
        }
        step *= 2;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_next_event_of_a_partition_is_the_first_that_lies_in_it(seq in 0..100_000_u64, partitions in 1..5_u64, partition in 0..5_u64) {
            let partition = partition % partitions;
            let next = next_in(partition, partitions, seq);
            prop_assert_eq!(partition_of(next, partitions), partition);
            prop_assert!((seq..next).all(|seq| partition_of(seq, partitions) != partition));
        }

        #[test]
        fn a_place_is_found_wherever_it_is_and_soon_if_the_guess_is_near(place in 0..5_000_i64, guess in -10..6_000_i64) {
            let mut looks = 0;
            let found: Result<i64, Infallible> = first_from(0..4_000, guess, |at| {
                looks += 1;
                Ok(at >= place)
            });
            prop_assert_eq!(found, Ok(place.min(4_000)));
            let away = (guess.clamp(0, 3_999) - place.min(4_000)).unsigned_abs();
            prop_assert!(looks <= 4 + 2 * (away + 2).ilog2(), "{} looks at {} away", looks, away);
        }
    }
}
