//! Values out of JSON texts by simple paths: `$.a.b`, `$.a[0]`, `$["a b"]`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, Int64Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use serde_json::Value;

use super::kernel::{Kind, function, gives, refuse, takes, texts};

/// Every function of this file.
pub(super) fn all() -> Vec<ScalarUDF> {
    vec![
        extract("json_extract_scalar", |value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }),
        extract("json_extract", |value| Some(value.to_string())),
        array_length(),
    ]
}

enum Step {
    Key(String),
    Index(usize),
}

/// Text that is no JSON gives null, as in Trino; a path that cannot be read is an error.
fn extract(name: &'static str, show: fn(&Value) -> Option<String>) -> ScalarUDF {
    let kinds = &[Kind::Text, Kind::Text];
    function(name, &[], takes(name, kinds, 0), gives(DataType::Utf8), move |args, rows| {
        let (values, paths) = (texts(&args[0])?, texts(&args[1])?);
        let mut last: Option<(&str, Vec<Step>)> = None;
        let found: StringArray = (0..rows)
            .map(|row| {
                if values.is_null(row) || paths.is_null(row) {
                    return Ok(None);
                }
                let path = paths.value(row);
                let steps = match &mut last {
                    Some((text, steps)) if *text == path => &*steps,
                    other => {
                        let steps = read_path(path).ok_or_else(|| {
                            refuse(format!("{name}: cannot read the path `{path}`; write for example $.a.b[0]"))
                        })?;
                        &other.insert((path, steps)).1
                    }
                };
                let Ok(json) = serde_json::from_str::<Value>(values.value(row)) else {
                    return Ok(None);
                };
                Ok(walk(&json, steps).and_then(show))
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(found))
    })
}

fn walk<'a>(json: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(json, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

fn read_path(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, tail) = after.split_at(end);
            if key.is_empty() || key.contains(['*', ' ', '?', '@']) {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = tail;
        } else {
            let (inside, tail) = rest.strip_prefix('[')?.split_once(']')?;
            let quoted = inside
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
                .or_else(|| inside.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')));
            steps.push(match quoted {
                Some(key) => Step::Key(key.to_owned()),
                None => Step::Index(inside.parse().ok()?),
            });
            rest = tail;
        }
    }
    Some(steps)
}

fn array_length() -> ScalarUDF {
    let name = "json_array_length";
    function(name, &[], takes(name, &[Kind::Text], 0), gives(DataType::Int64), |args, _| {
        let lengths: Int64Array = texts(&args[0])?
            .iter()
            .map(|text| match serde_json::from_str::<Value>(text?) {
                Ok(Value::Array(items)) => i64::try_from(items.len()).ok(),
                _ => None,
            })
            .collect();
        Ok(Arc::new(lengths))
    })
}
