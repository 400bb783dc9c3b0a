//! Settings in layers: a TOML file < environment < `--set`, held against their JSON Schema.
//!
//! Every key may be overridden by an environment variable `ALGOTRADING_SECTION__KEY` and by `--set section.key=value`.
//! A key that nothing knows is an error that names the nearest known one; the schema is the list of known keys.

use std::path::Path;

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::keys;

/// What the names of our environment variables begin with.
const PREFIX: &str = "ALGOTRADING_";

/// Settings that stand in a file.
pub trait Settings: DeserializeOwned + JsonSchema {
    /// Of their schema.
    const TITLE: &'static str;
    /// The verb whose help shows such a file.
    const VERB: &'static str;

    /// Whether they make sense.
    ///
    /// # Errors
    /// One sentence that names the key and what to do.
    fn check(&self) -> Result<()>;
}

/// Reads a file and puts the layers over it.
///
/// # Errors
/// One sentence that names the file, the key and what to do.
pub fn load<T: Settings>(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
    set: &[String],
) -> Result<T> {
    let name = path.display();
    if path.is_dir() {
        bail!("`{name}` is a folder; give a run file");
    }
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("there is no run file `{name}`; `algotrading {} --help` shows what to write in one", T::VERB)
        }
        read => read.with_context(|| format!("cannot read the run file `{name}`"))?,
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow::anyhow!("the run file `{name}` is not text; a run file is TOML in UTF-8"))?;
    let table = parse(&text).map_err(|error| anyhow::anyhow!("the run file `{name}` is not TOML: {error}"))?;
    layered(table, environment, set).with_context(|| format!("the run file `{name}`"))
}

/// Puts the layers over a table.
///
/// # Errors
/// One sentence that names the key and what to do.
pub fn layered<T: Settings>(
    mut table: Table,
    environment: impl IntoIterator<Item = (String, String)>,
    set: &[String],
) -> Result<T> {
    let schema = schema::<T>();
    let known = keys::all(&schema);
    let mut variables: Vec<(String, String)> = environment.into_iter().collect();
    variables.sort();
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        if key.contains("__") {
            let key = key.to_ascii_lowercase().replace("__", ".");
            put(&mut table, &key, &value).with_context(|| format!("the environment variable {name}"))?;
        } else if let Some(meant) = known.iter().find(|one| one.replace('.', "_").eq_ignore_ascii_case(key)) {
            let right = meant.replace('.', "__").to_ascii_uppercase();
            bail!("the environment variable {name} has one underscore where two belong; write {PREFIX}{right}");
        }
    }
    for setting in set {
        let Some((key, value)) = setting.split_once('=') else {
            bail!("`--set {setting}` has no `=`; write --set section.key=value");
        };
        put(&mut table, key.trim(), value).with_context(|| format!("`--set {setting}`"))?;
    }
    let table = plain(table);
    keys::check(&table, &schema, T::VERB)?;
    let config: T = serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
        let at = error.path().to_string();
        let reason = one_line(error.into_inner().message());
        if at == "." { anyhow::anyhow!("{reason}") } else { anyhow::anyhow!("{at}: {reason}") }
    })?;
    config.check()?;
    Ok(config)
}

/// The variables of this process that are text.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()))
}

/// The JSON Schema of settings.
#[must_use]
pub fn schema<T: Settings>() -> serde_json::Value {
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".into(), T::TITLE.into());
    schema.to_value()
}

/// A layer from its text.
///
/// # Errors
/// It is not TOML.
pub fn parse(text: &str) -> Result<Table, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        format!("line {line}: {}", one_line(error.message()))
    })
}

/// Sets one key; the value is TOML where it can be read so, and text otherwise.
fn put(table: &mut Table, key: &str, value: &str) -> Result<()> {
    let parsed = toml::from_str::<Table>(&format!("value = {value}")).ok().and_then(|mut table| table.remove("value"));
    let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
    let parts: Vec<&str> = key.split('.').collect();
    let (sections, last) = match parts.as_slice() {
        [sections @ .., last] if !sections.is_empty() && parts.iter().all(|part| !part.is_empty()) => (sections, last),
        _ => bail!("`{key}` is not a key; write section.key=value, such as account.cash=50000"),
    };
    let mut place = table;
    for section in sections {
        let entry = place.entry(*section).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = entry else { bail!("`{section}` is not a section") };
        place = inner;
    }
    place.insert((*last).to_owned(), value);
    Ok(())
}

/// TOML has dates of its own, ours are text; and lists of symbols may be one text, `AAPL,IBM`.
fn plain(mut table: Table) -> Table {
    for section in table.iter_mut().filter_map(|(_, value)| value.as_table_mut()) {
        for (key, value) in section.iter_mut() {
            match value {
                Value::Datetime(date) => *value = Value::String(date.to_string()),
                Value::String(names) if key == "symbols" || key == "restricted" => {
                    let names = names.split(',').map(|name| Value::String(name.trim().to_owned()));
                    *value = Value::Array(names.collect());
                }
                _ => {}
            }
        }
    }
    table
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
