//! A lake that is open.

use std::collections::BTreeMap;

use domain::{SessionDate, Symbol, Timestamp};
use serde::Serialize;

use crate::actions::{self, ActionVersion};
use crate::adjust::{self, Adjust, ShownBar};
use crate::check::{self, CheckReport};
use crate::contracts::Version;
use crate::error::LakeError;
use crate::files::Files;
use crate::location::{self, Address};
use crate::market::{self, MarketData};
use crate::stored::{each_version, source_text};
use crate::summary::{ImportRequest, ImportSummary, Progress};
use crate::{import, stage};

/// A lake: a folder or `s3://bucket/prefix`.
#[derive(Debug)]
pub struct Lake {
    pub(crate) files: Files,
}

/// What the lake has of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SymbolInfo {
    /// The ticker.
    pub symbol: Symbol,
    /// Its first session.
    pub first: SessionDate,
    /// Its last session.
    pub last: SessionDate,
    /// Sessions with a bar.
    pub bars: u64,
}

/// A corporate action as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownAction {
    /// First session without the right.
    pub ex_date: SessionDate,
    /// `split`, `dividend` or `delisting`.
    pub kind: &'static str,
    /// New shares per old share; cash per share after a split of the same day; the last price.
    pub value: domain::Price,
    /// Since when it is known.
    pub known_at: Timestamp,
    /// Revision of the file it came from.
    pub source: String,
}

impl Lake {
    /// Opens a lake to read it; an import that a crash cut short is completed.
    ///
    /// # Errors
    /// Nothing was ever imported there and no model kept, or the place is none for a lake.
    pub fn open(location: &str) -> Result<Self, LakeError> {
        let lake = Self::create(location)?;
        if let Files::Folder(root) = &lake.files {
            stage::recover_for_reading(root)?;
        }
        let bare = |folder: &str| lake.files.parquet(folder).map(|files| files.is_empty());
        if bare("bars_daily")? && bare("quarantine")? && lake.files.list("models")?.is_empty() {
            let location = location.to_owned();
            let unfinished = !lake.files.list(stage::STAGING)?.is_empty();
            return Err(if unfinished { LakeError::Unfinished { location } } else { LakeError::NoLake { location } });
        }
        Ok(lake)
    }

    /// Opens a lake to import into it; nothing is made before an import is complete.
    ///
    /// # Errors
    /// The place is none for a lake.
    pub fn create(location: &str) -> Result<Self, LakeError> {
        let files = match location::parse(location)? {
            Address::Folder(path) => Files::Folder(path.into()),
            Address::S3 { .. } => Files::Store(location::store(location)?, location.trim_end_matches('/').to_owned()),
        };
        Ok(Self { files })
    }

    /// Imports files: all of them or, after an error, nothing.
    ///
    /// # Errors
    /// A file cannot be read or recognised, the lake cannot be written, or `strict` and a row is not perfect.
    pub fn import(
        &self,
        request: &ImportRequest,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ImportSummary, LakeError> {
        import::import(&self.files, request, progress)
    }

    /// The symbols in alphabetical order.
    ///
    /// # Errors
    /// A file of the lake cannot be read.
    pub fn symbols(&self) -> Result<Vec<SymbolInfo>, LakeError> {
        // Sessions as bits, 64 days to a word: versions of a session count once, and a large lake fits.
        let mut found: BTreeMap<String, BTreeMap<i32, u64>> = BTreeMap::new();
        for file in self.files.parquet("bars_daily")? {
            each_version(&self.files, &file, None, &mut |symbol, version| {
                let days = version.session.days();
                let (word, bit) = (days.div_euclid(64), 1 << days.rem_euclid(64));
                match found.get_mut(symbol) {
                    Some(words) => *words.entry(word).or_default() |= bit,
                    None => {
                        found.insert(symbol.to_owned(), BTreeMap::from([(word, bit)]));
                    }
                }
            })?;
        }
        let info = |(symbol, words): (String, BTreeMap<i32, u64>)| {
            let ((first, low), (last, high)) = (words.first_key_value()?, words.last_key_value()?);
            Some(SymbolInfo {
                symbol: Symbol::new(&symbol).ok()?,
                first: SessionDate::from_days(first * 64 + low.trailing_zeros() as i32),
                last: SessionDate::from_days(last * 64 + 63 - high.leading_zeros() as i32),
                bars: words.values().map(|word| u64::from(word.count_ones())).sum(),
            })
        };
        Ok(found.into_iter().filter_map(info).collect())
    }

    /// All versions of some symbols' bars, sorted by session and time known.
    pub(crate) fn versions(&self, symbols: &[Symbol]) -> Result<Vec<Vec<Version>>, LakeError> {
        let index: BTreeMap<&str, usize> = symbols.iter().enumerate().map(|(at, one)| (one.as_str(), at)).collect();
        let mut found = vec![Vec::new(); symbols.len()];
        if let (Some((first, _)), Some((last, _))) = (index.first_key_value(), index.last_key_value()) {
            for file in self.files.parquet("bars_daily")? {
                let mut ahead: (String, Option<usize>) = (String::new(), index.get("").copied());
                each_version(&self.files, &file, Some((first, last)), &mut |symbol, version| {
                    if ahead.0 != symbol {
                        ahead = (symbol.to_owned(), index.get(symbol).copied());
                    }
                    if let Some(at) = ahead.1 {
                        found[at].push(version);
                    }
                })?;
            }
        }
        for (symbol, versions) in symbols.iter().zip(&mut found) {
            if versions.is_empty() {
                return Err(self.unknown(symbol));
            }
            versions.sort_by_key(|version: &Version| (version.session, version.known_at));
        }
        // The same symbol may be asked for twice.
        for at in 0..symbols.len() {
            let first = index[symbols[at].as_str()];
            if first != at {
                found[at] = found[first].clone();
            }
        }
        Ok(found)
    }

    fn unknown(&self, symbol: &Symbol) -> LakeError {
        let known = self.symbols().unwrap_or_default();
        let nearest = known
            .iter()
            .map(|one| (strsim::jaro_winkler(one.symbol.as_str(), symbol.as_str()), one.symbol.as_str()))
            .filter(|(likeness, _)| *likeness > 0.6)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let nearest = match nearest {
            Some((_, name)) => format!("; did you mean {name}?"),
            None if known.len() <= 10 => {
                let names: Vec<_> = known.iter().map(|one| one.symbol.as_str()).collect();
                format!(", only {}", names.join(", "))
            }
            None => format!(" among its {}", known.len()),
        };
        LakeError::UnknownSymbol { symbol: symbol.clone(), nearest }
    }

    pub(crate) fn action_versions(&self, symbols: &[Symbol]) -> Result<Vec<Vec<ActionVersion>>, LakeError> {
        let found = actions::read(&self.files, |symbol| symbols.iter().any(|one| one.as_str() == symbol))?;
        Ok(symbols.iter().map(|symbol| found.get(symbol.as_str()).cloned().unwrap_or_default()).collect())
    }

    /// Corporate actions of a symbol by ex-date, as they were known at a time, or now.
    ///
    /// # Errors
    /// A file of the lake cannot be read.
    pub fn actions(&self, symbol: &Symbol, as_of: Option<Timestamp>) -> Result<Vec<ShownAction>, LakeError> {
        let versions = self.action_versions(std::slice::from_ref(symbol))?.pop().unwrap_or_default();
        let shown = |one: ActionVersion| ShownAction {
            ex_date: one.ex_date,
            kind: one.kind.name(),
            value: domain::Price::from_units(one.value),
            known_at: Timestamp::from_micros(one.known_at),
            source: source_text(one.source),
        };
        Ok(actions::current(&versions, as_of.map(Timestamp::micros)).into_iter().map(shown).collect())
    }

    /// Paths of the files below a folder of the lake, sorted.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        self.files.list(folder)
    }

    /// All bytes of a file of the lake; `None` when there is none.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn read(&self, path: &str) -> Result<Option<bytes::Bytes>, LakeError> {
        self.files.read(path)
    }

    /// Puts files in place: all or none in a folder, in the given order in an object store.
    ///
    /// # Errors
    /// The lake cannot be written, or an import does not end within five minutes.
    pub fn write(&self, files: &[(String, Vec<u8>)]) -> Result<(), LakeError> {
        stage::write(&self.files, files)
    }

    /// Bars of a symbol by session, as they were known at a time, or now.
    ///
    /// Adjusted prices stand in terms of the last bar known, even when `to` cuts it off.
    ///
    /// # Errors
    /// The lake does not have the symbol, or one of its files cannot be read.
    pub fn show(
        &self,
        symbol: &Symbol,
        from: Option<SessionDate>,
        to: Option<SessionDate>,
        as_of: Option<Timestamp>,
        adjust: Adjust,
    ) -> Result<Vec<ShownBar>, LakeError> {
        let versions = self.versions(std::slice::from_ref(symbol))?.pop().unwrap_or_default();
        let as_of = as_of.map(Timestamp::micros);
        let bars: Vec<Version> = versions
            .chunk_by(|a, b| a.session == b.session)
            .filter_map(|same| same.iter().rfind(|version| as_of.is_none_or(|as_of| version.known_at <= as_of)))
            .copied()
            .collect();
        let actions = match adjust {
            Adjust::None => Vec::new(),
            _ => {
                let versions = self.action_versions(std::slice::from_ref(symbol))?.pop().unwrap_or_default();
                actions::current(&versions, as_of)
            }
        };
        let mut shown = adjust::shown(symbol, &bars, &actions, adjust)?;
        shown.retain(|bar| from.is_none_or(|from| bar.dt >= from) && to.is_none_or(|to| bar.dt <= to));
        Ok(shown)
    }

    /// What a run trades: bars and actions of symbols, in the order given, with only what was known in time.
    ///
    /// # Errors
    /// The lake does not have a symbol, or one of its files cannot be read.
    pub fn market(
        &self,
        symbols: &[Symbol],
        from: Option<SessionDate>,
        to: Option<SessionDate>,
    ) -> Result<MarketData, LakeError> {
        let versions = self.versions(symbols)?;
        let actions = self.action_versions(symbols)?;
        Ok(market::market(symbols, &versions, &actions, (from, to)))
    }

    /// Reads everything and holds it against the contracts.
    ///
    /// # Errors
    /// The lake's files cannot even be listed.
    pub fn check(&self) -> Result<CheckReport, LakeError> {
        check::check(&self.files)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::contracts::current;

    fn request(path: &std::path::Path) -> ImportRequest {
        ImportRequest {
            paths: vec![path.into()],
            profile: None,
            symbol: None,
            known_at: None,
            now: Timestamp::parse("2026-01-05T12:00:00Z").unwrap(),
            strict: false,
            behind: false,
        }
    }

    #[test]
    fn an_object_store_and_a_folder_hold_the_same_lake() {
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample");
        let folder = tempfile::tempdir().unwrap();
        let on_disk = Lake { files: Files::Folder(folder.path().join("lake")) };
        let store = Lake { files: Files::Store(Arc::new(InMemory::new()), "s3://bucket/lake".to_owned()) };
        let bad = folder.path().join("bad.csv");
        std::fs::write(&bad, "dt,sym,open,high,low,close,vol\n2013-03-02,XYZ,1,1,1,1,1\n2013-03-01,XYZ,1,1,1,1,1\n")
            .unwrap();
        for path in [&sample, &bad] {
            let mut summaries = Vec::new();
            for lake in [&on_disk, &store] {
                summaries.push(lake.import(&request(path), &mut |_| {}).unwrap());
                assert_eq!(lake.import(&request(path), &mut |_| {}).unwrap().stored, 0);
            }
            assert_eq!(summaries[0], summaries[1]);
        }
        let names = on_disk.files.list("").unwrap();
        assert_eq!(names, store.files.list("").unwrap());
        for name in &names {
            assert_eq!(on_disk.files.read(name).unwrap(), store.files.read(name).unwrap(), "{name}");
        }
        assert_eq!(on_disk.check().unwrap(), store.check().unwrap());
        let symbols = [Symbol::new("IBM").unwrap(), Symbol::new("AAPL").unwrap()];
        assert_eq!(on_disk.market(&symbols, None, None).unwrap(), store.market(&symbols, None, None).unwrap());
        let ibm = &on_disk.versions(&symbols).unwrap()[0];
        assert!(ibm.chunk_by(|a, b| a.session == b.session).all(|same| current(same).is_some()));
    }

    #[test]
    fn a_lock_in_an_object_store_names_its_owner() {
        let store = Lake { files: Files::Store(Arc::new(InMemory::new()), "s3://bucket/lake".to_owned()) };
        let lock = stage::lock(&store.files).unwrap();
        let error = stage::lock(&store.files).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())) && error.contains("delete"), "{error}");
        drop(lock);
        stage::lock(&store.files).unwrap();
    }
}
