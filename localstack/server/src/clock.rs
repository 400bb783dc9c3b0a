//! Now, as the two kinds of protocol write it.

use jiff::Timestamp;

/// Seconds since 1970, as JSON 1.1 has times.
pub(crate) fn epoch() -> f64 {
    seconds(Timestamp::now())
}

/// Milliseconds since 1970.
pub(crate) fn milliseconds() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Seconds since 1970 of any time, to the millisecond.
pub(crate) fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

/// ISO 8601 to the millisecond, as REST JSON has times.
pub(crate) fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
