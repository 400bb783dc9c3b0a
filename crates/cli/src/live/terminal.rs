//! The board as text.
//!
//! On a terminal [`View`] draws it in place, on a screen of its own that is given back at the end and on a panic; `q`
//! leaves it and `k` flattens once the word is typed. Elsewhere (a file, a pipe, a job in the background), and after
//! `q`, it prints a line for each thing that happens. It is written in plain ANSI sequences on `rustix`, which the tree
//! has anyhow: one screen of text needs no toolkit.
//!
//! Invariant: no line is wider than the terminal, and none carries a sequence that is not ours.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use domain::{Money, Timestamp};
use engine::Mode;
use trading::Snapshot;
use unicode_width::UnicodeWidthChar;

use super::board::{Board, CONFIRMATION, Kind, Shared, look, money, plain, price, span};
use super::requests::{Ask, Submit, Wish};

/// How a piece of text looks where there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ink {
    Plain,
    Bold,
    Dim,
    Up,
    Down,
    Alarm,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Up => "\x1b[32m",
            Self::Down => "\x1b[31m",
            Self::Alarm => "\x1b[1;33m",
        }
    }
}

/// A line in pieces.
type Row = Vec<(Ink, String)>;

/// The board as lines of at most `width` columns, at a time by the clock.
#[must_use]
pub fn lines(board: &Board, width: usize, now: Timestamp) -> Vec<String> {
    rows(board, None, now).iter().map(|row| text(row, width, false)).collect()
}

/// The same in at most `height` lines, in colours if wanted.
#[must_use]
pub fn screen(board: &Board, width: usize, height: usize, now: Timestamp, colours: bool) -> Vec<String> {
    let mut rows = rows(board, Some(height), now);
    rows.truncate(height);
    rows.iter().map(|row| text(row, width, colours)).collect()
}

/// Whether this person wants colours (<https://no-color.org>).
#[must_use]
pub fn wants_colours(no_color: Option<&str>) -> bool {
    no_color.is_none_or(str::is_empty)
}

/// A line's text, cut where the terminal ends.
fn text(row: &Row, width: usize, colours: bool) -> String {
    let wide = |text: &str| text.chars().map(|letter| letter.width().unwrap_or(0)).sum::<usize>();
    let pieces: Vec<(Ink, String)> = row.iter().map(|(ink, text)| (*ink, plain(text))).collect();
    let cut = pieces.iter().map(|(_, text)| wide(text)).sum::<usize>() > width;
    let mut room = if cut { width.saturating_sub(1) } else { width };
    let mut line = String::new();
    for (ink, piece) in pieces {
        let mut fits = String::new();
        for letter in piece.chars() {
            let Some(left) = room.checked_sub(letter.width().unwrap_or(0)) else {
                room = 0;
                break;
            };
            room = left;
            fits.push(letter);
        }
        if fits.is_empty() {
            continue;
        }
        if colours && ink != Ink::Plain {
            line.extend([ink.code(), fits.as_str(), "\x1b[0m"]);
        } else {
            line.push_str(&fits);
        }
    }
    if cut && width > 0 {
        line.push('…');
    }
    line
}

fn rows(board: &Board, height: Option<usize>, now: Timestamp) -> Vec<Row> {
    let mut rows = head(board, now);
    for block in board.blocks(now) {
        rows.push(vec![(Ink::Alarm, format!("! {}", block.what))]);
        rows.push(vec![(Ink::Plain, format!("  {}", block.remedy))]);
    }
    let Some(snapshot) = &board.snapshot else { return rows };
    let sections = [
        ("POSITIONS   QUANTITY       PRICE           VALUE        PROFIT  LAST HEARD", positions(board, snapshot, now)),
        ("ORDERS", orders(snapshot)),
        ("REFUSED", refusals(board)),
        ("EVENTS (UTC)", events(board)),
    ];
    // A blank line, a title, and at least one line for each.
    let most = height.map(|height| height.saturating_sub(rows.len() + sections.len() * 2));
    let needs: Vec<usize> = sections.iter().map(|(_, rows)| rows.len().max(1)).collect();
    let shares = shares(&needs, most);
    for ((title, mut section), share) in sections.into_iter().zip(shares) {
        if section.is_empty() {
            section.push(vec![(Ink::Dim, "  none".to_owned())]);
        }
        if section.len() > share {
            let left_out = section.len() + 1 - share.max(1);
            section.truncate(share.saturating_sub(1));
            section.push(vec![(Ink::Dim, format!("  … {left_out} more"))]);
        }
        rows.push(Vec::new());
        rows.push(vec![(Ink::Dim, title.to_owned())]);
        rows.append(&mut section);
    }
    rows
}

/// How many lines each section gets: what it needs, or a fair part where there is too little room.
fn shares(needs: &[usize], most: Option<usize>) -> Vec<usize> {
    let Some(mut left) = most else { return needs.to_vec() };
    let mut given = vec![0; needs.len()];
    while left > 0 {
        let mut any = false;
        for (given, need) in given.iter_mut().zip(needs) {
            if *given < *need && left > 0 {
                (*given, left, any) = (*given + 1, left - 1, true);
            }
        }
        if !any {
            break;
        }
    }
    given.iter().map(|lines| (*lines).max(1)).collect()
}

fn head(board: &Board, now: Timestamp) -> Vec<Row> {
    let mut title = vec![(Ink::Bold, board.title.clone())];
    let Some(snapshot) = &board.snapshot else { return vec![title] };
    let ink = if snapshot.mode == Mode::Normal { Ink::Up } else { Ink::Alarm };
    title.extend([(Ink::Plain, "   mode ".to_owned()), (ink, snapshot.mode.to_string())]);
    if let Some(session) = snapshot.session {
        let how = if snapshot.closed { "closed" } else { "open" };
        title.push((Ink::Plain, format!("   session {session} {how}")));
    }
    title.push((Ink::Dim, format!("   {} UTC", clock(board.market_now(now)))));
    let figures = vec![
        (Ink::Plain, "equity ".to_owned()),
        (Ink::Bold, money(snapshot.equity)),
        (Ink::Plain, "   session ".to_owned()),
        signed(board.session_profit()),
        (Ink::Plain, "   in all ".to_owned()),
        signed(board.profit()),
        (Ink::Plain, format!("   cash {}", money(snapshot.cash))),
    ];
    vec![title, figures]
}

fn signed(amount: Option<Money>) -> (Ink, String) {
    match amount {
        None => (Ink::Plain, "–".to_owned()),
        Some(amount) if amount.signum() < 0 => (Ink::Down, money(amount)),
        Some(amount) if amount.signum() > 0 => (Ink::Up, format!("+{}", money(amount))),
        Some(amount) => (Ink::Plain, money(amount)),
    }
}

fn positions(board: &Board, snapshot: &Snapshot, now: Timestamp) -> Vec<Row> {
    let mut positions: Vec<_> = snapshot.positions.iter().collect();
    // What is held comes first, then what is watched.
    positions.sort_by_key(|position| position.quantity.is_zero());
    let row = |position: &&trading::view::Position| {
        let price = position.price.map_or("–".to_owned(), price);
        let left = format!("{:<8} {:>11} {price:>11} ", position.symbol, position.quantity.to_string());
        let value = format!("{:>15} ", money(position.value));
        let (gain, profit) = match position.quantity.is_zero() {
            true => (Ink::Dim, "–".to_owned()),
            false => signed(Some(position.profit)),
        };
        let heard = match board.silence(position.heard_at, now) {
            _ if snapshot.closed => "closed".to_owned(),
            None => "never".to_owned(),
            Some(nanos) => format!("{} ago", span(nanos)),
        };
        let ink = if position.stale { Ink::Alarm } else { Ink::Dim };
        let held = if position.quantity.is_zero() { Ink::Dim } else { Ink::Plain };
        vec![
            (held, left),
            (held, value),
            (gain, format!("{profit:>13}  ")),
            (ink, if position.stale { format!("{heard}, stale") } else { heard }),
        ]
    };
    positions.iter().map(row).collect()
}

fn orders(snapshot: &Snapshot) -> Vec<Row> {
    let row = |order: &trading::view::Working| {
        let side = if order.quantity.signum() < 0 { "sell" } else { "buy" };
        let leaving = if order.leaving { ", being cancelled" } else { "" };
        let what = format!("{side:<4} {} {} {}", order.quantity.abs(), order.symbol, order.at);
        vec![(Ink::Plain, what), (Ink::Dim, format!(", {} left{leaving}  {}", order.remaining.abs(), order.id))]
    };
    snapshot.orders.iter().map(row).collect()
}

/// The newest few, the newest first.
fn refusals(board: &Board) -> Vec<Row> {
    let row = |line: &super::board::RefusalLine| {
        vec![(Ink::Dim, format!("{} ", clock(line.at))), (Ink::Plain, format!("{} {}", line.symbol, line.text))]
    };
    board.refusals.iter().rev().take(5).map(row).collect()
}

fn events(board: &Board) -> Vec<Row> {
    let row = |line: &super::board::Line| {
        let ink = if line.kind == Kind::Trouble { Ink::Alarm } else { Ink::Plain };
        vec![(Ink::Dim, format!("{} ", clock(line.at))), (ink, line.text.clone())]
    };
    board.said.iter().rev().take(10).map(row).collect()
}

/// Time of the day.
fn clock(at: Timestamp) -> String {
    at.to_string().get(11..19).unwrap_or("--:--:--").to_owned()
}

/// What happened since so many lines had been told, a line each, for a reader that is no terminal.
#[must_use]
pub fn since(board: &Board, told: u64) -> Vec<String> {
    let stamp = |at: Timestamp| at.to_string().get(..19).unwrap_or_default().replace('T', " ");
    let kind = |kind| match kind {
        Kind::Fill => "fill",
        Kind::Order => "order",
        Kind::Session => "session",
        Kind::Control => "control",
        Kind::Trouble => "trouble",
    };
    let said =
        board.said.iter().map(|line| (line.seq, format!("{}Z {}: {}", stamp(line.at), kind(line.kind), line.text)));
    let refused = board
        .refusals
        .iter()
        .map(|line| (line.seq, format!("{}Z refused: {} {}", stamp(line.at), line.symbol, line.text)));
    let mut new: Vec<(u64, String)> = said.chain(refused).filter(|(seq, _)| *seq >= told).collect();
    new.sort_by_key(|(seq, _)| *seq);
    let lost = board.told().saturating_sub(told) - new.len() as u64;
    let lost = (lost > 0).then(|| format!("… {lost} lines are left out; the journal has everything"));
    lost.into_iter().chain(new.into_iter().map(|(_, line)| plain(&line))).collect()
}

/// What the keys have come to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Keys {
    /// `q` and `k` count.
    Watching {
        /// What to say beside them.
        told: String,
    },
    /// The word that confirms is being typed.
    Typing(String),
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nothing,
    Leave,
    Flatten,
}

impl Keys {
    fn press(&mut self, key: u8) -> Wanted {
        match self {
            Self::Watching { .. } => match key {
                b'q' => return Wanted::Leave,
                b'k' => *self = Self::Typing(String::new()),
                _ => {}
            },
            Self::Typing(word) => match key {
                b'\r' | b'\n' if word == CONFIRMATION => {
                    *self = Self::Watching { told: "asked: cancel everything and flatten".to_owned() };
                    return Wanted::Flatten;
                }
                b'\r' | b'\n' | 0x1b => *self = Self::Watching { told: "nothing was asked".to_owned() },
                8 | 0x7f => drop(word.pop()),
                0x20..0x7f if word.len() < 16 => word.push(char::from(key)),
                _ => {}
            },
        }
        Wanted::Nothing
    }

    /// The last line of the screen.
    fn row(&self) -> Row {
        match self {
            Self::Watching { told } if told.is_empty() => {
                vec![(Ink::Dim, "q leaves this view, trading goes on   k cancels everything and flattens".to_owned())]
            }
            Self::Watching { told } => {
                vec![(Ink::Alarm, told.clone()), (Ink::Dim, "   q leaves   k flattens".to_owned())]
            }
            Self::Typing(word) => vec![
                (Ink::Alarm, format!("Cancel everything and flatten? Type {CONFIRMATION} and Enter, Esc goes back: ")),
                (Ink::Bold, format!("{word}_")),
            ],
        }
    }
}

/// Shows the board until it is dropped. Drop it before the process exits: it gives the terminal back.
#[derive(Debug)]
pub struct View {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl View {
    /// Begins. What is asked by a key is signed with a name.
    pub fn start(board: Shared, submit: Submit, by: &str, clock: fn() -> Timestamp) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, by) = (stop.clone(), by.to_owned());
        let thread = std::thread::spawn(move || {
            let told = if tty::usable() { draw(&board, &submit, &by, clock, &stopped) } else { 0 };
            print(&board, told, &stopped);
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // One that panicked has given the terminal back already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Prints what happens from a line on, until there is nobody to print for.
fn print(board: &Shared, mut told: u64, stop: &AtomicBool) {
    loop {
        let last = stop.load(Ordering::Relaxed);
        let new = {
            let board = look(board);
            let new = since(&board, told);
            told = board.told();
            new
        };
        let mut out = io::stdout().lock();
        // A reader that has gone away ends the printing, not the trading.
        if new.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush()).is_err() || last {
            return;
        }
        drop(out);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// How often the ages are drawn anew.
const REDRAW: Duration = Duration::from_millis(500);

/// Draws until it is left. Returns how many lines had been told by then.
fn draw(board: &Shared, submit: &Submit, by: &str, clock: fn() -> Timestamp, stop: &AtomicBool) -> u64 {
    let colours = wants_colours(std::env::var("NO_COLOR").ok().as_deref());
    let Some(_screen) = tty::Screen::enter() else { return 0 };
    let mut keys = Keys::Watching { told: String::new() };
    let mut drawn: Option<(Instant, u64)> = None;
    loop {
        let told = look(board).told();
        if stop.load(Ordering::Relaxed) || !tty::held() {
            return told;
        }
        if drawn.is_none_or(|(at, lines)| at.elapsed() >= REDRAW || lines != told) {
            let (width, height) = tty::size();
            let mut lines = screen(&look(board), width, height.saturating_sub(2), clock(), colours);
            lines.push(String::new());
            lines.push(text(&keys.row(), width, colours));
            // Without a line feed after the last, the screen does not roll.
            let frame = format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n"));
            let mut out = io::stdout().lock();
            if out.write_all(frame.as_bytes()).and_then(|()| out.flush()).is_err() {
                return told;
            }
            drawn = Some((Instant::now(), told));
        }
        for key in tty::keys() {
            drawn = None;
            match keys.press(key) {
                Wanted::Nothing => {}
                Wanted::Leave => return told,
                Wanted::Flatten => {
                    let reason = "from the terminal".to_owned();
                    let wish = Wish { ask: Ask::Control(Mode::Flatten), by: by.to_owned(), reason };
                    if let Err(error) = wish.checked().map_err(Into::into).and_then(|wish| submit(wish)) {
                        keys = Keys::Watching { told: plain(&format!("NOTHING WAS ASKED: {error:#}")) };
                    }
                }
            }
        }
    }
}

/// The terminal: its own screen, keys without Enter, and everything given back.
#[cfg(unix)]
mod tty {
    use std::io::{self, Write};
    use std::sync::{Mutex, Once, PoisonError};
    use std::time::Duration;

    use rustix::stdio::{stdin, stdout};
    use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

    /// How the terminal was before, while its screen is ours.
    static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
    static HOOK: Once = Once::new();

    /// Both ends are a terminal that draws, and this process may read it: in the background the system would stop it.
    pub(super) fn usable() -> bool {
        termios::isatty(stdin())
            && termios::isatty(stdout())
            && std::env::var("TERM").is_ok_and(|term| term != "dumb")
            && termios::tcgetpgrp(stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
    }

    pub(super) struct Screen(());

    impl Screen {
        /// None where the terminal refuses.
        pub(super) fn enter() -> Option<Self> {
            let before = termios::tcgetattr(stdin()).ok()?;
            let mut during = before.clone();
            // Ctrl-C still stops the program; Ctrl-Z would only stop the trading.
            during.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            during.special_codes[SpecialCodeIndex::VSUSP] = if cfg!(target_os = "linux") { 0 } else { 0xff };
            during.special_codes[SpecialCodeIndex::VMIN] = 0;
            during.special_codes[SpecialCodeIndex::VTIME] = 1;
            HOOK.call_once(|| {
                let next = std::panic::take_hook();
                std::panic::set_hook(Box::new(move |panic| {
                    give_back();
                    next(panic);
                }));
            });
            *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
            termios::tcsetattr(stdin(), OptionalActions::Flush, &during).ok()?;
            let mut out = io::stdout().lock();
            let _ = out.write_all(b"\x1b[?1049h\x1b[?25l\x1b[2J").and_then(|()| out.flush());
            Some(Self(()))
        }
    }

    impl Drop for Screen {
        fn drop(&mut self) {
            give_back();
        }
    }

    /// Whether the screen is still ours: a panic anywhere gives it back.
    pub(super) fn held() -> bool {
        BEFORE.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn give_back() {
        let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(before) = before {
            // Past the lock on standard output, which a thread that panics may hold.
            let _ = rustix::io::write(stdout(), b"\x1b[?25h\x1b[?1049l");
            let _ = termios::tcsetattr(stdin(), OptionalActions::Flush, &before);
        }
    }

    /// Columns and lines.
    pub(super) fn size() -> (usize, usize) {
        match termios::tcgetwinsize(stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (usize::from(size.ws_col), usize::from(size.ws_row)),
            _ => (80, 24),
        }
    }

    /// Keys pressed within a tenth of a second.
    pub(super) fn keys() -> Vec<u8> {
        let mut keys = [0_u8; 64];
        match rustix::io::read(stdin(), &mut keys) {
            Ok(count) => keys[..count].to_vec(),
            Err(_) => {
                std::thread::sleep(Duration::from_millis(100));
                Vec::new()
            }
        }
    }
}

/// Elsewhere there is no view, only lines.
#[cfg(not(unix))]
mod tty {
    pub(super) fn usable() -> bool {
        false
    }

    pub(super) struct Screen(());

    impl Screen {
        pub(super) fn enter() -> Option<Self> {
            None
        }
    }

    pub(super) fn held() -> bool {
        false
    }

    pub(super) fn size() -> (usize, usize) {
        (80, 24)
    }

    pub(super) fn keys() -> Vec<u8> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use domain::{InstrumentId, Symbol};
    use engine::{Event, Step};
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse("2024-01-02T15:04:05Z").unwrap()
    }

    fn board() -> Board {
        let mut board = Board::new("sma on paper", vec![Symbol::new("AAPL").unwrap(), Symbol::new("MSFT").unwrap()]);
        let session = serde_json::json!({"session_opened":
            {"date": "2024-01-02", "open": "2024-01-02T14:30:00Z", "close": "2024-01-02T21:00:00Z", "index": 0}});
        board.saw(&serde_json::from_value::<Event>(session).unwrap(), None, &Step::default());
        let snapshot = serde_json::json!({
            "session": "2024-01-02", "closed": false, "step": 12, "mode": "normal", "disputed": false, "throttled": false,
            "trouble": null, "cash": "81280", "equity": "100120.5", "deposit": "100000",
            "positions": [
                {"symbol": "MSFT", "quantity": "0", "price": null, "value": "0", "heard_at": "2024-01-02T14:30:00Z", "stale": true},
                {"symbol": "AAPL", "quantity": "100", "price": "188.405", "value": "18840.5", "profit": "120.5", "heard_at": "2024-01-02T15:04:02Z", "stale": false},
            ],
            "orders": [{"id": "acc-sma-1f", "symbol": "AAPL", "quantity": "-40", "remaining": "-25", "at": "at 190 or better", "leaving": true}],
        });
        board.set(serde_json::from_value(snapshot).unwrap(), now());
        board
    }

    #[test]
    fn everything_that_matters_is_on_the_screen() {
        let shown = lines(&board(), 100, now());
        assert_eq!(
            shown,
            [
                "sma on paper   mode normal   session 2024-01-02 open   15:04:05 UTC",
                "equity 100,120.50   session +120.50   in all +120.50   cash 81,280.00",
                "! No prices of MSFT.",
                "  Nothing new is begun there until prices come again. If they do not, look at the feed.",
                "",
                "POSITIONS   QUANTITY       PRICE           VALUE        PROFIT  LAST HEARD",
                "AAPL             100     188.405       18,840.50       +120.50  3 s ago",
                "MSFT               0           –            0.00             –  34 min 5 s ago, stale",
                "",
                "ORDERS",
                "sell 40 AAPL at 190 or better, 25 left, being cancelled  acc-sma-1f",
                "",
                "REFUSED",
                "  none",
                "",
                "EVENTS (UTC)",
                "14:30:00 session 2024-01-02 opened",
            ]
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_nor_the_screen_higher() {
        let mut board = board();
        for one in 0..50 {
            board.say(Kind::Trouble, &format!("{one} 株式会社の注文は拒否されました cafe\u{301} 🚀🚀🚀"));
        }
        for width in 0..130 {
            for line in lines(&board, width, now()) {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
        for height in 0..40 {
            assert!(screen(&board, 80, height, now(), false).len() <= height, "{height}");
        }
        assert!(screen(&board, 80, 22, now(), false).iter().any(|line| line.ends_with(" more")));
    }

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        let mut board = board();
        let evil = "\x1b[2J\x1b]0;owned\x07\u{9b}31m\r\nfake line \u{202e}live";
        board.title = evil.to_owned();
        board.say(Kind::Trouble, evil);
        board.saw(&Event::Control(Mode::Cancel), Some(evil), &Step::default());
        let mut snapshot = board.snapshot.clone().unwrap();
        snapshot.trouble = Some(evil.to_owned());
        snapshot.orders[0].id = evil.to_owned();
        snapshot.orders[0].at = evil.to_owned();
        board.set(snapshot, now());
        let shown = lines(&board, 200, now()).into_iter().chain(since(&board, 0));
        for line in shown {
            assert!(!line.chars().any(|letter| letter.is_control() || letter == '\u{202e}'), "{line:?}");
        }
        // What is left of the sequences in colour is ours: nothing but colours.
        for line in screen(&board, 200, 60, now(), true) {
            for part in line.split('\x1b').skip(1) {
                let code = part.split_once('m').map(|(code, _)| code.strip_prefix('[').unwrap());
                assert!(
                    code.is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_digit() || byte == b';')),
                    "{line:?}"
                );
            }
        }
    }

    #[test]
    fn colours_are_only_where_they_are_wanted() {
        let plain = screen(&board(), 90, 40, now(), false);
        assert!(plain.iter().all(|line| !line.contains('\x1b')));
        let coloured = screen(&board(), 90, 40, now(), true).join("\n");
        assert!(coloured.contains("\x1b[32m+120.50\x1b[0m"));
        assert!(!wants_colours(Some("1")) && wants_colours(Some("")) && wants_colours(None));
    }

    #[test]
    fn only_the_whole_word_flattens() {
        let typed = |text: &str| {
            let mut keys = Keys::Watching { told: String::new() };
            text.bytes().map(|key| keys.press(key)).filter(|wanted| *wanted != Wanted::Nothing).collect::<Vec<_>>()
        };
        assert_eq!(typed("kFLATTEN\r"), [Wanted::Flatten]);
        assert_eq!(typed("kFLATTENN\x7f\n"), [Wanted::Flatten]);
        for text in
            ["FLATTEN\r", "kflatten\r", "kFLATTE\r", "k\r", "kFLATTEN\x1b\r", "kFLATTEN \r", "kFLATTEN", "\x1b[A"]
        {
            assert_eq!(typed(text), [], "{text:?}");
        }
        assert_eq!(typed("q"), [Wanted::Leave]);
        assert_eq!(typed("kq"), [], "a word is being typed");
    }

    #[test]
    fn each_thing_that_happens_is_a_line_once() {
        let mut board = board();
        assert_eq!(since(&board, 0), ["2024-01-02 14:30:00Z session: session 2024-01-02 opened"]);
        let told = board.told();
        assert_eq!(since(&board, told), [""; 0]);
        board.saw(&Event::Feed { instrument: InstrumentId(1), stale: true }, None, &Step::default());
        assert_eq!(since(&board, told), ["2024-01-02 14:30:00Z trouble: no prices of MSFT"]);
        (0..250).for_each(|_| board.say(Kind::Fill, "x"));
        assert_eq!(since(&board, told)[0], "… 51 lines are left out; the journal has everything");
    }
}
