//! What every program has around it: a clock, records, figures, a log, and somebody who may tell it to stop.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use algotrading::config::RunConfig;
use algotrading::layers;
use algotrading::live::limits::{self, House};
use anyhow::{Context, Result, bail};
use domain::{SessionDate, Timestamp};
use lake::Lake;
use ports::figures::{Figure, Figures, Unit};
use ports::records::{Key, Put, Records};
use serde_json::{Value, json};

/// How often a program shows that it lives.
const BEAT_MS: i64 = 60_000;

/// Everything around a program.
pub struct Here<'a> {
    /// Its name.
    pub program: &'static str,
    /// Whose orders are traded: a run file of the lake.
    pub strategy: String,
    /// Where the lake is.
    pub location: String,
    /// What programs tell each other and people.
    pub records: &'a dyn Records,
    /// Figures for the alarms.
    pub figures: &'a dyn Figures,
    /// Set when it is to stop.
    pub stop: &'a AtomicBool,
    /// The time.
    pub now: fn() -> Timestamp,
    /// Takes a line of the log.
    pub log: &'a dyn Fn(Value),
    /// How long its lease on a journal lasts, unless it is renewed.
    pub lease_ms: i64,
    /// When it last showed that it lives.
    pub beaten: Cell<i64>,
}

impl std::fmt::Debug for Here<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Here").field("program", &self.program).finish_non_exhaustive()
    }
}

impl Here<'_> {
    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        (self.now)().nanos() / 1_000_000
    }

    /// Whether it is to stop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits.
    pub fn rest(&self, ms: u64) {
        thread::sleep(Duration::from_millis(ms));
    }

    /// Says something.
    pub fn say(&self, level: &str, message: impl std::fmt::Display, fields: Value) {
        let mut line = json!({
            "level": level, "message": message.to_string(), "program": self.program, "strategy": self.strategy,
        });
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        (self.log)(line);
    }

    /// Says what was done.
    pub fn info(&self, message: impl std::fmt::Display, fields: Value) {
        self.say("INFO", message, fields);
    }

    /// Says what is in the way.
    pub fn warn(&self, message: impl std::fmt::Display) {
        self.say("WARN", message, Value::Null);
    }

    /// Shows once a minute that it lives.
    pub fn beat(&self) {
        let now = self.now_ms();
        if now - self.beaten.get() < BEAT_MS {
            return;
        }
        self.beaten.set(now);
        let dimensions = vec![("Program", self.program.to_owned())];
        let figure = Figure { name: "Heartbeat", value: 1.0, unit: Unit::Count, dimensions };
        if let Err(error) = self.figures.put(&[figure]) {
            self.warn(error);
        }
    }

    /// Leaves something for the other programs; it takes the place of what stood there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn show(&self, partition: &str, body: &Value) -> Result<()> {
        let key = Key::new(partition, self.strategy.as_str());
        for _ in 0..8 {
            let seen = self.records.get(&key)?.map_or(0, |record| record.version);
            if self.records.put(&key, body, seen)? == Put::Stored {
                return Ok(());
            }
        }
        bail!("the record {key} is being written by others all the time");
    }

    /// What another program has left.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn shown(&self, partition: &str) -> Result<Option<Value>> {
        Ok(self.records.get(&Key::new(partition, self.strategy.as_str()))?.map(|record| record.body))
    }

    /// The lake.
    ///
    /// # Errors
    /// There is none.
    pub fn lake(&self) -> Result<Lake> {
        Ok(Lake::open(&self.location)?)
    }

    /// The run file of the strategy.
    ///
    /// # Errors
    /// There is none, or it makes no sense.
    pub fn config(&self) -> Result<RunConfig> {
        let path = format!("strategies/{}.toml", self.strategy);
        let Some(bytes) = self.lake()?.read(&path)? else {
            bail!("the lake has no `{path}`; put the run file of the strategy there")
        };
        let text = std::str::from_utf8(&bytes).with_context(|| format!("`{path}` is not text"))?;
        let table = layers::parse(text).map_err(anyhow::Error::msg).with_context(|| format!("`{path}`"))?;
        RunConfig::layered(table, [], &[]).with_context(|| format!("`{path}`"))
    }

    /// What the house allows the strategy: `limits/NAME.toml` in the lake, if it is there.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn house(&self) -> Result<House> {
        let path = format!("limits/{}.toml", self.strategy);
        let bytes = self.lake()?.read(&path)?.unwrap_or_default();
        limits::text(std::str::from_utf8(&bytes).with_context(|| format!("`{path}` is not text"))?)
            .with_context(|| format!("`{path}`"))
    }

    /// The strategy's name as brokers take it.
    #[must_use]
    pub fn short_name(&self) -> String {
        algotrading::live::account::name_of(Path::new(&self.strategy))
    }
}

/// A session from a date in text.
///
/// # Errors
/// It is none.
pub fn date(name: &str, text: &str) -> Result<SessionDate> {
    SessionDate::parse(text).with_context(|| format!("{name} is `{text}`"))
}
