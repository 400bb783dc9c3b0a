//! The contracts held against what is stored.

use std::collections::BTreeMap;
use std::fmt;

use domain::{Calendar, CalendarError, Price};
use serde::Serialize;

use crate::actions;
use crate::contracts::{Version, current, flags_text};
use crate::error::LakeError;
use crate::files::{Files, Wanted};
use crate::stored::each_version;

/// Examples that are given of each finding.
const EXAMPLES: usize = 5;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the contract.
    pub rule: &'static str,
    /// Whether the lake breaks its contract, or only something is worth knowing.
    pub error: bool,
    /// How often.
    pub count: u64,
    /// Where, for the first few.
    pub examples: Vec<String>,
    /// What to do.
    pub advice: &'static str,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CheckReport {
    /// Whether no finding is an error.
    pub ok: bool,
    /// Parquet files read.
    pub files: u64,
    /// Rows of bars, all versions.
    pub rows: u64,
    /// Symbols.
    pub symbols: u64,
    /// Corporate actions, all versions.
    pub actions: u64,
    /// Rows in quarantine.
    pub quarantined: u64,
    /// Current bars by flag.
    pub flags: BTreeMap<String, u64>,
    /// What is not as it should be, worst first.
    pub findings: Vec<Finding>,
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} rows of {} symbols and {} corporate actions in {} files; {} rows in quarantine",
            self.rows, self.symbols, self.actions, self.files, self.quarantined
        )?;
        for (flags, count) in &self.flags {
            writeln!(f, "  flagged {flags}: {count}")?;
        }
        for finding in &self.findings {
            let kind = if finding.error { "error" } else { "warning" };
            writeln!(f, "{kind}: {}: {}; {}", finding.rule, finding.count, finding.advice)?;
            for example in &finding.examples {
                writeln!(f, "  {example}")?;
            }
        }
        writeln!(f, "{}", if self.ok { "every contract is kept" } else { "the lake is broken" })
    }
}

#[derive(Default)]
struct Findings(BTreeMap<&'static str, Finding>);

impl Findings {
    fn add(&mut self, rule: &'static str, error: bool, advice: &'static str, example: impl FnOnce() -> String) {
        let finding = self.0.entry(rule).or_insert(Finding { rule, error, count: 0, examples: Vec::new(), advice });
        finding.count += 1;
        if finding.examples.len() < EXAMPLES {
            finding.examples.push(example());
        }
    }
}

/// Reads everything.
pub(crate) fn check(files: &Files) -> Result<CheckReport, LakeError> {
    let mut report = CheckReport::default();
    let mut findings = Findings::default();
    let mut by_symbol: BTreeMap<String, Vec<Version>> = BTreeMap::new();
    for file in files.parquet("bars_daily")? {
        report.files += 1;
        let year = file.split('/').find_map(|part| part.strip_prefix("year=")).and_then(|year| year.parse().ok());
        let mut rows = 0_u64;
        let read = each_version(files, &file, None, &mut |symbol, version| {
            rows += 1;
            if year != Some(version.session.year()) {
                findings.add("wrong_year", true, "the file lies in another year's folder: move it back", || {
                    format!("{file}: {symbol} {}", version.session)
                });
            }
            match by_symbol.get_mut(symbol) {
                Some(versions) => versions.push(version),
                None => {
                    by_symbol.insert(symbol.to_owned(), vec![version]);
                }
            }
        });
        report.rows += rows;
        unreadable(&mut findings, read)?;
    }
    report.symbols = by_symbol.len() as u64;
    for (symbol, versions) in &mut by_symbol {
        versions.sort_by_key(|version| (version.session, version.known_at));
        bars(symbol, versions, &mut findings, &mut report.flags);
    }
    report.files += files.parquet("corporate_actions")?.len() as u64;
    match actions::read(files, |_| true) {
        Ok(all) => report.actions = all.values().map(|versions| versions.len() as u64).sum(),
        failed => unreadable(&mut findings, failed.map(|_| ()))?,
    }
    for file in files.parquet("quarantine")? {
        report.files += 1;
        let mut count = || {
            for batch in files.open(&file, Wanted { columns: &["rule"], symbols: None })? {
                let batch = batch.map_err(|error| LakeError::corrupt(&file, error))?;
                report.quarantined += batch.num_rows() as u64;
            }
            Ok(())
        };
        let read = count();
        unreadable(&mut findings, read)?;
    }
    for path in files.list(crate::stage::STAGING)?.iter().take(1) {
        findings.add(
            "leftover_staging",
            false,
            "an import was cut short or is running: the next import removes it",
            || path.clone(),
        );
    }
    report.findings = findings.0.into_values().collect();
    report.findings.sort_by_key(|finding| !finding.error);
    report.ok = !report.findings.iter().any(|finding| finding.error);
    Ok(report)
}

fn unreadable(findings: &mut Findings, read: Result<(), LakeError>) -> Result<(), LakeError> {
    match read {
        Err(LakeError::Corrupt { file, reason }) => {
            let advice =
                "half-written or damaged: restore the file, or delete it and import again what lies under raw/";
            findings.add("unreadable", true, advice, || format!("{file}: {reason}"));
            Ok(())
        }
        other => other,
    }
}

fn bars(symbol: &str, versions: &[Version], findings: &mut Findings, flags: &mut BTreeMap<String, u64>) {
    let calendar = Calendar::nyse();
    let mut previous: Option<(u32, crate::contracts::Previous)> = None;
    for same in versions.chunk_by(|a, b| a.session == b.session) {
        let session = same[0].session;
        let at = || format!("{symbol} {session}");
        for pair in same.windows(2).filter(|pair| pair[0].known_at == pair[1].known_at) {
            findings.add("duplicate", true, "two versions were known at the same time: delete one file", || {
                format!("{symbol} {} twice", pair[0].session)
            });
        }
        for version in same {
            let [open, high, low, close, volume] = version.values;
            if open <= 0 || high <= 0 || low <= 0 || close <= 0 || volume < 0 {
                findings.add("non_positive", true, "the file was not written by `data import`: delete it", at);
            }
            if high < low.max(open).max(close) || low > open.min(close) {
                findings.add("high_low", true, "the file was not written by `data import`: delete it", || {
                    let price = |units| Price::from_units(units);
                    format!("{} high {} low {}", at(), price(high), price(low))
                });
            }
        }
        let Some(now) = current(same) else { continue };
        let stored = same.last().map(|version| version.flags).unwrap_or_default();
        if stored.0 != 0 {
            *flags.entry(flags_text(stored)).or_default() += 1;
        }
        let index = match calendar.session(session) {
            Ok(session) => session.index,
            Err(error) => {
                let rule = match error {
                    CalendarError::Closed(_) => "off_session",
                    CalendarError::OutsideHorizon { .. } => "outside_calendar",
                };
                findings.add(rule, true, "no session took place: delete the file and import its source again", at);
                continue;
            }
        };
        if let Some((before, last)) = previous {
            if index > before + 1 {
                findings.add("missing_sessions", false, "import what is missing, if the instrument traded", || {
                    format!("{symbol}: {} after {}", index - before - 1, last.session)
                });
            }
            if last.values == now.values {
                findings.add("stale_copy", false, "import a correction", at);
            }
        }
        previous = Some((index, now));
    }
}
