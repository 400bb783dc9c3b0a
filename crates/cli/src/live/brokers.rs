//! Brokers by their names, with what they need from the environment and from files. Credentials only ever come from the
//! environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use brokers::alpaca::{AlpacaBroker, Base, Credentials, Settings};
use brokers::fix::{Config, Endpoint, FixBroker, Secret, Style, Tls};
use serde::Deserialize;
use trading::Broker;

use super::account::Place;
use super::real::given;
use crate::args::BrokerName;
use crate::folder::JOURNAL;
use crate::layers;

/// What a FIX session needs to be told, beside its credentials.
const FIX: &str = "fix.toml";

/// Connects to a broker for an account.
///
/// # Errors
/// One sentence.
pub fn connect(broker: BrokerName, place: &Place) -> Result<Box<dyn Broker + Send>> {
    match broker {
        BrokerName::Alpaca => {
            let key = given("APCA_API_KEY_ID", "the key of the Alpaca account")?;
            let secret = given("APCA_API_SECRET_KEY", "the secret of that key")?;
            let base = std::env::var("APCA_API_BASE_URL");
            let base = base.unwrap_or_else(|_| "https://paper-api.alpaca.markets".to_owned());
            let settings = Settings::new(Base::parse(&base)?, Credentials::new(key, secret)?);
            Ok(Box::new(AlpacaBroker::connect(settings).context("cannot begin with Alpaca")?))
        }
        BrokerName::Fix => {
            let path = std::env::var_os("ALGOTRADING_FIX").map_or_else(|| PathBuf::from(FIX), PathBuf::from);
            let store = place.file("fix");
            // What is not in the store passes for never sent, and would be sent again.
            let traded = std::fs::metadata(place.file(JOURNAL)).is_ok_and(|file| file.len() > 0);
            anyhow::ensure!(
                !traded || store.is_dir(),
                "`{}` is gone, which says what was sent over FIX, and the account has traded; restore it from a copy, or \
                 close everything at the broker and begin another account with --out",
                store.display()
            );
            let config = session(&path, &store)?;
            Ok(Box::new(FixBroker::start(config).context("cannot begin with the FIX session")?))
        }
    }
}

/// `fix.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sender: String,
    target: String,
    host: String,
    port: u16,
    /// No TLS: only to this machine.
    #[serde(default)]
    plain: bool,
    #[serde(default)]
    tls_name: Option<String>,
    #[serde(default)]
    tls_roots: Option<PathBuf>,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    heartbeat_s: Option<u64>,
    #[serde(default)]
    reset_on_logon: bool,
    #[serde(default)]
    trailing_stops: bool,
    #[serde(default)]
    emulate_alternatives: bool,
    /// Fields that the counterparty wants on every order: `"100" = "XNYS"`.
    #[serde(default)]
    fields: std::collections::BTreeMap<String, String>,
}

fn session(path: &Path, store: &Path) -> Result<Config> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("cannot read the FIX session `{name}`; docs/trading.md shows one, ALGOTRADING_FIX says where it is")
    })?;
    let table = layers::parse(&text).map_err(|error| anyhow::anyhow!("`{name}` is not TOML: {error}"))?;
    let file: File = serde_path_to_error::deserialize(table).map_err(|error| {
        let inner = error.inner().to_string();
        anyhow::anyhow!("`{name}`: {}", inner.lines().next().unwrap_or_default())
    })?;
    ensure!(file.plain || file.port != 0, "`{name}`: port is 0");
    let tls = (!file.plain).then_some(Tls { name: file.tls_name, roots: file.tls_roots });
    let endpoint = Endpoint { host: file.host, port: file.port, tls };
    let mut config = Config::new(&file.sender, &file.target, endpoint, store.to_owned());
    let fields: Result<Vec<(u32, String)>> = file
        .fields
        .into_iter()
        .map(|(tag, value)| Ok((tag.parse().with_context(|| format!("`{name}`: fields.{tag} is no tag"))?, value)))
        .collect();
    config.style = Style { account: file.account, fields: fields?, trailing_stops: file.trailing_stops };
    config.reset_on_logon = file.reset_on_logon;
    config.emulate_alternatives = file.emulate_alternatives;
    if let Some(seconds) = file.heartbeat_s {
        config.heartbeat = Duration::from_secs(seconds);
    }
    let secret = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty()).map(Secret::new);
    (config.username, config.password) = (secret("FIX_USERNAME"), secret("FIX_PASSWORD"));
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_over_fix_is_not_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path().to_owned());
        std::fs::write(place.file(JOURNAL), "{}\n").unwrap();
        let error = connect(BrokerName::Fix, &place).err().unwrap().to_string();
        assert!(error.contains("which says what was sent over FIX") && error.contains("restore it"), "{error}");
        std::fs::create_dir(place.file("fix")).unwrap();
        let error = connect(BrokerName::Fix, &place).err().unwrap().to_string();
        assert!(error.contains("cannot read the FIX session"), "{error}");
    }

    #[test]
    fn a_session_is_encrypted_unless_it_says_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fix.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            session(&path, Path::new("store"))
        };
        let plain = "sender = \"A\"\ntarget = \"B\"\nhost = \"fix.example\"\nport = 9880\n";
        let config = read(plain).unwrap();
        assert!(config.endpoint.tls.is_some() && config.style.fields.is_empty());
        let more = "heartbeat_s = 5\naccount = \"X\"\n[fields]\n100 = \"XNYS\"\n";
        let config = read(&format!("{plain}{more}")).unwrap();
        assert_eq!(config.heartbeat, Duration::from_secs(5));
        assert_eq!(config.style.fields, [(100, "XNYS".to_owned())]);
        let complaint = |text: &str| format!("{:#}", read(text).unwrap_err());
        assert!(complaint("sender = \"A\"").contains("missing field `target`"));
        assert!(complaint(&format!("{plain}password = \"x\"")).contains("unknown field `password`"));
        assert!(complaint(&format!("{plain}[fields]\nx = \"1\"")).contains("fields.x is no tag"));
    }
}
