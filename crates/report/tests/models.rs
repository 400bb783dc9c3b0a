//! The pages of models as text. What they look like and do is tested in a browser (`tests/browser`).
#![allow(clippy::unwrap_used)]

mod common;

use common::{day, run};
use report::model::{Answer, Scores};
use report::policy::Contender;
use report::{ModelPage, PolicyPage, Rates, metrics, model_page, policy_page};

const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\"'&<!--";

fn text() -> String {
    HOSTILE.to_owned()
}

fn harmless(page: &str) -> serde_json::Value {
    assert!(!page.contains("<img"), "an element came from the text of a model");
    assert!(!page.contains("<!--"), "a comment came from the text of a model");
    // Data, plotly.js and our own: nothing opened or closed another.
    assert_eq!(page.matches("</script>").count(), 3);
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    serde_json::from_str(data).unwrap()
}

#[test]
fn text_of_a_forecast_never_becomes_markup() {
    let run = run(&[100.0, 101.0, 99.0]);
    let figures = metrics(&run, None, Rates::default());
    let page = model_page(&ModelPage {
        title: text(),
        subtitle: text(),
        verdict: vec![text()],
        curve: vec![[0.7, 0.6], [f64::NAN, f64::INFINITY]],
        best: 1,
        scores: vec![Scores {
            part: text(),
            answer: text(),
            rows: 10,
            successes: 0.3,
            log_loss: [0.6; 3],
            brier: [0.2; 3],
            auc: [None, Some(0.5)],
        }],
        answers: vec![Answer {
            name: text(),
            reliability: vec![(0.4, 0.5, 10)],
            threshold: 0.43,
            confusion: [1, 2, 3, 4],
            importance: vec![0.1],
        }],
        features: vec![text()],
        equity: run.equity.clone(),
        boundary: day(1),
        in_sample: figures.clone(),
        out_of_sample: figures,
        trading: text(),
        facts: vec![(text(), text())],
        config: text(),
    });
    let data = harmless(&page);
    assert_eq!((&data["features"][0], &data["answers"][0]["name"]), (&text().into(), &text().into()));
    assert_eq!(data["curve"]["validation"][1], 0.0, "what is no number cannot be drawn");
}

#[test]
fn text_of_a_policy_never_becomes_markup() {
    let run = run(&[100.0, 101.0, 99.0]);
    let figures = metrics(&run, None, Rates::default());
    let contender = Contender { part: text(), name: text(), gain: 0.1, sharpe: None, drawdown: -0.2 };
    let page = policy_page(&PolicyPage {
        title: text(),
        subtitle: text(),
        verdict: vec![text()],
        contenders: vec![contender],
        habits: vec![(text(), 0.1, [0.2, 0.3, 0.5], 0.9)],
        rewards: vec![0.1, 0.2],
        entropy: vec![1.0, 0.5],
        turns: vec![0.5, 0.1],
        equity: run.equity.clone(),
        boundary: day(1),
        in_sample: figures.clone(),
        out_of_sample: figures,
        trading: text(),
        facts: vec![(text(), text())],
        config: text(),
    });
    assert_eq!(harmless(&page)["rewards"], serde_json::json!([0.1, 0.2]));
}
