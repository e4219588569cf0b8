//! The fencer against real servers and a real systemd: who is ended when, who lives, and who may ask.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that unwraps fails where it should; what is printed goes to its parent, or is a figure"
)]

mod client;
mod ground;
mod holding;
#[allow(
    dead_code,
    reason = "what tests/service needs of it beside what is needed here"
)]
#[path = "../service/lab.rs"]
mod lab;
mod lateness;
#[allow(
    dead_code,
    reason = "what tests/redis needs of it beside what is needed here"
)]
#[path = "../redis/process.rs"]
mod process;
mod refusing;
mod service;
