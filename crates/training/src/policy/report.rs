//! What a reader learns of the training of a policy: in words, and as a page.

use algotrading::backtest;
use anyhow::Result;
use domain::Symbol;
use lake::Lake;
use report::policy::{Contender, PolicyPage};
use strategies::Inputs;

use crate::forecast::report::{facts, part};
use crate::policy::judge::{Judgement, RANDOM, Standing};
use crate::policy::run::{Model, Prepared};

/// Share of the random policies that must be beaten before timing is called skill.
const CONVINCING: f64 = 0.95;

/// Who stands beside each other, in the order of [`standings`].
pub const CONTENDERS: [&str; 3] = ["policy", "buy and hold", "random"];

/// In the order of [`CONTENDERS`].
#[must_use]
pub fn standings(judgement: &Judgement) -> [Standing; 3] {
    [judgement.policy, judgement.hold, judgement.random]
}

/// Whether it is any good, in a sentence or two.
#[must_use]
pub fn verdict(judgements: &[Judgement; 2]) -> String {
    let test = &judgements[1];
    let percent = |value: f64| format!("{:+.2} %", value * 100.0);
    let [_, flat, _] = test.sides;
    if flat == 1.0 {
        return format!(
            "on the test sessions it never traded; buying and holding gained {}\n",
            percent(test.hold.gain)
        );
    }
    let beaten = (test.beaten * RANDOM as f64).round();
    let word = if test.beaten >= CONVINCING {
        "its timing is better than chance explains"
    } else {
        "no skill: chance explains its timing"
    };
    format!(
        "on the test sessions it gained {}, buying and holding {}\nit beat {beaten} of {RANDOM} policies that turn as \
         often at random times: {word}\n",
        percent(test.policy.gain),
        percent(test.hold.gain)
    )
}

/// The page that is kept beside the model, with a backtest over everything it learnt from and is judged by.
///
/// # Errors
/// The backtest of the report stops.
pub fn page(prepared: &Prepared, model: &Model, lake: &Lake) -> Result<String> {
    let (config, card) = (&prepared.config, &model.card);
    let run = prepared.trading(config.data.from, config.data.to);
    let inputs = Inputs { model: Some(models::Model::Policy(model.policy()?)), ..Inputs::default() };
    let ready = backtest::prepare(run, lake, inputs)?;
    let (run, _) = ready.collected(ready.strategy()?)?;
    let boundary = prepared.test_from;
    let symbols: Vec<&str> = config.data.symbols.iter().map(Symbol::as_str).collect();
    let contenders = |judgement: &Judgement| -> Vec<Contender> {
        let standings = standings(judgement);
        CONTENDERS
            .iter()
            .zip(standings)
            .map(|(name, Standing { gain, sharpe, drawdown })| Contender {
                part: judgement.part.to_owned(),
                name: (*name).to_owned(),
                gain,
                sharpe,
                drawdown,
            })
            .collect()
    };
    let page = PolicyPage {
        title: format!("Model {}", card.name),
        subtitle: format!("{} · learnt from {} · judged from {boundary} on", symbols.join(", "), card.span()),
        verdict: verdict(&model.judgements).lines().map(str::to_owned).collect(),
        contenders: model.judgements.iter().flat_map(contenders).collect(),
        habits: model
            .judgements
            .iter()
            .map(|judgement| (judgement.part.to_owned(), judgement.turns, judgement.sides, judgement.beaten))
            .collect(),
        rewards: model.history.iter().map(|round| round.reward).collect(),
        entropy: model.history.iter().map(|round| round.entropy).collect(),
        turns: model.history.iter().map(|round| round.turns).collect(),
        in_sample: part(&run, |date| date < boundary),
        out_of_sample: part(&run, |date| date >= boundary),
        equity: run.equity,
        boundary,
        trading: format!(
            "{} shares of each symbol, long or short, with the costs of the training file.",
            config.trading.size
        ),
        facts: facts(card),
        config: card.config.clone(),
    };
    Ok(report::policy_page(&page))
}
