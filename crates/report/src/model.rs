//! The page of a trained forecast: whether it has any skill, how it learnt, and what trading it came to before and after
//! the last session it had seen.

use std::fmt::Write as _;

use domain::SessionDate;
use serde::Serialize;

use crate::metrics::{Metrics, Value};
use crate::sheet::html::{NONE, escape, figure, number, percent};
use crate::sheet::{charts, page, section};
use crate::{catalogue, run::EquityPoint};

const SCRIPT: &str = concat!(include_str!("../assets/learning.js"), include_str!("../assets/model.js"));

/// Figures of the backtest that stand side by side.
const FIGURES: [&str; 8] = [
    "cum_returns_final",
    "annual_return",
    "sharpe_ratio",
    "max_drawdown",
    "trades",
    "win_rate",
    "profit_factor",
    "exposure",
];

/// What the page shows.
#[derive(Debug, Clone)]
pub struct ModelPage {
    /// Name and version.
    pub title: String,
    /// What it was trained on, in a line.
    pub subtitle: String,
    /// Whether it has skill: a sentence for each answer.
    pub verdict: Vec<String>,
    /// Losses of the training and the validation rows, pass by pass.
    pub curve: Vec<[f64; 2]>,
    /// The pass that was kept, from 1.
    pub best: usize,
    /// Scores, by rows and answer.
    pub scores: Vec<Scores>,
    /// What it says of the test rows, by answer.
    pub answers: Vec<Answer>,
    /// Names of the features.
    pub features: Vec<String>,
    /// The backtest.
    pub equity: Vec<EquityPoint>,
    /// First session that the model had not seen.
    pub boundary: SessionDate,
    /// Figures of the backtest until then.
    pub in_sample: Metrics,
    /// Figures of the backtest from then on.
    pub out_of_sample: Metrics,
    /// How the backtest trades.
    pub trading: String,
    /// Facts with their names.
    pub facts: Vec<(String, String)>,
    /// The training file.
    pub config: String,
}

/// Scores of the model and of what needs none, on the same rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Which rows.
    pub part: String,
    /// Which answer.
    pub answer: String,
    /// How many rows.
    pub rows: usize,
    /// Share that succeeded.
    pub successes: f64,
    /// Log loss of model, logistic regression and base rate.
    pub log_loss: [f64; 3],
    /// Brier score of model, logistic regression and base rate.
    pub brier: [f64; 3],
    /// Area under the curve of model and logistic regression.
    pub auc: [Option<f64>; 2],
}

/// What a model says of one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its name.
    pub name: String,
    /// Mean probability, share that succeeded and number of rows, by groups of rows.
    pub reliability: Vec<(f64, f64, usize)>,
    /// The threshold of the decisions below.
    pub threshold: f64,
    /// Yes and it was, yes and it was not, no and it was, no and it was not.
    pub confusion: [usize; 4],
    /// Log loss lost when a feature is dealt to other rows, by feature.
    pub importance: Vec<f64>,
}

#[derive(Serialize)]
struct Curve {
    train: Vec<f64>,
    validation: Vec<f64>,
    best: usize,
}

#[derive(Serialize)]
struct AnswerData<'a> {
    name: &'a str,
    probability: Vec<f64>,
    frequency: Vec<f64>,
    rows: Vec<usize>,
    importance: &'a [f64],
}

/// The backtest's equity, for the chart that every model's page has.
#[derive(Serialize)]
pub(crate) struct Equity {
    date: Vec<String>,
    equity: Vec<f64>,
    boundary: String,
}

impl Equity {
    pub(crate) fn of(points: &[EquityPoint], boundary: SessionDate) -> Self {
        Self {
            date: points.iter().map(|point| point.date.to_string()).collect(),
            equity: points.iter().map(|point| (point.equity * 100.0).round() / 100.0).collect(),
            boundary: boundary.to_string(),
        }
    }
}

#[derive(Serialize)]
struct Data<'a> {
    curve: Curve,
    answers: Vec<AnswerData<'a>>,
    /// Of both axes of the reliability.
    range: [f64; 2],
    features: &'a [String],
    equity: Equity,
}

/// A trained model as one HTML file that needs nothing else.
#[must_use]
pub fn model_page(model: &ModelPage) -> String {
    let verdict: String = model.verdict.iter().map(|text| format!("<li>{}</li>", escape(text))).collect();
    let body = [
        format!("<header><h1>{}</h1><p>{}</p></header>", escape(&model.title), escape(&model.subtitle)),
        section("Is it any good?", "", &format!("<ul>{verdict}</ul>{}", scores(&model.scores))),
        backtest(&model.trading, &model.in_sample, &model.out_of_sample),
        section(
            "Learning",
            "",
            "<p class=\"muted\">Loss of each pass; the line marks the pass that was kept. Training rows are met with \
             dropout, validation rows without.</p><div id=\"curve\" class=\"chart low\"></div>",
        ),
        section(
            "Calibration",
            "",
            "<p class=\"muted\">Test rows in ten groups by probability; larger where there are more.</p>\
             <div id=\"reliability\" class=\"chart\"></div>",
        ),
        section("Decisions", "", &model.answers.iter().map(confusion).collect::<String>()),
        section(
            "Features",
            "",
            "<p class=\"muted\">How much the log loss of the test rows grows when a feature's values are dealt to \
             other rows; below zero it did harm.</p><div id=\"importance\" class=\"chart\"></div>",
        ),
        section("Model", "", &facts(&model.facts, &model.config)),
        charts(&data(model), SCRIPT),
    ];
    page(&model.title, &body.join("\n"))
}

fn data(model: &ModelPage) -> String {
    let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
    let points = || model.answers.iter().flat_map(|answer| &answer.reliability).flat_map(|(p, f, _)| [*p, *f]);
    let low = points().fold(0.5_f64, f64::min) - 0.05;
    let high = points().fold(0.5_f64, f64::max) + 0.05;
    let data = Data {
        curve: Curve {
            train: model.curve.iter().map(|pass| finite(pass[0])).collect(),
            validation: model.curve.iter().map(|pass| finite(pass[1])).collect(),
            best: model.best,
        },
        answers: model
            .answers
            .iter()
            .map(|answer| AnswerData {
                name: &answer.name,
                probability: answer.reliability.iter().map(|(p, ..)| *p).collect(),
                frequency: answer.reliability.iter().map(|(_, f, _)| *f).collect(),
                rows: answer.reliability.iter().map(|(.., rows)| *rows).collect(),
                importance: &answer.importance,
            })
            .collect(),
        range: [low.max(0.0), high.min(1.0)],
        features: &model.features,
        equity: Equity::of(&model.equity, model.boundary),
    };
    // Writing plain vectors to a string cannot fail.
    serde_json::to_string(&data).unwrap_or_default()
}

/// A table head: a name to the left, numbers to the right.
pub(crate) fn head(names: &[&str], left: usize) -> String {
    let cells = names.iter().enumerate().map(|(at, name)| {
        let class = if at < left { "" } else { " class=\"n\"" };
        format!("<th scope=\"col\"{class}>{name}</th>")
    });
    format!("<thead><tr>{}</tr></thead>", cells.collect::<String>())
}

fn scores(scores: &[Scores]) -> String {
    let names = [
        "Rows",
        "Answer",
        "Number",
        "Successes",
        "Log loss",
        "logistic",
        "base rate",
        "Brier",
        "logistic",
        "base rate",
        "AUC",
        "logistic",
    ];
    let mut html = format!("<div class=\"scroll\"><table id=\"scores\">{}<tbody>", head(&names, 2));
    for row in scores {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>",
            escape(&row.part),
            escape(&row.answer),
            number(row.rows as f64, 0),
            percent(row.successes, 1)
        );
        for value in row.log_loss.iter().chain(&row.brier) {
            let _ = write!(html, "<td class=\"n\">{}</td>", number(*value, 4));
        }
        for value in row.auc {
            let _ = write!(html, "<td class=\"n\">{}</td>", value.map_or(NONE.to_owned(), |value| number(value, 3)));
        }
        html.push_str("</tr>");
    }
    html + "</tbody></table></div><p class=\"muted\">Log loss and Brier score: lower is better. AUC: 0.5 is no skill. \
            The logistic regression reads the same features; the base rate always says how often training rows \
            succeeded.</p>"
}

/// The section with the backtest.
pub(crate) fn backtest(trading: &str, before: &Metrics, after: &Metrics) -> String {
    let text = format!(
        "<p class=\"muted\">{} Left of the line the model trades what it was trained on: that part is no evidence.</p>\
         <div id=\"equity\" class=\"chart\"></div>{}",
        escape(trading),
        figures(before, after)
    );
    section("Backtest, in and out of sample", "", &text)
}

fn figures(before: &Metrics, after: &Metrics) -> String {
    let mut html = format!(
        "<div class=\"scroll\"><table id=\"figures\">{}<tbody>",
        head(&["Figure", "In sample", "Out of sample"], 1)
    );
    for name in FIGURES {
        let Some(entry) = catalogue::of(name) else { continue };
        let cell =
            |metrics: &Metrics| figure(metrics.get(name).map_or(&Value::Null, |metric| &metric.value), entry.unit);
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            entry.label,
            cell(before),
            cell(after)
        );
    }
    html + "</tbody></table></div>"
}

fn confusion(answer: &Answer) -> String {
    let [yes_was, yes_not, no_was, no_not] = answer.confusion.map(|count| number(count as f64, 0));
    let said = answer.confusion[0] + answer.confusion[1];
    let right = if said > 0 { percent(answer.confusion[0] as f64 / said as f64, 1) } else { NONE.to_owned() };
    format!(
        "<h3>{}, from a probability of {} on</h3><div class=\"scroll\"><table>{}<tbody>\
         <tr><th scope=\"row\">Said yes</th><td class=\"n\">{yes_was}</td><td class=\"n\">{yes_not}</td></tr>\
         <tr><th scope=\"row\">Said no</th><td class=\"n\">{no_was}</td><td class=\"n\">{no_not}</td></tr>\
         </tbody></table></div><p class=\"muted\">Of what it said yes to, {right} succeeded.</p>",
        escape(&answer.name),
        number(answer.threshold, 3),
        head(&["", "It succeeded", "It did not"], 1)
    )
}

pub(crate) fn facts(facts: &[(String, String)], config: &str) -> String {
    let mut html = String::from("<dl>");
    for (name, value) in facts {
        let _ = write!(html, "<dt>{}</dt><dd><code>{}</code></dd>", escape(name), escape(value));
    }
    html + &format!("</dl><h3>Training file</h3><pre>{}</pre>", escape(config))
}
