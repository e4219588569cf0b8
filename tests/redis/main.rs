//! The built daemon against real servers: everything here is a process, and time is real.
//!
//! What is to be seen is asked where an operator would look: the status socket, `INFO` of the
//! servers, the clients' files. A test that fails prints the logs of its processes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that unwraps fails where it should, and what it prints explains the failure"
)]

mod access;
mod belonging;
mod cluster;
mod comeback;
mod crash;
mod crowd;
mod cut;
mod daemon;
mod demo;
mod discovery;
mod disk;
mod fence;
mod files;
mod following;
mod following_cut;
mod guard;
mod hang;
mod hosts;
mod impostor;
mod keys;
mod minority;
mod moving;
mod nemesis;
mod observer;
mod partition;
mod pausing;
mod process;
mod proxies;
mod readers;
mod registering;
mod renamed;
mod rescue;
mod restarts;
mod sentinel;
mod server;
mod settings;
mod site;
mod starved;
mod stops;
mod strict;
mod switchover;
mod witness;
mod writing;
