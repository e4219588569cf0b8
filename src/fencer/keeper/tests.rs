//! What a fencer finds of the last one: the very process, or another one by its number.

use std::process::{Child, Command, Stdio};

use super::super::protocol::Life;
use super::*;

const OVERDUE: BootMoment = BootMoment(1);

fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
}

/// What is kept of a process of these numbers that is overdue.
fn keep(path: &Path, boot: &str, key: ProcessKey) {
    let mut holds = Holds::default();
    let hold = Hold {
        group: "features".parse().unwrap(),
        instance: "10.0.0.1:6379".parse().unwrap(),
        until: OVERDUE,
        life: Life(OVERDUE),
    };
    holds.place(key, hold).unwrap();
    fs::write(path, holds.to_keep(boot)).unwrap();
}

#[test]
fn only_the_very_process_that_was_held_is_ended_by_the_next_fencer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holds");
    let this_boot = boot_id().unwrap();
    for (boot, later, ends) in [
        (this_boot.as_str(), 0, true),
        (&this_boot, 1, false),
        ("another boot", 0, false),
    ] {
        let mut child = cat();
        let mut key = Process::open(child.id()).unwrap().key;
        // As if the number had been used again.
        key.started += later;
        keep(&path, boot, key);
        let mut keeper = Keeper::open(Trust::Vouched, path.clone()).unwrap();
        assert_eq!(keeper.next_moment().is_some(), ends, "{boot} {later}");
        keeper.end_due();
        assert_eq!(keeper.held(), 0);
        let is_ended = match ends {
            true => !child.wait().unwrap().success(),
            false => child.try_wait().unwrap().is_some(),
        };
        assert_eq!(is_ended, ends, "{boot} {later}");
        drop(child.kill());
        child.wait().unwrap();
        let kept = fs::read(&path).unwrap();
        assert_eq!(Holds::from_kept(&kept, &this_boot), Some(Holds::default()));
    }
}

#[test]
fn what_lies_there_and_cannot_be_read_is_replaced_by_what_is_held_now() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holds");
    fs::write(&path, "garbage").unwrap();
    let mut keeper = Keeper::open(Trust::Vouched, path.clone()).unwrap();
    assert_eq!((keeper.next_moment(), keeper.held()), (None, 0));
    keeper.end_due();
    let kept = fs::read(&path).unwrap();
    assert!(Holds::from_kept(&kept, &boot_id().unwrap()).is_some());
}
