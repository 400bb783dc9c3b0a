//! When the trader dies and when its disk is full.

use std::collections::BTreeMap;
use std::panic;

/// Where the trader can die: before something is done, or after it and before anybody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    BeforeAppend,
    AfterAppend,
    BeforeSync,
    AfterSync,
    BeforeSubmit,
    AfterSubmit,
    BeforeCancel,
    AfterCancel,
    BeforeFind,
    AfterFind,
    AfterWorking,
    AfterAccount,
    AfterEvents,
    /// While what is written already is read again.
    InReplay,
}

pub const POINTS: [Point; 14] = [
    Point::BeforeAppend,
    Point::AfterAppend,
    Point::BeforeSync,
    Point::AfterSync,
    Point::BeforeSubmit,
    Point::AfterSubmit,
    Point::BeforeCancel,
    Point::AfterCancel,
    Point::BeforeFind,
    Point::AfterFind,
    Point::AfterWorking,
    Point::AfterAccount,
    Point::AfterEvents,
    Point::InReplay,
];

/// How a disk without room fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Full {
    /// A line is not even taken.
    Append,
    /// Nothing of what waits is written.
    Sync,
    /// The first lines of what waits are written, and half of the next.
    Torn,
    /// All of it is written, and nobody says so.
    Unsaid,
}

pub const FULL: [Full; 4] = [Full::Append, Full::Sync, Full::Torn, Full::Unsaid];

/// What the trader dies with.
pub struct Died;

/// What is to go wrong with the trader, and what has.
#[derive(Default)]
pub struct Troubles {
    /// It dies at the nth point of a kind from here.
    fuse: Option<(Point, u64)>,
    pub full: Option<Full>,
    pub seen: BTreeMap<String, u64>,
}

impl Troubles {
    pub fn arm(&mut self, point: Point, after: u64) {
        self.fuse = Some((point, after));
    }

    pub fn end(&mut self) {
        (self.fuse, self.full) = (None, None);
    }

    pub fn count(&mut self, what: &str) {
        match self.seen.get_mut(what) {
            Some(times) => *times += 1,
            None => drop(self.seen.insert(what.to_owned(), 1)),
        }
    }

    /// The trader is at a point, and may die here.
    pub fn pass(&mut self, point: Point) {
        match &mut self.fuse {
            Some((at, left)) if *at == point && *left == 0 => {
                self.fuse = None;
                self.count(&format!("crash {point:?}"));
                // Without the words of a panic: it is meant.
                panic::resume_unwind(Box::new(Died));
            }
            Some((at, left)) if *at == point => *left -= 1,
            _ => {}
        }
    }
}
