//! `serve`: the model that SageMaker put into `/opt/ml/model`.

use std::net::{Ipv4Addr, SocketAddr};

use algotrading::serving::{self, Limits};
use algotrading::shelf::opener;
use anyhow::{Context, Result};
use models::card::{Files, sha256};
use models::{Card, Model};

use crate::paths::Paths;

pub(crate) async fn run(paths: &Paths) -> Result<()> {
    let (model, version) = load(paths)?;
    let ready = |address| println!("{version} listens on http://{address}");
    serving::serve(model, version.clone(), limits()?, address()?, serving::told_to_stop(), ready).await
}

fn load(paths: &Paths) -> Result<(Model, String)> {
    let folder = paths.model();
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read the model's `{}`", path.display()))
    };
    let bytes = read("model.json")?;
    let card = Card::read(&bytes)?;
    let version = format!("{}@{}", card.name, &sha256(&bytes)[..16]);
    let mut files = Files::new();
    for beside in card.files() {
        files.insert(beside.file.clone(), read(&beside.file)?);
    }
    Ok((Model::new(card, &files, opener())?, version))
}

/// What an operator set, under the names that SageMaker has for it.
fn number(name: &str) -> Result<Option<u16>> {
    let Ok(value) = std::env::var(name) else { return Ok(None) };
    let number = value.parse().ok().filter(|number| *number > 0);
    Ok(Some(number.with_context(|| format!("{name} is \"{value}\"; it must be a whole number above 0"))?))
}

fn limits() -> Result<Limits> {
    let mut limits = Limits::default();
    if let Some(mib) = number("SAGEMAKER_MAX_PAYLOAD_IN_MB")? {
        limits.body_bytes_max = usize::from(mib) << 20;
    }
    if let Some(count) = number("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS")? {
        limits.concurrency_max = usize::from(count);
    }
    Ok(limits)
}

fn address() -> Result<SocketAddr> {
    if let Ok(address) = std::env::var("ALGOTRADING_BIND") {
        return address
            .parse()
            .with_context(|| format!("ALGOTRADING_BIND is \"{address}\"; it must be like 127.0.0.1:8080"));
    }
    Ok((Ipv4Addr::UNSPECIFIED, number("SAGEMAKER_BIND_TO_PORT")?.unwrap_or(8_080)).into())
}
