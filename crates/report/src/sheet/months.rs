//! Returns of calendar months and years.

use crate::run::EquityPoint;

/// The months of one year.
#[derive(Debug, PartialEq)]
pub(super) struct Year {
    pub(super) year: i32,
    /// January first; `None` where there was no session.
    pub(super) months: [Option<f64>; 12],
    pub(super) total: Option<f64>,
}

/// Each year from the first session to the last. The first month starts from the equity after its first session.
pub(super) fn by_year(equity: &[EquityPoint]) -> Vec<Year> {
    let grown =
        |from: f64, to: f64| (from > 0.0 && to > 0.0).then(|| to / from - 1.0).filter(|value| value.is_finite());
    let Some(first) = equity.first() else { return Vec::new() };
    let (mut month_start, mut year_start) = (first.equity, first.equity);
    let mut years = Vec::new();
    for year in equity.chunk_by(|a, b| a.date.year() == b.date.year()) {
        let mut months = [None; 12];
        for month in year.chunk_by(|a, b| a.date.ymd().1 == b.date.ymd().1) {
            let (at, end) = (month[0].date.ymd().1, month[month.len() - 1].equity);
            if let Some(slot) = months.get_mut(at as usize - 1) {
                *slot = grown(month_start, end);
            }
            month_start = end;
        }
        years.push(Year { year: year[0].date.year(), months, total: grown(year_start, month_start) });
        year_start = month_start;
    }
    years
}

#[cfg(test)]
mod tests {
    use domain::SessionDate;

    use super::*;

    #[test]
    fn a_month_is_measured_from_the_end_of_the_one_before() {
        let point = |month, day, year, equity: f64| {
            let date = SessionDate::from_ymd(year, month, day).unwrap();
            EquityPoint { date, equity, cash: equity, net: 0.0, gross: 0.0 }
        };
        let years = by_year(&[
            point(11, 29, 1999, 100.0),
            point(11, 30, 1999, 110.0),
            point(1, 3, 2000, 99.0),
            point(1, 31, 2000, 132.0),
        ]);
        let near = |value: Option<f64>, want: f64| (value.unwrap() - want).abs() < 1e-12;
        assert_eq!(years.len(), 2);
        assert!(near(years[0].months[10], 0.1) && near(years[0].total, 0.1));
        assert_eq!(years[0].months[11], None);
        assert!(near(years[1].months[0], 0.2) && near(years[1].total, 0.2));
    }

    #[test]
    fn a_lost_account_has_no_returns() {
        let date = SessionDate::from_ymd(2000, 1, 3).unwrap();
        let point = EquityPoint { date, equity: -5.0, cash: 0.0, net: 0.0, gross: 0.0 };
        assert_eq!(by_year(&[point])[0].total, None);
        assert_eq!(by_year(&[]), []);
    }
}
