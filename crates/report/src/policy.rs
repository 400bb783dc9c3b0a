//! The page of a trained policy: whether it is any good, how it learnt, and what trading it came to before and after the
//! last session it had learnt from.

use std::fmt::Write as _;

use domain::SessionDate;
use serde::Serialize;

use crate::metrics::Metrics;
use crate::model::{Equity, backtest, facts, head};
use crate::run::EquityPoint;
use crate::sheet::html::{NONE, escape, number, percent};
use crate::sheet::{charts, page, section};

const SCRIPT: &str = concat!(include_str!("../assets/learning.js"), include_str!("../assets/policy.js"));

/// What the page shows.
#[derive(Debug, Clone)]
pub struct PolicyPage {
    /// Name and version.
    pub title: String,
    /// What it learnt from, in a line.
    pub subtitle: String,
    /// Whether it is any good, in sentences.
    pub verdict: Vec<String>,
    /// The policy and others, by span.
    pub contenders: Vec<Contender>,
    /// By span: share of decisions that change the side, shares of short, flat and long, share of random policies that
    /// gained less.
    pub habits: Vec<(String, f64, [f64; 3], f64)>,
    /// Mean reward of a decision, round by round, in percent of a full position.
    pub rewards: Vec<f64>,
    /// Entropy of the actions, round by round.
    pub entropy: Vec<f64>,
    /// Share of decisions that change the side, round by round.
    pub turns: Vec<f64>,
    /// The backtest.
    pub equity: Vec<EquityPoint>,
    /// First session that it had not learnt from.
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

/// What trading a span came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Contender {
    /// Which span.
    pub part: String,
    /// Who traded.
    pub name: String,
    /// Growth of the account, as a fraction.
    pub gain: f64,
    /// Yearly Sharpe ratio.
    pub sharpe: Option<f64>,
    /// Deepest fall from a peak, as a fraction.
    pub drawdown: f64,
}

#[derive(Serialize)]
struct Data<'a> {
    rewards: &'a [f64],
    entropy: &'a [f64],
    turns: &'a [f64],
    equity: Equity,
}

/// A trained policy as one HTML file that needs nothing else.
#[must_use]
pub fn policy_page(policy: &PolicyPage) -> String {
    let verdict: String = policy.verdict.iter().map(|text| format!("<li>{}</li>", escape(text))).collect();
    let data = Data {
        rewards: &policy.rewards,
        entropy: &policy.entropy,
        turns: &policy.turns,
        equity: Equity::of(&policy.equity, policy.boundary),
    };
    let body = [
        format!("<header><h1>{}</h1><p>{}</p></header>", escape(&policy.title), escape(&policy.subtitle)),
        section("Is it any good?", "", &format!("<ul>{verdict}</ul>{}", contenders(&policy.contenders))),
        backtest(&policy.trading, &policy.in_sample, &policy.out_of_sample),
        section(
            "Learning",
            "",
            "<p class=\"muted\">Mean reward of a decision in the episodes of each round, after costs and with actions \
             still drawn at random, in percent of a full position; entropy of the actions (1.1 is no preference) and \
             share of decisions that change the side.</p><div id=\"rewards\" class=\"chart low\"></div>\
             <div id=\"entropy\" class=\"chart low\"></div>",
        ),
        section("Habits", "", &habits(&policy.habits)),
        section("Model", "", &facts(&policy.facts, &policy.config)),
        // Writing plain numbers to a string cannot fail.
        charts(&serde_json::to_string(&data).unwrap_or_default(), SCRIPT),
    ];
    page(&policy.title, &body.join("\n"))
}

fn contenders(all: &[Contender]) -> String {
    let mut html = format!(
        "<div class=\"scroll\"><table id=\"contenders\">{}<tbody>",
        head(&["Sessions", "Who", "Gain", "Sharpe ratio", "Max drawdown"], 2)
    );
    for one in all {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&one.part),
            escape(&one.name),
            percent(one.gain, 2),
            one.sharpe.map_or(NONE.to_owned(), |value| number(value, 2)),
            percent(one.drawdown, 2)
        );
    }
    html + "</tbody></table></div><p class=\"muted\">Random is the mean of policies that take the policy's own sides at \
            other times: as many turns and as long in the market, but no timing. Everybody starts each span with the \
            account's cash and no shares.</p>"
}

fn habits(all: &[(String, f64, [f64; 3], f64)]) -> String {
    let mut html = format!(
        "<div class=\"scroll\"><table id=\"habits\">{}<tbody>",
        head(&["Sessions", "Changes of side", "Short", "Flat", "Long", "Random policies that gained less"], 1)
    );
    for (part, turns, sides, beaten) in all {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(part));
        for share in [turns].into_iter().chain(sides).chain([beaten]) {
            let _ = write!(html, "<td class=\"n\">{}</td>", percent(*share, 1));
        }
        html.push_str("</tr>");
    }
    html + "</tbody></table></div><p class=\"muted\">Shares of decisions, one a session and symbol.</p>"
}
