//! Which of Alpaca's orders is which of ours.
//!
//! A single order carries its name. Of two alternatives the first carries both names and the second, which Alpaca names
//! itself, is its leg.
//!
//! Every name is held against what Alpaca itself calls the order (its `client_order_id`), which never changes: an id
//! that comes with another is another order, as after a paper server was started anew.

use std::collections::HashMap;

use trading::ClientOrderId;

use super::wire::{Class, OrderRow};

/// What no name of ours contains.
const BETWEEN: char = '.';

/// What the first of two alternatives is called at Alpaca.
pub(super) fn both(first: &ClientOrderId, second: &ClientOrderId) -> String {
    format!("{first}{BETWEEN}{second}")
}

/// The names in an order's name: its own, and its leg's where it says that too.
fn split(row: &OrderRow) -> (ClientOrderId, Option<ClientOrderId>) {
    match row.client_order_id.split_once(BETWEEN) {
        Some((first, second)) if row.order_class == Some(Class::Oco) && !first.is_empty() && !second.is_empty() => {
            (ClientOrderId::told(first), Some(ClientOrderId::told(second)))
        }
        _ => (ClientOrderId::told(row.client_order_id.as_str()), None),
    }
}

/// An order of theirs.
#[derive(Debug)]
struct Named {
    /// What we call it.
    ours: ClientOrderId,
    /// What Alpaca itself calls it.
    told: String,
}

/// What has been learnt from orders that Alpaca told.
#[derive(Debug, Default)]
pub(super) struct Names {
    ours: HashMap<String, Named>,
    theirs: HashMap<ClientOrderId, String>,
    /// The alternative whose name an order carries beside its own.
    beside: HashMap<ClientOrderId, ClientOrderId>,
    /// The leg that in the end replaced the one with the name.
    replaced: HashMap<ClientOrderId, String>,
}

impl Names {
    /// Learns the names of an order and of its legs.
    pub(super) fn learn(&mut self, row: &OrderRow) {
        row.family().for_each(|row| self.forget_another(row));
        let (own, beside) = split(row);
        if beside.is_some() || !self.ours.contains_key(&row.id) {
            self.know(row, own.clone());
        }
        for leg in row.legs.iter().flatten() {
            match &beside {
                Some(name) if leg.replaces.is_none() => {
                    self.know(leg, name.clone());
                    continue;
                }
                // It was given a name of its own when it replaced another.
                Some(name) => {
                    self.replaced.insert(name.clone(), leg.id.clone());
                }
                None => {}
            }
            // By itself a leg only tells the name that Alpaca gave it.
            if !self.ours.contains_key(&leg.id) {
                self.know(leg, ClientOrderId::told(leg.client_order_id.as_str()));
            }
        }
        if let Some(name) = beside {
            self.beside.insert(own, name);
        }
    }

    /// The leg that in the end replaced the one with this name.
    pub(super) fn replaced(&self, ours: &ClientOrderId) -> Option<&String> {
        self.replaced.get(ours)
    }

    /// Learns a name that was found out.
    pub(super) fn know(&mut self, row: &OrderRow, ours: ClientOrderId) {
        self.theirs.insert(ours.clone(), row.id.clone());
        self.ours.insert(row.id.clone(), Named { ours, told: row.client_order_id.clone() });
    }

    /// Forgets what another order of the same id was called.
    fn forget_another(&mut self, row: &OrderRow) {
        let Some(named) = self.ours.remove(&row.id) else { return };
        if named.told == row.client_order_id {
            self.ours.insert(row.id.clone(), named);
            return;
        }
        self.theirs.remove(&named.ours);
        self.beside.remove(&named.ours);
        self.replaced.retain(|_, last| *last != row.id);
    }

    /// What we call an order of theirs.
    pub(super) fn ours(&self, row: &OrderRow) -> Option<&ClientOrderId> {
        self.ours.get(&row.id).filter(|named| named.told == row.client_order_id).map(|named| &named.ours)
    }

    /// What they call an order of ours.
    pub(super) fn theirs(&self, ours: &ClientOrderId) -> Option<&String> {
        self.theirs.get(ours)
    }

    /// What an order that replaces another is called at Alpaca.
    pub(super) fn replacing(&self, old: &ClientOrderId, new: &ClientOrderId) -> String {
        self.beside.get(old).map_or_else(|| new.as_str().to_owned(), |beside| both(new, beside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> OrderRow {
        serde_json::from_str(text).unwrap()
    }

    const AT: &str = r#""status":"new","created_at":"2024-01-02T15:00:00Z""#;

    #[test]
    fn a_leg_is_known_by_what_its_alternative_carries() {
        let mut names = Names::default();
        let leg = format!(r#"{{"id":"2","client_order_id":"random","order_class":"oco",{AT}}}"#);
        let oco = format!(r#"{{"id":"1","client_order_id":"a-s-1.a-s-2","order_class":"oco",{AT},"legs":[{leg}]}}"#);
        names.learn(&row(&oco));
        assert_eq!(names.theirs(&ClientOrderId::told("a-s-2")).unwrap(), "2");
        assert_eq!(names.ours(&row(&oco)).unwrap().as_str(), "a-s-1");
        assert_eq!(names.replacing(&ClientOrderId::told("a-s-1"), &ClientOrderId::told("a-s-3")), "a-s-3.a-s-2");
        assert_eq!(names.replacing(&ClientOrderId::told("a-s-2"), &ClientOrderId::told("a-s-3")), "a-s-3");
    }

    #[test]
    fn a_point_in_somebody_elses_name_means_nothing() {
        let mut names = Names::default();
        let simple = row(&format!(r#"{{"id":"1","client_order_id":"v1.2","order_class":"simple",{AT}}}"#));
        names.learn(&simple);
        assert_eq!(names.ours(&simple).unwrap().as_str(), "v1.2");
    }

    #[test]
    fn an_id_that_comes_with_another_name_is_another_order() {
        let mut names = Names::default();
        let simple = |name: &str| row(&format!(r#"{{"id":"1","client_order_id":"{name}",{AT}}}"#));
        names.learn(&simple("a-s-1"));
        assert_eq!(names.ours(&simple("b-s-7")), None);
        names.learn(&simple("b-s-7"));
        assert_eq!(names.theirs(&ClientOrderId::told("a-s-1")), None);
        assert_eq!(names.ours(&simple("b-s-7")).unwrap().as_str(), "b-s-7");
    }
}
