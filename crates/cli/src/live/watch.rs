//! Who looks at an account while it trades: a page of this machine, a view in the terminal, both or nobody.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use domain::Timestamp;
use tokio::net::TcpListener;
use trading::Snapshot;

use super::account::{Account, Place};
use super::board::{Board, Shared, look};
use super::requests::{self, Submit};
use super::terminal::View;
use super::web::{Token, serve};

/// The page's token, for whoever may read the account's folder: an open page survives a restart.
const TOKEN: &str = "page.token";

/// What is wanted.
#[derive(Debug, Default)]
pub struct Wanted {
    /// A page, and where it is asked for.
    pub page: Option<std::net::TcpListener>,
    /// A view in the terminal.
    pub view: bool,
    /// Whose requests the view's are.
    pub by: String,
    /// Whether times of the market are of another day.
    pub replayed: bool,
}

/// Listens for who asks for the page.
///
/// # Errors
/// The address cannot be had, or is not of this machine.
pub fn listen(address: SocketAddr) -> Result<std::net::TcpListener> {
    let own = address.ip().is_loopback();
    anyhow::ensure!(own, "{address} is not of this machine, and the page is: use 127.0.0.1");
    let listener = std::net::TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true).context("cannot listen")?;
    Ok(listener)
}

/// Somebody looks.
#[derive(Debug)]
pub struct Watch {
    /// What is looked at.
    pub board: Shared,
    view: Option<View>,
    /// Whether the books have ever been compared.
    compared: Arc<AtomicBool>,
}

/// How an account was left.
#[derive(Debug)]
pub struct Left {
    /// Whether its books had ever been compared since the program started.
    pub compared: bool,
    /// What was seen last.
    pub seen: Option<Snapshot>,
}

impl Watch {
    /// Opens the page and the view; what is asked there becomes requests of the account.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(wanted: Wanted, place: &Place, account: &Account, clock: fn() -> Timestamp) -> Result<Self> {
        let mut board = Board::new(&account.facts.name, account.facts.symbols.clone());
        board.replayed = wanted.replayed;
        let board: Shared = Arc::new(Mutex::new(board));
        let requested = place.clone();
        let submit: Submit = Arc::new(move |wish| requests::ask(&requested, &wish.at(clock())).map(drop));
        if let Some(listener) = wanted.page {
            let listener = TcpListener::from_std(listener).context("cannot listen")?;
            let token = token(place)?;
            eprintln!("the account is on {}", token.address(listener.local_addr()?));
            let (board, submit) = (Arc::clone(&board), Arc::clone(&submit));
            tokio::spawn(async move {
                if let Err(error) = serve(listener, board, submit, token, clock).await {
                    eprintln!("warning: the page has ended: {error:#}");
                }
            });
        }
        let view = wanted.view.then(|| View::start(Arc::clone(&board), submit, &wanted.by, clock));
        Ok(Self { board, view, compared: Arc::default() })
    }

    /// For the loop: shows each snapshot.
    #[must_use]
    pub fn seen(&self, clock: fn() -> Timestamp) -> Box<dyn FnMut(&Snapshot) + Send> {
        let (board, compared) = (Arc::clone(&self.board), Arc::clone(&self.compared));
        Box::new(move |snapshot| {
            compared.fetch_or(snapshot.compared, Ordering::Relaxed);
            look(&board).set(snapshot.clone(), clock());
        })
    }

    /// Gives the terminal back, and tells what was seen.
    pub fn close(mut self) -> Left {
        drop(self.view.take());
        Left { compared: self.compared.load(Ordering::Relaxed), seen: look(&self.board).snapshot.take() }
    }
}

fn token(place: &Place) -> Result<Token> {
    let path = place.file(TOKEN);
    if let Some(token) = fs::read_to_string(&path).ok().and_then(|text| Token::again(text.trim()))
        // Whoever could read it has it: another one, then.
        && fs::metadata(&path).is_ok_and(|file| file.permissions().mode() & 0o077 == 0)
    {
        return Ok(token);
    }
    let token = Token::random()?;
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(&path);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(token.expose().as_bytes())
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(token)
}
