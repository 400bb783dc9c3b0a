//! What a client asks for, read and checked.
//!
//! Whatever this venue cannot do is refused with a sentence; nothing is ignored that would change what trades.

use domain::{OrderKind, Price, Quantity, Trail};
use serde::Deserialize;
use serde_json::Value;

use super::super::wire::{Class, Side, Term, Type};
use super::problem::Problem;

#[derive(Debug, Default, Deserialize)]
struct Exit {
    limit_price: Option<Price>,
    stop_price: Option<Price>,
}

/// The body of `POST /v2/orders`.
#[derive(Debug, Default, Deserialize)]
struct Body {
    symbol: Option<String>,
    qty: Option<Quantity>,
    notional: Option<Value>,
    side: Option<Side>,
    #[serde(rename = "type")]
    kind: Option<Type>,
    time_in_force: Option<Term>,
    limit_price: Option<Price>,
    stop_price: Option<Price>,
    trail_price: Option<Price>,
    trail_percent: Option<Value>,
    extended_hours: Option<bool>,
    client_order_id: Option<String>,
    order_class: Option<Class>,
    legs: Option<Value>,
    take_profit: Option<Exit>,
    stop_loss: Option<Exit>,
}

/// An order that makes sense by itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) symbol: String,
    pub(super) quantity: Quantity,
    pub(super) side: Side,
    pub(super) kind: OrderKind,
    pub(super) term: Term,
    pub(super) class: Class,
    pub(super) client_order_id: Option<String>,
    pub(super) take_profit: Option<OrderKind>,
    pub(super) stop_loss: Option<OrderKind>,
}

/// The body of `PATCH /v2/orders/{id}`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Change {
    pub(super) qty: Option<Quantity>,
    pub(super) time_in_force: Option<Term>,
    pub(super) limit_price: Option<Price>,
    pub(super) stop_price: Option<Price>,
    pub(super) trail: Option<Value>,
    pub(super) client_order_id: Option<String>,
}

/// A price with no more decimals than Alpaca takes.
fn price(name: &str, price: Price) -> Result<Price, Problem> {
    if price.signum() <= 0 {
        return Err(Problem::invalid(format!("{name} must be > 0")));
    }
    if !price.is_on_tick() {
        return Err(Problem::unprocessable(format!(
            "invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria"
        )));
    }
    Ok(price)
}

pub(super) fn whole(quantity: Quantity) -> Result<Quantity, Problem> {
    if quantity.signum() <= 0 {
        return Err(Problem::invalid("qty must be > 0"));
    }
    if quantity.units() % Quantity::UNITS != 0 {
        return Err(Problem::invalid("fractional orders are not supported here: qty must be a whole number"));
    }
    Ok(quantity)
}

/// A percentage in hundredths of a percent.
fn basis_points(percent: &Value) -> Result<Trail, Problem> {
    let wrong = || Problem::invalid("trail_percent must be a number of at least 0.01, with two decimals");
    let text = percent.as_str().map_or_else(|| percent.to_string(), str::to_owned);
    let percent = Price::parse(&text).map_err(|_| wrong())?;
    let (points, rest) = (percent.units() / (Price::UNITS / 100), percent.units() % (Price::UNITS / 100));
    match u32::try_from(points) {
        Ok(points) if points > 0 && rest == 0 => Ok(Trail::BasisPoints(points)),
        _ => Err(wrong()),
    }
}

fn name(id: Option<String>) -> Result<Option<String>, Problem> {
    match id {
        Some(id) if id.is_empty() => Ok(None),
        Some(id) if id.chars().count() > 128 => {
            Err(Problem::invalid("client_order_id must be no more than 128 characters"))
        }
        id => Ok(id),
    }
}

impl Body {
    fn kind(&self, kind: Type, term: Term) -> Result<OrderKind, Problem> {
        let needs = |name: &str, value: Option<Price>| {
            let value = value.ok_or_else(|| Problem::invalid(format!("{name} is required for this type of order")))?;
            price(name, value)
        };
        let limit = || needs("limit_price", self.limit_price);
        let stop = || needs("stop_price", self.stop_price);
        let none = |name: &str, value: bool| {
            if value { Err(Problem::invalid(format!("this type of order takes no {name}"))) } else { Ok(()) }
        };
        none("limit_price", self.limit_price.is_some() && !matches!(kind, Type::Limit | Type::StopLimit))?;
        none("stop_price", self.stop_price.is_some() && !matches!(kind, Type::Stop | Type::StopLimit))?;
        let trails = self.trail_price.is_some() || self.trail_percent.is_some();
        none("trail", trails && kind != Type::TrailingStop)?;
        let auction = match term {
            Term::Day | Term::Gtc => None,
            Term::Opg => Some(OrderKind::MarketOnOpen),
            Term::Cls => Some(OrderKind::MarketOnClose),
            Term::Ioc | Term::Fok => {
                return Err(Problem::invalid("time_in_force ioc and fok are not supported here"));
            }
        };
        Ok(match (kind, auction) {
            (Type::Market, Some(auction)) => auction,
            (_, Some(_)) => {
                return Err(Problem::invalid("only market orders can be opg or cls here"));
            }
            (Type::Market, None) => OrderKind::Market,
            (Type::Limit, None) => OrderKind::Limit { limit: limit()? },
            (Type::Stop, None) => OrderKind::Stop { stop: stop()? },
            (Type::StopLimit, None) => OrderKind::StopLimit { stop: stop()?, limit: limit()? },
            (Type::TrailingStop, None) => OrderKind::TrailingStop {
                trail: match (self.trail_price, &self.trail_percent) {
                    (Some(amount), None) => Trail::Amount(price("trail_price", amount)?),
                    (None, Some(percent)) => basis_points(percent)?,
                    _ => return Err(Problem::invalid("exactly one of trail_price and trail_percent is required")),
                },
            },
        })
    }

    fn take_profit(&self) -> Result<Option<OrderKind>, Problem> {
        let Some(exit) = &self.take_profit else { return Ok(None) };
        let limit = exit.limit_price.ok_or_else(|| Problem::invalid("take_profit.limit_price is required"))?;
        Ok(Some(OrderKind::Limit { limit: price("take_profit.limit_price", limit)? }))
    }

    fn stop_loss(&self) -> Result<Option<OrderKind>, Problem> {
        let Some(exit) = &self.stop_loss else { return Ok(None) };
        let stop = exit.stop_price.ok_or_else(|| Problem::invalid("stop_loss.stop_price is required"))?;
        let stop = price("stop_loss.stop_price", stop)?;
        Ok(Some(match exit.limit_price {
            None => OrderKind::Stop { stop },
            Some(limit) => OrderKind::StopLimit { stop, limit: price("stop_loss.limit_price", limit)? },
        }))
    }
}

impl Asked {
    /// Reads the body of a request.
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        let body: Body = serde_json::from_slice(body).map_err(Problem::unreadable)?;
        if body.notional.as_ref().is_some_and(|value| !value.is_null()) {
            return Err(Problem::invalid("notional orders are not supported here: give qty"));
        }
        if body.extended_hours == Some(true) {
            return Err(Problem::invalid("orders in extended hours are not supported here"));
        }
        let class = body.order_class.unwrap_or_default();
        if class == Class::Other || body.legs.as_ref().is_some_and(|value| !value.is_null()) {
            return Err(Problem::invalid("orders of options are not supported here"));
        }
        let required = |name: &str| Problem::invalid(format!("{name} is required"));
        let symbol = body.symbol.clone().filter(|symbol| !symbol.is_empty()).ok_or_else(|| required("symbol"))?;
        let quantity = whole(body.qty.ok_or_else(|| required("qty"))?)?;
        let side = body.side.ok_or_else(|| required("side"))?;
        let kind = body.kind.ok_or_else(|| required("type"))?;
        let term = body.time_in_force.ok_or_else(|| required("time_in_force"))?;
        let (take_profit, stop_loss) = (body.take_profit()?, body.stop_loss()?);
        let kind = match (class, take_profit) {
            // The limit may be given in either place.
            (Class::Oco, Some(limit)) if kind == Type::Limit => limit,
            (Class::Oco, _) => {
                return Err(Problem::invalid("oco orders must be limit orders with take_profit.limit_price"));
            }
            _ => body.kind(kind, term)?,
        };
        match (class, take_profit.is_some(), stop_loss.is_some()) {
            (Class::Bracket, false, _) => {
                return Err(Problem::invalid("bracket orders require take_profit.limit_price"));
            }
            (Class::Bracket | Class::Oco, _, false) => {
                return Err(Problem::invalid("bracket and oco orders require stop_loss.stop_price"));
            }
            (Class::Oto, true, true) | (Class::Oto, false, false) => {
                return Err(Problem::invalid("oto orders require either take_profit or stop_loss"));
            }
            (Class::Simple, profit, loss) if profit || loss => {
                return Err(Problem::invalid("simple orders take neither take_profit nor stop_loss"));
            }
            _ => {}
        }
        if class != Class::Simple && !matches!(term, Term::Day | Term::Gtc) {
            return Err(Problem::invalid("the time_in_force of orders with legs must be day or gtc"));
        }
        let asked = Self {
            symbol,
            quantity,
            side,
            kind,
            term,
            class,
            client_order_id: name(body.client_order_id)?,
            take_profit,
            stop_loss,
        };
        asked.exits_lie_on_their_sides()?;
        Ok(asked)
    }

    /// The exit with profit lies beyond the entry, the other on its far side.
    fn exits_lie_on_their_sides(&self) -> Result<(), Problem> {
        let base = match self.kind {
            OrderKind::Limit { limit } | OrderKind::StopLimit { limit, .. } => Some(limit),
            OrderKind::Stop { stop } => Some(stop),
            _ => None,
        };
        // An OCO order is an exit itself, and its limit is the profit.
        let buys = (self.side == Side::Buy) != (self.class == Class::Oco);
        let above = |high: Price, low: Price| if buys { high > low } else { high < low };
        let profit =
            self.take_profit.and_then(|kind| if let OrderKind::Limit { limit } = kind { Some(limit) } else { None });
        let loss = self.stop_loss.and_then(|kind| match kind {
            OrderKind::Stop { stop } | OrderKind::StopLimit { stop, .. } => Some(stop),
            _ => None,
        });
        let word = |yes: bool| if yes { "above" } else { "below" };
        let wrong =
            |high: &str, low: &str| Err(Problem::unprocessable(format!("{high} must lie {} {low}", word(buys))));
        match (profit, loss, base.filter(|_| self.class != Class::Oco)) {
            (Some(profit), Some(loss), _) if !above(profit, loss) => {
                wrong("take_profit.limit_price", "stop_loss.stop_price")
            }
            (Some(profit), _, Some(base)) if !above(profit, base) => {
                wrong("take_profit.limit_price", "the entry's price")
            }
            (_, Some(loss), Some(base)) if !above(base, loss) => wrong("the entry's price", "stop_loss.stop_price"),
            _ => Ok(()),
        }
    }
}

impl Change {
    /// Reads the body of a request.
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        let mut change: Self = serde_json::from_slice(body).map_err(Problem::unreadable)?;
        change.client_order_id = name(change.client_order_id)?;
        Ok(change)
    }

    /// An order's prices with the change.
    pub(super) fn kind(&self, old: OrderKind) -> Result<OrderKind, Problem> {
        let takes = |name: &str, given: bool, may: bool| {
            if given && !may { Err(Problem::invalid(format!("this type of order takes no {name}"))) } else { Ok(()) }
        };
        let limits = matches!(old, OrderKind::Limit { .. } | OrderKind::StopLimit { .. });
        let stops = matches!(old, OrderKind::Stop { .. } | OrderKind::StopLimit { .. });
        takes("limit_price", self.limit_price.is_some(), limits)?;
        takes("stop_price", self.stop_price.is_some(), stops)?;
        takes("trail", self.trail.is_some(), matches!(old, OrderKind::TrailingStop { .. }))?;
        let new_limit = |old| self.limit_price.map_or(Ok(old), |new| price("limit_price", new));
        let new_stop = |old| self.stop_price.map_or(Ok(old), |new| price("stop_price", new));
        Ok(match old {
            OrderKind::Limit { limit } => OrderKind::Limit { limit: new_limit(limit)? },
            OrderKind::Stop { stop } => OrderKind::Stop { stop: new_stop(stop)? },
            OrderKind::StopLimit { stop, limit } => {
                OrderKind::StopLimit { stop: new_stop(stop)?, limit: new_limit(limit)? }
            }
            OrderKind::TrailingStop { trail } => OrderKind::TrailingStop {
                trail: match (&self.trail, trail) {
                    (None, trail) => trail,
                    (Some(percent), Trail::BasisPoints(_)) => basis_points(percent)?,
                    (Some(amount), Trail::Amount(_)) => {
                        let text = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
                        let amount = Price::parse(&text).map_err(|_| Problem::invalid("trail must be a number"))?;
                        Trail::Amount(price("trail", amount)?)
                    }
                },
            },
            OrderKind::Market | OrderKind::MarketOnOpen | OrderKind::MarketOnClose => old,
        })
    }
}
