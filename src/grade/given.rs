//! The lists that a service has given to its users, as a class compares them.

use std::collections::BTreeMap;

use crate::evidence::{Bundle, Item};
use crate::exchange::{Phase, RequestKind};

/// Returns the first valid list of each user with a history who was asked about at the ordinary rate.
pub fn lists_given(bundle: &Bundle) -> BTreeMap<u32, Vec<String>> {
    let mut lists = BTreeMap::new();
    let mut exchanges: Vec<_> = bundle
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Exchange(exchange) => Some(exchange),
            _ => None,
        })
        .filter(|exchange| {
            exchange.planned.phase == Phase::Steady && exchange.planned.kind == RequestKind::Known
        })
        .collect();
    exchanges.sort_by_key(|exchange| exchange.planned.seq);
    for exchange in exchanges {
        if let (Some(user), Some(ids)) = (exchange.planned.user, exchange.ids()) {
            lists.entry(user).or_insert_with(|| ids.to_vec());
        }
    }
    lists
}
