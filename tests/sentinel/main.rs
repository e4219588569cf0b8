//! The Sentinel endpoint of the built daemon: beside a real Sentinel, under load, and with real client
//! libraries.
//!
//! `bash tests/clients` gets the libraries.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that unwraps fails where it should, and what it prints explains the failure"
)]

mod alone;
mod beside_sentinel;
mod clients;
mod endpoint;
mod load;
mod rust_clients;
mod subscribers;
mod wire;
mod writer;

#[path = "../redis/cluster.rs"]
#[allow(
    dead_code,
    reason = "made for the tests of tests/redis, which use more of it"
)]
mod cluster;
#[path = "../redis/daemon.rs"]
#[allow(
    dead_code,
    reason = "made for the tests of tests/redis, which use more of it"
)]
mod daemon;
#[path = "../redis/hosts.rs"]
#[allow(
    dead_code,
    reason = "made for the tests of tests/redis, which use more of it"
)]
mod hosts;
#[path = "../redis/process.rs"]
#[allow(
    dead_code,
    reason = "made for the tests of tests/redis, which use more of it"
)]
mod process;
#[path = "../redis/server.rs"]
#[allow(
    dead_code,
    reason = "made for the tests of tests/redis, which use more of it"
)]
mod server;
