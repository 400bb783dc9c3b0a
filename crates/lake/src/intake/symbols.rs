//! The symbols of one batch, each with a small number.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use domain::Symbol;

/// A multiply-and-rotate hash: symbols are short, and whoever made them collide would only slow his own import.
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

/// A symbol met in any batch of this parser.
struct Met {
    symbol: Symbol,
    /// The batch that last had it, and its number there.
    batch: u64,
    index: u32,
}

/// A text met in any batch of this parser.
struct Text {
    bytes: Box<[u8]>,
    met: u32,
    /// The text that followed it the last time: files list their symbols in the same order for every date.
    next: u32,
}

/// Dictionary of a batch, quick to start because it remembers the texts of earlier ones.
#[derive(Default)]
pub(super) struct Symbols {
    met: Vec<Met>,
    texts: Vec<Text>,
    by_text: HashMap<Box<[u8]>, u32, BuildHasherDefault<Quick>>,
    by_symbol: HashMap<Symbol, u32>,
    batch: u64,
    list: Vec<Symbol>,
    /// Of the row before, which is usually also this row's: its text and its number in the batch.
    last: Option<(u32, u32)>,
    suffix: String,
    upper_case: bool,
}

/// More texts than this are no symbols, and not worth remembering from batch to batch.
const MEMORY: usize = 1 << 18;

impl Symbols {
    /// `suffix`, in lower case, is taken off every symbol that ends in it; `upper_case` refuses lower-case letters.
    pub(super) fn new(suffix: &str, upper_case: bool) -> Self {
        Self { suffix: suffix.into(), upper_case, ..Self::default() }
    }

    /// Starts a batch, whose rows without a symbol of their own belong to `first`.
    pub(super) fn start(&mut self, first: Option<&Symbol>) {
        if self.by_text.len() > MEMORY {
            self.met.clear();
            self.texts.clear();
            self.by_text.clear();
            self.by_symbol.clear();
        }
        self.batch += 1;
        self.last = None;
        self.list.clear();
        self.list.extend(first.cloned());
    }

    /// The list, at the end of a batch.
    pub(super) fn take(&mut self) -> Vec<Symbol> {
        std::mem::take(&mut self.list)
    }

    /// The number of a symbol text; `None` when it is not one.
    pub(super) fn index(&mut self, text: &str) -> Option<u32> {
        let met = self.meet(text)?;
        Some(self.in_batch(met))
    }

    fn meet(&mut self, text: &str) -> Option<u32> {
        if self.upper_case && text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        let cut = text.len().saturating_sub(self.suffix.len());
        let bare = match text.get(cut..) {
            Some(end) if cut > 0 && end.eq_ignore_ascii_case(&self.suffix) => &text[..cut],
            _ => text,
        };
        let symbol = Symbol::new(bare).ok()?;
        let next = self.met.len() as u32;
        let met = *self.by_symbol.entry(symbol.clone()).or_insert(next);
        if met == next {
            self.met.push(Met { symbol, batch: 0, index: 0 });
        }
        Some(met)
    }

    #[inline]
    fn in_batch(&mut self, met: u32) -> u32 {
        let met = &mut self.met[met as usize];
        if met.batch != self.batch {
            met.batch = self.batch;
            met.index = self.list.len() as u32;
            self.list.push(met.symbol.clone());
        }
        met.index
    }

    /// As [`Self::index`], fast for texts seen before.
    #[inline]
    pub(super) fn known(&mut self, text: &[u8]) -> Option<u32> {
        let mut expected = 0;
        if let Some((last, index)) = self.last {
            let last = &self.texts[last as usize];
            if *last.bytes == *text {
                return Some(index);
            }
            expected = last.next;
        }
        let id = match self.texts.get(expected as usize) {
            Some(next) if *next.bytes == *text => expected,
            _ => self.look_up(text)?,
        };
        let index = self.in_batch(self.texts[id as usize].met);
        self.last = Some((id, index));
        Some(index)
    }

    fn look_up(&mut self, text: &[u8]) -> Option<u32> {
        let id = match self.by_text.get(text) {
            Some(id) => *id,
            None => {
                let met = self.meet(std::str::from_utf8(text).ok()?)?;
                let id = self.texts.len() as u32;
                self.texts.push(Text { bytes: text.into(), met, next: id + 1 });
                self.by_text.insert(text.into(), id);
                id
            }
        };
        if let Some((last, _)) = self.last {
            self.texts[last as usize].next = id;
        }
        Some(id)
    }
}
