//! Files on mounts that refuse, for real: a full disk, a read-only one, a file that is a mount of its own.
//!
//! Mounting needs root. The test runs itself again in a mount namespace of its own, so that nothing of it
//! is seen outside, whatever becomes of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::clients::Format;
use crate::model::{Epoch, with_causes};

const INSIDE: &str = "PROMOTERD_TEST_INSIDE";
const OLD: &str = "K=a:1\n";

fn target(path: &Path) -> Target {
    Target {
        client: "api".parse().unwrap(),
        group: "features".parse().unwrap(),
        path: path.to_owned(),
        content: Content::Edit {
            format: Format::Env,
            keys: vec!["K".parse().unwrap()],
            lists: Vec::new(),
            value: None,
        },
        check: None,
        reload: None,
    }
}

fn mount(arguments: &[&str]) {
    let mounted = Command::new("mount").args(arguments).output().unwrap();
    assert!(mounted.status.success(), "mount {arguments:?}: {mounted:?}");
}

/// That the file stays, alone, and why it does.
fn refusal(path: &Path) -> String {
    let publication = Publication {
        group: "features".parse().unwrap(),
        epoch: Epoch(2),
        master: "b:2".parse().unwrap(),
        replicas: Vec::new(),
    };
    let before = fs::read_dir(path.parent().unwrap()).unwrap().count();
    let error = replace(&target(path), &publication).unwrap_err();
    assert_eq!(fs::read_to_string(path).unwrap(), OLD);
    assert_eq!(
        fs::read_dir(path.parent().unwrap()).unwrap().count(),
        before
    );
    with_causes(&error)
}

#[test]
fn a_mount_that_refuses_leaves_the_file_and_says_what_to_do() {
    if !rustix::process::geteuid().is_root() {
        return; // Nobody else can mount.
    }
    if std::env::var_os(INSIDE).is_some() {
        inside();
        return;
    }
    let name = "clients::transaction::mount_tests::a_mount_that_refuses_leaves_the_file_and_says_what_to_do";
    let ran = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && text.contains("1 passed"), "{ran:?}");
}

fn inside() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs", place]);
    let path = directory.path().join("api.env");
    fs::write(&path, OLD).unwrap();
    let text = path.to_str().unwrap();

    let fill = directory.path().join("fill");
    assert!(
        fs::write(&fill, vec![0; 1 << 20]).is_err(),
        "the disk is full"
    );
    let full = format!(
        "cannot write a copy beside client file {text}: free some space on its file system: No space \
         left on device (os error 28)"
    );
    assert_eq!(refusal(&path), full);
    fs::remove_file(fill).unwrap();

    mount(&["--bind", text, text]);
    let error = refusal(&path);
    let advice = "it is a mount of its own, which nothing can replace: mount its directory instead";
    assert!(
        error.contains("cannot rename the copy to") && error.contains(advice),
        "{error}"
    );
    let unmounted = Command::new("umount").arg(text).status().unwrap();
    assert!(unmounted.success());

    mount(&["-o", "remount,ro", place]);
    let error = refusal(&path);
    let advice =
        "it is on a read-only file system: list its directory in ReadWritePaths= of the unit";
    assert!(error.contains(text) && error.contains(advice), "{error}");

    mount(&["-o", "remount,rw", place]);
    replace(
        &target(&path),
        &Publication {
            group: "features".parse().unwrap(),
            epoch: Epoch(2),
            master: "b:2".parse().unwrap(),
            replicas: Vec::new(),
        },
    )
    .unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "K=b:2\n");
}
