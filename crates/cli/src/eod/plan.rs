//! Which session it is, whether there is one, and what is to be done in it.

use domain::{Calendar, CalendarError, SessionDate, Timestamp};
use lake::Lake;
use ports::records::{Key, Records};
use queries::Kind;
use serde::{Deserialize, Serialize};

use super::{Outcome, Trouble, What, body, put};

/// What the step is given.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Input {
    /// When the schedule fired; its date in New York is the session's.
    #[serde(default)]
    pub time: Option<Timestamp>,
    /// The session, where a person asks for it.
    #[serde(default)]
    pub session: Option<SessionDate>,
    /// Name of the execution.
    #[serde(default)]
    pub run: String,
}

/// What the step gives; the others take their parts of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The day.
    pub session: SessionDate,
    /// Whether the exchange was open.
    pub trading: bool,
    /// Why not.
    pub reason: String,
    /// Checks to be made, by name.
    pub checks: Vec<String>,
    /// Strategies to be run, by name.
    pub strategies: Vec<String>,
    /// Name of the execution.
    pub run: String,
}

/// How far a day is; the record of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRecord {
    /// `running`, `finished`, `failed` or `closed` (the exchange was).
    pub state: String,
    /// The execution that said so.
    pub run: String,
    /// When it said so.
    pub at: Timestamp,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The record of a day.
#[must_use]
pub fn day(session: SessionDate) -> Key {
    Key::new("eod", session.to_string())
}

/// Says how far a day is. A day that was finished stays so, whatever a later attempt comes to.
///
/// # Errors
/// The record cannot be read or written.
pub fn mark(records: &dyn Records, session: SessionDate, record: &DayRecord) -> Outcome<()> {
    let key = day(session);
    for _ in 0..8 {
        let seen = records.get(&key)?;
        if let Some(seen) = &seen
            && body::<DayRecord>(&key, seen)?.state == "finished"
        {
            return Ok(());
        }
        if put(records, &key, record, seen.map_or(0, |seen| seen.version))? {
            return Ok(());
        }
    }
    Err(Trouble::new(What::Transient, format!("the record {key} is being written by others all the time")))
}

/// Plans a day.
///
/// # Errors
/// No session is named, it is not over yet, or it lies outside the calendar.
pub fn plan(lake: &Lake, records: &dyn Records, input: &Input, now: Timestamp) -> Outcome<Plan> {
    let calendar = Calendar::nyse();
    let session = match (input.session, input.time) {
        (Some(session), _) => session,
        (None, Some(time)) => calendar.date_of(time),
        (None, None) => {
            let text = "neither `session` nor `time` is given; send {\"session\": \"2013-03-01\"}";
            return Err(Trouble::new(What::BadInput, text));
        }
    };
    let mut plan = Plan {
        session,
        trading: true,
        reason: String::new(),
        checks: Vec::new(),
        strategies: Vec::new(),
        run: input.run.clone(),
    };
    let state = match calendar.session(session) {
        Ok(open) if open.close > now => {
            let text = format!("the session of {session} closes at {}; run its end of day after that", open.close);
            return Err(Trouble::new(What::BadInput, text));
        }
        Ok(_) => "running",
        Err(CalendarError::Closed(_)) => {
            plan.trading = false;
            plan.reason = format!("the New York Stock Exchange is closed on {session}, {}", weekday(session));
            "closed"
        }
        Err(error) => return Err(Trouble::new(What::BadInput, error.to_string())),
    };
    if plan.trading {
        let checks = queries::all().iter().filter(|query| matches!(query.kind, Kind::Check(_)));
        plan.checks = checks.map(|query| query.name.to_owned()).collect();
        plan.strategies = super::trade::strategies(lake)?;
    }
    let record = DayRecord { state: state.to_owned(), run: input.run.clone(), at: now, reason: plan.reason.clone() };
    mark(records, session, &record)?;
    Ok(plan)
}

fn weekday(date: SessionDate) -> &'static str {
    ["a Monday", "a Tuesday", "a Wednesday", "a Thursday", "a Friday", "a Saturday", "a Sunday"]
        .get(date.weekday() as usize)
        .copied()
        .unwrap_or_default()
}
