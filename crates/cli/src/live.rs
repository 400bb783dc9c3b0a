//! Trading on paper and live, as a person sees and stops it.
//!
//! In reading order: [`board`] (what is shown, and what may be asked), [`web`] (as a page of this machine),
//! [`terminal`] (as text).

pub mod board;
pub mod terminal;
pub mod web;
