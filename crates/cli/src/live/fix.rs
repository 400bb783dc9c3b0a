//! A FIX session as a person writes it down: `fix.toml`. Credentials are never in it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use brokers::fix::{Authorities, Config, Endpoint, Secret, Style, Tls};
use serde::Deserialize;
use strategies::StrategyConfig;

use crate::layers;

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
    /// A file of certificates, or themselves.
    #[serde(default)]
    tls_roots: Option<String>,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    heartbeat_s: Option<u64>,
    #[serde(default)]
    messages_per_second_max: Option<u32>,
    #[serde(default)]
    position_type: Option<String>,
    #[serde(default)]
    reset_on_logon: bool,
    #[serde(default)]
    trailing_stops: bool,
    #[serde(default)]
    emulate_alternatives: bool,
    /// Fields that the counterparty wants on every order: `"100" = "XNYS"`.
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

/// Who is let in, where the counterparty wants to know.
#[derive(Debug, Default)]
pub struct Credentials {
    /// `Username`
    pub username: Option<Secret>,
    /// `Password`
    pub password: Option<Secret>,
}

/// The session that a text describes; `name` is what the text is called.
///
/// # Errors
/// One sentence.
pub fn session(name: &str, text: &str, credentials: Credentials) -> Result<Config> {
    let table = layers::parse(text).map_err(|error| anyhow::anyhow!("`{name}` is not TOML: {error}"))?;
    let file: File = serde_path_to_error::deserialize(table).map_err(|error| {
        let inner = error.inner().to_string();
        anyhow::anyhow!("`{name}`: {}", inner.lines().next().unwrap_or_default())
    })?;
    ensure!(file.port != 0, "`{name}`: port is 0");
    let roots = file.tls_roots.map(|roots| {
        if roots.contains("-----BEGIN") { Authorities::Text(roots) } else { Authorities::File(PathBuf::from(roots)) }
    });
    let tls = (!file.plain).then_some(Tls { name: file.tls_name, roots });
    let endpoint = Endpoint { host: file.host, port: file.port, tls };
    let mut config = Config::new(&file.sender, &file.target, endpoint);
    let fields: Result<Vec<(u32, String)>> = file
        .fields
        .into_iter()
        .map(|(tag, value)| Ok((tag.parse().with_context(|| format!("`{name}`: fields.{tag} is no tag"))?, value)))
        .collect();
    config.style = Style { account: file.account, fields: fields?, trailing_stops: file.trailing_stops };
    config.reset_on_logon = file.reset_on_logon;
    config.emulate_alternatives = file.emulate_alternatives;
    config.messages_per_second_max = file.messages_per_second_max;
    config.position_type = file.position_type;
    if let Some(seconds) = file.heartbeat_s {
        config.heartbeat = Duration::from_secs(seconds);
    }
    (config.username, config.password) = (credentials.username, credentials.password);
    Ok(config)
}

/// Refuses a strategy whose entries would fill and whose exits the counterparty would then refuse; `name` is what the
/// session's text is called.
///
/// # Errors
/// One sentence.
pub fn takes(config: &Config, name: &str, strategy: &StrategyConfig) -> Result<()> {
    ensure!(
        config.emulate_alternatives || !strategy.has_alternatives(),
        "FIX 4.4 has no exits that cancel each other, and positions would stand without any: say \
         emulate_alternatives = true in `{name}`, which works both and cancels one when the other trades, or \
         exits = \"close\" in the run file"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_encrypted_unless_it_says_otherwise() {
        let read = |text: &str| session("fix.toml", text, Credentials::default());
        let plain = "sender = \"A\"\ntarget = \"B\"\nhost = \"fix.example\"\nport = 9880\n";
        let config = read(plain).unwrap();
        assert!(config.endpoint.tls.is_some() && config.style.fields.is_empty());
        let more = "heartbeat_s = 5\nmessages_per_second_max = 20\naccount = \"X\"\n[fields]\n100 = \"XNYS\"\n";
        let config = read(&format!("{plain}{more}")).unwrap();
        assert_eq!((config.heartbeat, config.messages_per_second_max), (Duration::from_secs(5), Some(20)));
        assert_eq!(config.style.fields, [(100, "XNYS".to_owned())]);
        let roots = |text: &str| read(&format!("{plain}{text}")).unwrap().endpoint.tls.unwrap().roots;
        assert_eq!(roots("tls_roots = \"a.pem\""), Some(Authorities::File("a.pem".into())));
        assert!(matches!(roots("tls_roots = \"-----BEGIN CERTIFICATE-----\""), Some(Authorities::Text(_))));
        let complaint = |text: &str| format!("{:#}", read(text).unwrap_err());
        assert!(complaint("sender = \"A\"").contains("`fix.toml`: missing field `target`"));
        assert!(complaint(&format!("{plain}password = \"x\"")).contains("unknown field `password`"));
        assert!(complaint(&format!("{plain}[fields]\nx = \"1\"")).contains("fields.x is no tag"));
        assert!(complaint(&plain.replace("9880", "0")).contains("port is 0"));
    }
}
