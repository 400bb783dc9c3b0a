//! As much of MessagePack as Alpaca's own client speaks: it asks for it instead of JSON.

use domain::Timestamp;
use serde_json::{Map, Value};

/// A value; what stands under `t` is a time, which has a form of its own.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put(value, &mut out);
    out
}

fn put(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(yes) => out.push(0xc2 + u8::from(*yes)),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => {
                out.push(0xd3);
                out.extend(whole.to_be_bytes());
            }
            None => {
                out.push(0xcb);
                out.extend(number.as_f64().unwrap_or_default().to_be_bytes());
            }
        },
        Value::String(text) => {
            out.push(0xdb);
            length(text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Array(values) => {
            out.push(0xdd);
            length(values.len(), out);
            values.iter().for_each(|value| put(value, out));
        }
        Value::Object(fields) => {
            out.push(0xdf);
            length(fields.len(), out);
            for (name, value) in fields {
                put(&Value::from(name.as_str()), out);
                let at = value.as_str().filter(|_| name == "t").and_then(|text| Timestamp::parse(text).ok());
                match at {
                    Some(at) => {
                        // An extension of 12 bytes whose type is -1: nanoseconds, then seconds.
                        out.extend([0xc7, 12, 0xff]);
                        out.extend((at.nanos().rem_euclid(1_000_000_000) as u32).to_be_bytes());
                        out.extend(at.nanos().div_euclid(1_000_000_000).to_be_bytes());
                    }
                    None => put(value, out),
                }
            }
        }
    }
}

fn length(length: usize, out: &mut Vec<u8>) {
    out.extend((length as u32).to_be_bytes());
}

/// Words of a client: texts, lists and maps of them.
pub(crate) fn decode(bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes;
    take(&mut rest).filter(|_| rest.is_empty())
}

fn take(rest: &mut &[u8]) -> Option<Value> {
    let (kind, after) = rest.split_first()?;
    *rest = after;
    match *kind {
        0xc0 => Some(Value::Null),
        0x80..=0x8f => map(rest, usize::from(*kind & 0x0f)),
        0x90..=0x9f => list(rest, usize::from(*kind & 0x0f)),
        0xa0..=0xbf => text(rest, usize::from(*kind & 0x1f)),
        0xd9 => number(rest, 1).and_then(|count| text(rest, count)),
        0xda => number(rest, 2).and_then(|count| text(rest, count)),
        0xdc => number(rest, 2).and_then(|count| list(rest, count)),
        0xde => number(rest, 2).and_then(|count| map(rest, count)),
        _ => None,
    }
}

fn number(rest: &mut &[u8], bytes: usize) -> Option<usize> {
    let (number, after) = rest.split_at_checked(bytes)?;
    *rest = after;
    Some(number.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

fn text(rest: &mut &[u8], count: usize) -> Option<Value> {
    let (text, after) = rest.split_at_checked(count)?;
    *rest = after;
    std::str::from_utf8(text).ok().map(Value::from)
}

fn list(rest: &mut &[u8], count: usize) -> Option<Value> {
    (0..count).map(|_| take(rest)).collect::<Option<Vec<_>>>().map(Value::from)
}

fn map(rest: &mut &[u8], count: usize) -> Option<Value> {
    let fields = (0..count).map(|_| Some((take(rest)?.as_str()?.to_owned(), take(rest)?)));
    fields.collect::<Option<Map<_, _>>>().map(Value::from)
}
