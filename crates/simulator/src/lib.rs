//! A market made of recorded bars: it replays them to the engine and fills the engine's orders on later data only.
//!
//! For each session [`replay::run`] opens the session, charges for borrowed shares, applies corporate actions, lets
//! the [`venue`] match the orders decided earlier against the session (opening auction, then during the session,
//! then closing auction), and only then shows the finished bars to the strategy. What it decides meets the next
//! session at the earliest. Prices inside a bar are unknown; where the order of events matters, the one that costs
//! more money is assumed and counted.
//!
//! In reading order: [`market`] (what is replayed), [`costs`] (fees, slippage, borrowing), [`venue`] (matching),
//! [`replay`] (the loop).
//!
//! Invariant: no clock, no randomness, no input or output; the same market and configuration give the same events.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod costs;
pub mod market;
pub mod replay;
pub mod venue;

pub use costs::Costs;
pub use market::{Market, MarketError};
pub use replay::{Observer, SimulationError, run};
pub use venue::{Phase, Venue, VenueError};
