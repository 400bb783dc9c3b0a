//! Eight bytes at a time: the ends of fields and the values of plain numbers.
//!
//! Fields are short and of changing length, so that a loop over their bytes spends most of its time on mispredicted
//! ends. A word of eight bytes has no such branch.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let eight: &[u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
    Some(u64::from_le_bytes(*eight))
}

/// The end of a field of plain ASCII without quotes that starts at `from`: a delimiter, or `end`.
///
/// `bytes` may go on behind `end`, which is the end of its row. `None` for a field with anything else in it.
#[inline]
pub(super) fn field_end(bytes: &[u8], from: usize, end: usize, delimiter: u8) -> Option<usize> {
    let mut at = from;
    while let Some(word) = word(bytes, at) {
        // In each of these the lowest byte that is marked is marked rightly.
        let zero_in = |x: u64| x.wrapping_sub(ONES) & !x;
        let stop = zero_in(word ^ (ONES * u64::from(delimiter)))
            | zero_in(word ^ (ONES * u64::from(b'"')))
            | word.wrapping_sub(ONES * 0x21) & !word
            | word;
        let stop = stop & TOPS;
        if stop == 0 {
            at += 8;
            continue;
        }
        at += stop.trailing_zeros() as usize / 8;
        return (at >= end || bytes[at] == delimiter).then_some(at.min(end));
    }
    while at < end && bytes[at] != delimiter {
        if !(b'!'..0x80).contains(&bytes[at]) || bytes[at] == b'"' {
            return None;
        }
        at += 1;
    }
    Some(at)
}

/// A plain unsigned number, `118` or `118.56`, of at most 16 digits before the point and 8 behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) whole: u64,
    /// In units of 10⁻⁸.
    pub(super) fraction: u64,
}

/// The top bits of those bytes that are not digits, and each byte's value as a digit.
#[inline]
fn marked(word: u64) -> (u64, u64) {
    let values = word ^ (ONES * 0x30);
    // A byte above 9 has its top bit set by the sum, or had it before; the sum of one byte never reaches the next.
    let above = (values & !TOPS) + ONES * 0x76;
    ((above | values) & TOPS, values)
}

/// How many of the word's first bytes are digits, and the value of each.
#[inline]
fn digits(word: u64) -> (u32, u64) {
    let (others, values) = marked(word);
    (others.trailing_zeros() / 8, values)
}

/// The number that eight digit values make, the first one counting most.
#[inline]
fn eight(values: u64) -> u64 {
    let pairs = (values.wrapping_mul(10) + (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff
}

/// Reads a number in billionths that starts at `at` and moves `at` behind it; `None` if it is not plain.
#[inline]
pub(super) fn billionths(bytes: &[u8], at: &mut usize) -> Option<i64> {
    // Most numbers and the byte behind them fit one word, which shortens the chain from one field to the next.
    let word = word(bytes, *at)?;
    let (others, values) = marked(word);
    let behind = others & others.wrapping_sub(1);
    let point = others.trailing_zeros() / 8;
    if behind == 0 || point == 0 || (word >> (8 * point)) & 0xff != u64::from(b'.') {
        return long(bytes, at);
    }
    let end = behind.trailing_zeros() / 8;
    // The digits before the point move up by one place, to those behind it, and all of them to the top of the word.
    let behind_point = (u64::MAX << (8 * point)) << 8;
    let before_point = !(u64::MAX << (8 * point));
    let digits = (values & behind_point) | ((values & before_point) << 8);
    let number = eight(digits << (64 - 8 * end));
    *at += end as usize;
    Some((number * SCALES[(end - point) as usize & 7]) as i64)
}

/// Billionths in a unit of the last of so many digits and the point before them.
const SCALES: [u64; 8] = [0, 1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000];

#[inline(never)]
fn long(bytes: &[u8], at: &mut usize) -> Option<i64> {
    number(bytes, at)?.billionths()
}

/// Reads a number that starts at `at` and moves `at` behind it; `None` if it is not that plain.
#[inline]
pub(super) fn number(bytes: &[u8], at: &mut usize) -> Option<Number> {
    let (count, values) = digits(word(bytes, *at)?);
    let mut end = *at + count as usize;
    let mut whole = match count {
        0 => 0,
        // Shifting in zeros before the digits.
        _ => eight(values << (64 - 8 * count)),
    };
    let mut all = count;
    if count == 8 {
        let (more, values) = digits(word(bytes, end)?);
        if more == 8 {
            return None;
        }
        if more > 0 {
            whole = whole * TENS[more as usize] + eight(values << (64 - 8 * more));
        }
        end += more as usize;
        all += more;
    }
    let point = *bytes.get(end)? == b'.';
    let mut fraction = 0;
    if point {
        let (count, values) = digits(word(bytes, end + 1)?);
        if count == 8 && bytes.get(end + 9).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        if count > 0 {
            // Zeros behind the digits.
            fraction = eight((values << (64 - 8 * count)) >> (64 - 8 * count));
        }
        end += 1 + count as usize;
        all += count;
    }
    *at = end;
    (all > 0).then_some(Number { whole, fraction })
}

const TENS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

impl Number {
    #[inline]
    fn billionths(self) -> Option<i64> {
        // 9 × 10⁹ is the largest whole number that always fits.
        (self.whole < 9_000_000_000).then(|| (self.whole * 1_000_000_000 + self.fraction * 10) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Price;

    fn random() -> impl FnMut(u64) -> u64 {
        let mut state = 7_u64;
        move |bound| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        }
    }

    #[test]
    fn a_number_is_what_the_general_parser_reads() {
        let mut random = random();
        let mut read = 0;
        for _ in 0..200_000 {
            let alphabet = b"0123456789012345678901234567890123456789....,,-e \"\xc3\x7f";
            let length = random(22) as usize;
            let text: Vec<u8> = (0..length).map(|_| alphabet[random(alphabet.len() as u64) as usize]).collect();
            let mut padded = text.clone();
            padded.extend_from_slice(b",         ");
            let mut at = 0;
            if let Some(billionths) = billionths(&padded, &mut at) {
                assert_eq!(Price::parse(&padded[..at]).map(Price::units), Ok(billionths), "{:?}", &padded[..at]);
                assert!(!padded[at].is_ascii_digit());
            }
            at = 0;
            if let Some(number) = number(&padded, &mut at) {
                let field = &padded[..at];
                if let Some(billionths) = number.billionths() {
                    assert_eq!(Price::parse(field).map(Price::units), Ok(billionths), "{field:?}");
                }
                assert!(!padded[at].is_ascii_digit());
                read += 1;
            }
        }
        assert!(read > 50_000, "{read}");
    }

    #[test]
    fn a_field_ends_where_a_loop_finds_its_end() {
        let mut random = random();
        for _ in 0..200_000 {
            let alphabet = b"abc123.-,;\"\xc3 \t\r\x00\x7f~!,";
            let length = random(40) as usize;
            let mut bytes: Vec<u8> = (0..length).map(|_| alphabet[random([8, 20][length % 2]) as usize]).collect();
            let end = bytes.len();
            if random(2) == 0 {
                bytes.extend_from_slice(b"\nabc,def,ghi");
            }
            let slow = bytes[..end]
                .iter()
                .position(|&byte| byte == b',' || byte == b'"' || !(0x21..0x80).contains(&byte))
                .map_or(Some(end), |at| (bytes[at] == b',').then_some(at));
            assert_eq!(field_end(&bytes, 0, end, b','), slow, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
