//! Hosts in network namespaces of their own, by `tests/lab/netlab`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Hosts on one network, until dropped; they also go away when the test is killed.
pub struct Lab {
    name: String,
    // Its standard input keeps the lab up.
    holder: Child,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Host {
    lab: String,
    number: usize,
}

fn netlab(name: &str) -> Command {
    let program: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/netlab");
    let mut command = Command::new("bash");
    command.arg(program).args(["-n", name]);
    command
}

impl Lab {
    pub fn start(hosts: usize) -> Self {
        static LABS: AtomicUsize = AtomicUsize::new(0);
        assert!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root: run the tests as root, or leave out those named `cut::`"
        );
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}n{number}", std::process::id() % 1_000_000);
        let mut holder = netlab(&name)
            .args(["hold", &hosts.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = BufReader::new(holder.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        assert_eq!(said, "up\n", "netlab hold {hosts}: see what it says above");
        Self { name, holder }
    }

    /// Host 1, 2, ...
    pub fn host(&self, number: usize) -> Host {
        Host {
            lab: self.name.clone(),
            number,
        }
    }

    /// `netlab` with these words.
    pub fn run(&self, words: &[&str]) {
        let status = netlab(&self.name).args(words).status().unwrap();
        assert!(status.success(), "netlab {words:?}: {status}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}

impl Host {
    /// Its address.
    pub fn address(&self) -> String {
        format!("10.77.0.{}", self.number)
    }

    /// Has the calling thread be there from now on.
    pub fn enter(&self) {
        let space = File::open(format!("/run/netns/{}-{}", self.lab, self.number)).unwrap();
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(space.as_fd(), kind).unwrap();
    }

    /// A program there; its process is the one that is started, since all in between only `exec`.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = netlab(&self.lab);
        command
            .args(["exec", &self.number.to_string()])
            .arg(program);
        command
    }
}
