//! A profile compiled against one header: what each column is, by position.

use super::header::normalise;
use super::profile::{Profile, VolumeBasis};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Skip,
    Symbol,
    Date,
    Open,
    High,
    Low,
    Close,
    Volume,
    Dividend,
    Split,
    RawClose,
    /// One of a few texts: an index into [`Layout::required`].
    Required(usize),
}

/// A header ready for parsing.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) profile: Profile,
    pub(super) delimiter: u8,
    pub(super) roles: Vec<Role>,
    pub(super) names: Vec<String>,
    pub(super) required: Vec<Vec<String>>,
}

impl Layout {
    pub(super) fn new(profile: Profile, names: Vec<String>) -> Self {
        let columns = profile.columns.clone();
        let mut required = Vec::new();
        let is = |wanted: &Option<String>, name: &str| wanted.as_ref().is_some_and(|w| normalise(w) == name);
        let roles = names
            .iter()
            .map(|name| {
                if is(&columns.symbol, name) {
                    Role::Symbol
                } else if normalise(&columns.date) == *name {
                    Role::Date
                } else if normalise(&columns.open) == *name {
                    Role::Open
                } else if normalise(&columns.high) == *name {
                    Role::High
                } else if normalise(&columns.low) == *name {
                    Role::Low
                } else if normalise(&columns.close) == *name {
                    Role::Close
                } else if normalise(&columns.volume) == *name {
                    Role::Volume
                } else if is(&columns.dividend, name) {
                    Role::Dividend
                } else if is(&columns.split, name) {
                    Role::Split
                } else if is(&columns.raw_close, name) {
                    Role::RawClose
                } else if let Some(allowed) = profile.require.get(name) {
                    required.push(allowed.clone());
                    Role::Required(required.len() - 1)
                } else {
                    Role::Skip
                }
            })
            .collect();
        Self { delimiter: profile.delimiter as u8, profile, roles, names, required }
    }

    /// Whether the volume of a row with a raw close has to be scaled back with its prices.
    pub(super) fn volume_follows_prices(&self) -> bool {
        self.profile.volume == VolumeBasis::SplitAdjusted
    }
}
