//! A systemd of its own in namespaces, by `tests/lab/systemd-lab`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A booted systemd, until dropped; it also goes away when the test is killed.
pub struct Lab {
    name: String,
    // Its standard input keeps the lab up.
    holder: Child,
}

/// A file of the checkout.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn systemd_lab(name: &str) -> Command {
    let mut command = Command::new("bash");
    command
        .arg(file("tests/lab/systemd-lab"))
        .args(["-n", name]);
    command
}

impl Lab {
    pub fn start() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "a systemd of its own needs root: run the tests as root, or leave out `--test service`"
        );
        let name = format!("s{}", std::process::id());
        let mut holder = systemd_lab(&name)
            .arg("hold")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = BufReader::new(holder.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        assert_eq!(said, "up\n", "systemd-lab: see what it says above");
        Self { name, holder }
    }

    /// Puts a file in its place, with a mode such as `0755`.
    pub fn push(&self, from: &Path, to: &str, mode: &str) {
        self.order(&["push", from.to_str().unwrap(), to, mode]);
    }

    /// Runs a shell script inside, and returns what it prints.
    pub fn shell(&self, script: &str) -> String {
        self.order(&["run", "bash", "-euc", script])
    }

    /// Waits until `systemctl show` says this of a unit, such as `NRestarts=1`; at most so many seconds.
    pub fn wait(&self, unit: &str, property: &str, seconds: u32) {
        self.order(&["wait", unit, property, &seconds.to_string()]);
    }

    /// Runs a script again and again until it prints what is expected, or ten seconds are over.
    pub fn await_output(&self, script: &str, expected: &str) {
        let patient = format!(
            "for i in $(seq 200); do said=$({script} || true); [ \"$said\" = '{expected}' ] && exit; sleep 0.05; done; \
             echo \"$said\"; exit 1"
        );
        let output = systemd_lab(&self.name)
            .args(["run", "bash", "-uc", &patient])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{script}: {said}, not {expected}");
    }

    fn order(&self, words: &[&str]) -> String {
        let output = systemd_lab(&self.name).args(words).output().unwrap();
        let (said, complained) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "systemd-lab {words:?}: {}\n{said}{complained}",
            output.status
        );
        said.into_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}
