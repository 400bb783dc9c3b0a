//! What every function and container of the scheduled day is wired with: its environment, the adapters, a clock, and
//! for a function the loop that takes events and logs what came of them.
//!
//! A function is a step of [`algotrading::eod`] between an event and an answer, both JSON. The step is synchronous and
//! runs on a thread that may wait, so that the runtime beside it drives the clients.
//!
//! In reading order: [`world`] (environment and adapters), [`serve`] (a function), [`container`] (a task),
//! [`program`] (always on), `log`.
//!
//! Invariant: a log line says what was done and about which session; it never has data, a body or a credential.

pub mod container;
mod log;
pub mod program;
pub mod serve;
pub mod world;

pub use container::contain;
pub use program::program;
pub use serve::serve;
pub use world::World;
