//! Splits of a log into what is trained on and what is held out: each user's own meetings, never anybody else's.

use super::dataset::{Dataset, Meeting};
use crate::seed::Branch;

/// How meetings are held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A fifth of each user's meetings, drawn at random.
    Random,
    /// The last fifth of each user's meetings: what was watched afterwards.
    Temporal,
    /// Each user's last meeting.
    LastOne,
}

/// The share that is held out, in percent.
const HELD_OUT: usize = 20;

/// A log to train on, and what each user met beside it.
#[derive(Debug, Clone)]
pub struct Split {
    /// The log without what is held out; users and movies are those of the whole log.
    pub train: Dataset,
    /// What is held out of each user, in order of time.
    pub heldout: Vec<Vec<Meeting>>,
}

impl Split {
    /// Splits a log; the same branch gives the same split. Users with fewer than five meetings keep all of theirs, save
    /// for [`Protocol::LastOne`], which takes one of two.
    pub fn new(data: &Dataset, protocol: Protocol, branch: &Branch) -> Self {
        let mut train = Dataset {
            meetings: Vec::new(),
            ..data.clone()
        };
        let mut heldout = vec![Vec::new(); data.users.len()];
        for (user, mut meetings) in data.by_user().into_iter().enumerate() {
            let count = match protocol {
                Protocol::Random | Protocol::Temporal => meetings.len() * HELD_OUT / 100,
                Protocol::LastOne => usize::from(meetings.len() > 1),
            };
            if protocol == Protocol::Random {
                branch.at(user as u64).shuffle(&mut meetings);
            }
            heldout[user] = meetings.split_off(meetings.len() - count);
            heldout[user].sort_by_key(|meeting| meeting.at);
            train.meetings.extend(meetings);
        }
        train.settle();
        Self { train, heldout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;
    use crate::yardstick::{MovieRow, UserRow};

    fn data() -> Dataset {
        let meeting = |number: u32| Meeting {
            user: number % 3,
            movie: number,
            at: i64::from(number),
            minutes: None,
            stars: None,
        };
        Dataset {
            users: vec![UserRow::default(); 3],
            movies: vec![MovieRow::default(); 30],
            meetings: (0..30).map(meeting).collect(),
            ..Dataset::default()
        }
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_on_both_sides() {
        for (protocol, held) in [
            (Protocol::Random, 2),
            (Protocol::Temporal, 2),
            (Protocol::LastOne, 1),
        ] {
            let split = Split::new(&data(), protocol, &Key::from_seed(1).branch("split"));
            let mut all = split.train.meetings.clone();
            for (user, heldout) in split.heldout.iter().enumerate() {
                assert_eq!(heldout.len(), held);
                assert!(heldout.iter().all(|meeting| meeting.user as usize == user));
                all.extend(heldout);
            }
            all.sort_by_key(|meeting| meeting.at);
            assert_eq!(all, data().meetings, "{protocol:?}");
        }
    }

    #[test]
    fn what_is_held_out_in_time_comes_after_all_that_is_trained_on() {
        let split = Split::new(&data(), Protocol::Temporal, &Key::from_seed(1).branch("split"));
        for (user, trained) in split.train.by_user().iter().enumerate() {
            let last = trained.iter().map(|meeting| meeting.at).max();
            assert!(split.heldout[user].iter().all(|meeting| Some(meeting.at) > last));
        }
    }
}
