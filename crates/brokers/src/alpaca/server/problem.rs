//! What is answered when something is wrong: Alpaca's codes, and its words where they are known.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{Quantity, Symbol};
use engine::Refusal;
use serde_json::{Value, json};

use super::floor::Declined;

/// An answer that is not what was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Problem {
    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, body: json!({ "code": code, "message": message.into() }) }
    }

    /// The body is no JSON, or not of the right form.
    pub(super) fn unreadable(why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 40_010_000, format!("request body format is invalid: {why}"))
    }

    /// What is asked for makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, 40_010_001, message)
    }

    /// It makes sense, and cannot be processed.
    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, 42_210_000, message)
    }

    /// The account may not.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, 40_310_000, message)
    }

    /// There is no such thing.
    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, 40_410_000, message)
    }

    /// The keys are wrong.
    pub(super) fn stranger() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 40_110_000, "request is not authorized")
    }

    /// The body is longer than any order.
    pub(super) fn too_large(most: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, 41_310_000, format!("the body is larger than {most} bytes"))
    }

    /// The rest of the body did not come.
    pub(super) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, 40_810_000, "the body took too long")
    }

    /// The server cannot go on.
    pub(super) fn broken(why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, 50_010_000, format!("the paper account cannot go on: {why}"))
    }

    /// Shares that are not free to be sold, or bought back.
    pub(super) fn not_available(symbol: &Symbol, asked: Quantity, existing: Quantity, available: Quantity) -> Self {
        let message = format!("insufficient qty available for order (requested: {asked}, available: {available})");
        let held = existing.sub(available).unwrap_or_default();
        let body = json!({
            "code": 40_310_000,
            "message": message,
            "symbol": symbol,
            "existing_qty": existing,
            "held_for_orders": held,
            "available": available,
        });
        Self { status: StatusCode::FORBIDDEN, body }
    }
}

impl From<domain::Overflow> for Problem {
    fn from(error: domain::Overflow) -> Self {
        Self::unprocessable(error.to_string())
    }
}

impl From<Declined> for Problem {
    fn from(declined: Declined) -> Self {
        let reason = match declined {
            Declined::Failed(error) => return Self::broken(error),
            Declined::Limit(reason) => reason,
        };
        match reason {
            reason @ Refusal::NotEnoughBuyingPower { .. } => {
                Self::forbidden(format!("insufficient buying power: {reason}"))
            }
            reason @ (Refusal::NothingToTrade | Refusal::PriceNotPositive | Refusal::OutOfRange) => {
                Self::invalid(format!("the order is refused: {reason}"))
            }
            reason => Self::forbidden(format!("the order is refused: {reason}")),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, "application/json")], self.body.to_string()).into_response()
    }
}
