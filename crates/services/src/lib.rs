//! The programs that are always on, as loops over ports: prices come in as a stream, the runner answers them with
//! orders, the broker adapter carries these out, and the guardian stops what breaks a limit.
//!
//! Each loop is one thread that waits for nothing longer than it may be silent: it looks at its ports, does what is to be
//! done, shows that it lives, and looks whether it is to stop. Who is killed is started again and goes on where it was:
//! what must not be forgotten lies in the journal's table.
//!
//! In reading order: [`here`] (what all have), [`table`] (a journal that one writer at a time has), [`post`] (queues as a
//! channel), [`wire`] (the market stream), [`past`] (what a
//! strategy was shown), then the programs: [`market`], [`broker`], [`runner`], [`guardian`]; and what
//! people do about them: [`operator`], [`fetch`].
//!
//! Invariant: a line of the log says what was done; it never has a body or a credential.

pub mod broker;
pub mod fetch;
pub mod guardian;
pub mod here;
pub mod market;
pub mod operator;
pub mod past;
pub mod post;
pub mod runner;
pub mod table;
pub mod wire;

pub use here::Here;
