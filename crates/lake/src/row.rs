//! What the intake hands to the importer: rows that passed every contract a row can be judged by alone, and those
//! that did not.

use domain::{Price, Ratio, SessionDate, Symbol};

/// Where a row stood in its file, to name it and to read its text again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Line, the header being line 1.
    pub(crate) line: u64,
    /// First byte.
    pub(crate) offset: u64,
    /// Bytes, without the line's end.
    pub(crate) length: u32,
}

/// A set of things worth knowing about a stored bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    /// A change from the previous close beyond the threshold that no corporate action explains.
    pub(crate) const JUMP: Self = Self(1);
    /// Open, high, low and close of the previous session, with another volume.
    pub(crate) const REPEATED_PRICES: Self = Self(2);
    /// The vendor had already adjusted the prices; raw ones are not in the file.
    pub(crate) const VENDOR_ADJUSTED: Self = Self(4);
    /// The volume had a fraction, which was cut off.
    pub(crate) const FRACTIONAL_VOLUME: Self = Self(8);

    /// Both sets.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A bar as the file gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowBar {
    /// Index into [`Batch::symbols`].
    pub(crate) symbol: u32,
    pub(crate) session: SessionDate,
    pub(crate) open: Price,
    pub(crate) high: Price,
    pub(crate) low: Price,
    pub(crate) close: Price,
    pub(crate) volume: i64,
    pub(crate) flags: Flags,
    pub(crate) place: Place,
}

/// What a row says about a corporate action, beside its bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowActionKind {
    /// New shares per old share.
    Split(Ratio),
    /// Cash per share, in terms of shares after a split of the same day.
    Dividend(Price),
}

/// A corporate action as the file gives it; its bar is in the same batch, unless that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowAction {
    /// Index into [`Batch::symbols`].
    pub(crate) symbol: u32,
    pub(crate) ex_date: SessionDate,
    pub(crate) kind: RowActionKind,
    pub(crate) place: Place,
}

/// A row that broke a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedRow {
    pub(crate) place: Place,
    /// Name of the contract, such as `high_low`.
    pub(crate) rule: &'static str,
    /// What broke it.
    pub(crate) value: String,
}

/// Some consecutive rows of one file: `rows == bars.len() + refused.len()`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    pub(crate) rows: u64,
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) bars: Vec<RowBar>,
    pub(crate) actions: Vec<RowAction>,
    pub(crate) refused: Vec<RefusedRow>,
}
