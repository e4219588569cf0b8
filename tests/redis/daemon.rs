//! A daemon with its settings, its client's file, and what its status socket says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use promoterd::model::Endpoint;
use promoterd::status::client::{self, ClientError};
use promoterd::status::{FailoverReport, GroupReport, HistoryReport, StatusReport};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::hosts::Host;
use crate::process::{PATIENCE, Process, eventually};

/// The built program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_promoterd");

/// A daemon that keeps its state and its settings when it is started again.
#[derive(Debug)]
pub struct Daemon {
    pub name: String,
    pub state: PathBuf,
    pub socket: PathBuf,
    /// The file of its client.
    pub file: PathBuf,
    pub variables: BTreeMap<String, String>,
    /// What it is started as.
    pub program: PathBuf,
    host: Option<Host>,
    log: PathBuf,
    process: Option<Process>,
}

impl Daemon {
    /// A daemon that is not yet started, whose client's file names `master`.
    pub fn new(name: &str, directory: &Path, master: &Endpoint, host: Option<Host>) -> Self {
        let path = |end: &str| directory.join(format!("{name}{end}"));
        let file = path("-api.env");
        fs::write(&file, client_file(master)).unwrap();
        let mut daemon = Self {
            name: name.to_owned(),
            state: path("-state"),
            socket: path(".sock"),
            file,
            variables: BTreeMap::new(),
            program: PROGRAM.into(),
            host,
            log: path(".log"),
            process: None,
        };
        for (key, value) in [
            ("NODE", name.to_owned()),
            ("STATE_DIR", daemon.state.display().to_string()),
            ("STATUS_SOCKET", daemon.socket.display().to_string()),
            ("CLIENTS__API__FILE", daemon.file.display().to_string()),
            ("CLIENTS__API__EDIT", "REDIS_URL".to_owned()),
            // A busy machine may not give a follower its time; most tests want a leader that stays.
            ("ELECTION_TIMEOUT", "300ms-600ms".to_owned()),
            ("LOG", "promoterd=debug".to_owned()),
        ] {
            daemon.set(key, &value);
        }
        daemon
    }

    /// Gives a setting by its name without `PROMOTERD_`.
    pub fn set(&mut self, key: &str, value: &str) {
        self.variables
            .insert(format!("PROMOTERD_{key}"), value.to_owned());
    }

    /// The program with the daemon's settings, and no others.
    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = match &self.host {
            Some(host) => host.command(&self.program),
            None => Command::new(&self.program),
        };
        command.arg(subcommand);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("PROMOTERD_") {
                command.env_remove(key);
            }
        }
        command.envs(&self.variables);
        command
    }

    /// What a subcommand that ends by itself says.
    pub fn output(&self, subcommand: &str) -> Output {
        self.command(subcommand).output().unwrap()
    }

    /// The same of one with more words.
    pub fn output_of(&self, words: &[&str]) -> Output {
        self.command(words[0]).args(&words[1..]).output().unwrap()
    }

    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        self.process = Some(Process::start(&mut self.command("run"), &self.log));
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// SIGTERM, and its end with success.
    pub fn stop(&mut self) {
        let process = self.process.take().unwrap();
        process.signal(Signal::TERM);
        let status = process.end(&format!("{} stops", self.name));
        assert_eq!(status.code(), Some(0), "{}", self.name);
    }

    /// Its end, which it finds by itself; the exit code.
    pub fn await_end(&mut self) -> Option<i32> {
        let process = self.process.take().unwrap();
        process.end(&format!("{} ends", self.name)).code()
    }

    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().unwrap().signal(signal);
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// All that it logged, over all its lives.
    pub fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What its status socket answers.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        runtime().block_on(client::get(&self.socket, path))
    }

    pub fn status(&self) -> Result<StatusReport, String> {
        self.get("/v1/status")
            .map_err(|error| format!("{}: {error}", self.name))
    }

    /// The group as it sees it.
    pub fn group(&self) -> Result<GroupReport, String> {
        let report = self.status()?;
        let group = report.groups.into_iter().next();
        group.ok_or_else(|| format!("{} knows no group", self.name))
    }

    /// Every failover that it remembers, the newest first.
    pub fn failovers(&self) -> Result<Vec<FailoverReport>, String> {
        let history: Result<HistoryReport, _> = self.get("/v1/history");
        history
            .map(|history| history.failovers)
            .map_err(|error| format!("{}: {error}", self.name))
    }

    /// Waits until it is ready.
    pub fn await_ready(&self) {
        eventually(&format!("{} is ready", self.name), || {
            self.get::<Value>("/readyz")
                .map_err(|error| error.to_string())
        });
    }

    /// Waits until its status is as `is_right` wants it.
    pub fn await_status(
        &self,
        what: &str,
        is_right: impl Fn(&StatusReport) -> bool,
    ) -> StatusReport {
        eventually(&format!("{}: {what}", self.name), || {
            let report = self.status()?;
            if is_right(&report) {
                return Ok(report);
            }
            Err(serde_json::to_string(&report).unwrap())
        })
    }

    /// Whether its client's file names `master` and is otherwise as it was made.
    pub fn file_names(&self, master: &Endpoint) -> Result<(), String> {
        let text = fs::read_to_string(&self.file).unwrap();
        if text == client_file(master) {
            return Ok(());
        }
        Err(format!(
            "the file of {} does not name {master}:\n{text}",
            self.name
        ))
    }

    /// Hears what it tells from now on.
    pub fn listen(&self) -> Listener {
        let (sender, heard) = mpsc::channel();
        let socket = self.socket.clone();
        thread::spawn(move || {
            runtime().block_on(async {
                let mut events = client::events(&socket).await.unwrap();
                // It ends with the daemon, or with the test.
                while let Ok(Some(line)) = events.next().await {
                    if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                        break;
                    }
                }
            });
        });
        let listener = Listener { heard };
        listener.await_event("hello");
        listener
    }
}

/// What a daemon tells.
pub struct Listener {
    heard: Receiver<Value>,
}

impl Listener {
    /// Waits for an event; what came before it is gone.
    pub fn await_event(&self, name: &str) -> Value {
        let mut others = Vec::new();
        loop {
            match self.heard.recv_timeout(PATIENCE) {
                Ok(event) if event["event"] == name => return event,
                Ok(event) => others.push(event["event"].to_string()),
                Err(error) => panic!("no {name} was told ({error}), but {others:?}"),
            }
        }
    }
}

/// A client's file as a person would write it, with all that must stay as it is.
pub fn client_file(master: &Endpoint) -> String {
    format!(
        "# settings of the api, kept by hand  \n\
         export APP_NAME=\"api\"\n\
         \n\
         REDIS_URL='redis://api:s%3Acret@{master}/3?timeout=1'   # kept right by promoterd\n\
         OLD_URL=redis://10.1.2.3:6379/0\r\n\
         LAST=1"
    )
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
