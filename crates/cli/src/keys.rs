//! A table of settings against its JSON Schema: which keys there are, which are missing, and what a value must be.
//!
//! Serde finds the same faults, but inside a section with variants it no longer knows where; the schema does.

use anyhow::{Result, bail};
use domain::{Money, SessionDate};
use serde_json::Value as Schema;
use toml::{Table, Value};

/// A key that has to be there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Missing(String);

/// Names the first key that is not there, is missing, or has a value of another kind.
///
/// # Errors
/// One sentence with the whole key and what to write.
pub(crate) fn check(table: &Table, schema: &Schema, verb: &str) -> Result<()> {
    section(table, schema, "").map_err(|error| match error.downcast::<Missing>() {
        Ok(missing) => anyhow::anyhow!("{missing}; `algotrading {verb} --help` shows a whole file"),
        Err(error) => error,
    })
}

fn section(table: &Table, schema: &Schema, path: &str) -> Result<()> {
    let schema = variant(table, schema, path)?;
    let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
    let what = if path.is_empty() { "section" } else { "key" };
    for (key, value) in table {
        let Some(inner) = properties.get(key) else {
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            bail!("the {what} `{path}{key}` is not known{}", suggestion(key, &names));
        };
        one(value, inner, &format!("{path}{key}"))?;
    }
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Schema::as_str) {
        if !table.contains_key(key) {
            let meaning = properties[key]["description"].as_str().unwrap_or_default().trim_end_matches('.');
            return Err(Missing(format!("the {what} `{path}{key}` is missing ({meaning})")).into());
        }
    }
    Ok(())
}

/// The schema of a section; of several, the one that its `name` chooses.
fn variant<'a>(table: &Table, schema: &'a Schema, path: &str) -> Result<&'a Schema> {
    let Some(variants) = schema["oneOf"].as_array() else { return Ok(schema) };
    let name_of = |variant: &'a Schema| variant["properties"]["name"]["const"].as_str();
    let names: Vec<&str> = variants.iter().filter_map(name_of).collect();
    match table.get("name") {
        None => bail!("{path}name is missing; choose one of {}", names.join(", ")),
        Some(Value::String(name)) => match variants.iter().find(|one| name_of(one) == Some(name)) {
            Some(variant) => Ok(variant),
            None => bail!("{path}name = \"{name}\" is not known{}", suggestion(name, &names)),
        },
        Some(other) => bail!("{path}name is {other}; choose one of {}", names.join(", ")),
    }
}

fn one(value: &Value, schema: &Schema, key: &str) -> Result<()> {
    let choices: Vec<&str> =
        schema["oneOf"].as_array().into_iter().flatten().filter_map(|one| one["const"].as_str()).collect();
    if !choices.is_empty() {
        return match value.as_str() {
            Some(text) if choices.contains(&text) => Ok(()),
            Some(text) => bail!("{key} = \"{text}\" is not known{}", suggestion(text, &choices)),
            None => bail!("{key} is {value}; choose one of {}", choices.join(", ")),
        };
    }
    let is = |kind: &str| match &schema["type"] {
        Schema::Array(kinds) => kinds.iter().any(|one| one == kind),
        one => one == kind,
    };
    if is("object") || schema.get("oneOf").is_some() {
        let Value::Table(table) = value else { bail!("{key} is {value}; it must be a section, [{key}]") };
        return section(table, schema, &format!("{key}."));
    }
    if is("array") {
        let Value::Array(items) = value else { bail!("{key} is {value}; it must be a list in brackets") };
        return items
            .iter()
            .enumerate()
            .try_for_each(|(at, item)| one(item, &schema["items"], &format!("{key}[{at}]")));
    }
    let (fits, must) = if is("integer") {
        let most = if schema["format"] == "uint32" { i64::from(u32::MAX) } else { i64::MAX };
        (value.as_integer().is_some_and(|whole| (0..=most).contains(&whole)), "a whole number, 0 or more")
    } else if is("number") && is("string") {
        // An amount of money or shares: a number, or text that keeps every digit.
        let fits = match value {
            Value::String(text) => Money::parse(text).is_ok(),
            Value::Float(number) => number.is_finite(),
            other => other.is_integer(),
        };
        (fits, "a number such as 1000 or 0.005")
    } else if is("number") {
        (value.is_integer() || value.as_float().is_some_and(f64::is_finite), "a number such as 2 or 0.5")
    } else if is("boolean") {
        (value.is_bool(), "true or false")
    } else if schema["format"] == "date" {
        (value.as_str().is_some_and(|text| SessionDate::parse(text).is_ok()), "a date such as 2012-12-31")
    } else {
        (value.is_str(), "text in quotes")
    };
    if fits { Ok(()) } else { bail!("{key} is {value}; it must be {must}") }
}

/// Every key that is no section, whole: `strategy.fast`, `risk.margin.maintenance`, …
pub(crate) fn all(schema: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    let variants = schema["oneOf"].as_array().into_iter().flatten().chain([schema]);
    for (key, inner) in variants.filter_map(|one| one["properties"].as_object()).flatten() {
        let below = all(inner);
        if below.is_empty() {
            found.push(key.clone());
        }
        found.extend(below.into_iter().map(|rest| format!("{key}.{rest}")));
    }
    found
}

/// `; did you mean ...?` where something is near, and the whole choice otherwise.
pub(crate) fn suggestion(wrong: &str, known: &[&str]) -> String {
    let near = known.iter().max_by(|a, b| {
        strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)).then_with(|| b.cmp(a))
    });
    match near.filter(|name| strsim::jaro_winkler(wrong, name) > 0.7) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; known are {}", known.join(", ")),
    }
}
