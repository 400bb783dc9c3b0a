//! Texts.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ListBuilder, StringArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::functions::string::levenshtein;
use datafusion::logical_expr::ScalarUDF;
use regex::Regex;

use super::kernel::{Kind, function, gives, integers, refuse, takes, texts, trino_type};

/// Every function of this file.
pub(super) fn all() -> Vec<ScalarUDF> {
    vec![
        split_part(),
        split(),
        regexp_extract(),
        regexp_replace(),
        levenshtein().as_ref().clone().with_aliases(["levenshtein_distance"]),
        type_of(),
    ]
}

/// Null past the last part, where the engine's own gives an empty text.
fn split_part() -> ScalarUDF {
    let name = "split_part";
    let kinds = &[Kind::Text, Kind::Text, Kind::Integer];
    function(name, &[], takes(name, kinds, 0), gives(DataType::Utf8), |args, rows| {
        let (values, delimiters, indices) = (texts(&args[0])?, texts(&args[1])?, integers(&args[2])?);
        let parts: StringArray = (0..rows)
            .map(|row| {
                if args.iter().any(|arg| arg.is_null(row)) {
                    return Ok(None);
                }
                let at = usize::try_from(indices.value(row))
                    .ok()
                    .and_then(|index| index.checked_sub(1))
                    .ok_or_else(|| refuse("split_part: the index starts at 1".to_owned()))?;
                let (value, delimiter) = (values.value(row), delimiters.value(row));
                if delimiter.is_empty() {
                    return Err(refuse("split_part: the delimiter is empty".to_owned()));
                }
                Ok(value.split(delimiter).nth(at))
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(parts))
    })
}

fn split() -> ScalarUDF {
    let name = "split";
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let kinds = &[Kind::Text, Kind::Text, Kind::Integer];
    function(name, &[], takes(name, kinds, 1), gives(list), |args, rows| {
        let (values, delimiters) = (texts(&args[0])?, texts(&args[1])?);
        let limits = args.get(2).map(integers).transpose()?;
        let mut lists = ListBuilder::new(StringBuilder::new());
        for row in 0..rows {
            if args.iter().any(|arg| arg.is_null(row)) {
                lists.append(false);
                continue;
            }
            let (value, delimiter) = (values.value(row), delimiters.value(row));
            let limit = limits.map_or(i64::MAX, |limits| limits.value(row));
            let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
            let (Some(limit), false) = (limit, delimiter.is_empty()) else {
                return Err(refuse("split: the delimiter must not be empty, the limit at least 1".to_owned()));
            };
            for part in value.splitn(limit, delimiter) {
                lists.values().append_value(part);
            }
            lists.append(true);
        }
        Ok(Arc::new(lists.finish()))
    })
}

/// Compiled patterns; a column of patterns is rare but allowed.
#[derive(Default)]
struct Patterns(HashMap<String, Regex>);

impl Patterns {
    fn get(&mut self, name: &str, pattern: &str) -> Result<&Regex> {
        if !self.0.contains_key(pattern) {
            let compiled = Regex::new(pattern)
                .map_err(|_| refuse(format!("{name}: `{pattern}` is no regular expression that can be run here")))?;
            self.0.insert(pattern.to_owned(), compiled);
        }
        self.0.get(pattern).ok_or_else(|| refuse(format!("{name}: `{pattern}` was lost")))
    }
}

fn regexp_extract() -> ScalarUDF {
    let name = "regexp_extract";
    let kinds = &[Kind::Text, Kind::Text, Kind::Integer];
    function(name, &[], takes(name, kinds, 1), gives(DataType::Utf8), move |args, rows| {
        let (values, patterns) = (texts(&args[0])?, texts(&args[1])?);
        let groups = args.get(2).map(integers).transpose()?;
        let mut compiled = Patterns::default();
        let found: StringArray = (0..rows)
            .map(|row| {
                if args.iter().any(|arg| arg.is_null(row)) {
                    return Ok(None);
                }
                let regex = compiled.get(name, patterns.value(row))?;
                let group = groups.map_or(0, |groups| groups.value(row));
                let group = usize::try_from(group).ok().filter(|group| *group < regex.captures_len());
                let Some(group) = group else {
                    return Err(refuse(format!("{name}: `{regex}` has no such group")));
                };
                let captures = regex.captures(values.value(row));
                Ok(captures.and_then(|found| found.get(group)).map(|found| found.as_str()))
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(found))
    })
}

/// Replaces every match, where the engine's own replaces the first.
fn regexp_replace() -> ScalarUDF {
    let name = "regexp_replace";
    function(
        name,
        &[],
        takes(name, &[Kind::Text, Kind::Text, Kind::Text], 1),
        gives(DataType::Utf8),
        move |args, rows| {
            let (values, patterns) = (texts(&args[0])?, texts(&args[1])?);
            let replacements = args.get(2).map(texts).transpose()?;
            let mut compiled = Patterns::default();
            let replaced: StringArray = (0..rows)
                .map(|row| {
                    if args.iter().any(|arg| arg.is_null(row)) {
                        return Ok(None);
                    }
                    let regex = compiled.get(name, patterns.value(row))?;
                    let replacement = replacements.map_or("", |texts| texts.value(row));
                    Ok(Some(regex.replace_all(values.value(row), braced(replacement)).into_owned()))
                })
                .collect::<Result<_>>()?;
            Ok(Arc::new(replaced))
        },
    )
}

/// Trino reads `$1x` as group 1 and an x, the regex crate as a group named `1x`: braces decide, and
/// `\$` is a dollar.
fn braced(replacement: &str) -> String {
    let mut out = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            '$' if chars.peek().is_some_and(char::is_ascii_digit) => {
                out.push_str("${");
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    out.push(digit);
                }
                out.push('}');
            }
            other => out.push(other),
        }
    }
    out
}

fn type_of() -> ScalarUDF {
    use datafusion::common::plan_err;
    function(
        "typeof",
        &[],
        |types| match types {
            [one] => Ok(vec![one.clone()]),
            _ => plan_err!("typeof takes 1 argument, found {}", types.len()),
        },
        gives(DataType::Utf8),
        |args, rows| {
            let name = trino_type(args[0].data_type());
            Ok(Arc::new(StringArray::from(vec![name; rows])))
        },
    )
}
