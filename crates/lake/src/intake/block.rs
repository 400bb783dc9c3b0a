//! A file as blocks of whole rows, and a block as a batch.

use std::io::Read;
use std::sync::Arc;

use domain::{Symbol, Timestamp};

use super::dates;
use super::extract::{self, Broken, LONGEST_ROW, Values};
use super::judge;
use super::layout::Layout;
use super::symbols::Symbols;
use crate::row::{Batch, Place, RefusedRow};

/// Consecutive bytes of a file, cut between rows.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) bytes: Arc<Vec<u8>>,
    /// First byte that belongs to a row; those before were read for the header.
    pub(super) start: usize,
    /// Place in the file of the first byte.
    pub(super) offset: u64,
    /// Line of the first row.
    pub(super) line: u64,
    /// Bytes of one row too long to keep, which this block stands for.
    pub(super) too_long: Option<u64>,
}

/// Cuts a file into blocks.
pub(super) struct Blocks<R> {
    source: R,
    carry: Vec<u8>,
    size: usize,
    offset: u64,
    line: u64,
    ended: bool,
    /// Bytes so far of a row too long to keep, and the last of them.
    overlong: Option<(u64, u8)>,
}

impl<R: Read> Blocks<R> {
    /// Blocks of about `size` bytes.
    pub(super) fn new(source: R, size: usize) -> Self {
        Self { source, carry: Vec::new(), size: size.max(1), offset: 0, line: 1, ended: false, overlong: None }
    }

    /// Whether the last block has been handed out or lies in memory.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// The next block, whatever `bytes` was used for before; `None` at the end.
    ///
    /// `seen` gets every byte of the file once, in order.
    pub(super) fn next(&mut self, seen: &mut impl FnMut(&Arc<Vec<u8>>)) -> std::io::Result<Option<Block>> {
        let mut buffer = std::mem::take(&mut self.carry);
        let mut searched = 0;
        loop {
            let wanted = self.size.saturating_sub(buffer.len()).max(self.size / 2 + 1);
            let got = if self.ended {
                0
            } else {
                buffer.reserve(wanted);
                self.source.by_ref().take(wanted as u64).read_to_end(&mut buffer)?
            };
            if got < wanted {
                self.ended = true;
            }
            let cut = match memchr::memrchr(b'\n', &buffer[searched..]) {
                _ if self.ended => buffer.len(),
                Some(at) => searched + at + 1,
                None if self.overlong.is_some() || buffer.len() > 2 * LONGEST_ROW => {
                    // A row without end: count it, do not keep it.
                    let length = buffer.len() as u64;
                    let last = buffer.last().copied().unwrap_or_default();
                    self.overlong = Some((self.overlong.map_or(0, |(before, _)| before) + length, last));
                    self.offset += length;
                    seen(&Arc::new(std::mem::take(&mut buffer)));
                    searched = 0;
                    continue;
                }
                None => {
                    searched = buffer.len();
                    continue;
                }
            };
            if let Some((before, last)) = self.overlong.take() {
                // Only up to the end of that row; the rest is cut next time.
                let end = memchr::memchr(b'\n', &buffer).map_or(buffer.len(), |at| at + 1);
                self.carry = buffer.split_off(end);
                let (offset, line) = (self.offset - before, self.line);
                self.offset += buffer.len() as u64;
                self.line += 1;
                let row = buffer.strip_suffix(b"\n").unwrap_or(&buffer);
                let plain_end = row.last().copied().unwrap_or(last) != b'\r';
                let length = before + row.len() as u64 - u64::from(!plain_end);
                seen(&Arc::new(buffer));
                return Ok(Some(Block { bytes: Arc::default(), start: 0, offset, line, too_long: Some(length) }));
            }
            if buffer.is_empty() {
                return Ok(None);
            }
            self.carry = buffer[cut..].to_vec();
            buffer.truncate(cut);
            let lines = memchr::memchr_iter(b'\n', &buffer).count() as u64;
            let bytes = Arc::new(buffer);
            seen(&bytes);
            let block =
                Block { bytes: Arc::clone(&bytes), start: 0, offset: self.offset, line: self.line, too_long: None };
            self.offset += bytes.len() as u64;
            self.line += lines;
            return Ok(Some(block));
        }
    }
}

/// Turns blocks into batches; each thread has its own.
pub(super) struct Parser {
    layout: Arc<Layout>,
    symbol: Option<Symbol>,
    symbols: Symbols,
    day: dates::Cache,
    /// Take no short cut; for tests.
    pub(super) patient: bool,
}

impl Parser {
    pub(super) fn new(layout: Arc<Layout>, symbol: Option<Symbol>, now: Timestamp) -> Self {
        let profile = &layout.profile;
        let symbols = Symbols::new(&profile.symbol_suffix, profile.symbols_upper_case);
        let day = dates::Cache::new(profile.date, now);
        Self { layout, symbol, symbols, day, patient: false }
    }

    pub(super) fn parse(&mut self, block: &Block) -> Batch {
        self.symbols.start(self.symbol.as_ref());
        let mut batch = Batch::default();
        if let Some(length) = block.too_long {
            let place =
                Place { line: block.line, offset: block.offset, length: u32::try_from(length).unwrap_or(u32::MAX) };
            refuse(&mut batch, place, extract::too_long(length));
            batch.rows = 1;
            batch.symbols = self.symbols.take();
            return batch;
        }
        batch.bars.reserve(block.bytes.len() / 48);
        let bytes = &block.bytes[..];
        let mut line = block.line;
        let mut from = block.start;
        while from < bytes.len() {
            let end = memchr::memchr(b'\n', &bytes[from..]).map_or(bytes.len(), |at| from + at);
            let until = end - usize::from(end > from && bytes[end - 1] == b'\r');
            let place = Place {
                line,
                offset: block.offset + from as u64,
                length: u32::try_from(until - from).unwrap_or(u32::MAX),
            };
            if let Err(broken) = self.row(bytes, from, until, place, &mut batch) {
                refuse(&mut batch, place, broken);
            }
            line += 1;
            from = end + 1;
        }
        batch.symbols = self.symbols.take();
        batch
    }

    /// Adds the row `bytes[from..end]` to the batch, unless it is blank or breaks a contract.
    #[inline]
    fn row(&mut self, bytes: &[u8], from: usize, end: usize, place: Place, batch: &mut Batch) -> Result<(), Broken> {
        let mut values = Values::NONE;
        let quick = !self.patient
            && extract::fast(&self.layout, bytes, from, end, &mut self.symbols, &mut self.day, &mut values).is_some();
        if !quick {
            if blank(&bytes[from..end]) {
                return Ok(());
            }
            values = extract::patient(&self.layout, &bytes[from..end], &mut self.symbols, &mut self.day)
                .inspect_err(|_| batch.rows += 1)?;
        }
        batch.rows += 1;
        judge::judge(&self.layout, &values, place, batch)
    }
}

/// Whether a line has nothing in it.
pub(super) fn blank(row: &[u8]) -> bool {
    row.len() <= LONGEST_ROW && row.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

#[cold]
fn refuse(batch: &mut Batch, place: Place, broken: Broken) {
    batch.refused.push(RefusedRow { place, rule: broken.rule, value: broken.value });
}
