//! Feeds of a laptop: the lake, a file, standard input.

use std::io::BufRead;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use domain::{Calendar, SessionDate, Symbol};
use lake::Lake;
use simulator::Market as Recorded;
use trading::feed::{Text, Told, replay};
use trading::{Feed, FeedError, Market, Next};

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

    fn look(&mut self) -> Result<()> {
        self.looked = Instant::now();
        let market = history(&self.location, &self.data, None)?;
        let mut events = replay(Calendar::nyse(), &market, self.after)?;
        // What a vendor corrects later is not what was traded then.
        for event in &mut events {
            if let Market::Bar { bar, traded } = event {
                *traded = *bar;
            }
        }
        self.after = events.iter().rev().find_map(opened).or(self.after);
        self.told = Told::new(events);
        Ok(())
    }
}

fn opened(event: &Market) -> Option<SessionDate> {
    if let Market::Opened(session) = event { Some(session.date) } else { None }
}

/// What a lake knows of symbols, before a session.
///
/// # Errors
/// The lake cannot be read.
pub fn history(location: &str, data: &Data, before: Option<SessionDate>) -> Result<Recorded> {
    let last = before.map(|before| SessionDate::from_days(before.days() - 1));
    let known = Lake::open(location)?.market(&data.symbols, data.from, last.or(data.to))?;
    Ok(Recorded::new(Calendar::nyse(), known.bars, known.actions, Vec::new())?)
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
    lines: Receiver<std::io::Result<String>>,
    text: Text,
}

impl FromText {
    /// From a path; `-` is standard input.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, symbols: &[Symbol]) -> Result<Self> {
        // As many lines as are read ahead of the loop.
        let (sender, lines) = sync_channel(1024);
        if path == Path::new("-") {
            thread::spawn(move || send(std::io::stdin().lock(), &sender));
        } else {
            let file =
                std::fs::File::open(path).with_context(|| format!("cannot read the feed `{}`", path.display()))?;
            thread::spawn(move || send(std::io::BufReader::new(file), &sender));
        }
        Ok(Self { lines, text: Text::new(symbols) })
    }
}

fn send(input: impl BufRead, sender: &SyncSender<std::io::Result<String>>) {
    for line in input.lines() {
        let failed = line.is_err();
        if sender.send(line).is_err() || failed {
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
            Ok(Ok(line)) => match self.text.read(Calendar::nyse(), &line)? {
                Some(event) => Ok(Next::Event(event)),
                None => Ok(Next::Nothing),
            },
        }
    }
}
