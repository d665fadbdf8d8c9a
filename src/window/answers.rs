//! Successful answers of a window, and how many of them were made for their users.

use std::collections::BTreeMap;

use super::{Asked, Came, by_kind, excluded, measured, not_measured};
use crate::event::SimTime;
use crate::metrics::personal::{LEAST_USERS, personalised_of_all};
use crate::scorecard::{Excluded, Finding};

/// The users whose first two answers are kept, to see whether lists change at random: the lists of everybody would take what a
/// whole day's stream takes.
const KEPT: usize = 20_000;

/// A list, each id by its number.
type List = Vec<u64>;

/// What is counted of the answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    asked: u64,
    ours: u64,
    kinds: BTreeMap<String, u64>,
    numbers: BTreeMap<String, u64>,
    /// How often each list was given.
    lists: BTreeMap<List, u64>,
    /// The two earliest answers of some users, by their place in an order that is as good as random.
    kept: BTreeMap<u64, Vec<(SimTime, List)>>,
}

impl Answers {
    pub(super) fn ours(&mut self) {
        self.ours += 1;
    }

    pub(super) fn push(&mut self, asked: &Asked) {
        self.asked += 1;
        let list = match &asked.came {
            Came::Success(ids) => self.numbered(ids),
            Came::Failure(kind) => {
                *self.kinds.entry(kind.clone()).or_default() += 1;
                List::new()
            }
            Came::Ours => return,
        };
        self.keep(asked, &list);
        if !list.is_empty() {
            *self.lists.entry(list).or_default() += 1;
        }
    }

    fn numbered(&mut self, ids: &[String]) -> List {
        ids.iter()
            .map(|id| {
                let next = self.numbers.len() as u64;
                *self.numbers.entry(id.clone()).or_insert(next)
            })
            .collect()
    }

    /// Keeps the users who come first in a mixed order, whatever the order in which they are told.
    fn keep(&mut self, asked: &Asked, list: &List) {
        let place = u64::from(asked.user).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let last = self.kept.last_key_value().map(|(place, _)| *place);
        if self.kept.len() >= KEPT && last.is_some_and(|last| place > last) {
            return;
        }
        let own = self.kept.entry(place).or_default();
        own.push((asked.at, list.clone()));
        own.sort();
        own.truncate(2);
        if self.kept.len() > KEPT {
            self.kept.pop_last();
        }
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    pub(super) fn successes(&self) -> u64 {
        self.lists.values().sum()
    }

    fn left_out(&self) -> Vec<Excluded> {
        excluded("our_own_fault", self.ours).into_iter().collect()
    }

    pub(super) fn count(&self) -> Finding {
        let good = self.successes();
        let mut found = measured(
            good as f64,
            self.asked,
            format!("{good} of {} requests of the window", self.asked),
        );
        found.excluded = self.left_out();
        found.evidence = by_kind(&self.kinds);
        Finding::Measured(found)
    }

    pub(super) fn personal(&self) -> Finding {
        let pairs: Vec<[List; 2]> = self
            .kept
            .values()
            .filter_map(|answers| match answers.as_slice() {
                [(_, first), (_, second)] => Some([first.clone(), second.clone()]),
                _ => None,
            })
            .collect();
        let most = self.lists.values().copied().max().unwrap_or(0);
        let Some(found) = personalised_of_all(&pairs, (most, self.successes(), self.asked)) else {
            let twice = pairs.len();
            return not_measured(&format!(
                "{twice} users were asked for twice in the window, {LEAST_USERS} are needed"
            ));
        };
        let why = format!(
            "of {} requests; two answers to one user are {:.0} % alike, to two users {:.0} %; the most common list is {:.0} % of the answers",
            self.asked,
            found.same_user * 100.0,
            found.other_users * 100.0,
            found.most_common * 100.0
        );
        let mut found = measured(found.share, self.asked, why);
        found.excluded = self.left_out();
        Finding::Measured(found)
    }
}
