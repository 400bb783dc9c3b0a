//! How many messages leave in a second: never more than the counterparty allows, in any second.

use std::collections::VecDeque;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Messages of the last second.
#[derive(Debug)]
pub(super) struct Pace {
    max: usize,
    left: VecDeque<Duration>,
}

impl Pace {
    pub(super) fn new(max: u32) -> Self {
        Self { max: max.max(1) as usize, left: VecDeque::new() }
    }

    /// How long a message has to wait. A part of each second is for cancels: nothing else may keep a person from stopping.
    pub(super) fn wait(&mut self, cancels: bool, now: Duration) -> Option<Duration> {
        while self.left.front().is_some_and(|left| now.saturating_sub(*left) >= SECOND) {
            self.left.pop_front();
        }
        let kept = if cancels || self.max == 1 { 0 } else { (self.max / 10).max(1) };
        let allowed = self.max - kept;
        if self.left.len() < allowed {
            return None;
        }
        // Room for it is there once so many have become old.
        let oldest = self.left.get(self.left.len() - allowed).copied().unwrap_or(now);
        Some((oldest + SECOND).saturating_sub(now))
    }

    /// A message leaves.
    pub(super) fn leaves(&mut self, now: Duration) {
        self.left.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_and_a_cancel_finds_room() {
        let mut pace = Pace::new(4);
        let (mut left, mut now) = (Vec::new(), Duration::ZERO);
        for turn in 0..200_u64 {
            let cancels = turn % 7 == 0;
            if let Some(wait) = pace.wait(cancels, now) {
                assert!(!wait.is_zero() && wait <= SECOND);
                now += wait;
            }
            assert_eq!(pace.wait(cancels, now), None);
            pace.leaves(now);
            left.push(now);
            now += Duration::from_millis(turn * 13 % 90);
        }
        for (at, first) in left.iter().enumerate() {
            let within = left[at..].iter().take_while(|one| **one < *first + SECOND).count();
            assert!(within <= 4, "{within} at {first:?}");
        }
        let mut pace = Pace::new(4);
        for _ in 0..3 {
            assert_eq!(pace.wait(false, now), None);
            pace.leaves(now);
        }
        assert!(pace.wait(false, now).is_some());
        assert_eq!(pace.wait(true, now), None);
    }
}
