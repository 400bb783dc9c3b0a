//! Credentials in Secrets Manager.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use ports::secrets::{Secret, Secrets};
use ports::{Answer, Kind};

use crate::calls::Calls;

/// The secrets of the account.
#[derive(Debug, Clone)]
pub struct SecretsManager {
    client: Client,
    calls: Calls,
}

impl SecretsManager {
    pub(crate) fn new(config: &SdkConfig, calls: Calls) -> Self {
        Self { client: Client::new(config), calls }
    }
}

impl Secrets for SecretsManager {
    fn secret(&self, name: &str) -> Answer<Secret> {
        let call = "GetSecretValue";
        let answer = self.calls.ask(call, name, self.client.get_secret_value().secret_id(name).send())?;
        let text = answer.secret_string.map(Secret::new);
        text.ok_or_else(|| self.calls.error(call, name, Kind::Invalid, "the secret is bytes, and must be text"))
    }
}
