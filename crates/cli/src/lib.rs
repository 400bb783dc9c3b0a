//! The `algotrading` command, as a library: the program is a screen of wiring around it, and a strategy of your own
//! runs through the same doors (see `examples/own_strategy.rs`).
//!
//! A command reads its run file ([`config`]), takes the market from the lake and runs engine and venue over it
//! ([`backtest`]), collects what the report shows ([`collect`]) and leaves a folder that appears whole or not at all
//! ([`folder`]).
//!
//! In reading order: [`args`] (the command line), [`layers`], [`config`], [`backtest`], [`collect`], [`folder`], [`lookahead`], [`cut`],
//! [`targets`] (a table as a strategy), [`origin`] (where its file is), [`shelf`] (models), [`eod`] (the scheduled day), [`live`] (trading on paper and live), [`rows`] (their features), [`serving`] (a model behind HTTP), [`sibling`] (programs beside this one), [`mod@print`], [`command`].
//!
//! Invariant: standard output carries the answer and nothing else; a failure is one sentence on standard error.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod args;
pub mod backtest;
pub mod collect;
pub mod command;
pub mod config;
pub mod cut;
pub mod eod;
pub mod folder;
mod keys;
pub mod layers;
pub mod live;
pub mod lookahead;
pub mod origin;
pub mod print;
pub mod rows;
pub mod serving;
pub mod shelf;
pub mod sibling;
pub mod targets;
