//! What is answered, in the form of Alpaca's API. Amounts are text, as there.

use domain::{InstrumentId, Money, Notional, OrderKind, Overflow, Timestamp, Trail};
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};
use trading::Broker;

use super::super::wire::{Percent, Side, Status, Type};
use super::floor::{Floor, Held};
use super::house::{House, Row};

/// The kinds of things that have ids.
pub(super) const ACCOUNT: u16 = 1;
pub(super) const ASSETS: u16 = 2;
pub(super) const ORDERS: u16 = 3;
pub(super) const EXECUTIONS: u16 = 4;

/// The start that ids have which are the same after every start.
const ALWAYS: u64 = 0;

/// An id in the form that Alpaca's have: what it is of, the server's start that it is from, and a number.
pub(super) fn uuid(kind: u16, start: u64, number: u64) -> String {
    let (high, low) = (start >> 12 & 0xffff_ffff, start & 0xfff);
    format!("{high:08x}-{kind:04x}-4{low:03x}-8000-{number:012x}")
}

/// A word of the API.
pub(super) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn kind(kind: OrderKind) -> Type {
    match kind {
        OrderKind::Market | OrderKind::MarketOnOpen | OrderKind::MarketOnClose => Type::Market,
        OrderKind::Limit { .. } => Type::Limit,
        OrderKind::Stop { .. } => Type::Stop,
        OrderKind::StopLimit { .. } => Type::StopLimit,
        OrderKind::TrailingStop { .. } => Type::TrailingStop,
    }
}

/// An order; with its legs where they are asked for.
pub(super) fn order<B: Broker>(house: &House<B>, at: usize, nested: bool) -> Value {
    let row: &Row = &house.rows[at];
    let (limit, stop) = match row.kind {
        OrderKind::Limit { limit } => (Some(limit), None),
        OrderKind::Stop { stop } => (None, Some(stop)),
        OrderKind::StopLimit { stop, limit } => (Some(limit), Some(stop)),
        _ => (None, None),
    };
    let (trail_price, trail_percent) = match row.kind {
        OrderKind::TrailingStop { trail: Trail::Amount(amount) } => (Some(amount), None),
        OrderKind::TrailingStop { trail: Trail::BasisPoints(points) } => (None, Some(Percent(points))),
        _ => (None, None),
    };
    let ended = |status: Status| row.ended_at.filter(|_| row.status == status);
    let id = |at: Option<usize>| at.map(|at| house.rows[at].id.as_str());
    let legs = nested && !row.legs.is_empty();
    json!({
        "id": row.id,
        "client_order_id": row.client_order_id,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "submitted_at": row.created_at,
        "filled_at": row.filled_at,
        "expired_at": ended(Status::Expired),
        "canceled_at": ended(Status::Canceled),
        "failed_at": ended(Status::Rejected),
        "replaced_at": ended(Status::Replaced),
        "replaced_by": id(row.replaced_by),
        "replaces": id(row.replaces),
        "asset_id": asset_id(row.instrument),
        "symbol": house.floor.symbols()[row.instrument.index()],
        "asset_class": "us_equity",
        "notional": null,
        "qty": row.quantity,
        "filled_qty": row.filled,
        "filled_avg_price": row.average(),
        "order_class": row.class,
        "order_type": kind(row.kind),
        "type": kind(row.kind),
        "side": row.side,
        "time_in_force": row.term,
        "limit_price": limit,
        "stop_price": stop,
        "trail_price": trail_price,
        "trail_percent": trail_percent,
        "hwm": null,
        "status": row.status,
        "extended_hours": false,
        "legs": legs.then(|| row.legs.iter().map(|leg| order(house, *leg, false)).collect::<Vec<_>>()),
    })
}

fn asset_id(instrument: InstrumentId) -> String {
    uuid(ASSETS, ALWAYS, u64::from(instrument.0) + 1)
}

/// An instrument by its symbol or id.
pub(super) fn instrument<B: Broker>(floor: &Floor<B>, name: &str) -> Option<InstrumentId> {
    let by_id = || {
        let ids = (0..floor.symbols().len()).filter_map(|at| u32::try_from(at).ok().map(InstrumentId));
        ids.into_iter().find(|id| asset_id(*id).eq_ignore_ascii_case(name))
    };
    floor.instrument(name).or_else(by_id)
}

pub(super) fn asset<B: Broker>(floor: &Floor<B>, instrument: InstrumentId) -> Value {
    let symbol = &floor.symbols()[instrument.index()];
    json!({
        "id": asset_id(instrument),
        "class": "us_equity",
        "exchange": "NYSE",
        "symbol": symbol,
        "name": symbol,
        "status": "active",
        "tradable": true,
        "marginable": floor.limits().margin.initial_long < 1.0,
        "shortable": true,
        "easy_to_borrow": true,
        "fractionable": false,
        "attributes": [],
    })
}

fn ratio(part: f64, whole: f64) -> String {
    format!("{:.6}", if whole == 0.0 { 0.0 } else { part / whole })
}

pub(super) fn position<B: Broker>(house: &House<B>, held: &Held) -> Result<Value, Overflow> {
    let Held { instrument, quantity, entry_price, price, last_close } = *held;
    let value = price.times(quantity);
    let cost = entry_price.times(quantity);
    let yesterday = last_close.times(quantity);
    let (profit, today) = (value.minus(cost).to_money()?, value.minus(yesterday).to_money()?);
    Ok(json!({
        "asset_id": asset_id(instrument),
        "symbol": house.floor.symbols()[instrument.index()],
        "exchange": "NYSE",
        "asset_class": "us_equity",
        "asset_marginable": house.floor.limits().margin.initial_long < 1.0,
        "avg_entry_price": entry_price,
        "qty": quantity,
        "qty_available": Side::of(quantity).signed(house.available(instrument, &[])),
        "side": if quantity.signum() < 0 { "short" } else { "long" },
        "market_value": value.to_money()?,
        "cost_basis": cost.to_money()?,
        "unrealized_pl": profit,
        "unrealized_plpc": ratio(profit.to_f64(), cost.abs().to_f64()),
        "unrealized_intraday_pl": today,
        "unrealized_intraday_plpc": ratio(today.to_f64(), yesterday.abs().to_f64()),
        "current_price": price,
        "lastday_price": last_close,
        "change_today": ratio(price.to_f64() - last_close.to_f64(), last_close.to_f64()),
    }))
}

pub(super) fn account<B: Broker>(floor: &Floor<B>) -> Result<Value, Overflow> {
    let (book, margin) = (floor.book(), floor.limits().margin);
    let (long, short) = floor.held()?.iter().fold((Notional::ZERO, Notional::ZERO), |(long, short), held| {
        let value = held.price.times(held.quantity);
        if held.quantity.signum() > 0 { (long.plus(value), short) } else { (long, short.plus(value)) }
    });
    let share = |value: Notional, rate: f64| value.abs().basis_points(rate * 10_000.0);
    let initial = share(long, margin.initial_long)?.add(share(short, margin.initial_short)?)?;
    let equity = book.equity()?;
    let free = equity.sub(initial)?.max(Money::ZERO);
    // Without a margin requirement there is no limit; what is free is then said as it is.
    let multiplier = if margin.initial_long > 0.0 { 1.0 / margin.initial_long } else { 1.0 };
    let power = Money::from_f64(free.to_f64() * multiplier).ok_or(Overflow)?;
    Ok(json!({
        "id": uuid(ACCOUNT, ALWAYS, 1),
        "account_number": "PAPER",
        "status": "ACTIVE",
        "crypto_status": "INACTIVE",
        "currency": "USD",
        "cash": book.cash(),
        "equity": equity,
        "portfolio_value": equity,
        "last_equity": floor.last_equity(),
        "long_market_value": long.to_money()?,
        "short_market_value": short.to_money()?,
        "initial_margin": initial,
        "maintenance_margin": share(book.gross(), margin.maintenance)?,
        "last_maintenance_margin": "0",
        "buying_power": power,
        "regt_buying_power": power,
        "daytrading_buying_power": "0",
        "non_marginable_buying_power": free,
        "multiplier": format!("{multiplier}"),
        "sma": "0",
        "accrued_fees": "0",
        "pending_transfer_in": "0",
        "pending_transfer_out": "0",
        "pattern_day_trader": false,
        "trading_blocked": false,
        "transfers_blocked": false,
        "account_blocked": false,
        "trade_suspended_by_user": false,
        "shorting_enabled": true,
        "created_at": Timestamp::default(),
    }))
}

/// A fill as an account activity.
pub(super) fn activity<B: Broker>(house: &House<B>, at: usize) -> Value {
    let fill = &house.fills[at];
    let row = &house.rows[fill.order];
    let whole = fill.cumulative >= row.quantity;
    json!({
        "id": activity_id(house, at),
        "account_id": uuid(ACCOUNT, ALWAYS, 1),
        "activity_type": "FILL",
        "type": if whole { "fill" } else { "partial_fill" },
        "transaction_time": fill.at,
        "order_id": row.id,
        "order_status": if whole { Status::Filled } else { Status::PartiallyFilled },
        "symbol": house.floor.symbols()[row.instrument.index()],
        "side": row.side,
        "qty": fill.quantity,
        "price": fill.price,
        "cum_qty": fill.cumulative,
        "leaves_qty": row.quantity.sub(fill.cumulative).unwrap_or_default(),
    })
}

/// Time and id, so that ids sort as their fills happened.
pub(super) fn activity_id<B: Broker>(house: &House<B>, at: usize) -> String {
    let fill = &house.fills[at];
    let seconds = jiff::Timestamp::from_nanosecond(i128::from(fill.at.nanos()));
    let time = seconds.map(|at| at.strftime("%Y%m%d%H%M%S%3f").to_string()).unwrap_or_default();
    format!("{time}::{}", fill.id)
}

/// Date and time in New York, and how many hours that is from UTC.
fn local(at: Timestamp) -> Option<(jiff::civil::DateTime, i32)> {
    let zone = TimeZone::get("America/New_York").ok()?;
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).ok()?;
    let offset = zone.to_offset(at);
    Some((offset.to_datetime(at), offset.seconds() / 3_600))
}

pub(super) fn clock<B: Broker>(floor: &Floor<B>) -> Value {
    let now = floor.now();
    let sessions = floor.sessions();
    let opens = sessions.iter().find(|session| session.open > now).map(|session| session.open);
    let closes = sessions.iter().find(|session| session.close > now).map(|session| session.close);
    let zoned = |at: Option<Timestamp>| at.and_then(local).map(|(at, hours)| format!("{at}{hours:+03}:00"));
    json!({
        "timestamp": zoned(Some(now)),
        "is_open": floor.trades(),
        "next_open": zoned(opens),
        "next_close": zoned(closes),
    })
}

/// Sessions from one date to another, both inclusive.
pub(super) fn calendar<B: Broker>(floor: &Floor<B>, start: &str, end: &str) -> Vec<Value> {
    let days = floor.sessions().iter().map(|session| (session.date.to_string(), session));
    let within = days
        .filter(|(date, _)| (start.is_empty() || date.as_str() >= start) && (end.is_empty() || date.as_str() <= end));
    let time = |at| local(at).map(|(at, _)| at.strftime("%H:%M").to_string());
    within
        .map(|(date, session)| json!({ "date": date, "open": time(session.open), "close": time(session.close) }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::wire::{Class, Term};
    use super::*;

    #[test]
    fn ids_have_the_form_of_uuids_and_words_are_the_apis() {
        assert_eq!(uuid(ORDERS, ALWAYS, 10), "00000000-0003-4000-8000-00000000000a");
        assert_eq!(uuid(ORDERS, 0x0123_4567_89ab_cdef, 10), "56789abc-0003-4def-8000-00000000000a");
        assert_eq!(word(&Status::PartiallyFilled), "partially_filled");
        assert_eq!(word(&Class::Oco), "oco");
        assert_eq!(word(&Term::Gtc), "gtc");
        assert_eq!(word(&Type::TrailingStop), "trailing_stop");
    }
}
