//! How often Alpaca is asked: a bucket of tokens, and the pauses that Alpaca wants.
//!
//! The last tenth of the bucket is for cancelling, so that a flood of questions cannot keep a person from stopping.

use std::time::{Duration, Instant};

/// The longest pause that is believed: a broken server must not keep anyone from cancelling for longer.
const PAUSE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Throttle {
    size: f64,
    tokens: f64,
    filled_at: Instant,
    paused_until: Option<Instant>,
}

impl Throttle {
    /// So many requests a minute; a full bucket holds a minute's worth.
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        let size = f64::from(per_minute.max(1));
        Self { size, tokens: size, filled_at: now, paused_until: None }
    }

    /// Takes a token, or says how long to wait before asking again.
    pub(super) fn take(&mut self, urgent: bool, now: Instant) -> Result<(), Duration> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(until - now);
        }
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.size / 60.0).min(self.size);
        self.filled_at = now;
        let kept = if urgent { 0.0 } else { (self.size / 10.0).floor() };
        let missing = kept + 1.0 - self.tokens;
        // What rounding leaves missing is not worth waiting for.
        if missing > 1e-9 {
            return Err(Duration::from_secs_f64(missing * 60.0 / self.size));
        }
        self.tokens -= 1.0;
        Ok(())
    }

    /// Nothing leaves for so long.
    pub(super) fn pause(&mut self, pause: Duration, now: Instant) {
        let until = now + pause.min(PAUSE_MAX);
        self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_requests_and_the_last_tenth_is_for_cancelling() {
        let start = Instant::now();
        let mut throttle = Throttle::new(20, start);
        for _ in 0..18 {
            assert_eq!(throttle.take(false, start), Ok(()));
        }
        assert_eq!(throttle.take(false, start), Err(Duration::from_secs(3)));
        assert_eq!(throttle.take(true, start), Ok(()));
        assert_eq!(throttle.take(true, start), Ok(()));
        assert_eq!(throttle.take(true, start), Err(Duration::from_secs(3)));
        assert_eq!(throttle.take(true, start + Duration::from_secs(3)), Ok(()));
    }

    #[test]
    fn a_pause_holds_everything_but_not_for_ever() {
        let start = Instant::now();
        let mut throttle = Throttle::new(200, start);
        throttle.pause(Duration::from_secs(5), start);
        throttle.pause(Duration::from_secs(1), start);
        assert_eq!(throttle.take(true, start), Err(Duration::from_secs(5)));
        assert_eq!(throttle.take(true, start + Duration::from_secs(5)), Ok(()));
        throttle.pause(Duration::from_secs(1_000_000), start);
        assert_eq!(throttle.take(true, start), Err(Duration::from_secs(60)));
    }
}
