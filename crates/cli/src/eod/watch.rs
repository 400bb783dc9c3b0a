//! Equity against limits: figures for the alarms, words for people, and an order to the strategy when a limit is
//! broken. A figure that is missing breaks the limit.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use domain::{Calendar, SessionDate, Timestamp};
use lake::Lake;
use ports::figures::{Figure, Figures, Unit};
use ports::notices::Notices;
use ports::records::{Key, Records};
use serde::{Deserialize, Serialize};
use trading::guardian::{Ladder, Ladders, Step};

use super::control::{self, Entry, Mode};
use super::plan::{self, DayRecord};
use super::{Outcome, Trouble, What, body, put, tables, trade};
use crate::layers;

/// Where the limits lie in the lake.
pub const LIMITS: &str = "watch/limits.toml";
/// Seconds after a session's close until when its end of day should have finished.
const GRACE_SECONDS: i64 = 4 * 3_600;

/// The session that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// As part of its end of day.
    Session(SessionDate),
    /// By a schedule of its own: the last one whose end of day should have finished.
    LastDue,
    /// Because an alarm went off: the last one that is over.
    LastOver,
}

/// What the step gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Always.
    pub done: bool,
    /// Limits that are broken.
    pub breaches: Vec<Breach>,
}

/// A broken limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    /// Whose; empty for the day as a whole.
    pub strategy: String,
    /// What is wrong, in words, with figures.
    pub what: String,
    /// `warn`, `reduce_only`, `cancel` or `flatten`.
    pub action: String,
}

/// The limits of one strategy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StrategyLimits {
    /// Loss of a session, as a fraction of the equity before it.
    pub daily_loss: Ladder,
    /// Distance from the highest equity, as a fraction of it.
    pub drawdown: Ladder,
    /// What happens when there are no figures.
    pub missing: Mode,
}

impl Default for StrategyLimits {
    fn default() -> Self {
        let Ladders { daily_loss, drawdown } = Ladders::default();
        Self { daily_loss, drawdown, missing: Mode::ReduceOnly }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitsFile {
    limits: StrategyLimits,
    strategies: BTreeMap<String, StrategyLimits>,
}

fn limits(lake: &Lake) -> Result<LimitsFile> {
    let Some(bytes) = lake.read(LIMITS)? else { return Ok(LimitsFile::default()) };
    let text = std::str::from_utf8(&bytes).with_context(|| format!("`{LIMITS}` is not text"))?;
    let table = layers::parse(text).map_err(anyhow::Error::msg).with_context(|| format!("`{LIMITS}`"))?;
    let file: LimitsFile = serde_path_to_error::deserialize(table).with_context(|| format!("`{LIMITS}`"))?;
    for (name, limits) in file
        .strategies
        .iter()
        .map(|(name, limits)| (format!("strategies.{name}"), limits))
        .chain([("limits".to_owned(), &file.limits)])
    {
        limits
            .daily_loss
            .check(&format!("{name}.daily_loss"))
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("`{LIMITS}`"))?;
        limits
            .drawdown
            .check(&format!("{name}.drawdown"))
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("`{LIMITS}`"))?;
    }
    Ok(file)
}

/// The ports of the step.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    /// Control, days, and what people were told.
    pub records: &'a dyn Records,
    /// Figures for the alarms.
    pub figures: &'a dyn Figures,
    /// Words for people.
    pub notices: &'a dyn Notices,
}

impl std::fmt::Debug for Ports<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}

/// Watches a session.
///
/// # Errors
/// The limits make no sense, or a port fails; a figure that cannot be read is a breach and no error.
pub fn watch(lake: &Lake, ports: Ports<'_>, which: Which, now: Timestamp) -> Outcome<Watched> {
    let bad = Trouble::of(What::BadInput);
    let file = limits(lake).map_err(&bad)?;
    let session = match which {
        Which::Session(session) => session,
        Which::LastDue => over(now, GRACE_SECONDS)?,
        Which::LastOver => over(now, 0)?,
    };
    let next = following(session)?;
    let mut answer = Watched { done: true, breaches: Vec::new() };
    let mut figures = Vec::new();
    if which == Which::LastDue {
        let key = plan::day(session);
        let record = ports.records.get(&key)?.map(|record| body::<DayRecord>(&key, &record)).transpose()?;
        let state = record.map_or_else(
            || "was never started".to_owned(),
            |record| match record.state.as_str() {
                "failed" => format!("failed: {}", record.reason),
                state => format!("is {state}"),
            },
        );
        let missing = state != "is finished";
        figures.push(Figure {
            name: "MissingRun",
            value: f64::from(u8::from(missing)),
            unit: Unit::Count,
            dimensions: vec![],
        });
        if missing {
            let what = format!("the end of day of {session} has not finished: it {state}");
            answer.breaches.push(Breach { strategy: String::new(), what, action: "warn".to_owned() });
        }
    }
    for strategy in trade::strategies(lake)? {
        let limits = file.strategies.get(&strategy).unwrap_or(&file.limits);
        let dimension = || vec![("Strategy", strategy.clone())];
        let mut found = Vec::new();
        match equity(lake, &strategy, session) {
            Ok(Equity { equity, return_1d, drawdown }) => {
                figures.push(Figure { name: "Equity", value: equity, unit: Unit::None, dimensions: dimension() });
                figures.push(Figure { name: "Drawdown", value: -drawdown, unit: Unit::None, dimensions: dimension() });
                let losses = [
                    ("the session lost", "DailyReturn", return_1d, limits.daily_loss),
                    ("the drawdown is", "", Some(drawdown), limits.drawdown),
                ];
                for (words, name, fraction, ladder) in losses {
                    let Some(fraction) = fraction else { continue };
                    if !name.is_empty() {
                        figures.push(Figure {
                            name: "DailyReturn",
                            value: fraction,
                            unit: Unit::None,
                            dimensions: dimension(),
                        });
                    }
                    if let Some((step, at)) = ladder.reached(-fraction) {
                        let what = format!(
                            "{words} {:.2} % of the equity, and {:.2} % is the limit",
                            -fraction * 100.0,
                            at * 100.0
                        );
                        found.push((step, what));
                    }
                }
            }
            Err(error) => {
                // What has never run holds nothing.
                let before = lake.list(&format!("equity/{strategy}")).context("the equity").map_err(&bad)?;
                let step = match limits.missing {
                    Mode::Normal => Step::Warn,
                    _ if before.is_empty() => Step::Warn,
                    mode => Step::Control(mode),
                };
                found.push((step, format!("there is no equity of {session}: {error:#}")));
            }
        }
        let broken = f64::from(u8::from(!found.is_empty()));
        figures.push(Figure { name: "Breach", value: broken, unit: Unit::Count, dimensions: dimension() });
        for (step, what) in found {
            if let Step::Control(mode) = step {
                let entry = Entry { from: next, mode, reason: what.clone(), by: "watch-pnl".to_owned(), at: now };
                control::add(ports.records, &strategy, &entry, false)?;
            }
            answer.breaches.push(Breach { strategy: strategy.clone(), what, action: step.name().to_owned() });
        }
    }
    // For one alarm over all strategies, whose names a stack does not know.
    let broken = figures.iter().filter(|figure| figure.name == "Breach").map(|figure| figure.value).sum();
    figures.push(Figure { name: "Breach", value: broken, unit: Unit::Count, dimensions: vec![] });
    ports.figures.put(&figures)?;
    tell(ports, session, &answer.breaches)?;
    Ok(answer)
}

/// Tells people of each breach once.
fn tell(ports: Ports<'_>, session: SessionDate, breaches: &[Breach]) -> Outcome<()> {
    for breach in breaches {
        let key =
            Key::new(format!("breach#{session}"), format!("{}#{}#{}", breach.strategy, breach.action, breach.what));
        if ports.records.get(&key)?.is_some() {
            continue;
        }
        let (subject, text) = if breach.strategy.is_empty() {
            (format!("algotrading: end of day {session} is missing"), breach.what.clone())
        } else {
            let subject = format!("algotrading: limit of {} broken on {session}: {}", breach.strategy, breach.action);
            let then = match breach.action.as_str() {
                "reduce_only" => "From the next session on it may only reduce positions.",
                "cancel" => "From the next session on its orders are cancelled and it places none.",
                "flatten" => "From the next session on its orders are cancelled and its positions closed.",
                _ => "Nothing else was done.",
            };
            (subject, format!("Strategy {}, session {session}: {}. {then}", breach.strategy, breach.what))
        };
        ports.notices.publish(&subject, &text)?;
        // Told first and recorded then: rather twice than never.
        put(ports.records, &key, breach, 0)?;
    }
    Ok(())
}

struct Equity {
    equity: f64,
    return_1d: Option<f64>,
    drawdown: f64,
}

fn equity(lake: &Lake, strategy: &str, session: SessionDate) -> Result<Equity> {
    let path = format!("equity/{strategy}/{session}.parquet");
    let Some(bytes) = lake.read(&path)? else { bail!("`{path}` is not there") };
    let row = tables::row(bytes.to_vec(), &["equity", "return_1d", "drawdown"]).with_context(|| format!("`{path}`"))?;
    let [equity, return_1d, drawdown] = row[..] else { bail!("`{path}` has no row") };
    let equity = equity.filter(|equity| equity.is_finite()).with_context(|| format!("`{path}` has no equity"))?;
    // An account that has nothing left has lost everything.
    let drawdown = if equity > 0.0 { drawdown.with_context(|| format!("`{path}` has no drawdown"))? } else { -1.0 };
    Ok(Equity { equity, return_1d, drawdown })
}

/// The last session that closed so many seconds ago.
fn over(now: Timestamp, seconds: i64) -> Outcome<SessionDate> {
    let sessions = Calendar::nyse().sessions();
    let is_over = |session: &domain::Session| session.close.nanos() + seconds * 1_000_000_000 <= now.nanos();
    let count = sessions.partition_point(is_over);
    let last = count.checked_sub(1).and_then(|at| sessions.get(at));
    let last =
        last.ok_or_else(|| Trouble::new(What::BadInput, format!("no session of the calendar is over at {now}")))?;
    Ok(last.date)
}

fn following(session: SessionDate) -> Outcome<SessionDate> {
    let sessions = Calendar::nyse().sessions();
    let at = sessions.partition_point(|one| one.date <= session);
    let next = sessions.get(at).map(|one| one.date);
    next.ok_or_else(|| {
        Trouble::new(What::BadInput, format!("the calendar ends with {session}; a newer release has a longer one"))
    })
}
