//! What a reader learns of the training of a forecast: in words, and as a page.

use algotrading::backtest;
use algotrading::config::{Measure, RunConfig};
use anyhow::Result;
use domain::{SessionDate, Symbol};
use lake::Lake;
use models::Card;
use report::model::{Answer, ModelPage, Scores};
use report::run::Run;
use report::{Metrics, Rates};
use strategies::{Inputs, StrategyConfig};

use crate::forecast::run::{Model, Prepared};
use crate::forecast::{ANSWERS, Comparison, Trained};

/// Whether there is any skill, in a sentence for each answer.
#[must_use]
pub fn verdict(trained: &Trained) -> String {
    let Some(test) = trained.comparisons.last() else { return String::new() };
    let mut text = String::new();
    for (name, contest) in ANSWERS.iter().zip(&test.answers) {
        let gain = 1.0 - contest.model.log_loss / contest.base_rate.log_loss;
        let against = if contest.model.log_loss < contest.logistic.log_loss { "better" } else { "no better" };
        text.push_str(&if gain > 0.0 {
            format!(
                "{name}: the test rows' log loss is {:.2} % below the base rate's, {against} than a logistic \
                 regression's\n",
                gain * 100.0
            )
        } else {
            format!("{name}: no skill; always saying the base rate has the lower log loss on the test rows\n")
        });
    }
    text
}

/// The page that is kept beside the model, with a backtest over everything it was trained on and judged by.
///
/// # Errors
/// The backtest of the report stops.
pub fn forecast(prepared: &Prepared, model: &Model, lake: &Lake) -> Result<String> {
    let (config, card, trained) = (&prepared.config, &model.card, &model.trained);
    let threshold = config.break_even();
    let (long_threshold, short_threshold) =
        (config.trading.long_threshold.unwrap_or(threshold), config.trading.short_threshold.unwrap_or(threshold));
    let strategy = StrategyConfig::Forecast {
        model: card.name.clone(),
        long_threshold,
        short_threshold,
        target: config.labels.target,
        stop: config.labels.stop,
        size: config.trading.size,
        exits: config.trading.exits,
    };
    let run = RunConfig {
        data: config.data.clone(),
        strategy,
        account: config.account.clone(),
        costs: config.costs,
        risk: config.risk.clone(),
        metrics: Measure::default(),
    };
    let inputs = Inputs { model: Some(models::Model::Forecast(model.forecast()?)), ..Inputs::default() };
    let ready = backtest::prepare(run, lake, inputs)?;
    let (run, _) = ready.collected(ready.strategy()?)?;
    let boundary = prepared.test_from;
    let symbols: Vec<&str> = prepared.symbols().iter().map(Symbol::as_str).collect();
    let page = ModelPage {
        title: format!("Model {}", card.name),
        subtitle: format!("{} · trained on {} · judged from {boundary} on", symbols.join(", "), card.span()),
        verdict: verdict(trained).lines().map(str::to_owned).collect(),
        curve: trained.history.iter().map(|epoch| [epoch.train, epoch.validation]).collect(),
        best: trained.best_epoch,
        scores: scores(trained),
        answers: ANSWERS
            .iter()
            .zip(&trained.details)
            .map(|(name, detail)| Answer {
                name: (*name).to_owned(),
                reliability: detail.reliability.iter().map(|bin| (bin.probability, bin.frequency, bin.rows)).collect(),
                threshold,
                confusion: [
                    detail.confusion.true_positive,
                    detail.confusion.false_positive,
                    detail.confusion.false_negative,
                    detail.confusion.true_negative,
                ],
                importance: detail.importance.clone(),
            })
            .collect(),
        features: config.features.features().into_iter().map(|feature| feature.name).collect(),
        in_sample: part(&run, |date| date < boundary),
        out_of_sample: part(&run, |date| date >= boundary),
        equity: run.equity,
        boundary,
        trading: format!(
            "{} shares of each symbol from a probability of {long_threshold:.3} (long) and {short_threshold:.3} \
             (short) on, with the costs of the training file.",
            config.trading.size
        ),
        facts: facts(card),
        config: card.config.clone(),
    };
    Ok(report::model_page(&page))
}

/// Figures of the sessions of a run that lie inside.
pub(crate) fn part(run: &Run, inside: impl Fn(SessionDate) -> bool) -> Metrics {
    let mut part = run.clone();
    part.equity.retain(|point| inside(point.date));
    part.fills.retain(|fill| inside(fill.date));
    part.trades.retain(|trade| inside(trade.opened));
    report::metrics(&part, None, Rates { risk_free_per_period: 0.0, periods_per_year: 252.0 })
}

/// What identifies a model, with names for a page.
pub(crate) fn facts(card: &Card) -> Vec<(String, String)> {
    vec![
        ("Seed".to_owned(), card.seed.to_string()),
        ("Weights (SHA-256)".to_owned(), card.weights.sha256.clone()),
        ("Features (fingerprint)".to_owned(), card.features_fingerprint.clone()),
        (
            "Digest of the data (SHA-256)".to_owned(),
            card.trained_on.as_ref().map_or_else(String::new, |seen| seen.sha256.clone()),
        ),
        ("Version of the program".to_owned(), card.code_version.clone()),
    ]
}

fn scores(trained: &Trained) -> Vec<Scores> {
    let of = |comparison: &Comparison| {
        ANSWERS
            .iter()
            .zip(comparison.answers)
            .map(|(name, one)| Scores {
                part: comparison.part.to_owned(),
                answer: (*name).to_owned(),
                rows: one.model.rows,
                successes: one.model.base_rate,
                log_loss: [one.model.log_loss, one.logistic.log_loss, one.base_rate.log_loss],
                brier: [one.model.brier, one.logistic.brier, one.base_rate.brier],
                auc: [one.model.auc, one.logistic.auc],
            })
            .collect::<Vec<_>>()
    };
    trained.comparisons.iter().flat_map(of).collect()
}
