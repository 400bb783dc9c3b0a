//! Feeds: the lake, a file, standard input, Alpaca's market data.

use std::io::BufRead;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use brokers::alpaca::data::{AlpacaFeed, DataSettings, Said, Source, stream_at};
use brokers::alpaca::{Base, Credentials};
use domain::{Calendar, Session, SessionDate, Symbol, Timestamp};
use lake::Lake;
use simulator::Market as Recorded;
use trading::feed::{Text, Told, replay};
use trading::{Feed, FeedError, Market, Next};

use super::real::given;
use crate::config::Data;

/// Sessions of a lake from a run file's first date on, and those that come into it.
#[derive(Debug)]
pub struct FromLake {
    location: String,
    data: Data,
    told: Told,
    after: Option<SessionDate>,
    follow: bool,
    looked: Instant,
}

/// How often a lake is looked into for new sessions.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl FromLake {
    /// After a session. With `follow` it waits for what comes.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn after(location: &str, data: &Data, after: Option<SessionDate>, follow: bool) -> Result<Self> {
        let (location, data) = (location.to_owned(), data.clone());
        let mut this = Self { location, data, told: Told::default(), after, follow, looked: Instant::now() };
        this.look()?;
        Ok(this)
    }

    /// Whether there is nothing to tell now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    fn look(&mut self) -> Result<()> {
        self.looked = Instant::now();
        let market = history(&self.location, &self.data, None)?;
        let events = replay(Calendar::nyse(), &market, self.after)?;
        self.after = events.iter().rev().find_map(opened).or(self.after);
        self.told = Told::new(events);
        Ok(())
    }
}

fn opened(event: &Market) -> Option<SessionDate> {
    if let Market::Opened(session) = event { Some(session.date) } else { None }
}

/// What a lake knows of symbols, before a session, as a backtest sees it: decisions the first print, fills what the
/// vendor has corrected since.
///
/// # Errors
/// The lake cannot be read.
pub fn history(location: &str, data: &Data, before: Option<SessionDate>) -> Result<Recorded> {
    let last = before.map(|before| SessionDate::from_days(before.days() - 1));
    let known = Lake::open(location)?.market(&data.symbols, data.from, last.or(data.to))?;
    Ok(Recorded::new(Calendar::nyse(), known.bars, known.actions, known.restated)?)
}

impl Feed for FromLake {
    fn next(&mut self, wait_ms: u64) -> Result<Next, FeedError> {
        match self.told.next(0)? {
            Next::End if !self.follow => Ok(Next::End),
            Next::End => {
                if self.looked.elapsed() >= LOOK_EVERY {
                    self.look().map_err(|error| FeedError(format!("{error:#}")))?;
                } else {
                    thread::sleep(Duration::from_millis(wait_ms));
                }
                Ok(Next::Nothing)
            }
            next => Ok(next),
        }
    }
}

/// Lines of text, from a file or standard input, read beside the loop.
#[derive(Debug)]
pub struct FromText {
    lines: Receiver<std::io::Result<Vec<u8>>>,
    text: Text,
    clock: fn() -> Timestamp,
    /// Symbols that have been told of.
    told: usize,
    /// The latest session that was opened, here or before.
    latest: Option<SessionDate>,
    /// The session before, here.
    before: Option<SessionDate>,
}

impl FromText {
    /// From a path; `-` is standard input.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, symbols: &[Symbol], clock: fn() -> Timestamp) -> Result<Self> {
        // As many lines as are read ahead of the loop.
        let (sender, lines) = sync_channel(1024);
        if path == Path::new("-") {
            thread::spawn(move || send(std::io::stdin().lock(), &sender));
        } else {
            let file =
                std::fs::File::open(path).with_context(|| format!("cannot read the feed `{}`", path.display()))?;
            thread::spawn(move || send(std::io::BufReader::new(file), &sender));
        }
        Ok(Self { lines, text: Text::new(symbols), clock, told: 0, latest: None, before: None })
    }

    /// The same, which goes on after a session that was told to its end.
    #[must_use]
    pub fn after(mut self, session: Option<SessionDate>) -> Self {
        self.latest = session;
        self
    }

    /// Holds a session that opens against the calendar and those before it.
    fn opens(&mut self, session: &Session) -> Result<(), FeedError> {
        let (date, line) = (session.date, self.text.line());
        if session.open.nanos() > (self.clock)().nanos().saturating_add(CLOCKS_APART_MAX) {
            // Everything until then would pass for told before.
            return Err(FeedError(format!(
                "line {line} of the feed: it opens the session {date}, which is to come by this machine's clock; correct \
                 the date"
            )));
        }
        match (self.before, self.latest) {
            (Some(before), _) if before >= date => eprintln!(
                "warning: line {line} of the feed goes back from the session {before} to {date}: what it tells of sessions \
                 that are closed is left out"
            ),
            (None, Some(told)) if told >= date => eprintln!(
                "the feed begins with the session {date}: what it tells of sessions up to {told}, which were told before, is \
                 left out"
            ),
            _ => {}
        }
        if let Some(latest) = self.latest {
            let sessions = Calendar::nyse().sessions().iter().map(|session| session.date);
            let missing: Vec<String> = sessions
                .skip_while(|one| *one <= latest)
                .take_while(|one| *one < date)
                .map(|one| one.to_string())
                .collect();
            if let [shown @ .., last] = &missing[..] {
                let more = shown.len().saturating_sub(NAMED_MAX);
                let named = match (shown, more) {
                    ([], _) => format!("the session {last}"),
                    (shown, 0) => format!("the sessions {} and {last}", shown.join(", ")),
                    (shown, more) => {
                        format!("the sessions {}, {} more and {last}", shown[..NAMED_MAX].join(", "), more)
                    }
                };
                eprintln!("warning: the feed leaves out {named}: line {line} goes on with {date} after {latest}");
            }
        }
        (self.latest, self.before) = (self.latest.max(Some(date)), Some(date));
        Ok(())
    }
}

fn send(mut input: impl BufRead, sender: &SyncSender<std::io::Result<Vec<u8>>>) {
    loop {
        let mut line = Vec::new();
        let read = input.read_until(b'\n', &mut line);
        let over = !matches!(read, Ok(count) if count > 0);
        if matches!(read, Ok(0)) || sender.send(read.map(|_| line)).is_err() || over {
            return;
        }
    }
}

impl Feed for FromText {
    fn next(&mut self, wait_ms: u64) -> Result<Next, FeedError> {
        match self.lines.recv_timeout(Duration::from_millis(wait_ms)) {
            Err(RecvTimeoutError::Timeout) => Ok(Next::Nothing),
            Err(RecvTimeoutError::Disconnected) => Ok(Next::End),
            Ok(Err(error)) => Err(FeedError(format!("cannot read the feed: {error}"))),
            Ok(Ok(line)) => {
                // What is not text is no JSON either, and is told of with its number.
                let read = self.text.read(Calendar::nyse(), String::from_utf8_lossy(&line).trim_end())?;
                if self.text.others().len() > self.told {
                    self.told = self.text.others().len();
                    let others: Vec<&str> = self.text.others().iter().map(Symbol::as_str).collect();
                    eprintln!(
                        "warning: the feed has prices of {}, which the run file does not trade",
                        others.join(", ")
                    );
                }
                if let Some(Market::Opened(session)) = &read {
                    self.opens(session)?;
                }
                Ok(read.map_or(Next::Nothing, Next::Event))
            }
        }
    }
}

/// Sessions that a warning names before the last.
const NAMED_MAX: usize = 4;

/// How far the clock of whoever tells may be ahead of ours, in nanoseconds.
const CLOCKS_APART_MAX: i64 = 60_000_000_000;

/// A feed by its name: `alpaca` and `alpaca:sip` are Alpaca's market data, `-` is standard input, anything else a file.
/// `after` is the last session that was told to its end.
///
/// # Errors
/// The file cannot be opened, or there are no keys for Alpaca.
pub fn named(
    name: &Path,
    symbols: &[Symbol],
    after: Option<SessionDate>,
    clock: fn() -> Timestamp,
) -> Result<Box<dyn Feed>> {
    let source = match name.to_str() {
        Some("alpaca") => Source::Iex,
        Some("alpaca:sip") => Source::Sip,
        _ => return Ok(Box::new(FromText::open(name, symbols, clock)?.after(after))),
    };
    let key = given("APCA_API_KEY_ID", "the key of the Alpaca account")?;
    let secret = given("APCA_API_SECRET_KEY", "the secret of that key")?;
    let mut settings = DataSettings::alpaca(Credentials::new(key, secret)?, source)?;
    if let Ok(rest) = std::env::var("APCA_API_DATA_URL") {
        settings.rest = Base::parse(&rest)?;
    }
    if let Ok(stream) = std::env::var("APCA_API_STREAM_URL") {
        settings.stream = stream_at(&stream)?;
    }
    let feed = AlpacaFeed::connect(settings, symbols, after, clock).context("cannot begin with Alpaca's prices")?;
    Ok(Box::new(Spoken { said: feed.said(), feed }))
}

/// Says on standard error what the feed has to say to people.
struct Spoken {
    feed: AlpacaFeed,
    said: Said,
}

impl Feed for Spoken {
    fn next(&mut self, wait_ms: u64) -> Result<Next, FeedError> {
        let next = self.feed.next(wait_ms);
        for sentence in self.said.take() {
            eprintln!("prices: {sentence}");
        }
        next
    }
}
