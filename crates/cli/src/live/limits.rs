//! A limits file: what the house allows, whatever the run file says.
//!
//! ```toml
//! version = 1
//!
//! [limits]                        # keys as in [risk] of a run file
//! order_notional_max = 25000
//! position_notional_max = 50000
//! daily_loss_max = 2000
//! orders_per_minute_max = 20
//! duplicate_window_s = 10
//! repeated_executions_max = 200
//! no_self_trade = true
//! restricted = ["GME"]
//!
//! [guardian]                      # fractions of the equity
//! daily_loss = { warn = 0.01, reduce_only = 0.02, flatten = 0.05 }
//! drawdown = { warn = 0.10, reduce_only = 0.15, flatten = 0.25 }
//! ```

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use engine::Limits;
use serde::Deserialize;
use trading::guardian::Ladders;

use crate::config::check_limits;
use crate::layers;

/// Version of the format.
const VERSION: u32 = 1;

/// What the house allows.
#[derive(Debug, Clone, PartialEq)]
pub struct House {
    /// Of orders and positions.
    pub limits: Limits,
    /// Of losses.
    pub ladders: Ladders,
    /// The file.
    pub text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    limits: Option<Limits>,
    #[serde(default)]
    guardian: Ladders,
}

/// Nothing beyond the run file's own limits, so that paper trades as the backtest did.
#[must_use]
pub fn none() -> House {
    House { limits: free(), ladders: Ladders::none(), text: String::new() }
}

fn free() -> Limits {
    let margin = engine::Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 };
    Limits { margin, ..Limits::default() }
}

/// Reads a limits file.
///
/// # Errors
/// One sentence that names the file and the key.
pub fn read(path: &Path) -> Result<House> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the limits file `{name}`"))?;
    parse(&text).with_context(|| format!("the limits file `{name}`"))
}

/// The limits an account began with; an empty text limits nothing.
///
/// # Errors
/// One sentence that names the key.
pub fn text(text: &str) -> Result<House> {
    if text.is_empty() { Ok(none()) } else { parse(text).context("the account's limits") }
}

fn parse(text: &str) -> Result<House> {
    let table = layers::parse(text).map_err(|error| anyhow::anyhow!("it is not TOML: {error}"))?;
    let margin_said = table.get("limits").and_then(|limits| limits.get("margin")).is_some();
    ensure!(table.contains_key("version"), "it has no version; begin it with `version = {VERSION}`");
    let read: Result<File, _> = serde_path_to_error::deserialize(table);
    let File { version, limits, guardian } = read.map_err(|error| {
        // The parser's own second line says again where it was.
        let inner = error.inner().to_string();
        anyhow::anyhow!("{}: {}", error.path(), inner.lines().next().unwrap_or_default())
    })?;
    if version != VERSION {
        bail!("it has version {version}, and this program reads {VERSION}");
    }
    guardian.daily_loss.check("guardian.daily_loss").map_err(anyhow::Error::msg)?;
    guardian.drawdown.check("guardian.drawdown").map_err(anyhow::Error::msg)?;
    let mut limits = limits.unwrap_or_else(free);
    if !margin_said {
        limits.margin = free().margin;
    }
    check_limits("limits", &limits)?;
    Ok(House { limits, ladders: guardian, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limits_file_says_its_version_and_nothing_unknown() {
        let complaint = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert_eq!(complaint("[limits]"), "it has no version; begin it with `version = 1`");
        assert_eq!(complaint("version = 2"), "it has version 2, and this program reads 1");
        assert!(complaint("version = 1\n[limits]\norder_max = 3").contains("unknown field `order_max`"));
        let ladder = "version = 1\n[guardian]\ndaily_loss = { warn = 0.2, flatten = 0.1 }";
        assert_eq!(
            complaint(ladder),
            "guardian.daily_loss.flatten is 0.1, less than a milder step; put the steps in order"
        );
        assert_eq!(
            complaint("version = 1\n[limits]\ndaily_loss_max = -3"),
            "limits.daily_loss_max is -3; it must be 0 or more"
        );
    }

    #[test]
    fn a_limit_that_is_no_number_or_stops_nothing_is_refused_with_its_key_and_value() {
        let complaint = |text: &str| format!("{:#}", parse(&format!("version = 1\n[limits]\n{text}")).unwrap_err());
        for key in
            ["drawdown_max", "price_collar_bps", "margin.initial_long", "margin.initial_short", "margin.maintenance"]
        {
            for value in ["nan", "inf", "-inf"] {
                let said = complaint(&format!("{key} = {value}"));
                let shown = value.replace("nan", "NaN");
                assert_eq!(said, format!("limits.{key} is {shown}; it must be a number such as 2 or 0.5"));
            }
        }
        assert_eq!(complaint("order_notional_max = nan"), "limits.order_notional_max: NaN is no amount");
        assert_eq!(complaint("daily_loss_max = -inf"), "limits.daily_loss_max: -inf is no amount");
        assert_eq!(
            complaint("repeated_executions_max = 0"),
            "limits.repeated_executions_max is 0; it must be 1 or more, or be left out"
        );
    }

    #[test]
    fn both_the_run_files_and_the_houses_limits_hold() {
        let house = parse("version = 1\n[limits]\norder_quantity_max = 10\nrestricted = [\"GME\"]").unwrap();
        let run = Limits { order_quantity_max: Some(domain::Quantity::whole(5).unwrap()), ..Limits::default() };
        let both = run.and(&house.limits);
        assert_eq!((both.order_quantity_max, both.restricted.len()), (run.order_quantity_max, 1));
        assert_eq!(both.margin, run.margin);
    }
}
