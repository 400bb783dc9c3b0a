//! Credentials for a broker and for prices: a secret that is a JSON object of texts.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use brokers::alpaca::data::{DataSettings, Source, stream_at};
use brokers::alpaca::{Base, Credentials, Settings};
use brokers::fix::Config;
use ports::secrets::{Secret, Secrets};

use super::fix;

/// Fields of a secret.
#[derive(Debug)]
pub struct Keys {
    name: String,
    fields: BTreeMap<String, Secret>,
}

impl Keys {
    /// What a secret holds.
    ///
    /// # Errors
    /// It cannot be read, or is no JSON object of texts.
    pub fn read(secrets: &dyn Secrets, name: &str) -> Result<Self> {
        let fields = secrets.secret(name)?.fields();
        let fields = fields.with_context(|| format!("the secret `{name}` is no JSON object of texts"))?;
        Ok(Self { name: name.to_owned(), fields })
    }

    fn field(&self, field: &str) -> Result<&str> {
        let found = self.fields.get(field).map(Secret::expose);
        found.with_context(|| format!("the secret `{}` has no `{field}`", self.name))
    }

    fn credentials(&self) -> Result<Credentials> {
        Ok(Credentials::new(self.field("key_id")?, self.field("secret_key")?)?)
    }

    /// Alpaca, their paper account unless `base_url` says where else.
    ///
    /// # Errors
    /// Fields are missing or make no sense.
    pub fn alpaca(&self) -> Result<Settings> {
        let base = self.field("base_url").unwrap_or("https://paper-api.alpaca.markets");
        Ok(Settings::new(Base::parse(base)?, self.credentials()?))
    }

    /// A FIX session: `session` is the text of a `fix.toml`, `username` and `password` are for the logon.
    ///
    /// # Errors
    /// Fields are missing or make no sense.
    pub fn fix(&self) -> Result<Config> {
        let secret = |field| self.field(field).ok().map(brokers::fix::Secret::new);
        let credentials = fix::Credentials { username: secret("username"), password: secret("password") };
        fix::session(&format!("session of the secret {}", self.name), self.field("session")?, credentials)
    }

    /// Alpaca's prices; `data_url` and `stream_url` say where else.
    ///
    /// # Errors
    /// Fields are missing or make no sense.
    pub fn alpaca_prices(&self, source: Source) -> Result<DataSettings> {
        let mut settings = DataSettings::alpaca(self.credentials()?, source)?;
        if let Ok(rest) = self.field("data_url") {
            settings.rest = Base::parse(rest)?;
        }
        if let Ok(stream) = self.field("stream_url") {
            settings.stream = stream_at(stream)?;
        }
        Ok(settings)
    }
}
