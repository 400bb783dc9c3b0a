//! From the first line of a file to its profile.

use std::path::Path;

use domain::Symbol;

use super::error::IntakeError;
use super::profile::{self, Profile};

/// A column's name without case, quotes and surrounding space.
pub(super) fn normalise(cell: &str) -> String {
    cell.trim().trim_matches('"').trim().to_lowercase()
}

fn cells(line: &str, delimiter: char) -> Vec<String> {
    line.split(delimiter).map(normalise).collect()
}

fn has(profile: &Profile, cells: &[String]) -> bool {
    profile.headers().any(|header| header == cells)
}

/// The profile of a header, and the header's normalised names.
pub(super) fn recognise(path: &Path, line: &str, wanted: Option<&str>) -> Result<(Profile, Vec<String>), IntakeError> {
    let shown: Box<str> = shorten(line.trim()).into();
    if let Some(name) = wanted {
        let profile = profile::named(name)?;
        let cells = cells(line, profile.delimiter);
        if has(&profile, &cells) {
            return Ok((profile, cells));
        }
        other_delimiter(path, line, std::slice::from_ref(&profile))?;
        let remedy = match profile::profiles().iter().find(|other| has(other, &self::cells(line, other.delimiter))) {
            Some(other) => format!("try `--profile {}`", other.name()),
            None => "correct the file or the profile".into(),
        };
        let difference = difference(&profile, &cells);
        return Err(IntakeError::OtherHeader {
            path: path.into(),
            header: shown,
            profile: profile.name().into(),
            difference: difference.into(),
            remedy: remedy.into(),
        });
    }
    let known = profile::profiles();
    let candidates: Vec<&Profile> =
        known.iter().filter(|profile| has(profile, &cells(line, profile.delimiter))).collect();
    match candidates[..] {
        [profile] => return Ok((profile.clone(), cells(line, profile.delimiter))),
        [] => {}
        _ => {
            let candidates =
                candidates.iter().map(|profile| format!("`{}`", profile.name())).collect::<Vec<_>>().join(", ");
            return Err(IntakeError::Ambiguous { path: path.into(), header: shown, candidates: candidates.into() });
        }
    }
    other_delimiter(path, line, known)?;
    let columns = cells(line, ',');
    let nearest = known
        .iter()
        .map(|profile| (likeness(profile, &columns), profile))
        .filter(|(likeness, _)| *likeness > 0.3)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, profile)| {
            format!("; nearest is profile `{}` ({})", profile.name(), difference(profile, &columns))
        });
    Err(IntakeError::UnknownHeader {
        path: path.into(),
        header: shown,
        nearest: nearest.into(),
        known: profile::known().into(),
    })
}

const DELIMITERS: [(char, &str); 5] =
    [(';', "semicolons"), ('\t', "tabs"), ('|', "vertical bars"), (',', "commas"), (' ', "spaces")];

/// An error if one of `profiles` has this header with another delimiter.
fn other_delimiter(path: &Path, line: &str, profiles: &[Profile]) -> Result<(), IntakeError> {
    for (found, name) in DELIMITERS {
        let cells = cells(line, found);
        if let Some(profile) = profiles.iter().find(|profile| profile.delimiter != found && has(profile, &cells)) {
            return Err(IntakeError::Delimiter {
                path: path.into(),
                found: name,
                expected: DELIMITERS
                    .iter()
                    .find(|(delimiter, _)| *delimiter == profile.delimiter)
                    .map_or_else(|| format!("{:?}", profile.delimiter), |(_, name)| (*name).into())
                    .into(),
                profile: profile.name().into(),
            });
        }
    }
    Ok(())
}

/// Share of the columns of both that they have in common, with a preference for those in the same place.
fn likeness(profile: &Profile, columns: &[String]) -> f64 {
    profile
        .headers()
        .map(|header| {
            let common = header.iter().filter(|name| columns.contains(name)).count();
            let placed = header.iter().zip(columns).filter(|(a, b)| a == b).count();
            let all = header.len() + columns.len() - common.min(columns.len());
            (common as f64 + placed as f64 / 100.0) / all as f64
        })
        .fold(0.0, f64::max)
}

fn difference(profile: &Profile, columns: &[String]) -> String {
    let header = profile
        .headers()
        .max_by_key(|header| header.iter().filter(|name| columns.contains(name)).count())
        .unwrap_or_default();
    let list = |names: Vec<&String>| {
        let mut shown: Vec<_> = names.iter().take(6).map(|name| format!("`{}`", shorten(name))).collect();
        if names.len() > 6 {
            shown.push(format!("{} more", names.len() - 6));
        }
        shown
    };
    let missing = list(header.iter().filter(|name| !columns.contains(name)).collect());
    let unknown = list(columns.iter().filter(|name| !header.contains(name)).collect());
    match (missing.is_empty(), unknown.is_empty()) {
        (true, true) => "the same columns in another order or number".into(),
        (false, true) => format!("missing {}", missing.join(", ")),
        (true, false) => format!("unknown {}", unknown.join(", ")),
        (false, false) => format!("missing {}; unknown {}", missing.join(", "), unknown.join(", ")),
    }
}

/// At most 120 characters, none of which moves the cursor.
pub(super) fn shorten(text: &str) -> String {
    let mut shown: String =
        text.chars().take(120).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    if text.chars().nth(120).is_some() {
        shown.push('…');
    }
    shown
}

/// Names of files that tell what is in them rather than whose prices they are.
const NOT_SYMBOLS: [&str; 18] = [
    "bars",
    "daily",
    "data",
    "download",
    "eod",
    "export",
    "history",
    "historical",
    "import",
    "ohlc",
    "ohlcv",
    "output",
    "prices",
    "quotes",
    "sample",
    "stocks",
    "table",
    "test",
];

/// The symbol that the name of the file gives.
pub(super) fn symbol_of(path: &Path, profile: &Profile) -> Result<Symbol, IntakeError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    for pattern in &profile.file_names {
        let Some((before, after)) = pattern.split_once("{symbol}") else { continue };
        let Some(rest) = strip_prefix(&name, before) else { continue };
        let Some(text) = strip_suffix(rest, after) else { continue };
        // A bare `{symbol}.csv` takes any name, so it has to look like a ticker.
        if before.is_empty()
            && (text.len() > 10 || text.contains('_') || NOT_SYMBOLS.contains(&text.to_ascii_lowercase().as_str()))
        {
            continue;
        }
        let text = strip_suffix(text, &profile.symbol_suffix).filter(|text| !text.is_empty()).unwrap_or(text);
        return Symbol::new(text).map_err(|source| IntakeError::BadSymbol { path: path.into(), source });
    }
    let patterns = profile.file_names.iter().map(|p| format!("`{}`", p.replace("{symbol}", "SYM"))).collect::<Vec<_>>();
    let patterns = if patterns.is_empty() { "no symbol from names".into() } else { patterns.join(" or ") };
    Err(IntakeError::NoSymbol { path: path.into(), profile: profile.name().into(), patterns: patterns.into() })
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    text.get(at..)?.eq_ignore_ascii_case(suffix).then(|| &text[..at])
}
