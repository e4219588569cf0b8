//! The demo shows what it says, and leaves nothing behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::PROGRAM;
use crate::process::{Process, Turn, eventually};

/// Processes that have `directory` in their environment, or work in it: a server writes its title over
/// its environment.
fn processes_in(directory: &Path) -> Vec<String> {
    let wanted = format!("TMPDIR={}", directory.display());
    let is_there = |process: &fs::DirEntry| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        let place = fs::read_link(process.path().join("cwd"));
        variables.any(|variable| variable == wanted.as_bytes())
            || place.is_ok_and(|place| place.starts_with(directory))
    };
    let processes = fs::read_dir("/proc").unwrap().map(Result::unwrap);
    processes
        .filter(is_there)
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}

/// What the demo of a fault prints with `--json`.
fn demonstrate(arguments: &[&str]) -> Value {
    let _turn = Turn::take();
    let directory = TempDir::new().unwrap();
    let output = Command::new(PROGRAM)
        .args(["demo", "--json"])
        .args(arguments)
        .env("TMPDIR", directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(processes_in(directory.path()), [""; 0]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_seen(seen: &Value) {
    for span in [
        "loss_to_writable_ms",
        "writable_to_files_ms",
        "client_pause_ms",
    ] {
        assert!(
            seen[span].as_f64().is_some_and(|span| span >= 0.0),
            "{span} in {seen}"
        );
    }
    assert!(seen["acked_writes"].as_u64() > Some(100), "{seen}");
    assert!(
        seen["acked_writes_lost"].as_u64() < seen["acked_writes"].as_u64(),
        "{seen}"
    );
    let [old, new] = ["old_master", "new_master"].map(|name| seen[name].as_str().unwrap());
    let [before, after] = ["file_before", "file_after"].map(|name| seen[name].as_str().unwrap());
    assert_ne!(old, new);
    assert!(before.contains(old), "{seen}");
    assert_eq!(before.replace(old, new), after);
    let steps = seen["steps"].as_array().unwrap();
    let steps: Vec<&str> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(steps.first(), Some(&"agreed"));
    assert!(
        steps.contains(&"promoted") && steps.contains(&"files_rewritten"),
        "{steps:?}"
    );
}

#[test]
fn the_demo_of_a_crash_shows_a_failover() {
    let seen = demonstrate(&[]);
    assert_eq!(seen["fault"], "kill");
    assert_seen(&seen);
}

#[test]
fn the_demo_of_a_hang_shows_a_failover_that_waits_for_down_after() {
    let seen = demonstrate(&["--fault", "hang", "--set", "GROUPS__DEMO__DOWN_AFTER=400ms"]);
    assert_eq!(seen["fault"], "hang");
    assert_seen(&seen);
    assert!(seen["loss_to_writable_ms"].as_f64() > Some(300.0), "{seen}");
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    let _turn = Turn::take();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let directory = TempDir::new().unwrap();
        let log = TempDir::new().unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("demo").env("TMPDIR", directory.path());
        let demo = Process::start(&mut command, &log.path().join("log"));
        // Itself, three servers and three daemons.
        eventually("all of it runs", || {
            let processes = processes_in(directory.path());
            match processes.len() {
                7.. => Ok(()),
                _ => Err(format!("{processes:?}")),
            }
        });
        demo.signal(signal);
        let status = demo.end("it stops");
        let left = processes_in(directory.path());
        for process in &left {
            let process = Pid::from_raw(process.parse().unwrap()).unwrap();
            kill_process(process, Signal::KILL).unwrap();
        }
        assert_eq!((status.code(), left), (Some(1), Vec::new()), "{signal:?}");
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            0,
            "{signal:?}"
        );
    }
}
