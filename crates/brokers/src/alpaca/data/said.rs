//! Sentences for people: what was left out, and how the line is.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Sentences that nobody has taken yet; the oldest go first.
const WAITING_MAX: usize = 256;
/// Things that are known to have been said in a session.
const KNOWN_MAX: usize = 4_096;

/// What a feed has to say to people. Whoever holds a copy may take it.
#[derive(Debug, Clone, Default)]
pub struct Said(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<String>,
    known: HashSet<String>,
}

impl Said {
    /// What was said since the last call, oldest first.
    pub fn take(&self) -> Vec<String> {
        self.state(|state| std::mem::take(&mut state.waiting)).into()
    }

    /// Says something.
    pub(super) fn say(&self, sentence: String) {
        self.state(|state| state.push(sentence));
    }

    /// Says something about a thing of which nothing was said in this session.
    pub(super) fn once(&self, thing: String, sentence: impl FnOnce() -> String) {
        self.state(|state| {
            if state.known.len() < KNOWN_MAX && state.known.insert(thing) {
                state.push(sentence());
            }
        });
    }

    /// A session begins.
    pub(super) fn forget(&self) {
        self.state(|state| state.known.clear());
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn push(&mut self, sentence: String) {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(sentence);
    }
}
