//! What Alpaca's market data says, in its words, and which of it can be so.

use std::collections::HashMap;

use domain::{ActionKind, CorporateAction, InstrumentId, Price, Ratio, SessionDate, Symbol, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A minute has so many nanoseconds.
pub(super) const MINUTE: i64 = 60_000_000_000;

/// A bar: of a minute, or of a day.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Row {
    /// When it begins.
    pub(super) t: Timestamp,
    pub(super) o: Price,
    pub(super) h: Price,
    pub(super) l: Price,
    pub(super) c: Price,
    /// A number with a fraction where parts of shares are counted.
    v: f64,
}

impl Row {
    /// A row that can be so.
    pub(super) fn read(value: Value) -> Result<Self, String> {
        let row: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        let Self { o, h, l, c, v, .. } = row;
        if [o, h, l, c].iter().any(|price| price.signum() <= 0) {
            return Err(format!("a price that is not above 0: {o} {h} {l} {c}"));
        }
        if h < l || o < l || o > h || c < l || c > h {
            return Err(format!("prices that contradict each other: {o} {h} {l} {c}"));
        }
        if !(0.0..=1e18).contains(&v) {
            return Err(format!("a volume of {v}"));
        }
        Ok(row)
    }

    /// Whole shares.
    pub(super) fn volume(&self) -> u64 {
        self.v as u64
    }
}

/// A trade.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct TradeRow {
    pub(super) t: Timestamp,
    p: Price,
    s: f64,
    #[serde(default)]
    c: Option<Vec<String>>,
}

/// Conditions of trades that are no last price, as Alpaca makes its minutes by the rules of both tapes.
#[rustfmt::skip]
const NO_LAST_PRICE: [&str; 18] =
    ["4", "7", "9", "B", "C", "G", "H", "I", "M", "N", "P", "Q", "R", "T", "U", "V", "W", "Z"];

impl TradeRow {
    /// Its price and volume; none when it is no last price.
    pub(super) fn read(value: Value) -> Result<Option<(Timestamp, Price, u64)>, String> {
        let Self { t, p, s, c } = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if p.signum() <= 0 || !(0.0..=1e18).contains(&s) {
            return Err(format!("a trade of {s} at {p}"));
        }
        let excluded = |one: &String| NO_LAST_PRICE.contains(&one.trim());
        Ok((!c.unwrap_or_default().iter().any(excluded)).then_some((t, p, s as u64)))
    }
}

/// A page of bars.
#[derive(Debug, Deserialize)]
pub(super) struct BarsPage {
    pub(super) bars: Option<HashMap<String, Option<Vec<Value>>>>,
    #[serde(deserialize_with = "said_or_null")]
    pub(super) next_page_token: Option<String>,
}

/// A page of corporate actions, by the name of their kind.
#[derive(Debug, Deserialize)]
pub(super) struct ActionsPage {
    pub(super) corporate_actions: Option<HashMap<String, Option<Vec<Value>>>>,
    #[serde(deserialize_with = "said_or_null")]
    pub(super) next_page_token: Option<String>,
}

/// The last page says so with a null. A page that does not say whether it is the last is half of an answer.
fn said_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

#[derive(Debug, Deserialize)]
struct SplitRow {
    ex_date: SessionDate,
    new_rate: Price,
    old_rate: Price,
}

#[derive(Debug, Deserialize)]
struct DividendRow {
    ex_date: SessionDate,
    rate: Price,
}

/// What is in force since the close of `after`, from the open of `to`: splits first, since a dividend is per share
/// after a split of its day. With it come the sentences about what is not told.
pub(super) fn actions(
    groups: Vec<(String, Value)>,
    symbols: &HashMap<String, InstrumentId>,
    after: SessionDate,
    to: SessionDate,
) -> (Vec<CorporateAction>, Vec<String>) {
    let (mut told, mut left_out): (Vec<CorporateAction>, Vec<String>) = Default::default();
    let mut seen: Vec<String> = Vec::new();
    let in_force = |date: SessionDate| after < date && date <= to;
    for (group, value) in groups {
        let Some((symbol, instrument)) = subject(&value, symbols) else { continue };
        // A page may come twice; what Alpaca gave a name counts once.
        if let Some(id) = value["id"].as_str() {
            if seen.iter().any(|seen| seen == id) {
                continue;
            }
            seen.push(id.to_owned());
        }
        let read = match group.as_str() {
            "forward_splits" | "reverse_splits" => split(&value),
            "cash_dividends" => dividend(&value),
            _ => {
                let date = |name: &str| value[name].as_str().and_then(|text| SessionDate::parse(text).ok());
                let date = date("ex_date").or(date("effective_date")).or(date("process_date"));
                if date.is_some_and(in_force) {
                    left_out.push(format!("{symbol} has {} in force, which is not told", group.replace('_', " ")));
                }
                continue;
            }
        };
        match read {
            Err(why) => left_out.push(format!("one of the {} of {symbol}: {why}", group.replace('_', " "))),
            Ok((ex_date, _)) if !in_force(ex_date) => {}
            Ok((ex_date, kind)) => add(&mut told, CorporateAction { instrument, ex_date, kind }),
        }
    }
    let dividend = |action: &CorporateAction| matches!(action.kind, ActionKind::Dividend { .. });
    told.sort_by_key(|action| (action.ex_date, dividend(action), action.instrument));
    (told, left_out)
}

/// Dividends of one day are one: whoever drops what is told twice must not drop the second of two equal ones.
fn add(told: &mut Vec<CorporateAction>, action: CorporateAction) {
    if let ActionKind::Dividend { amount } = action.kind {
        for known in told.iter_mut() {
            let same = known.instrument == action.instrument && known.ex_date == action.ex_date;
            if same
                && let ActionKind::Dividend { amount: sum } = &mut known.kind
                && let Ok(more) = sum.add(amount)
            {
                *sum = more;
                return;
            }
        }
    }
    told.push(action);
}

fn subject<'a>(value: &'a Value, symbols: &HashMap<String, InstrumentId>) -> Option<(&'a str, InstrumentId)> {
    let names = ["symbol", "old_symbol", "source_symbol", "acquiree_symbol"];
    let mut found = names.iter().filter_map(|name| value[name].as_str());
    found.find_map(|symbol| symbols.get(symbol).map(|instrument| (symbol, *instrument)))
}

fn split(value: &Value) -> Result<(SessionDate, ActionKind), String> {
    let SplitRow { ex_date, new_rate, old_rate } = SplitRow::deserialize(value).map_err(|error| error.to_string())?;
    let ratio = Ratio::new(new_rate.units(), old_rate.units());
    let ratio = ratio.ok_or_else(|| format!("{new_rate} for {old_rate} is no split"))?;
    Ok((ex_date, ActionKind::Split { ratio }))
}

fn dividend(value: &Value) -> Result<(SessionDate, ActionKind), String> {
    let DividendRow { ex_date, rate } = DividendRow::deserialize(value).map_err(|error| error.to_string())?;
    if rate.signum() <= 0 {
        return Err(format!("{rate} is no dividend"));
    }
    Ok((ex_date, ActionKind::Dividend { amount: rate }))
}

/// Symbols by their names.
pub(super) fn by_name(symbols: &[Symbol]) -> HashMap<String, InstrumentId> {
    (0..).zip(symbols).map(|(at, symbol)| (symbol.as_str().to_owned(), InstrumentId(at))).collect()
}

/// What the socket says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    /// A step of the connection went well.
    Success(String),
    /// What is subscribed to: the symbols of a channel.
    Subscription(Map<String, Value>),
    /// Something went wrong, by its number.
    Error(u64, String),
    /// A bar of a minute of a symbol.
    Minute(String, Value),
    /// A trade of a symbol.
    Trade(String, Value),
}

/// What a frame says. Bars that Alpaca makes again, corrections, quotes and whatever is new are left out.
pub(super) fn messages(frame: &[u8]) -> Result<Vec<Message>, String> {
    let unreadable = |error: serde_json::Error| format!("a message that cannot be read: {error}");
    let values: Vec<Map<String, Value>> = serde_json::from_slice(frame).map_err(unreadable)?;
    Ok(values.into_iter().filter_map(message).collect())
}

fn message(mut value: Map<String, Value>) -> Option<Message> {
    let text =
        |value: &Map<String, Value>, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = text(&value, "T");
    Some(match kind.as_str() {
        "success" => Message::Success(text(&value, "msg")),
        "subscription" => Message::Subscription(value),
        "error" => Message::Error(value.get("code").and_then(Value::as_u64).unwrap_or_default(), text(&value, "msg")),
        "b" | "t" => {
            value.remove("T");
            let symbol = text(&value, "S");
            let of = if kind == "b" { Message::Minute } else { Message::Trade };
            of(symbol, Value::Object(value))
        }
        _ => return None,
    })
}

/// An error of the socket in a sentence, and whether it stays however often one tries.
pub(super) fn sentence(code: u64, message: &str) -> (String, bool) {
    let (what, stays) = match code {
        400 => ("does not understand what we say", false),
        401 => ("wants to know who we are first", false),
        402 => ("refuses the keys", true),
        403 => ("knows already who we are", false),
        404 => ("was not told in time who we are", false),
        405 => ("takes fewer symbols on this subscription", true),
        406 => ("takes no further connection with these keys: another one is open", false),
        407 => ("closes the line because we read too slowly", false),
        408 => ("has not enabled this account for its market data", true),
        409 => ("does not give this data on this subscription", true),
        410 => ("has no such channel on this line", true),
        500 => ("has failed inside", false),
        _ => ("reports an error that is not in its list", false),
    };
    let message: String = message.chars().filter(|letter| !letter.is_control()).take(100).collect();
    (format!("Alpaca {what} ({code} {message})"), stays)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn date(text: &str) -> SessionDate {
        SessionDate::parse(text).unwrap()
    }

    fn price(text: &str) -> Price {
        Price::parse(text).unwrap()
    }

    #[test]
    fn a_bar_that_cannot_be_is_none() {
        let row = |change: fn(&mut Value)| {
            let mut row =
                json!({ "t": "2024-01-02T14:30:00Z", "o": 185.1, "h": 185.25, "l": 185, "c": 185.2, "v": 7.5 });
            change(&mut row);
            Row::read(row)
        };
        let good = row(|_| {}).unwrap();
        assert_eq!((good.c, good.l, good.volume()), (price("185.2"), price("185"), 7));
        let bad: [fn(&mut Value); 8] = [
            |row| row["h"] = json!(184.9),
            |row| row["l"] = json!(-1),
            |row| row["o"] = json!(0),
            |row| row["c"] = json!(185.26),
            |row| row["v"] = json!(-1),
            |row| row["t"] = json!("yesterday"),
            |row| row["c"] = json!(null),
            |row| row["c"] = json!(1e300),
        ];
        for change in bad {
            assert!(row(change).is_err());
        }
    }

    #[test]
    fn a_trade_that_is_no_last_price_is_none() {
        let trade = |conditions: Value| {
            TradeRow::read(json!({ "t": "2024-01-02T14:30:00.5Z", "p": 185.1, "s": 100, "c": conditions, "x": "V" }))
        };
        assert!(trade(json!(["@"])).unwrap().is_some());
        assert!(trade(json!([" ", "F"])).unwrap().is_some());
        assert!(trade(json!(null)).unwrap().is_some());
        assert_eq!(trade(json!(["@", "I"])), Ok(None));
        assert!(TradeRow::read(json!({ "t": "2024-01-02T14:30:00.5Z", "p": 0, "s": 100 })).is_err());
    }

    #[test]
    fn a_page_says_whether_it_is_the_last() {
        let page = |text: &str| serde_json::from_str::<BarsPage>(text);
        assert_eq!(page(r#"{"bars":{},"next_page_token":null}"#).unwrap().next_page_token, None);
        assert_eq!(page(r#"{"bars":null,"next_page_token":"x"}"#).unwrap().next_page_token.as_deref(), Some("x"));
        assert!(page(r#"{"bars":{}}"#).is_err());
    }

    #[test]
    fn actions_of_the_day_are_splits_then_dividends_and_the_rest_is_said() {
        let symbols = by_name(&[Symbol::new("A").unwrap(), Symbol::new("B").unwrap()]);
        let row = |group: &str, row: Value| (group.to_owned(), row);
        let groups = vec![
            row("cash_dividends", json!({ "id": "1", "symbol": "A", "rate": 0.25, "ex_date": "2024-01-08" })),
            row("cash_dividends", json!({ "id": "1", "symbol": "A", "rate": 0.25, "ex_date": "2024-01-08" })),
            row("cash_dividends", json!({ "id": "2", "symbol": "A", "rate": 0.25, "ex_date": "2024-01-08" })),
            row("cash_dividends", json!({ "symbol": "A", "rate": 1, "ex_date": "2024-01-09" })),
            row("cash_dividends", json!({ "symbol": "A", "rate": 1, "ex_date": "2024-01-05" })),
            row("cash_dividends", json!({ "symbol": "B", "rate": 0, "ex_date": "2024-01-08" })),
            row("cash_dividends", json!({ "symbol": "C", "rate": 1, "ex_date": "2024-01-08" })),
            row("forward_splits", json!({ "symbol": "B", "new_rate": 3, "old_rate": 2.0, "ex_date": "2024-01-08" })),
            row("reverse_splits", json!({ "symbol": "A", "new_rate": 1, "old_rate": 8, "ex_date": "2024-01-06" })),
            row("spin_offs", json!({ "source_symbol": "A", "new_symbol": "D", "ex_date": "2024-01-08" })),
            row("name_changes", json!({ "old_symbol": "B", "process_date": "2024-03-01" })),
        ];
        let (told, left_out) = actions(groups, &symbols, date("2024-01-05"), date("2024-01-08"));
        let expected = [
            (0, "2024-01-06", ActionKind::Split { ratio: Ratio::new(1, 8).unwrap() }),
            (1, "2024-01-08", ActionKind::Split { ratio: Ratio::new(3, 2).unwrap() }),
            (0, "2024-01-08", ActionKind::Dividend { amount: price("0.5") }),
        ];
        let expected = expected.map(|(at, ex_date, kind)| CorporateAction {
            instrument: InstrumentId(at),
            ex_date: date(ex_date),
            kind,
        });
        assert_eq!(told, expected);
        assert_eq!(
            left_out,
            ["one of the cash dividends of B: 0 is no dividend", "A has spin offs in force, which is not told"]
        );
    }

    #[test]
    fn what_is_not_a_price_is_left_out_of_a_frame() {
        let frame = br#"[{"T":"u","S":"A","c":1},{"T":"b","S":"A","c":1},{"T":"c","S":"A"},{"T":"new"},{}]"#;
        assert_eq!(messages(frame), Ok(vec![Message::Minute("A".to_owned(), json!({ "S": "A", "c": 1 }))]));
        assert!(messages(br#"[{"T":"b""#).is_err());
        assert_eq!(sentence(402, "auth failed"), ("Alpaca refuses the keys (402 auth failed)".to_owned(), true));
    }
}
