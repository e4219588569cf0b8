//! promoterd keeps Redis masters writable.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        reason = "a test that unwraps fails where it should"
    )
)]

pub mod clients;
pub mod consensus;
pub mod daemon;
pub mod decision;
pub mod model;
pub mod peer;
pub mod redis;
pub mod settings;
