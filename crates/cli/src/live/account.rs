//! The folder of an account, and what stands in it about whose it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::Cancels;
use journal::Header;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use trading::Owner;

use crate::backtest::{self, Facts, hex};
use crate::config::RunConfig;

/// What the file about the account is called.
pub const ACCOUNT: &str = "account.json";

/// The broker of a paper account.
pub const PAPER: &str = "paper";

/// Who trades what: written when the account begins, and never changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// `paper`, or the broker.
    pub broker: String,
    /// The strategy's name: what its orders begin with.
    pub strategy: String,
    /// What identifies it and what a report says of it.
    pub facts: Facts,
    /// The limits it began with, as text.
    pub limits: String,
    /// What its orders' names have that no other folder's do, so that a broker never takes one account's order for
    /// another's of the same name.
    #[serde(default)]
    pub tag: String,
}

/// A folder.
#[derive(Debug, Clone)]
pub struct Place(PathBuf);

impl Place {
    /// At a path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The account there; none if nothing is.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn account(&self) -> Result<Option<Account>> {
        let path = self.file(ACCOUNT);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read `{}`", path.display()))?,
        };
        let account = serde_json::from_slice(&bytes);
        account
            .map(Some)
            .with_context(|| format!("`{}` is damaged; restore it, or begin another account", path.display()))
    }

    /// The account of a run file: the one that is there, or one that may begin there ([`Place::keep`]).
    ///
    /// # Errors
    /// Another account is there.
    pub fn open(&self, broker: &str, strategy: &str, config: &RunConfig, limits: &str) -> Result<Account> {
        let folder = self.0.display();
        let mut account = begin(broker, strategy, config, limits)?;
        account.owner()?;
        if let Some(there) = self.account()? {
            for (what, there, here) in [
                ("broker differs", &there.broker, &account.broker),
                ("strategy's name differs", &there.strategy, &account.strategy),
                ("run file differs", &there.facts.config, &account.facts.config),
                ("limits differ", &there.limits, &account.limits),
            ] {
                if there != here {
                    bail!(
                        "`{folder}` is an account whose {what}; go on with what it began with, or begin another with \
                         --out"
                    );
                }
            }
            return Ok(there);
        }
        if fs::read_dir(&self.0).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("`{folder}` holds something that is no account; choose another --out");
        }
        let mut tag = [0; 3];
        getrandom::fill(&mut tag).context("the system has no random numbers")?;
        account.tag = hex(&tag);
        Ok(account)
    }

    /// Writes down whose the folder is, unless it stands there: only once nothing else can be wrong, because it cannot
    /// be changed.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn keep(&self, account: &Account) -> Result<()> {
        if self.file(ACCOUNT).exists() {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(account)?;
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.0)?;
            let draft = self.file(".account.draft");
            fs::write(&draft, text)?;
            fs::File::open(&draft)?.sync_all()?;
            fs::rename(draft, self.file(ACCOUNT))
        };
        write().with_context(|| format!("cannot write `{}`; choose another --out or make room", self.0.display()))
    }
}

/// The account of a run file, not written down.
///
/// # Errors
/// The run file has no text.
pub fn begin(broker: &str, strategy: &str, config: &RunConfig, limits: &str) -> Result<Account> {
    let config_text = config.canonical()?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let input_sha256 = hex(&Sha256::digest(limits));
    let plain = backtest::id(&[&version, &input_sha256, &config_text]);
    let name = format!("{} on {broker}, {strategy}", backtest::describe(config));
    let facts = Facts {
        run_id: backtest::id(&[&plain, &name]),
        name,
        version,
        symbols: config.data.symbols.clone(),
        cash: config.account.cash,
        config: config_text,
        inputs: Vec::new(),
        input_sha256,
        risk_free_per_session: config.metrics.risk_free_per_session,
        notes: Vec::new(),
    };
    let (broker, strategy, limits) = (broker.to_owned(), strategy.to_owned(), limits.to_owned());
    Ok(Account { broker, strategy, facts, limits, tag: String::new() })
}

impl Account {
    /// What its orders begin with.
    ///
    /// # Errors
    /// A name that brokers do not take.
    pub fn owner(&self) -> Result<Owner> {
        Owner::new(&format!("{}{}", self.broker, self.tag), &self.strategy).with_context(|| {
            format!("`{}` is no name for a strategy: use up to 20 letters, digits and `_` (--name)", self.strategy)
        })
    }

    /// When a cancelled order is over: at once on paper, where the venue is in the same process.
    #[must_use]
    pub fn cancels(&self) -> Cancels {
        if self.broker == PAPER { Cancels::AtOnce } else { Cancels::WhenConfirmed }
    }

    /// First line of its journal.
    #[must_use]
    pub fn header(&self) -> Header {
        Header {
            journal: journal::VERSION,
            run_id: self.facts.run_id.clone(),
            instruments: self.facts.symbols.clone(),
            cash: self.facts.cash,
        }
    }
}

/// A strategy's name from its run file.
#[must_use]
pub fn name_of(run_file: &Path) -> String {
    let stem = run_file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let fits = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    stem.chars().map(fits).take(20).collect()
}
