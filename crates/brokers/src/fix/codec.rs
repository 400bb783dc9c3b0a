//! Tag=value text of FIX: fields in, bytes out, and back from bytes that arrive in any pieces.
//!
//! A message whose length or checksum is wrong was garbled on its way: it is skipped, as the standard wants, and the
//! gap in the sequence numbers has it sent again.

use std::fmt;

/// Ends every field.
pub const SOH: u8 = 1;
/// What every message begins with.
pub const BEGIN_STRING: &str = "FIX.4.4";
/// A longer body is taken for garbled: nothing we are sent is near it, and a damaged length must not swallow the line.
const BODY_MAX: usize = 256 * 1024;
/// `8=`, its value of at most so many bytes, and `9=` with at most seven digits.
const HEAD_MAX: usize = 32;
/// `10=123` and its end.
const TRAILER: usize = 7;

/// Numbers of the fields that the adapter reads or writes.
#[expect(missing_docs, reason = "named as the standard names them")]
pub mod tag {
    pub const ACCOUNT: u32 = 1;
    pub const AVG_PX: u32 = 6;
    pub const BEGIN_SEQ_NO: u32 = 7;
    pub const BEGIN_STRING: u32 = 8;
    pub const BODY_LENGTH: u32 = 9;
    pub const CHECK_SUM: u32 = 10;
    pub const CL_ORD_ID: u32 = 11;
    pub const COMMISSION: u32 = 12;
    pub const COMM_TYPE: u32 = 13;
    pub const CUM_QTY: u32 = 14;
    pub const END_SEQ_NO: u32 = 16;
    pub const EXEC_ID: u32 = 17;
    pub const EXEC_INST: u32 = 18;
    pub const EXEC_REF_ID: u32 = 19;
    pub const HANDL_INST: u32 = 21;
    pub const LAST_PX: u32 = 31;
    pub const LAST_QTY: u32 = 32;
    pub const MSG_SEQ_NUM: u32 = 34;
    pub const MSG_TYPE: u32 = 35;
    pub const NEW_SEQ_NO: u32 = 36;
    pub const ORDER_ID: u32 = 37;
    pub const ORDER_QTY: u32 = 38;
    pub const ORD_STATUS: u32 = 39;
    pub const ORD_TYPE: u32 = 40;
    pub const ORIG_CL_ORD_ID: u32 = 41;
    pub const POSS_DUP_FLAG: u32 = 43;
    pub const PRICE: u32 = 44;
    pub const REF_SEQ_NUM: u32 = 45;
    pub const SENDER_COMP_ID: u32 = 49;
    pub const SENDING_TIME: u32 = 52;
    pub const SIDE: u32 = 54;
    pub const SYMBOL: u32 = 55;
    pub const TARGET_COMP_ID: u32 = 56;
    pub const TEXT: u32 = 58;
    pub const TIME_IN_FORCE: u32 = 59;
    pub const TRANSACT_TIME: u32 = 60;
    pub const ENCRYPT_METHOD: u32 = 98;
    pub const STOP_PX: u32 = 99;
    pub const CXL_REJ_REASON: u32 = 102;
    pub const ORD_REJ_REASON: u32 = 103;
    pub const HEART_BT_INT: u32 = 108;
    pub const TEST_REQ_ID: u32 = 112;
    pub const ORIG_SENDING_TIME: u32 = 122;
    pub const GAP_FILL_FLAG: u32 = 123;
    pub const RESET_SEQ_NUM_FLAG: u32 = 141;
    pub const EXEC_TYPE: u32 = 150;
    pub const PEG_OFFSET_VALUE: u32 = 211;
    pub const REF_MSG_TYPE: u32 = 372;
    pub const SESSION_REJECT_REASON: u32 = 373;
    pub const BUSINESS_REJECT_REF_ID: u32 = 379;
    pub const BUSINESS_REJECT_REASON: u32 = 380;
    pub const NO_PARTY_IDS: u32 = 453;
    pub const PARTY_ID_SOURCE: u32 = 447;
    pub const PARTY_ID: u32 = 448;
    pub const PARTY_ROLE: u32 = 452;
    pub const USERNAME: u32 = 553;
    pub const PASSWORD: u32 = 554;
    pub const ACCOUNT_TYPE: u32 = 581;
    pub const MASS_STATUS_REQ_ID: u32 = 584;
    pub const MASS_STATUS_REQ_TYPE: u32 = 585;
    pub const POS_TYPE: u32 = 703;
    pub const LONG_QTY: u32 = 704;
    pub const SHORT_QTY: u32 = 705;
    pub const POS_AMT_TYPE: u32 = 707;
    pub const POS_AMT: u32 = 708;
    pub const POS_REQ_ID: u32 = 710;
    pub const CLEARING_BUSINESS_DATE: u32 = 715;
    pub const POS_REQ_TYPE: u32 = 724;
    pub const TOTAL_NUM_POS_REPORTS: u32 = 727;
    pub const POS_REQ_RESULT: u32 = 728;
    pub const POS_REQ_STATUS: u32 = 729;
    pub const SETTL_PRICE: u32 = 730;
    pub const ORD_STATUS_REQ_ID: u32 = 790;
    pub const PEG_MOVE_TYPE: u32 = 835;
    pub const PEG_OFFSET_TYPE: u32 = 836;
    pub const TOT_NUM_REPORTS: u32 = 911;
    pub const LAST_RPT_REQUESTED: u32 = 912;
}

/// Data fields, whose value may hold any byte, each with the field before it that tells its length.
const DATA: &[(u32, u32)] = &[
    (90, 91),
    (93, 89),
    (95, 96),
    (212, 213),
    (348, 349),
    (350, 351),
    (352, 353),
    (354, 355),
    (356, 357),
    (358, 359),
    (360, 361),
    (362, 363),
    (364, 365),
    (445, 446),
    (618, 619),
    (621, 622),
];

/// A message without what frames it (`8`, `9`, `10`): its type, then its other fields in their order.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    kind: String,
    fields: Vec<(u32, String)>,
}

impl Message {
    /// One without fields.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), fields: Vec::new() }
    }

    /// With one more field. An empty value is left out, for FIX has none; a control character becomes a space, for it
    /// would begin a field of its own.
    #[must_use]
    pub fn with(mut self, tag: u32, value: impl fmt::Display) -> Self {
        let mut value = value.to_string();
        if value.bytes().any(|byte| byte.is_ascii_control()) {
            value = value.chars().map(|char| if char.is_ascii_control() { ' ' } else { char }).collect();
        }
        if !value.is_empty() {
            self.fields.push((tag, value));
        }
        self
    }

    /// With one more field where there is a value.
    #[must_use]
    pub fn with_some(self, tag: u32, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(tag, value),
            None => self,
        }
    }

    /// Its type (`35`).
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The first field of a number.
    #[must_use]
    pub fn get(&self, tag: u32) -> Option<&str> {
        self.fields.iter().find(|(this, _)| *this == tag).map(|(_, value)| value.as_str())
    }

    /// The first field of a number, as a whole number.
    #[must_use]
    pub fn number(&self, tag: u32) -> Option<u64> {
        self.get(tag).and_then(number)
    }

    /// Whether a field says yes.
    #[must_use]
    pub fn flag(&self, tag: u32) -> bool {
        self.get(tag) == Some("Y")
    }

    /// All its fields, its type excluded.
    #[must_use]
    pub fn fields(&self) -> &[(u32, String)] {
        &self.fields
    }

    /// Its bytes; `head` stands between its type and its own fields.
    #[must_use]
    pub fn encode(&self, head: &[(u32, String)]) -> Vec<u8> {
        let mut body = Vec::with_capacity(256);
        field(&mut body, tag::MSG_TYPE, &self.kind);
        for (tag, value) in head.iter().chain(&self.fields) {
            field(&mut body, *tag, value);
        }
        let mut bytes = Vec::with_capacity(body.len() + HEAD_MAX);
        field(&mut bytes, tag::BEGIN_STRING, BEGIN_STRING);
        field(&mut bytes, tag::BODY_LENGTH, &body.len().to_string());
        bytes.extend_from_slice(&body);
        let sum = checksum(&bytes);
        field(&mut bytes, tag::CHECK_SUM, &format!("{sum:03}"));
        bytes
    }
}

/// What may be printed of a message: a password must not.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "35={}", self.kind)?;
        for (tag, value) in &self.fields {
            match *tag {
                tag::USERNAME | tag::PASSWORD | 96 | 925 => write!(f, " {tag}=***")?,
                _ => write!(f, " {tag}={value}")?,
            }
        }
        Ok(())
    }
}

fn field(bytes: &mut Vec<u8>, tag: u32, value: &str) {
    bytes.extend_from_slice(tag.to_string().as_bytes());
    bytes.push(b'=');
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(SOH);
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Digits only: `+1`, ` 1` and the like are no numbers of FIX.
fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// What a decoder finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A message.
    Message(Message),
    /// So many bytes that are none.
    Garbled(usize),
    /// A whole message of another version of the protocol.
    Version(String),
}

/// Messages out of a stream of bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Where what has not been looked at begins.
    at: usize,
}

impl Decoder {
    /// Takes what came next.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets what came: another connection begins.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.at = 0;
    }

    /// The next thing that is complete.
    #[expect(clippy::should_implement_trait, reason = "more may come after the last one")]
    pub fn next(&mut self) -> Option<Found> {
        let rest = self.bytes.get(self.at..)?;
        let (found, used) = match scan(rest) {
            Scan::Incomplete => return None,
            Scan::Whole { begin, body, used } => match parse(body) {
                Some(message) if begin == BEGIN_STRING.as_bytes() => (Found::Message(message), used),
                Some(_) => (Found::Version(String::from_utf8_lossy(begin).into_owned()), used),
                None => (Found::Garbled(used), used),
            },
            Scan::Garbled(used) => (Found::Garbled(used), used),
        };
        self.at += used;
        Some(found)
    }
}

enum Scan<'a> {
    Incomplete,
    Whole { begin: &'a [u8], body: &'a [u8], used: usize },
    Garbled(usize),
}

fn scan(bytes: &[u8]) -> Scan<'_> {
    const START: &[u8] = b"8=FIX";
    let whole = bytes.len().min(START.len());
    if whole == 0 {
        return Scan::Incomplete;
    }
    if bytes[..whole] != START[..whole] {
        return Scan::Garbled(until_next(bytes));
    }
    let Some((begin, body, length)) = head(bytes) else {
        return if bytes.len() < HEAD_MAX { Scan::Incomplete } else { Scan::Garbled(until_next(bytes)) };
    };
    if length > BODY_MAX {
        return Scan::Garbled(until_next(bytes));
    }
    let used = body + length + TRAILER;
    if bytes.len() < used {
        return Scan::Incomplete;
    }
    let (content, trailer) = bytes[..used].split_at(body + length);
    if content.last() == Some(&SOH) && *trailer == *format!("10={:03}\x01", checksum(content)).as_bytes() {
        Scan::Whole { begin, body: &content[body..], used }
    } else {
        Scan::Garbled(until_next(bytes))
    }
}

/// The version, where the body begins, and its length; none where that is not told in the first bytes.
fn head(bytes: &[u8]) -> Option<(&[u8], usize, usize)> {
    let bytes = &bytes[..bytes.len().min(HEAD_MAX)];
    let first = bytes.iter().position(|byte| *byte == SOH)?;
    let rest = bytes[first + 1..].strip_prefix(b"9=")?;
    let digits = rest.iter().position(|byte| *byte == SOH)?;
    let length = number(std::str::from_utf8(&rest[..digits]).ok()?)?;
    Some((&bytes[2..first], first + 1 + 2 + digits + 1, usize::try_from(length).ok()?))
}

/// How far it is to where a message may begin again.
fn until_next(bytes: &[u8]) -> usize {
    let begins = |at: usize| {
        let rest = &bytes[at..];
        // The start may not have come whole.
        rest.starts_with(b"8=FIX") || b"8=FIX".starts_with(rest)
    };
    (1..bytes.len()).find(|at| begins(*at)).unwrap_or(bytes.len())
}

fn parse(body: &[u8]) -> Option<Message> {
    let mut rest = body;
    let mut fields: Vec<(u32, String)> = Vec::new();
    while !rest.is_empty() {
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let tag = u32::try_from(number(std::str::from_utf8(&rest[..equals]).ok()?)?).ok()?;
        let value = &rest[equals + 1..];
        let told = DATA.iter().find(|(_, data)| *data == tag).and_then(|(length, _)| {
            let (before, text) = fields.last()?;
            (before == length).then(|| number(text)).flatten()
        });
        let end = match told {
            Some(length) => usize::try_from(length).ok().filter(|end| value.get(*end) == Some(&SOH))?,
            None => value.iter().position(|byte| *byte == SOH)?,
        };
        if end == 0 && told.is_none() {
            return None;
        }
        fields.push((tag, String::from_utf8_lossy(&value[..end]).into_owned()));
        rest = &value[end + 1..];
    }
    if fields.first()?.0 != tag::MSG_TYPE {
        return None;
    }
    let (_, kind) = fields.remove(0);
    Some(Message { kind, fields })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(decoder: &mut Decoder) -> Vec<Found> {
        std::iter::from_fn(|| decoder.next()).collect()
    }

    fn messages(found: Vec<Found>) -> Vec<Message> {
        found
            .into_iter()
            .filter_map(|one| match one {
                Found::Message(message) => Some(message),
                _ => None,
            })
            .collect()
    }

    fn message() -> impl Strategy<Value = Message> {
        let kind = prop::sample::select(vec!["0", "8", "D", "AF"]);
        // Numbers of data fields and of their lengths would be read as such.
        let fields = prop::collection::vec((1000_u32..5000, "[ -~]{1,12}"), 0..12);
        (kind, fields).prop_map(|(kind, fields)| {
            fields.into_iter().fold(Message::new(kind), |message, (tag, value)| message.with(tag, value))
        })
    }

    #[test]
    fn writes_a_message_as_the_standard_prints_it() {
        let head = [(49, "A".to_owned()), (56, "B".to_owned())];
        let bytes = Message::new("0").with(112, "x").encode(&head);
        assert_eq!(
            String::from_utf8(bytes).unwrap().replace('\x01', "|"),
            "8=FIX.4.4|9=21|35=0|49=A|56=B|112=x|10=242|"
        );
    }

    #[test]
    fn a_value_cannot_begin_a_field_of_its_own() {
        let message = Message::new("D").with(1, "mine\x0138=1000000").with(58, "");
        assert_eq!(message.fields(), [(1, "mine 38=1000000".to_owned())]);
    }

    #[test]
    fn reads_data_with_separators_in_it() {
        let mut decoder = Decoder::default();
        let mut bytes = Vec::new();
        for (tag, value) in [(35, "B"), (354, "5"), (355, "a\x0110="), (58, "end")] {
            field(&mut bytes, tag, value);
        }
        let mut whole = format!("8=FIX.4.4\x019={}\x01", bytes.len()).into_bytes();
        whole.extend_from_slice(&bytes);
        let sum = checksum(&whole);
        field(&mut whole, 10, &format!("{sum:03}"));
        decoder.feed(&whole);
        let read = messages(all(&mut decoder));
        assert_eq!(read[0].get(355), Some("a\x0110="));
        assert_eq!(read[0].get(58), Some("end"));
    }

    #[test]
    fn prints_no_credentials() {
        let printed = format!("{:?}", Message::new("A").with(553, "user").with(554, "secret").with(108, 30));
        assert_eq!(printed, "35=A 553=*** 554=*** 108=30");
    }

    #[test]
    fn another_version_is_told_from_garbage() {
        let mut decoder = Decoder::default();
        let body = "35=0\x0134=1\x01";
        let mut bytes = format!("8=FIX.4.2\x019={}\x01{body}", body.len()).into_bytes();
        let sum = checksum(&bytes);
        field(&mut bytes, 10, &format!("{sum:03}"));
        decoder.feed(&bytes);
        assert_eq!(all(&mut decoder), [Found::Version("FIX.4.2".into())]);
    }

    #[test]
    fn a_length_that_is_too_long_does_not_swallow_the_line() {
        let mut decoder = Decoder::default();
        decoder.feed(b"8=FIX.4.4\x019=99999999\x0135=0\x01");
        decoder.feed(&Message::new("1").encode(&[]));
        assert_eq!(messages(all(&mut decoder)), [Message::new("1")]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_however_it_is_cut(
            written in prop::collection::vec(message(), 1..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes: Vec<u8> = written.iter().flat_map(|message| message.encode(&[])).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut decoder = Decoder::default();
            let (mut read, mut from) = (Vec::new(), 0);
            for cut in cuts {
                decoder.feed(&bytes[from..cut]);
                read.extend(all(&mut decoder));
                from = cut;
            }
            let written: Vec<Found> = written.into_iter().map(Found::Message).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn one_damaged_byte_makes_no_other_message(
            written in message(), at in any::<prop::sample::Index>(), by in 1_u8..=255,
        ) {
            let mut bytes = written.encode(&[]);
            let at = at.index(bytes.len());
            bytes[at] = bytes[at].wrapping_add(by);
            let next = Message::new("0").with(112, "next");
            let mut decoder = Decoder::default();
            decoder.feed(&bytes);
            // A longer length waits for more, as much as the line brings.
            for _ in 0..400 {
                decoder.feed(&next.encode(&[]));
            }
            let read = all(&mut decoder);
            prop_assert!(!read.contains(&Found::Message(written)));
            // A damaged length of up to six digits waits for more than comes here.
            let length = at < 20;
            prop_assert!(length || messages(read) == vec![next; 400]);
        }

        #[test]
        fn any_bytes_are_taken(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..16)) {
            let mut decoder = Decoder::default();
            for piece in pieces {
                decoder.feed(&piece);
                while decoder.next().is_some() {}
            }
        }

        #[test]
        fn finds_a_message_behind_garbage(garbage in "[a-z8=F|\x01]{0,40}") {
            prop_assume!(!garbage.contains("8=FIX"));
            let wanted = Message::new("0").with(112, "x");
            let mut decoder = Decoder::default();
            decoder.feed(garbage.as_bytes());
            while decoder.next().is_some() {}
            decoder.feed(&wanted.encode(&[]));
            let found = messages(all(&mut decoder));
            prop_assert_eq!(found, vec![wanted]);
        }
    }
}
