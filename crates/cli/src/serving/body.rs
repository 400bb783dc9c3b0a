//! Rows in, predictions out: CSV, JSON and JSON Lines.
//!
//! | | a forecast | a policy |
//! |---|---|---|
//! | `text/csv` | a row of features a line; the header may stand first | one instrument's rows in the order of time |
//! | `application/json` | `{"instances": [row, …]}` or `[row, …]` | `{"instances": [[row, …], …]}`, a sequence each |
//! | `application/jsonlines` | a row a line | a sequence a line |
//!
//! A row is a list of numbers or `{"features": [numbers]}`. A document may name `features_fingerprint`; another one than
//! the model's is refused.

use models::features::WIDTH;
use models::policy::{Side, likeliest};
use models::{Card, Model, ModelError};
use serde_json::{Value, json};

/// A body cannot be predicted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A type that is not read here.
    #[error("Content-Type {0} is not read here; send text/csv, application/json or application/jsonlines")]
    Type(String),
    /// A type that is not written here.
    #[error("Accept {0} is not written here; ask for text/csv, application/json or application/jsonlines")]
    Accept(String),
    /// Not text.
    #[error("the body is not text in UTF-8")]
    Text,
    /// Nothing in it.
    #[error("the body has no rows")]
    Empty,
    /// Not JSON.
    #[error("{place} is not JSON: {reason}")]
    Json {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// JSON of another shape.
    #[error("{place} is {found}; {wanted}")]
    Shape {
        /// Where.
        place: String,
        /// What is there.
        found: &'static str,
        /// What should be.
        wanted: &'static str,
    },
    /// A row that is too short or too long.
    #[error("{place} has {found} numbers; the model reads {WIDTH}, from `{first}` to `{last}`")]
    Width {
        /// Which.
        place: String,
        /// How many.
        found: usize,
        /// Name of the first feature.
        first: String,
        /// Name of the last feature.
        last: String,
    },
    /// A cell that is no number.
    #[error("{place}, number {column}: `{text}` is not a finite number")]
    Number {
        /// Which row.
        place: String,
        /// Which cell, from 1.
        column: usize,
        /// What is there.
        text: String,
    },
    /// A header with other features, or in another order.
    #[error("column {column} is `{found}`, and the model reads `{wanted}` there")]
    Header {
        /// Which, from 1.
        column: usize,
        /// What is there.
        found: String,
        /// What should be.
        wanted: String,
    },
    /// Features of another program.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// A way to write rows and predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `text/csv`
    Csv,
    /// `application/json`
    Json,
    /// `application/jsonlines`
    JsonLines,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        let name = name.split(';').next().unwrap_or_default().trim();
        match name.to_ascii_lowercase().as_str() {
            "text/csv" => Some(Self::Csv),
            "application/json" => Some(Self::Json),
            "application/jsonlines" | "application/x-ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// How a body is read and the answer written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Of the body.
    pub read: Kind,
    /// Of the answer.
    pub write: Kind,
}

impl Form {
    /// As the headers say: CSV unless said, and the answer in kind.
    ///
    /// # Errors
    /// A type that is not known here.
    pub fn of(content_type: Option<&str>, accept: Option<&str>) -> Result<Self, Unfit> {
        let read = match content_type {
            None => Kind::Csv,
            Some(name) => Kind::of(name).ok_or_else(|| Unfit::Type(shorten(name)))?,
        };
        let Some(accept) = accept else { return Ok(Self { read, write: read }) };
        let mut wanted = accept.split(',').map(str::trim);
        let write = wanted.find_map(|name| match name.split(';').next().unwrap_or_default().trim() {
            "*/*" | "" => Some(read),
            name => Kind::of(name),
        });
        Ok(Self { read, write: write.ok_or_else(|| Unfit::Accept(shorten(accept)))? })
    }

    /// Of the answer.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self.write {
            Kind::Csv => "text/csv; charset=utf-8",
            Kind::Json => "application/json",
            Kind::JsonLines => "application/jsonlines",
        }
    }
}

type Row = [f32; WIDTH];

/// The answer to a body.
///
/// # Errors
/// A body that cannot be predicted.
pub fn answer(model: &mut Model, form: Form, body: &[u8]) -> Result<String, Unfit> {
    let text = std::str::from_utf8(body).map_err(|_| Unfit::Text)?.trim_start_matches('\u{feff}');
    let card = model.card().clone();
    match model {
        Model::Forecast(model) => {
            let rows = match form.read {
                Kind::Csv => csv(&card, text)?,
                Kind::Json => {
                    items(&card, text)?.iter().map(|(place, item)| row(&card, place, item)).collect::<Result<_, _>>()?
                }
                Kind::JsonLines => {
                    lines(text)?.iter().map(|(place, item)| row(&card, place, item)).collect::<Result<_, _>>()?
                }
            };
            if rows.is_empty() {
                return Err(Unfit::Empty);
            }
            let said = rows.iter().map(|row| model.probabilities(row)).collect::<Result<Vec<_>, _>>()?.into_iter();
            Ok(match form.write {
                Kind::Csv => said.map(|[long, short]| format!("{long},{short}\n")).collect(),
                Kind::JsonLines => said.map(|said| format!("{}\n", chances(said))).collect(),
                Kind::Json => json!({ "predictions": said.map(chances).collect::<Vec<_>>() }).to_string(),
            })
        }
        Model::Policy(model) => {
            let sequences = match form.read {
                Kind::Csv => vec![csv(&card, text)?],
                Kind::Json => items(&card, text)?
                    .iter()
                    .map(|(place, item)| sequence(&card, place, item))
                    .collect::<Result<_, _>>()?,
                Kind::JsonLines => {
                    lines(text)?.iter().map(|(place, item)| sequence(&card, place, item)).collect::<Result<_, _>>()?
                }
            };
            if sequences.is_empty() || sequences.iter().any(Vec::is_empty) {
                return Err(Unfit::Empty);
            }
            let said = sequences.iter().map(|rows| {
                let (mut memory, mut held) = (model.memory(), Side::Flat);
                let said = rows.iter().map(|row| {
                    let probabilities = model.probabilities(row, held, &mut memory);
                    held = likeliest(probabilities);
                    (probabilities, held.sign())
                });
                said.collect::<Vec<_>>()
            });
            Ok(match form.write {
                Kind::Csv => said
                    .flatten()
                    .map(|([short, flat, long], side)| format!("{short},{flat},{long},{side}\n"))
                    .collect(),
                Kind::JsonLines => said.map(|said| format!("{}\n", wishes(&said))).collect(),
                Kind::Json => json!({ "predictions": said.map(|said| wishes(&said)).collect::<Vec<_>>() }).to_string(),
            })
        }
    }
}

fn chances([long, short]: [f32; 2]) -> Value {
    json!({ "long": long, "short": short })
}

fn wishes(said: &[([f32; 3], i8)]) -> Value {
    let one = |([short, flat, long], side): &([f32; 3], i8)| json!({ "short": short, "flat": flat, "long": long, "side": side });
    said.iter().map(one).collect()
}

fn csv(card: &Card, text: &str) -> Result<Vec<Row>, Unfit> {
    let mut rows = Vec::new();
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    for (at, line) in lines {
        if rows.is_empty()
            && at == 0
            && line.trim_start().starts_with(|c: char| c.is_ascii_alphabetic() || c == '"')
            && is_header(card, line)?
        {
            continue;
        }
        let place = || format!("row {}", at + 1);
        let mut row = [0.0; WIDTH];
        let mut found = 0;
        for cell in line.split(',') {
            let text = cell.trim();
            let number = text.parse::<f32>().ok().filter(|number| number.is_finite());
            let Some(number) = number else {
                return Err(Unfit::Number { place: place(), column: found + 1, text: shorten(text) });
            };
            if let Some(cell) = row.get_mut(found) {
                *cell = number;
            }
            found += 1;
        }
        if found != WIDTH {
            return Err(width(card, place(), found));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Whether a line names the features; `inf` and the like are bad numbers, not names.
fn is_header(card: &Card, line: &str) -> Result<bool, Unfit> {
    let names: Vec<&str> = line.split(',').map(|name| name.trim().trim_matches('"')).collect();
    if names.iter().any(|name| name.parse::<f32>().is_ok()) {
        return Ok(false);
    }
    let features = card.features.features();
    for (at, feature) in features.iter().enumerate() {
        let found = names.get(at).copied().unwrap_or_default();
        if found != feature.name {
            return Err(Unfit::Header { column: at + 1, found: shorten(found), wanted: feature.name.clone() });
        }
    }
    if names.len() != features.len() { Err(width(card, "row 1".to_owned(), names.len())) } else { Ok(true) }
}

/// The items of a document, with where they stand.
fn items(card: &Card, text: &str) -> Result<Vec<(String, Value)>, Unfit> {
    let document = document("the body", text)?;
    let list = match document {
        Value::Object(mut fields) => {
            if let Some(named) = fields.get("features_fingerprint")
                && named.as_str() != Some(&card.features_fingerprint)
            {
                let computed = named.as_str().map_or_else(|| named.to_string(), str::to_owned);
                return Err(ModelError::Features { trained: card.features_fingerprint.clone(), computed }.into());
            }
            fields.remove("instances").unwrap_or(Value::Null)
        }
        list => list,
    };
    let Value::Array(list) = list else {
        let wanted = "send {\"instances\": [...]} or a list";
        return Err(Unfit::Shape { place: "the body".to_owned(), found: kind(&list), wanted });
    };
    Ok(list.into_iter().enumerate().map(|(at, item)| (format!("instance {}", at + 1), item)).collect())
}

fn lines(text: &str) -> Result<Vec<(String, Value)>, Unfit> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let place = format!("line {}", at + 1);
            document(&place, line).map(|item| (place, item))
        })
        .collect()
}

fn document(place: &str, text: &str) -> Result<Value, Unfit> {
    serde_json::from_str(text).map_err(|error| Unfit::Json { place: place.to_owned(), reason: error.to_string() })
}

fn row(card: &Card, place: &str, item: &Value) -> Result<Row, Unfit> {
    let list = match item {
        Value::Object(fields) => fields.get("features").unwrap_or(&Value::Null),
        item => item,
    };
    let Value::Array(list) = list else {
        let wanted = "a row is a list of numbers, or {\"features\": [numbers]}";
        return Err(Unfit::Shape { place: place.to_owned(), found: kind(list), wanted });
    };
    let mut row = [0.0; WIDTH];
    for (at, value) in list.iter().enumerate() {
        let number = value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
        let Some(number) = number else {
            return Err(Unfit::Number { place: place.to_owned(), column: at + 1, text: shorten(&value.to_string()) });
        };
        if let Some(cell) = row.get_mut(at) {
            *cell = number;
        }
    }
    if list.len() == WIDTH { Ok(row) } else { Err(width(card, place.to_owned(), list.len())) }
}

fn sequence(card: &Card, place: &str, item: &Value) -> Result<Vec<Row>, Unfit> {
    let Value::Array(list) = item else {
        let wanted = "a policy reads sequences: lists of rows in the order of time";
        return Err(Unfit::Shape { place: place.to_owned(), found: kind(item), wanted });
    };
    list.iter().enumerate().map(|(at, item)| row(card, &format!("{place}, row {}", at + 1), item)).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn width(card: &Card, place: String, found: usize) -> Unfit {
    let features = card.features.features();
    let name = |at: Option<&models::features::Feature>| at.map_or_else(String::new, |feature| feature.name.clone());
    Unfit::Width { place, found, first: name(features.first()), last: name(features.last()) }
}

/// What somebody sent, short enough to be said again.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
