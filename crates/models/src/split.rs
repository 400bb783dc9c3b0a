//! What training may see, apart from what judges it.
//!
//! A label looks at the sessions after its row, so a training row close before a judged one knows part of its outcome.
//! Such rows are purged: no label of a training row overlaps the time that the judged rows and their labels span. After
//! that time there is an embargo, because prices remember.

use std::collections::BTreeSet;

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
/// A row's label looks at what comes after its close, up to the close of the last session. A row is left out when that
/// time and the judged rows' overlap, or when it starts within `embargo` sessions after theirs has ended. `sessions`
/// are all dates of the rows, in order.
#[must_use]
pub fn purged(rows: &[Span], judged: &[usize], sessions: &[SessionDate], embargo: usize) -> Vec<usize> {
    let spans = judged.iter().filter_map(|at| rows.get(*at));
    let Some((first, last)) = spans.fold(None, |ends: Option<(SessionDate, SessionDate)>, span| {
        let (first, last) = ends.unwrap_or((span.from, span.to));
        Some((first.min(span.from), last.max(span.to)))
    }) else {
        return (0..rows.len()).collect();
    };
    let end = sessions.partition_point(|session| *session < last);
    let after = if embargo == 0 { end } else { end + embargo + 1 };
    let judged: BTreeSet<usize> = judged.iter().copied().collect();
    let free = |span: &Span| span.to <= first || sessions.get(after).is_some_and(|session| span.from >= *session);
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

/// Cuts rows at two dates: validation from `validation` on, test from `test` on. A row is in an earlier part only when
/// its label ended at least `embargo` sessions before the first row of the next part.
#[must_use]
pub fn in_time(
    rows: &[Span],
    sessions: &[SessionDate],
    validation: SessionDate,
    test: SessionDate,
    embargo: usize,
) -> Split {
    let limit = |cut: SessionDate| {
        let at = sessions.partition_point(|session| *session < cut);
        at.checked_sub(embargo).and_then(|at| sessions.get(at).copied())
    };
    let part = |from: Option<SessionDate>, cut: Option<SessionDate>| {
        let limit = cut.map(limit);
        let fits = |span: &Span| {
            from.is_none_or(|from| span.from >= from)
                && limit.is_none_or(|limit| limit.is_some_and(|limit| span.to <= limit))
        };
        rows.iter().enumerate().filter(|(_, span)| fits(span)).map(|(at, _)| at).collect()
    };
    Split {
        train: part(None, Some(validation)),
        validation: part(Some(validation), Some(test)),
        test: part(Some(test), None),
    }
}

/// Cuts rows into `count` blocks of the same number of sessions, in the order of time: each block's places are judged
/// by what the others, purged, teach.
#[must_use]
pub fn folds(rows: &[Span], sessions: &[SessionDate], count: usize) -> Vec<Vec<usize>> {
    let start = |fold: usize| sessions.get(sessions.len() * fold / count).copied();
    (0..count)
        .map(|fold| {
            let (from, to) = (start(fold), start(fold + 1));
            let inside = |span: &Span| from.is_some_and(|from| span.from >= from) && to.is_none_or(|to| span.from < to);
            rows.iter().enumerate().filter(|(_, span)| inside(span)).map(|(at, _)| at).collect()
        })
        .collect()
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
        // Labels of rows up to 35 end at the close of day 40, where the first judged one begins; judged labels end on
        // day 64, and five more sessions are kept free.
        assert_eq!(train, (0..=35).chain(70..100).collect::<Vec<_>>());
        assert_eq!(purged(&rows, &judged, &sessions, 0), (0..=35).chain(64..100).collect::<Vec<_>>());
        assert_eq!(purged(&rows, &[], &sessions, 5).len(), 100);
        assert_eq!(purged(&rows, &(80..100).collect::<Vec<_>>(), &sessions, 5), (0..=75).collect::<Vec<_>>());
    }

    #[test]
    fn parts_in_time_do_not_touch() {
        let (rows, sessions) = rows(100, 5);
        let (validation, test) = (SessionDate::from_days(60), SessionDate::from_days(80));
        let split = in_time(&rows, &sessions, validation, test, 0);
        assert_eq!(split.train, (0..56).collect::<Vec<_>>());
        assert_eq!(split.validation, (60..76).collect::<Vec<_>>());
        assert_eq!(split.test, (80..100).collect::<Vec<_>>());
        let split = in_time(&rows, &sessions, validation, test, 5);
        assert_eq!(split.train, (0..51).collect::<Vec<_>>());
        assert_eq!(split.validation, (60..71).collect::<Vec<_>>());
        assert!(in_time(&rows, &sessions, SessionDate::from_days(3), test, 5).train.is_empty());
    }

    #[test]
    fn folds_hold_every_row_once() {
        let (rows, sessions) = rows(103, 5);
        let all: Vec<usize> = folds(&rows, &sessions, 5).concat();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
    }
}
