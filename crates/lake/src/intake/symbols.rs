//! The symbols of one batch, each with a small number.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use domain::Symbol;

/// A multiply-and-rotate hash: symbols are short, and an attacker would gain nothing but a slow import of his file.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_usize(&mut self, value: usize) {
        self.0 = self.0.wrapping_add(value as u64);
    }
}

type Map<K> = HashMap<K, u32, BuildHasherDefault<Quick>>;

/// Dictionary of a batch.
#[derive(Default)]
pub(super) struct Symbols {
    list: Vec<Symbol>,
    by_text: Map<Box<[u8]>>,
    by_symbol: HashMap<Symbol, u32>,
    last: Vec<u8>,
    last_index: u32,
    suffix: String,
    upper_case: bool,
}

impl Symbols {
    /// `suffix`, in lower case, is taken off every symbol that ends in it; `upper_case` refuses lower-case letters.
    pub(super) fn new(suffix: &str, upper_case: bool) -> Self {
        Self { suffix: suffix.into(), upper_case, ..Self::default() }
    }

    /// Starts a batch, whose rows without a symbol of their own belong to `first`.
    pub(super) fn start(&mut self, first: Option<&Symbol>) {
        self.list.clear();
        self.by_text.clear();
        self.by_symbol.clear();
        self.last.clear();
        self.list.extend(first.cloned());
    }

    /// The list, at the end of a batch.
    pub(super) fn take(&mut self) -> Vec<Symbol> {
        std::mem::take(&mut self.list)
    }

    /// The number of a symbol text; `None` when it is not one.
    pub(super) fn index(&mut self, text: &str) -> Option<u32> {
        if self.upper_case && text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        let cut = text.len().saturating_sub(self.suffix.len());
        let bare = match text.get(cut..) {
            Some(end) if cut > 0 && end.eq_ignore_ascii_case(&self.suffix) => &text[..cut],
            _ => text,
        };
        let symbol = Symbol::new(bare).ok()?;
        let next = self.list.len() as u32;
        let index = *self.by_symbol.entry(symbol.clone()).or_insert(next);
        if index == next {
            self.list.push(symbol);
        }
        self.by_text.insert(text.as_bytes().into(), index);
        Some(index)
    }

    /// As [`Self::index`], fast for texts seen before.
    #[inline]
    pub(super) fn known(&mut self, text: &[u8]) -> Option<u32> {
        if text == self.last.as_slice() && !text.is_empty() {
            return Some(self.last_index);
        }
        let index = match self.by_text.get(text) {
            Some(index) => *index,
            None => self.index(std::str::from_utf8(text).ok()?)?,
        };
        self.last.clear();
        self.last.extend_from_slice(text);
        self.last_index = index;
        Some(index)
    }
}
