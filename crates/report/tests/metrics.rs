//! Figures of small runs, where a reader can follow them or a judge was asked.
#![allow(clippy::unwrap_used)]

mod common;

use common::{fill, run, trade};
use report::{Metrics, Rates, Value, metrics};

const EQUITY: [f64; 9] = [100.0, 102.0, 101.0, 104.0, 99.0, 103.0, 107.0, 105.0, 110.0];
const BENCHMARK: [f64; 8] = [0.01, -0.02, 0.015, -0.03, 0.02, 0.01, -0.005, 0.03];

fn of(equity: &[f64]) -> Metrics {
    metrics(&run(equity), None, Rates::default())
}

#[track_caller]
fn is(metrics: &Metrics, name: &str, want: f64) {
    let got = metrics.number(name).unwrap();
    assert!((got - want).abs() <= 1e-12 * want.abs().max(1.0), "{name}: {got}, not {want}");
}

fn date<'a>(metrics: &'a Metrics, name: &str) -> Option<&'a str> {
    match &metrics.get(name).unwrap().value {
        Value::Date(date) => Some(date),
        _ => None,
    }
}

/// The numbers are what empyrical-reloaded 0.7.1 and quantstats 0.0.86 print for these returns.
#[test]
fn returns_are_judged_with_a_risk_free_rate_as_empyrical_does() {
    let rates = Rates { risk_free_per_period: 0.0001, ..Rates::default() };
    let ours = metrics(&run(&EQUITY), Some(&BENCHMARK), rates);
    for (name, theirs) in [
        ("cum_returns_final", 0.100_000_000_000_000_09),
        ("annual_return", 19.131_196_244_377_27),
        ("annual_volatility", 0.543_245_200_545_547_8),
        ("sharpe_ratio", 5.751_436_279_153_504),
        ("sortino_ratio", 10.573_104_115_772_303),
        ("calmar_ratio", 397.928_881_883_047_2),
        ("max_drawdown", -0.048_076_923_076_923_08),
        ("alpha", 4.311_833_974_385_077_5),
        ("beta", 1.575_296_412_588_732),
        ("value_at_risk", -0.037_792_056_074_766_39),
        ("conditional_value_at_risk", -0.048_076_923_076_923_13),
        ("tail_ratio", 1.193_208_302_945_551_8),
        ("skew", -0.831_177_127_629_466),
        ("kurtosis", -0.560_622_613_193_993_4),
    ] {
        is(&ours, name, theirs);
    }
}

#[test]
fn the_drawdown_runs_from_its_peak_over_its_trough_to_its_recovery() {
    let ours = of(&EQUITY);
    assert_eq!(date(&ours, "drawdown_peak"), Some("2000-01-01"));
    assert_eq!(date(&ours, "drawdown_trough"), Some("2000-01-02"));
    assert_eq!(date(&ours, "drawdown_recovery"), Some("2000-01-04"));
    is(&ours, "max_drawdown_sessions", 2.0);
    assert_eq!(date(&of(&[100.0, 90.0, 95.0]), "drawdown_recovery"), None);
    let rising = of(&[1.0, 2.0, 3.0]);
    assert_eq!((date(&rising, "drawdown_peak"), rising.number("max_drawdown")), (None, Some(0.0)));
    assert_eq!(rising.number("calmar_ratio"), None);
}

#[test]
fn years_start_where_the_last_one_ended() {
    // 100 to 101 in 1999 and 101 to 110 in 2000: less a hundredth, mean over population deviation.
    let (first, second) = (101.0 / 100.0 - 1.01, 110.0 / 101.0 - 1.01);
    is(&of(&EQUITY), "sharpe_ratio_a", (first + second) / (second - first));
    assert_eq!(of(&EQUITY[..3]).number("sharpe_ratio_a"), None, "one year has no deviation");
}

#[test]
fn open_trades_are_not_counted() {
    let mut run = run(&EQUITY);
    run.trades = vec![trade(30.0, true), trade(-10.0, true), trade(0.0, true), trade(-500.0, false)];
    let ours = metrics(&run, None, Rates::default());
    is(&ours, "trades", 3.0);
    is(&ours, "win_rate", 2.0 / 3.0);
    is(&ours, "profit_factor", 3.0);
    is(&ours, "average_trade", 20.0 / 3.0);
    is(&ours, "average_win", 15.0);
    is(&ours, "average_loss", -10.0);
    let mean = 20.0 / 3.0_f64;
    let deviation = (((30.0 - mean).powi(2) + (-10.0 - mean).powi(2) + mean.powi(2)) / 3.0).sqrt();
    is(&ours, "sqn", 3.0_f64.sqrt() * mean / deviation);
}

#[test]
fn exposure_turnover_and_fees_come_from_positions_and_fills() {
    let mut run = run(&[100.0, 100.0, 100.0, 100.0]);
    run.equity[1].gross = 50.0;
    run.fills = vec![fill(10.0, 5.0, 0.25), fill(-10.0, 6.0, 0.5)];
    let ours = metrics(&run, None, Rates::default());
    is(&ours, "exposure", 0.25);
    is(&ours, "gross_exposure", 0.125);
    is(&ours, "turnover", (50.0 + 60.0) / 100.0 * 252.0 / 4.0);
    is(&ours, "fees", 0.75);
}

#[test]
fn what_is_not_defined_is_null_and_never_zero() {
    let null = |ours: &Metrics, names: &[&str]| {
        for name in names {
            assert_eq!(ours.get(name).unwrap().value, Value::Null, "{name}");
        }
    };
    let ratios = ["sharpe_ratio", "sortino_ratio", "calmar_ratio", "tail_ratio", "skew", "kurtosis", "alpha", "beta"];
    null(&of(&[100.0, 100.0, 100.0]), &ratios);
    null(&of(&[100.0, 101.0]), &["annual_volatility", "sharpe_ratio", "sortino_ratio", "skew", "kurtosis"]);
    let trades = ["sqn", "win_rate", "profit_factor", "average_trade", "average_win", "average_loss"];
    null(&of(&EQUITY), &trades);
    let all = of(&[]);
    for (name, metric) in all.iter().filter(|(name, _)| !matches!(*name, "trades" | "fees")) {
        assert_eq!(metric.value, Value::Null, "{name}");
    }
    let mut lone = run(&EQUITY);
    lone.trades = vec![trade(5.0, true)];
    null(&metrics(&lone, None, Rates::default()), &["sqn", "profit_factor"]);
    let lost = of(&[100.0, 50.0, -20.0, 30.0]);
    null(&lost, &["cum_returns_final", "annual_return", "max_drawdown", "drawdown_peak", "turnover"]);
    is(&lost, "final_equity", 30.0);
    null(&metrics(&run(&EQUITY), Some(&BENCHMARK[1..]), Rates::default()), &["alpha", "beta"]);
}

#[test]
fn equal_returns_have_no_sharpe_ratio() {
    let doubling: Vec<f64> = (0..12).map(|at| f64::from(1 << at)).collect();
    assert_eq!(of(&doubling).number("annual_volatility"), Some(0.0));
    assert_eq!(of(&doubling).number("sharpe_ratio"), None);
    // Here each return is rounded differently; dividing by that would give a ratio of 1e15.
    let steady: Vec<f64> = (0..300).map(|at| 100.0 * 1.01_f64.powi(at)).collect();
    let returns: Vec<f64> = steady.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect();
    assert!(returns.iter().any(|one| *one != returns[0]));
    for name in ["sharpe_ratio", "skew", "kurtosis"] {
        assert_eq!(of(&steady).number(name), None, "{name}");
    }
}

#[test]
fn no_figure_is_infinite_or_not_a_number() {
    for equity in
        [vec![], vec![1.0], vec![f64::NAN, 1.0, 2.0], vec![1e-300, 1e300, 1e-300, 1e300], vec![1.0, f64::INFINITY, 2.0]]
    {
        let ours = metrics(&run(&equity), Some(&BENCHMARK), Rates { risk_free_per_period: 0.0, periods_per_year: 0.0 });
        for (name, metric) in ours.iter() {
            assert!(!matches!(metric.value, Value::Number(number) if !number.is_finite()), "{name} of {equity:?}");
        }
    }
}

#[test]
fn metrics_serialise_in_order_with_their_definitions() {
    let json = serde_json::to_string(&of(&EQUITY)).unwrap();
    assert!(json.starts_with("{\"final_equity\":{\"value\":110.0,\"definition\":\"Cash plus"), "{json}");
    assert!(json.contains("\"drawdown_peak\":{\"value\":\"2000-01-01\",\"definition\":"), "{json}");
    assert!(json.contains("\"sqn\":{\"value\":null,"), "{json}");
}

#[test]
fn every_metric_is_documented_with_the_definition_it_carries() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let document = std::fs::read_to_string(path).unwrap();
    let ours = of(&EQUITY);
    let documented: Vec<&str> =
        document.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert_eq!(documented, ours.iter().map(|(name, _)| name).collect::<Vec<_>>(), "headings of docs/metrics.md");
    for (section, (name, metric)) in document.split("\n### ").skip(1).zip(ours.iter()) {
        assert!(section.contains(metric.definition), "docs/metrics.md defines {name} otherwise: {}", metric.definition);
        assert!(
            section.contains("Formula: ") && section.contains("Source: "),
            "docs/metrics.md lacks a part for {name}"
        );
    }
}
