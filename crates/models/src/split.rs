//! What training may see, apart from what judges it.
//!
//! A label looks at the sessions after its row, so a training row close before a judged one knows part of its outcome.
//! Such rows are purged: no label of a training row overlaps the time that the judged rows and their labels span. After
//! that time there is an embargo, because prices remember.

use domain::SessionDate;

use crate::samples::Sample;

/// The time a row and its label span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Session of the row.
    pub from: SessionDate,
    /// Last session that its label looked at.
    pub to: SessionDate,
}

impl From<&Sample> for Span {
    fn from(sample: &Sample) -> Self {
        Self { from: sample.session, to: sample.decided }
    }
}

/// Places of the rows that may train when those at `judged` judge.
///
/// A row is left out when its span and the judged rows' overlap, or when it starts within `embargo` of the sessions
/// that follow theirs. `sessions` are all dates of the rows, in order.
#[must_use]
pub fn purged(rows: &[Span], judged: &[usize], sessions: &[SessionDate], embargo: usize) -> Vec<usize> {
    let spans = judged.iter().filter_map(|at| rows.get(*at));
    let Some((first, last)) = spans.fold(None, |ends: Option<(SessionDate, SessionDate)>, span| {
        let (first, last) = ends.unwrap_or((span.from, span.to));
        Some((first.min(span.from), last.max(span.to)))
    }) else {
        return (0..rows.len()).collect();
    };
    let after = sessions.partition_point(|session| *session <= last) + embargo;
    let judged: std::collections::BTreeSet<usize> = judged.iter().copied().collect();
    let free = |span: &Span| {
        let later = sessions.get(after).is_some_and(|session| span.from >= *session);
        span.to < first || later
    };
    rows.iter().enumerate().filter(|(at, span)| !judged.contains(at) && free(span)).map(|(at, _)| at).collect()
}

/// Training, validation and test rows in the order of time, by their places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// Weights are fitted to these.
    pub train: Vec<usize>,
    /// These say when to stop and calibrate.
    pub validation: Vec<usize>,
    /// These were never looked at.
    pub test: Vec<usize>,
}

/// Cuts rows at two dates: validation from `validation` on, test from `test` on, and nothing in one part whose label
/// reaches into the next.
#[must_use]
pub fn in_time(rows: &[Span], validation: SessionDate, test: SessionDate) -> Split {
    let part = |from: Option<SessionDate>, to: Option<SessionDate>| {
        rows.iter()
            .enumerate()
            .filter(|(_, span)| from.is_none_or(|from| span.from >= from) && to.is_none_or(|to| span.to < to))
            .map(|(at, _)| at)
            .collect()
    };
    Split { train: part(None, Some(validation)), validation: part(Some(validation), Some(test)), test: part(Some(test), None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: i32, horizon: i32) -> (Vec<Span>, Vec<SessionDate>) {
        let sessions: Vec<SessionDate> = (0..count + horizon).map(SessionDate::from_days).collect();
        let span = |day: i32| Span { from: SessionDate::from_days(day), to: SessionDate::from_days(day + horizon) };
        ((0..count).map(span).collect(), sessions)
    }

    #[test]
    fn no_training_label_overlaps_a_judged_one_and_the_embargo_holds() {
        let (rows, sessions) = rows(100, 5);
        let judged: Vec<usize> = (40..60).collect();
        let train = purged(&rows, &judged, &sessions, 5);
        // Labels of rows up to 34 end on day 39; judged labels end on day 64, and five more sessions are kept free.
        assert_eq!(train, (0..=34).chain(70..100).collect::<Vec<_>>());
        assert_eq!(purged(&rows, &[], &sessions, 5).len(), 100);
        assert_eq!(purged(&rows, &(80..100).collect::<Vec<_>>(), &sessions, 5), (0..=74).collect::<Vec<_>>());
    }

    #[test]
    fn parts_in_time_do_not_touch() {
        let (rows, _) = rows(100, 5);
        let split = in_time(&rows, SessionDate::from_days(60), SessionDate::from_days(80));
        assert_eq!(split.train, (0..55).collect::<Vec<_>>());
        assert_eq!(split.validation, (60..75).collect::<Vec<_>>());
        assert_eq!(split.test, (80..100).collect::<Vec<_>>());
    }
}
