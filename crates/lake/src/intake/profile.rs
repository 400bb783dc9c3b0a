//! Vendors' layouts as data: TOML files, shipped in `data/profiles/` or given by the user.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;

use super::error::IntakeError;

/// How dates are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DateFormat {
    /// `2013-03-01`.
    Iso,
    /// `2013-03-01`, perhaps with a midnight and a zone behind it; the date as written counts.
    IsoDatetime,
    /// `20130301`.
    Yyyymmdd,
    /// Nanoseconds since 1970; the date in New York counts.
    EpochNsExchange,
    /// RFC 3339 text or nanoseconds since 1970; the date in UTC counts.
    UtcDay,
}

/// What was done to the prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Prices {
    /// As traded.
    Raw,
    /// Divided by later splits.
    SplitAdjusted,
    /// Divided by later splits and dividends.
    TotalAdjusted,
    /// Divided by later splits, beside the close as traded: raw prices follow from the row.
    SplitAdjustedWithRawClose,
}

/// What was done to the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VolumeBasis {
    /// As traded.
    Raw,
    /// Multiplied by later splits.
    SplitAdjusted,
}

/// How a price is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum PriceText {
    /// `118.56`.
    #[default]
    Decimal,
    /// `118.560000000` or, without a point, billionths: `118560000000`.
    DecimalOrBillionths,
}

/// Which column holds what.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Columns {
    pub(super) symbol: Option<String>,
    pub(super) date: String,
    pub(super) open: String,
    pub(super) high: String,
    pub(super) low: String,
    pub(super) close: String,
    pub(super) volume: String,
    pub(super) dividend: Option<String>,
    pub(super) split: Option<String>,
    pub(super) raw_close: Option<String>,
}

/// A vendor's layout.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    name: String,
    provider: String,
    data_set: String,
    description: String,
    headers: Vec<String>,
    #[serde(default = "comma")]
    pub(super) delimiter: char,
    pub(super) date: DateFormat,
    pub(super) prices: Prices,
    pub(super) volume: VolumeBasis,
    #[serde(default)]
    pub(super) fractional_volume: bool,
    #[serde(default)]
    pub(super) price_text: PriceText,
    #[serde(default = "usual_nulls")]
    pub(super) nulls: Vec<String>,
    #[serde(default)]
    pub(super) zero_split_is_none: bool,
    #[serde(default)]
    pub(super) file_names: Vec<String>,
    #[serde(default)]
    pub(super) symbol_suffix: String,
    #[serde(default)]
    pub(super) symbols_upper_case: bool,
    pub(super) columns: Columns,
    #[serde(default)]
    pub(super) require: BTreeMap<String, Vec<String>>,
}

fn comma() -> char {
    ','
}

fn usual_nulls() -> Vec<String> {
    ["", "null", "nan", "none", "n/a"].map(String::from).to_vec()
}

impl Profile {
    /// As `--profile` takes it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who publishes such files; the folder under `raw/`.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Which of the provider's products; the folder below.
    #[must_use]
    pub fn data_set(&self) -> &str {
        &self.data_set
    }

    /// One sentence on what is in it and what was done to its prices.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The header line, in the usual spelling.
    #[must_use]
    pub fn header(&self) -> &str {
        self.headers.first().map_or("", String::as_str)
    }

    /// All header lines, each as normalised names.
    pub(super) fn headers(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        self.headers.iter().map(|line| line.split(self.delimiter).map(super::header::normalise).collect())
    }

    /// Reads and checks a profile.
    pub(super) fn from_toml(text: &str) -> Result<Self, String> {
        let mut profile: Self = toml::from_str(text).map_err(|error| one_line(&error.to_string()))?;
        profile.nulls.iter_mut().for_each(|null| *null = null.to_ascii_lowercase());
        profile.symbol_suffix = profile.symbol_suffix.to_ascii_lowercase();
        profile.require = std::mem::take(&mut profile.require)
            .into_iter()
            .map(|(column, allowed)| (super::header::normalise(&column), allowed))
            .collect();
        profile.check()?;
        Ok(profile)
    }

    fn check(&self) -> Result<(), String> {
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        for (key, text) in [("name", &self.name), ("provider", &self.provider), ("data_set", &self.data_set)] {
            if !plain(text) {
                return Err(format!("`{key}` must be lower-case letters, digits and `_`, not `{text}`"));
            }
        }
        if !self.delimiter.is_ascii() || self.delimiter.is_ascii_alphanumeric() || "\"\r\n .-+".contains(self.delimiter)
        {
            return Err(format!("`delimiter` cannot be {:?}", self.delimiter));
        }
        if self.headers.is_empty() {
            return Err("`headers` must list at least one header line".into());
        }
        let with_raw_close = self.prices == Prices::SplitAdjustedWithRawClose;
        if with_raw_close != self.columns.raw_close.is_some() {
            return Err("`columns.raw_close` goes with `prices = \"split_adjusted_with_raw_close\"`".into());
        }
        if let Some(bad) = self.file_names.iter().find(|pattern| pattern.matches("{symbol}").count() != 1) {
            return Err(format!("`file_names` needs `{{symbol}}` once in `{bad}`"));
        }
        if self.columns.symbol.is_some() && !self.file_names.is_empty() {
            return Err("`file_names` has no meaning beside `columns.symbol`".into());
        }
        for header in self.headers() {
            let has = |name: &str| header.iter().filter(|column| *column == name).count();
            for name in self.columns.all().chain(self.require.keys().map(String::as_str)) {
                match has(&super::header::normalise(name)) {
                    1 => {}
                    0 => return Err(format!("no column `{name}` in its header `{}`", header.join(","))),
                    _ => return Err(format!("several columns `{name}` in its header `{}`", header.join(","))),
                }
            }
            let mut used: Vec<_> = self.columns.all().map(super::header::normalise).collect();
            used.sort();
            if used.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err("`columns` names a column twice".into());
            }
        }
        Ok(())
    }
}

impl Columns {
    fn all(&self) -> impl Iterator<Item = &str> {
        let optional = [&self.symbol, &self.dividend, &self.split, &self.raw_close];
        [&self.date, &self.open, &self.high, &self.low, &self.close, &self.volume]
            .into_iter()
            .chain(optional.into_iter().flatten())
            .map(String::as_str)
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every file in `data/profiles/`, most specific headers first.
        const SHIPPED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../data/profiles/", $name, ".toml")))),*];
    };
}

shipped!(
    "workshop",
    "alpha_vantage_daily_adjusted",
    "alpha_vantage_daily",
    "quandl_wiki",
    "quandl_wiki_symbol",
    "yahoo",
    "yahoo_ichart",
    "yfinance",
    "yfinance_unadjusted",
    "stooq",
    "stooq_bulk",
    "finam",
    "tiingo",
    "tiingo_bulk",
    "polygon_day_aggs",
    "sharadar_sep",
    "eodhd",
    "databento_ohlcv_1d",
    "zipline_csvdir",
    "kaggle_huge_stock_market",
    "ohlcv_raw",
    "ohlcv_split_adjusted",
    "ohlcv_total_adjusted",
);

static PROFILES: LazyLock<Vec<Profile>> =
    LazyLock::new(|| SHIPPED.iter().filter_map(|(_, text)| Profile::from_toml(text).ok()).collect());

/// The layouts that are recognised without help.
#[must_use]
pub fn profiles() -> &'static [Profile] {
    &PROFILES
}

/// All names, for an error.
pub(super) fn known() -> String {
    profiles().iter().map(Profile::name).collect::<Vec<_>>().join(", ")
}

/// The profile asked for by name, or by the path of a TOML file.
pub(super) fn named(name: &str) -> Result<Profile, IntakeError> {
    if name.contains('/') || Path::new(name).extension().is_some_and(|extension| extension == "toml") {
        let path = Path::new(name).to_path_buf();
        let text = std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => IntakeError::Missing { path: path.clone() },
            _ => IntakeError::Read { path: path.clone(), source },
        })?;
        return Profile::from_toml(&text).map_err(|problem| IntakeError::Profile { path, problem: problem.into() });
    }
    if let Some(profile) = profiles().iter().find(|profile| profile.name == name) {
        return Ok(profile.clone());
    }
    let wanted = name.to_ascii_lowercase();
    let nearest = profiles()
        .iter()
        .map(|profile| (strsim::jaro_winkler(&wanted, &profile.name), &profile.name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| format!("did you mean `{name}`?"));
    let all = || format!("choose one of {}, or name a file of your own that ends in .toml", known());
    Err(IntakeError::UnknownProfile { name: name.into(), advice: nearest.unwrap_or_else(all).into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_profile_is_sound_and_named_as_its_file() {
        for (file, text) in SHIPPED {
            let profile = Profile::from_toml(text).unwrap_or_else(|problem| panic!("{file}: {problem}"));
            assert_eq!(profile.name(), *file);
            assert!(profile.description().ends_with('.'), "{file}: the description is a sentence");
        }
        assert_eq!(profiles().len(), SHIPPED.len());
    }

    #[test]
    fn every_file_in_the_folder_is_shipped() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/profiles");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let stem = name.strip_suffix(".toml").unwrap_or_else(|| panic!("{name} is no profile"));
            assert!(SHIPPED.iter().any(|(shipped, _)| *shipped == stem), "add {stem} to the list in profile.rs");
        }
    }

    #[test]
    fn the_documentation_lists_every_profile_and_its_example_is_sound() {
        let page = include_str!("../../../../docs/profiles.md");
        for profile in profiles() {
            assert!(page.contains(&format!("`{}`", profile.name())), "docs/profiles.md lacks {}", profile.name());
        }
        let example = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        assert_eq!(Profile::from_toml(example).unwrap().name(), "my_vendor");
    }
}
