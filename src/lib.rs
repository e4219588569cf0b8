//! promoterd keeps Redis masters writable.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        reason = "a test that unwraps fails where it should"
    )
)]

pub mod command;
pub mod decision;
pub mod model;
pub mod status;
