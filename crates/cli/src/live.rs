//! Trading on paper and live in one process, on a folder.
//!
//! The folder of an account holds what must outlive the process: who trades what ([`account`]), the market as it was
//! told and the journal of every step ([`kept`]), and what people asked for ([`requests`]). The loop ([`drive`]) takes
//! requests first, then the market ([`feeds`]), and gives both to [`trading::Trader`].
//!
//! In reading order: [`account`], [`kept`], [`heads`], [`requests`], [`feeds`], [`limits`], [`brokers`], [`drive`], [`paper`], [`real`], [`kill`],
//! [`board`] (what a person sees), [`web`] (as a page of this machine), [`terminal`] (as text), [`watch`] (who looks).

pub mod account;
pub mod board;
pub mod brokers;
pub mod drive;
pub mod feeds;
pub mod fix;
pub mod heads;
pub mod kept;
pub mod keys;
pub mod kill;
pub mod limits;
pub mod paper;
pub mod real;
pub mod requests;
pub mod terminal;
pub mod watch;
pub mod web;
