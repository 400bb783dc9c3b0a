//! The market data adapter: a feed onto the market stream, every event under a number.
//!
//! A replay numbers what the lake has from its first session on, so that whoever is started again gives every event the
//! same number; how far it came is a record, and what is told twice is known by its number.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use algotrading::live::feeds::{FromLake, FromText};
use anyhow::{Context, Result, bail};
use domain::SessionDate;
use ports::stream::Stream;
use serde_json::json;
use trading::tape;
use trading::{Feed, Market, Next};

use crate::Here;

/// Where events come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The lake's sessions, after one or from the run file's first on.
    Replay {
        /// The session before the first.
        after: Option<SessionDate>,
        /// Time between sessions.
        pace: Duration,
    },
    /// Lines of text; `-` is standard input.
    Text(PathBuf),
}

impl Source {
    /// As the environment says: `replay`, `file:PATH` or `stdin`.
    ///
    /// # Errors
    /// A feed that this program does not have.
    pub fn parse(feed: &str, speed: Option<&str>, after: Option<&str>) -> Result<Self> {
        match feed {
            "replay" => {
                let after = after.map(|text| crate::here::date("REPLAY_AFTER", text)).transpose()?;
                Ok(Self::Replay { after, pace: pace(speed.unwrap_or("1"))? })
            }
            "stdin" => Ok(Self::Text("-".into())),
            "alpaca" => bail!("the feed `alpaca` is not built in yet; FEED may be replay, file:PATH or stdin"),
            other => match other.strip_prefix("file:") {
                Some(path) => Ok(Self::Text(path.into())),
                None => bail!("FEED is `{other}`; it must be replay, file:PATH or stdin"),
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

/// Publishes until it is told to stop.
///
/// # Errors
/// The feed or the stream fails for good.
pub fn run(here: &Here<'_>, stream: &dyn Stream, source: &Source) -> Result<()> {
    let config = here.config()?;
    let symbols = config.data.symbols.clone();
    let told = here.shown(FEED)?.and_then(|body| body["seq"].as_u64()).unwrap_or(0);
    let (mut feed, pace): (Box<dyn Feed>, Duration) = match source {
        Source::Replay { after, pace } => {
            (Box::new(FromLake::after(&here.location, &config.data, *after, false)?), *pace)
        }
        Source::Text(path) => (Box::new(FromText::open(path, &symbols)?), Duration::ZERO),
    };
    // Standard input does not come again; everything else begins anew.
    let mut seq = if *source == Source::Text("-".into()) { told } else { 0 };
    here.info("publishes market events", json!({ "after": told }));
    let (mut waiting, mut over) = (Vec::new(), false);
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
                    waiting.extend(tape::write(seq, &event, &symbols));
                }
            }
            Next::Nothing => {}
            Next::End => over = true,
        }
        // A replay is told session by session, everything else as it comes.
        let due = over || closed || matches!(source, Source::Text(_));
        if due && !waiting.is_empty() {
            stream.put(&waiting)?;
            here.show(FEED, &json!({ "seq": seq }))?;
            waiting.clear();
            if closed {
                here.info("a session was told", json!({ "seq": seq }));
                rest(here, pace);
            }
        }
        if over {
            here.info("the feed has ended", json!({ "seq": seq }));
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
        let complaint = |feed| Source::parse(feed, None, None).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(
            complaint("alpaca"),
            "the feed `alpaca` is not built in yet; FEED may be replay, file:PATH or stdin"
        );
        assert_eq!(complaint("reply"), "FEED is `reply`; it must be replay, file:PATH or stdin");
        assert_eq!(pace("60").ok(), Some(Duration::from_secs(1)));
        assert!(pace("0").is_err() && pace("-1").is_err() && pace("fast").is_err());
    }
}
