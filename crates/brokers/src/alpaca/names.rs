//! Which of Alpaca's orders is which of ours.
//!
//! A single order carries its name. Of two alternatives the first carries both names and the second, which Alpaca names
//! itself, is its leg.

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

/// What has been learnt from orders that Alpaca told.
#[derive(Debug, Default)]
pub(super) struct Names {
    ours: HashMap<String, ClientOrderId>,
    theirs: HashMap<ClientOrderId, String>,
    /// The alternative whose name an order carries beside its own.
    beside: HashMap<ClientOrderId, ClientOrderId>,
    /// The leg that in the end replaced the one with the name.
    replaced: HashMap<ClientOrderId, String>,
}

impl Names {
    /// Learns the names of an order and of its legs.
    pub(super) fn learn(&mut self, row: &OrderRow) {
        let (own, beside) = split(row);
        if beside.is_some() || !self.ours.contains_key(&row.id) {
            self.know(&row.id, own.clone());
        }
        for leg in row.legs.iter().flatten() {
            match &beside {
                Some(name) if leg.replaces.is_none() => {
                    self.know(&leg.id, name.clone());
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
                self.know(&leg.id, ClientOrderId::told(leg.client_order_id.as_str()));
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
    pub(super) fn know(&mut self, theirs: &str, ours: ClientOrderId) {
        self.theirs.insert(ours.clone(), theirs.to_owned());
        self.ours.insert(theirs.to_owned(), ours);
    }

    /// What we call an order of theirs.
    pub(super) fn ours(&self, theirs: &str) -> Option<&ClientOrderId> {
        self.ours.get(theirs)
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
        assert_eq!(names.ours("1").unwrap().as_str(), "a-s-1");
        assert_eq!(names.replacing(&ClientOrderId::told("a-s-1"), &ClientOrderId::told("a-s-3")), "a-s-3.a-s-2");
        assert_eq!(names.replacing(&ClientOrderId::told("a-s-2"), &ClientOrderId::told("a-s-3")), "a-s-3");
    }

    #[test]
    fn a_point_in_somebody_elses_name_means_nothing() {
        let mut names = Names::default();
        names.learn(&row(&format!(r#"{{"id":"1","client_order_id":"v1.2","order_class":"simple",{AT}}}"#)));
        assert_eq!(names.ours("1").unwrap().as_str(), "v1.2");
    }
}
