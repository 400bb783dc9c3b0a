//! The market data adapter: a feed onto the market stream, every event under a number.
//!
//! A replay numbers what the lake has from its first session on, so that whoever is started again gives every event the
//! same number; how far it came is a record. What does not come again as it was is written down, numbered, before it is
//! put, and put again after a restart. Either way a reader knows by the number what is told twice.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use algotrading::live::feeds::{FromLake, FromText};
use anyhow::{Context, Result, bail, ensure};
use domain::{SessionDate, Symbol, Timestamp};
use ports::stream::Stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trading::tape;
use trading::{Feed, Heard, Market, Next};

use crate::Here;

/// A feed that is open, and what it has to say to people.
pub struct Open {
    /// The feed.
    pub feed: Box<dyn Feed>,
    /// Sentences, each once.
    pub said: Box<dyn Fn() -> Vec<String>>,
}

/// Opens a feed of symbols that tells what follows on a session.
pub type Opens = Box<dyn FnOnce(&[Symbol], Option<SessionDate>) -> Result<Open>>;

/// Where events come from.
pub enum Source {
    /// The lake's sessions, after one or from the run file's first on.
    Replay {
        /// The session before the first.
        after: Option<SessionDate>,
        /// Time between sessions.
        pace: Duration,
    },
    /// Lines of a file.
    File(PathBuf),
    /// What happens now.
    Live(Opens),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Replay { .. } => "Replay",
            Self::File(_) => "File",
            Self::Live(_) => "Live",
        };
        f.write_str(text)
    }
}

impl Source {
    /// As the environment says: `replay`, `file:PATH` or `stdin`.
    ///
    /// # Errors
    /// A feed that this program does not have.
    pub fn parse(feed: &str, speed: Option<&str>, after: Option<&str>, clock: fn() -> Timestamp) -> Result<Self> {
        match feed {
            "replay" => {
                let after = after.map(|text| crate::here::date("REPLAY_AFTER", text)).transpose()?;
                Ok(Self::Replay { after, pace: pace(speed.unwrap_or("1"))? })
            }
            "stdin" => Ok(Self::Live(Box::new(move |symbols, _| {
                let feed = FromText::open("-".as_ref(), symbols, clock)?;
                Ok(Open { feed: Box::new(feed), said: Box::new(Vec::new) })
            }))),
            other => match other.strip_prefix("file:") {
                Some(path) => Ok(Self::File(path.into())),
                None => bail!("FEED is `{other}`; it must be replay, alpaca, alpaca:sip, file:PATH or stdin"),
            },
        }
    }
}

/// Sessions a minute, or `max`.
fn pace(speed: &str) -> Result<Duration> {
    if speed == "max" {
        return Ok(Duration::ZERO);
    }
    let rate: f64 = speed.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0).with_context(|| {
        format!("SPEED is `{speed}`; it must be a number of sessions a minute that is more than 0, or max")
    })?;
    Ok(Duration::from_secs_f64(60.0 / rate))
}

/// What stands in the records about the stream.
const FEED: &str = "feed";
/// Events that are written down and put together at most.
const AT_ONCE: usize = 200;

/// Publishes until it is told to stop.
///
/// # Errors
/// The feed or the stream fails for good.
pub fn run(here: &Here<'_>, stream: &dyn Stream, source: Source) -> Result<()> {
    let config = here.config()?;
    let symbols = &config.data.symbols;
    match source {
        Source::Replay { after, pace } => {
            let mut feed = FromLake::after(&here.location, &config.data, after, false)?;
            again(here, stream, symbols, &mut feed, Some(pace))
        }
        Source::File(path) => again(here, stream, symbols, &mut FromText::open(&path, symbols, here.now)?, None),
        Source::Live(opens) => live(here, stream, symbols, opens),
    }
}

/// Publishes a feed that begins anew whenever it is opened. With a pace it is told session by session.
fn again(
    here: &Here<'_>,
    stream: &dyn Stream,
    symbols: &[Symbol],
    feed: &mut dyn Feed,
    pace: Option<Duration>,
) -> Result<()> {
    let told = here.shown(FEED)?.and_then(|body| body["seq"].as_u64()).unwrap_or(0);
    here.info("publishes market events", json!({ "after": told }));
    let (mut seq, mut waiting, mut over) = (0, Vec::new(), false);
    while !here.stopped() {
        here.beat();
        if over {
            here.rest(200);
            continue;
        }
        let next = feed.next(200)?;
        let closed = matches!(next, Next::Event(Market::Closed));
        match next {
            Next::Event(event) => {
                seq += 1;
                if seq > told {
                    waiting.extend(tape::write(seq, &event, symbols));
                }
            }
            Next::Nothing => {}
            Next::End => over = true,
        }
        if (over || closed || pace.is_none()) && !waiting.is_empty() {
            stream.put(&waiting)?;
            here.show(FEED, &json!({ "seq": seq }))?;
            waiting.clear();
            if closed {
                here.info("a session was told", json!({ "seq": seq }));
                rest(here, pace.unwrap_or_default());
            }
        }
        if over {
            here.info("the feed has ended", json!({ "seq": seq }));
        }
    }
    Ok(())
}

/// What was told, as a record.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told {
    /// Number of the last event.
    seq: u64,
    /// The instruments, in the order in which they are counted.
    #[serde(default)]
    symbols: Vec<Symbol>,
    #[serde(default)]
    heard: Heard,
    /// Messages that may not have been put.
    #[serde(default)]
    waiting: Vec<String>,
}

/// Publishes what happens now.
fn live(here: &Here<'_>, stream: &dyn Stream, symbols: &[Symbol], opens: Opens) -> Result<()> {
    let body = here.shown(FEED)?.unwrap_or_else(|| json!({ "seq": 0 }));
    let mut told: Told = serde_json::from_value(body).context("the record of what was published makes no sense")?;
    ensure!(
        told.seq == 0 || told.symbols.is_empty() || told.symbols == symbols,
        "the run file has other symbols than those that were published; give the strategy another name"
    );
    told.symbols = symbols.to_vec();
    if !told.waiting.is_empty() {
        stream.put(&told.waiting)?;
    }
    let Open { mut feed, said } = opens(symbols, told.heard.goes_on_after())?;
    here.info("publishes market events", json!({ "after": told.seq }));
    let (mut over, mut failed) = (false, None);
    while !here.stopped() {
        here.beat();
        if over {
            here.rest(200);
            continue;
        }
        told.waiting.clear();
        let (mut wait, mut closed) = (200, false);
        // What has come together is written down together; and nothing that came is lost with what did not.
        while told.waiting.len() < AT_ONCE {
            match feed.next(wait) {
                Ok(Next::Event(event)) if told.heard.was_told(&event) => {}
                Ok(Next::Event(event)) => {
                    told.heard.hear(&event);
                    told.seq += 1;
                    told.waiting.extend(tape::write(told.seq, &event, symbols));
                    closed |= event == Market::Closed;
                }
                Ok(Next::Nothing) => break,
                Ok(Next::End) => {
                    over = true;
                    break;
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            wait = 0;
        }
        said().into_iter().for_each(|sentence| here.warn(sentence));
        if !told.waiting.is_empty() {
            here.show(FEED, &serde_json::to_value(&told)?)?;
            stream.put(&told.waiting)?;
        }
        if closed {
            here.info("a session was told", json!({ "seq": told.seq }));
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        if over {
            here.info("the feed has ended", json!({ "seq": told.seq }));
        }
    }
    Ok(())
}

fn rest(here: &Here<'_>, pace: Duration) {
    let until = Instant::now() + pace;
    while !here.stopped() && Instant::now() < until {
        here.beat();
        here.rest(until.saturating_duration_since(Instant::now()).as_millis().min(200) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_that_is_not_there_is_said_to_be_so() {
        let complaint = |feed| {
            Source::parse(feed, None, None, Timestamp::default).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(complaint("reply"), "FEED is `reply`; it must be replay, alpaca, alpaca:sip, file:PATH or stdin");
        assert_eq!(pace("60").ok(), Some(Duration::from_secs(1)));
        assert!(pace("0").is_err() && pace("-1").is_err() && pace("fast").is_err());
    }
}
