//! A real server, and what it says of itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use promoterd::model::Endpoint;
use redis::{Connection, FromRedisValue, RedisResult};
use rustix::process::Signal;

use crate::hosts::Host;
use crate::process::{Process, eventually};

/// Longest time that a server may take to answer; less than a test waits for anything.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Debian's.
    Redis7,
    Redis8,
    Valkey9,
}

impl Kind {
    fn program(self) -> PathBuf {
        let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers");
        let program = match self {
            Self::Redis7 => return "redis-server".into(),
            Self::Redis8 => fetched.join("redis-server-8"),
            Self::Valkey9 => fetched.join("valkey-server-9"),
        };
        assert!(
            program.is_file(),
            "{} is missing: run `bash tests/servers`",
            program.display()
        );
        program
    }
}

/// A server on an address of its own, which it keeps when it is started again.
#[derive(Debug)]
pub struct Server {
    pub endpoint: Endpoint,
    pub directory: PathBuf,
    program: PathBuf,
    arguments: Vec<OsString>,
    host: Option<Host>,
    /// How this test logs in; not what the daemons do.
    login: Vec<String>,
    process: Option<Process>,
}

impl Server {
    /// A server that is not yet started.
    pub fn new(kind: Kind, endpoint: Endpoint, directory: &Path, host: Option<Host>) -> Self {
        let directory = directory.join(format!("redis-{}-{}", endpoint.host(), endpoint.port()));
        fs::create_dir(&directory).unwrap();
        let mut arguments: Vec<OsString> = [
            "--port",
            &endpoint.port().to_string(),
            "--bind",
            endpoint.host(),
            "--protected-mode",
            "no",
            "--save",
            "",
            "--appendonly",
            "no",
            "--repl-diskless-sync-delay",
            "0",
            "--dir",
        ]
        .iter()
        .map(OsString::from)
        .collect();
        arguments.push(directory.clone().into());
        arguments.push("--unixsocket".into());
        arguments.push(directory.join("sock").into());
        Self {
            endpoint,
            directory,
            program: kind.program(),
            arguments,
            host,
            login: Vec::new(),
            process: None,
        }
    }

    /// Settings that it is started with from now on.
    pub fn configure(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(OsString::from));
    }

    /// How the test logs in from now on: what stands behind `AUTH`.
    pub fn log_in_with(&mut self, login: &[&str]) {
        self.login = login.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Starts it with `extra` settings, as a supervisor would: without waiting for anything.
    pub fn spawn(&mut self, extra: &[&str]) {
        assert!(self.process.is_none(), "{} runs already", self.endpoint);
        let mut command = match &self.host {
            Some(host) => host.command(&self.program),
            None => Command::new(&self.program),
        };
        command.args(&self.arguments).args(extra);
        self.process = Some(Process::start(&mut command, &self.log()));
    }

    /// Starts it, and waits until it answers.
    pub fn start(&mut self, extra: &[&str]) {
        self.spawn(extra);
        self.await_answer();
    }

    pub fn await_answer(&self) {
        eventually(&format!("{} answers", self.endpoint), || {
            self.ask::<String>(&["PING"])
                .map_err(|error| error.to_string())
        });
    }

    /// Makes it follow `master`, and waits until it does.
    pub fn start_as_replica_of(&mut self, master: &Endpoint) {
        let port = master.port().to_string();
        self.start(&["--replicaof", master.host(), &port]);
        eventually(&format!("{} follows", self.endpoint), || {
            self.follows(master)
        });
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// The same, and what it had on disk is gone too, such as the copy that it got as a replica.
    pub fn kill_and_empty(&mut self) {
        self.kill();
        // It need not have had any.
        drop(fs::remove_file(self.directory.join("dump.rdb")));
    }

    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().unwrap().signal(signal);
    }

    /// Whether it was started, and somebody else ended it.
    pub fn was_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::has_ended)
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// A connection by its Unix socket, so that it is reached in whatever network it is.
    pub fn connect(&self) -> RedisResult<Connection> {
        let path = self.directory.join("sock");
        let client = redis::Client::open(format!("unix://{}", path.display()))?;
        let mut connection = client.get_connection_with_timeout(ANSWER_MAX)?;
        connection.set_read_timeout(Some(ANSWER_MAX))?;
        connection.set_write_timeout(Some(ANSWER_MAX))?;
        if !self.login.is_empty() {
            redis::cmd("AUTH")
                .arg(&self.login)
                .query::<()>(&mut connection)?;
        }
        Ok(connection)
    }

    /// The answer to one command.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.connect()?)
    }

    /// The same of a server that must answer well.
    pub fn must<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.ask(words)
            .unwrap_or_else(|error| panic!("{}: {words:?}: {error}", self.endpoint))
    }

    /// Writes `count` keys of 100 bytes, and waits until a replica has them.
    pub fn fill(&self, prefix: &str, count: usize) {
        let mut connection = self.connect().unwrap();
        let mut pipeline = redis::pipe();
        for number in 0..count {
            let value = "x".repeat(100);
            pipeline
                .cmd("SET")
                .arg(format!("{prefix}:{number}"))
                .arg(value)
                .ignore();
        }
        pipeline.query::<()>(&mut connection).unwrap();
        let replicas: usize = redis::cmd("WAIT")
            .arg(1)
            .arg(1500)
            .query(&mut connection)
            .unwrap();
        assert!(
            replicas >= 1,
            "no replica of {} has the writes",
            self.endpoint
        );
    }

    /// How many of the keys of [`Self::fill`] are there.
    pub fn count(&self, prefix: &str, count: usize) -> usize {
        let mut command = redis::cmd("EXISTS");
        for number in 0..count {
            command.arg(format!("{prefix}:{number}"));
        }
        command.query(&mut self.connect().unwrap()).unwrap()
    }

    /// The number of its present life.
    pub fn run_id(&self) -> String {
        self.info("server").unwrap()["run_id"].clone()
    }

    fn replication(&self) -> RedisResult<BTreeMap<String, String>> {
        self.info("replication")
    }

    /// A section of `INFO`, by field.
    fn info(&self, section: &str) -> RedisResult<BTreeMap<String, String>> {
        let text: String = self.ask(&["INFO", section])?;
        let field = |line: &str| {
            let (name, value) = line.trim().split_once(':')?;
            Some((name.to_owned(), value.to_owned()))
        };
        Ok(text.lines().filter_map(field).collect())
    }

    /// Whether it says that it is a master.
    pub fn is_master(&self) -> Result<bool, String> {
        let info = self.replication();
        let info = info.map_err(|error| format!("{}: {error}", self.endpoint))?;
        Ok(info["role"] == "master")
    }

    /// Whether its first replica has acknowledged all that it wrote.
    pub fn is_acknowledged(&self) -> Result<(), String> {
        let info = self.replication();
        let info = info.map_err(|error| format!("{}: {error}", self.endpoint))?;
        let offset = format!("offset={},", info["master_repl_offset"]);
        match info.get("slave0") {
            Some(replica) if replica.contains(&offset) => Ok(()),
            replica => Err(format!("{offset} and its replica says {replica:?}")),
        }
    }

    /// Whether it says that it follows `master` and has its stream, or what it says instead.
    pub fn follows(&self, master: &Endpoint) -> Result<(), String> {
        let info = self.replication();
        let info = info.map_err(|error| format!("{}: {error}", self.endpoint))?;
        let says = ["role", "master_host", "master_port", "master_link_status"]
            .map(|name| info.get(name).map_or("none", String::as_str));
        let expected = ["slave", master.host(), &master.port().to_string(), "up"];
        if says == expected {
            return Ok(());
        }
        Err(format!("{} says {says:?}, not {expected:?}", self.endpoint))
    }
}
