//! A systemd of its own in namespaces, by `tests/lab/systemd-lab`; several of them on one network, by
//! `tests/lab/netlab`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A booted systemd, until dropped; it also goes away when the test is killed.
pub struct Lab {
    name: String,
    _held: Held,
}

/// Hosts on one network, with nothing in them; until dropped, likewise.
pub struct Network {
    name: String,
    _held: Held,
}

/// What a script keeps up for as long as its standard input is open.
struct Held(Child);

/// A file of the checkout.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn lab_script(program: &str, name: &str) -> Command {
    let mut command = Command::new("bash");
    command
        .arg(file("tests/lab").join(program))
        .args(["-n", name]);
    command
}

impl Held {
    fn hold(program: &str, name: &str, words: &[&str]) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "a systemd of its own needs root: run the tests as root, or leave out `--test service`"
        );
        let mut child = lab_script(program, name)
            .arg("hold")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        assert_eq!(said, "up\n", "{program}: see what it says above");
        Self(child)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

impl Network {
    pub fn start(hosts: usize) -> Self {
        let name = format!("v{}", std::process::id() % 1_000_000);
        let held = Held::hold("netlab", &name, &[&hosts.to_string()]);
        Self { name, _held: held }
    }

    /// A systemd on host 1, 2, ..., with the checkout at `/root/promoterd`.
    pub fn boot(&self, host: usize) -> Lab {
        let namespace = format!("{}-{host}", self.name);
        let checkout = format!("{}:/root/promoterd:ro", file("").display());
        Lab::boot(&namespace, &["--netns", &namespace, "--bind", &checkout])
    }
}

impl Lab {
    /// One by itself.
    pub fn start() -> Self {
        static LABS: AtomicUsize = AtomicUsize::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        Self::boot(&format!("s{}n{number}", std::process::id()), &[])
    }

    fn boot(name: &str, words: &[&str]) -> Self {
        let held = Held::hold("systemd-lab", name, words);
        let name = name.to_owned();
        Self { name, _held: held }
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
        let output = lab_script("systemd-lab", &self.name)
            .args(["run", "bash", "-uc", &patient])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{script}: {said}, not {expected}");
    }

    fn order(&self, words: &[&str]) -> String {
        let output = lab_script("systemd-lab", &self.name)
            .args(words)
            .output()
            .unwrap();
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
