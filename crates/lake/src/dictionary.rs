//! Column chunks as a dictionary page and one page of numbers into it, laid down without going through values.
//!
//! The general writer looks at every value of a column; here texts are known to come in stretches and cost nothing for
//! each row, and prices are numbered by a small hash table of their own.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use crate::encode::Text;

/// The chunk of a text column.
pub(crate) fn text_chunk(descriptor: ColumnDescPtr, text: &Text) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
    let mut dictionary = Vec::new();
    for value in &text.dictionary {
        dictionary.extend_from_slice(&(value.len() as u32).to_le_bytes());
        dictionary.extend_from_slice(value.as_bytes());
    }
    let bits = bits(text.dictionary.len());
    let width = bits.div_ceil(8) as usize;
    let mut data = vec![bits as u8];
    for (code, count) in &text.runs {
        varint(u64::from(*count) << 1, &mut data);
        data.extend_from_slice(&code.to_le_bytes()[..width]);
    }
    let edge = |value: Option<&String>| value.map(|text| ByteArray::from(text.as_bytes().to_vec()));
    let (min, max) = (edge(text.dictionary.iter().min()), edge(text.dictionary.iter().max()));
    let statistics = Statistics::byte_array(min, max, None, Some(0), false);
    chunk(descriptor, (dictionary, text.dictionary.len()), (data, text.rows()), statistics)
}

/// Different values that a dictionary may have.
const VALUES_MAX: usize = 1 << 16;
/// A hash table twice as large, so that it is never more than half full.
const SLOT_BITS: u32 = 17;

/// Numbers the values of a column; made once and used for many chunks.
pub(crate) struct Numbers {
    /// Code of the value whose hash starts here, plus one; zero is empty.
    slots: Vec<u32>,
    values: Vec<i64>,
    codes: Vec<u16>,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        Self { slots: vec![0; 1 << SLOT_BITS], values: Vec::new(), codes: Vec::new() }
    }

    /// The chunk of a column of 64-bit integers; `None` when too many differ for a dictionary to pay.
    pub(crate) fn chunk(
        &mut self,
        descriptor: &ColumnDescPtr,
        column: &[i64],
    ) -> Result<Option<(Bytes, ColumnCloseResult)>, ParquetError> {
        if !self.number(column) {
            return Ok(None);
        }
        let mut dictionary = Vec::with_capacity(self.values.len() * 8);
        self.values.iter().for_each(|value| dictionary.extend_from_slice(&value.to_le_bytes()));
        let data = pack(&self.codes, bits(self.values.len()));
        let (min, max) = (self.values.iter().min().copied(), self.values.iter().max().copied());
        let statistics = Statistics::int64(min, max, None, Some(0), false);
        let made = chunk(descriptor.clone(), (dictionary, self.values.len()), (data, column.len() as u32), statistics)?;
        Ok(Some(made))
    }

    /// Fills `values` and `codes`; `false` when a dictionary does not pay.
    fn number(&mut self, column: &[i64]) -> bool {
        let most = VALUES_MAX.min(column.len() / 2);
        self.slots.fill(0);
        self.values.clear();
        self.codes.clear();
        self.codes.reserve(column.len());
        let mask = (1_usize << SLOT_BITS) - 1;
        for value in column {
            // Fibonacci hashing: the upper bits of the product are well mixed.
            let mut slot = ((*value as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SLOT_BITS)) as usize;
            let code = loop {
                match self.slots[slot] {
                    0 => {
                        if self.values.len() >= most {
                            return false;
                        }
                        self.values.push(*value);
                        self.slots[slot] = self.values.len() as u32;
                        break self.values.len() - 1;
                    }
                    code if self.values[code as usize - 1] == *value => break code as usize - 1,
                    _ => slot = (slot + 1) & mask,
                }
            };
            self.codes.push(code as u16);
        }
        true
    }
}

/// Bits that tell so many values apart.
fn bits(values: usize) -> u32 {
    (u32::BITS - (values.max(1) as u32 - 1).leading_zeros()).max(1)
}

fn varint(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// One bit-packed stretch: the width, the number of groups of eight, the codes from the lowest bit up.
fn pack(codes: &[u16], bits: u32) -> Vec<u8> {
    let groups = codes.len().div_ceil(8);
    let mut data = Vec::with_capacity(groups * bits as usize + 16);
    data.push(bits as u8);
    varint((groups as u64) << 1 | 1, &mut data);
    let (mut waiting, mut count) = (0_u64, 0_u32);
    for at in 0..groups * 8 {
        let code = codes.get(at).copied().unwrap_or_default();
        waiting |= u64::from(code) << count;
        count += bits;
        if count >= 32 {
            data.extend_from_slice(&(waiting as u32).to_le_bytes());
            waiting >>= 32;
            count -= 32;
        }
    }
    // Groups of eight codes end on a byte.
    data.extend_from_slice(&waiting.to_le_bytes()[..count.div_ceil(8) as usize]);
    data
}

fn chunk(
    descriptor: ColumnDescPtr,
    (dictionary, values): (Vec<u8>, usize),
    (data, rows): (Vec<u8>, u32),
    statistics: Statistics,
) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
    let mut sink = TrackedWrite::new(Vec::new());
    let mut writer = SerializedPageWriter::new(&mut sink);
    let mut uncompressed = 0;
    let mut offsets = [0; 2];
    let pages = [
        Page::DictionaryPage {
            num_values: values as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
            buf: dictionary.into(),
        },
        Page::DataPage {
            buf: data.into(),
            num_values: rows,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        },
    ];
    for (page, offset) in pages.into_iter().zip(&mut offsets) {
        let size = page.buffer().len();
        let written = writer.write_page(CompressedPage::new(page, size))?;
        *offset = written.offset as i64;
        uncompressed += written.uncompressed_size as i64;
    }
    let bytes = Bytes::from(sink.into_inner()?);
    let metadata = ColumnChunkMetaData::builder(descriptor)
        .set_compression(Compression::UNCOMPRESSED)
        .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
        .set_total_compressed_size(bytes.len() as i64)
        .set_total_uncompressed_size(uncompressed)
        .set_num_values(i64::from(rows))
        .set_dictionary_page_offset(Some(offsets[0]))
        .set_data_page_offset(offsets[1])
        .set_statistics(statistics)
        .build()?;
    let close = ColumnCloseResult {
        bytes_written: bytes.len() as u64,
        rows_written: u64::from(rows),
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    Ok((bytes, close))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_codes_come_back() {
        for bits in 1..=16_u32 {
            let codes: Vec<u16> = (0..1_003_u32).map(|at| (at * 7_919 % (1 << bits)) as u16).collect();
            let packed = pack(&codes, bits);
            let body = &packed[packed.len() - codes.len().div_ceil(8) * bits as usize..];
            let bit = |at: usize| u16::from(body[at / 8] >> (at % 8) & 1);
            for (at, code) in codes.iter().enumerate() {
                let from = at * bits as usize;
                let back = (0..bits as usize).fold(0, |back, one| back | bit(from + one) << one);
                assert_eq!(back, *code, "{bits} bits, code {at}");
            }
        }
    }

    #[test]
    fn numbering_gives_every_value_back_or_declines() {
        let mut numbers = Numbers::new();
        let column: Vec<i64> = (0..200_000_i64).map(|at| (at * at % 50_021) * 10_000_000 - 5).collect();
        assert!(numbers.number(&column));
        assert!(column.iter().zip(&numbers.codes).all(|(value, code)| numbers.values[usize::from(*code)] == *value));
        assert!(!numbers.number(&(0..200_000_i64).collect::<Vec<_>>()), "every value differs");
        assert!(!numbers.number(&[1]), "a dictionary of one value for one row");
    }
}
