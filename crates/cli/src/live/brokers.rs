//! Brokers by their names, with what they need from the environment and from files. Credentials only ever come from the
//! environment.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use brokers::alpaca::{AlpacaBroker, Base, Credentials, Settings};
use brokers::fix::{Config, FixBroker, Keep, Secret};
use strategies::StrategyConfig;
use trading::Broker;

use super::account::Place;
use super::fix;
use super::real::given;
use crate::args::BrokerName;
use crate::folder::JOURNAL;

/// What a FIX session needs to be told, beside its credentials.
const FIX: &str = "fix.toml";

/// A broker that can be begun with: its keys and files have been read, and nothing has been written.
#[derive(Debug)]
pub enum Ready {
    /// Alpaca, and where it is.
    Alpaca(AlpacaBroker, String),
    /// A FIX session, and where what it sends is kept.
    Fix(Box<Config>, PathBuf),
}

impl Ready {
    /// Reads what a broker needs for an account.
    ///
    /// # Errors
    /// One sentence.
    pub fn of(broker: BrokerName, place: &Place) -> Result<Self> {
        match broker {
            BrokerName::Alpaca => {
                let key = given("APCA_API_KEY_ID", "the key of the Alpaca account")?;
                let secret = given("APCA_API_SECRET_KEY", "the secret of that key")?;
                let base = std::env::var("APCA_API_BASE_URL");
                let base = base.unwrap_or_else(|_| "https://paper-api.alpaca.markets".to_owned());
                let settings = Settings::new(Base::parse(&base)?, Credentials::new(key, secret)?);
                Ok(Self::Alpaca(AlpacaBroker::connect(settings).context("cannot begin with Alpaca")?, base))
            }
            BrokerName::Fix => {
                let store = place.file("fix");
                // What is not in the store passes for never sent, and would be sent again.
                let traded = std::fs::metadata(place.file(JOURNAL)).is_ok_and(|file| file.len() > 0);
                ensure!(
                    !traded || store.is_dir(),
                    "`{}` is gone, which says what was sent over FIX, and the account has traded; restore it from a copy, \
                     or close everything at the broker and begin another account with --out",
                    store.display()
                );
                let config = session(&fix_file())?;
                FixBroker::check(&config).context(NO_FIX)?;
                Ok(Self::Fix(Box::new(config), store))
            }
        }
    }

    /// Refuses keys that the broker does not take. A broker that is not reached is waited for later.
    ///
    /// # Errors
    /// One sentence.
    pub fn admitted(&self) -> Result<()> {
        let Self::Alpaca(broker, base) = self else { return Ok(()) };
        if let Some(words) = broker.keys_refused() {
            bail!(
                "Alpaca at {base} refuses the keys ({words}); set APCA_API_KEY_ID and APCA_API_SECRET_KEY to a key and its \
                 secret, and APCA_API_BASE_URL to the place that they are for"
            );
        }
        Ok(())
    }

    /// Begins with it.
    ///
    /// # Errors
    /// One sentence.
    pub fn begin(self) -> Result<Box<dyn Broker + Send>> {
        Ok(match self {
            Self::Alpaca(broker, _) => Box::new(broker),
            Self::Fix(config, store) => Box::new(FixBroker::start(*config, Keep::Folder(store)).context(NO_FIX)?),
        })
    }
}

const NO_FIX: &str = "cannot begin with the FIX session";

/// Refuses a strategy that cannot be traded at a broker as it is meant.
///
/// # Errors
/// One sentence.
pub fn takes(broker: BrokerName, strategy: &StrategyConfig) -> Result<()> {
    if broker == BrokerName::Fix && strategy.has_alternatives() {
        let path = fix_file();
        fix::takes(&session(&path)?, &path.display().to_string(), strategy)?;
    }
    Ok(())
}

fn fix_file() -> PathBuf {
    std::env::var_os("ALGOTRADING_FIX").map_or_else(|| PathBuf::from(FIX), PathBuf::from)
}

fn session(path: &Path) -> Result<Config> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("cannot read the FIX session `{name}`; docs/trading.md shows one, ALGOTRADING_FIX says where it is")
    })?;
    let secret = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty()).map(Secret::new);
    let credentials = fix::Credentials { username: secret("FIX_USERNAME"), password: secret("FIX_PASSWORD") };
    fix::session(&name.to_string(), &text, credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_over_fix_is_not_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path().to_owned());
        std::fs::write(place.file(JOURNAL), "{}\n").unwrap();
        let error = Ready::of(BrokerName::Fix, &place).err().unwrap().to_string();
        assert!(error.contains("which says what was sent over FIX") && error.contains("restore it"), "{error}");
        std::fs::create_dir(place.file("fix")).unwrap();
        let error = Ready::of(BrokerName::Fix, &place).err().unwrap().to_string();
        assert!(error.contains("cannot read the FIX session"), "{error}");
    }
}
