//! Servers for tests: a scripted one that answers with given bytes, and real `redis-server` ones.

use std::io::{BufRead, BufReader};
use std::net::TcpListener as StdListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::*;
use crate::decision::{
    Begin, Candidate, Cause, Entry, Evidence, Grounds, Identity, ProbeReport, PromoteOrder, Records,
};
use crate::model::{Epoch, InstanceInfo, ReplicationId, ReplicationOffset, RunId, UnixTime};

/// Long enough for any event on a busy machine; a test that needs all of it has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn group() -> GroupName {
    "features".parse().unwrap()
}

/// The order of a group's first promotion, from a record in which its `Begin` is committed.
pub(super) fn promote_order() -> PromoteOrder {
    let replication_id = ReplicationId::from_bytes([1; 20]);
    let master = Identity {
        endpoint: "127.0.0.1:1".parse().unwrap(),
        run_id: RunId::from_bytes([1; 20]),
        replication_id,
        continues: None,
    };
    let candidate = Candidate {
        endpoint: "127.0.0.1:2".parse().unwrap(),
        run_id: RunId::from_bytes([2; 20]),
        replication_id,
        offset: ReplicationOffset(1),
    };
    let mut records = Records::default();
    records.apply(Entry::Register {
        group: group(),
        master: master.clone(),
        members: [&master.endpoint, &candidate.endpoint]
            .map(Endpoint::clone)
            .into(),
    });
    records.apply(Entry::Begin(Begin {
        group: group(),
        epoch: Epoch(2),
        from: master,
        candidate,
        grounds: Grounds::Lost(Evidence {
            cause: Cause::Exited,
            views: Vec::new(),
            needed: 0,
        }),
        passed_over: Vec::new(),
        loss_estimate: Some(0),
        leader: "a".parse().unwrap(),
        at: UnixTime(0),
    }));
    PromoteOrder::under(&records.get(&group()).unwrap().mandate().unwrap())
}

pub(super) fn password(username: Option<&str>, password: &str) -> Credentials {
    Credentials {
        username: username.map(str::to_owned),
        password: Some(Secret::new(password.to_owned())),
        ..Credentials::default()
    }
}

/// The core's place: orders go in, events come out.
pub(super) struct Desk {
    pub(super) instances: Instances,
    events: UnboundedReceiver<InstanceEvent>,
}

impl Desk {
    pub(super) fn new(credentials: Credentials) -> Self {
        let (sender, events) = unbounded_channel();
        let credentials = BTreeMap::from([(group(), credentials)]);
        Self {
            instances: Instances::new(credentials, sender),
            events,
        }
    }

    pub(super) fn order(&mut self, endpoint: &Endpoint, command: ProbeCommand) {
        self.instances.probe(ProbeOrder {
            group: group(),
            endpoint: endpoint.clone(),
            link: LinkId(1),
            command,
        });
    }

    pub(super) async fn event(&mut self) -> InstanceEvent {
        timeout(PATIENCE, self.events.recv())
            .await
            .unwrap()
            .unwrap()
    }

    pub(super) async fn report(&mut self) -> ProbeReport {
        match self.event().await {
            InstanceEvent::Probe(event) => event.report,
            InstanceEvent::Followed(outcome) => panic!("{outcome:?}"),
            InstanceEvent::Guarded(outcome) => panic!("{outcome:?}"),
            InstanceEvent::Rescued(outcome) => panic!("{outcome:?}"),
        }
    }

    /// Whether nothing is reported for a while.
    pub(super) async fn is_quiet(&mut self) -> bool {
        let event = timeout(Duration::from_millis(150), self.events.recv()).await;
        event.is_err()
    }

    pub(super) async fn connect(&mut self, endpoint: &Endpoint) {
        self.order(endpoint, ProbeCommand::Connect);
        let report = self.report().await;
        assert_eq!(report, ProbeReport::Connected { same_host: true });
    }

    pub(super) async fn info(&mut self, endpoint: &Endpoint) -> InstanceInfo {
        self.order(endpoint, ProbeCommand::AskInfo);
        let report = self.report().await;
        let ProbeReport::InfoReplied { result, .. } = report else {
            panic!("{report:?}");
        };
        result.unwrap()
    }
}

/// A listener whose connections the test serves by hand.
pub(super) struct ScriptedServer(TcpListener);

impl ScriptedServer {
    pub(super) async fn start() -> (Self, Endpoint) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (Self(listener), Endpoint::new("127.0.0.1", port).unwrap())
    }

    pub(super) async fn accept(&self) -> ScriptedConnection {
        let (stream, _) = timeout(PATIENCE, self.0.accept()).await.unwrap().unwrap();
        ScriptedConnection(stream)
    }

    /// Takes one connection and answers the name that it gives itself.
    pub(super) async fn accept_named(&self) -> ScriptedConnection {
        let mut connection = self.accept().await;
        connection
            .expect(&[&["CLIENT", "SETNAME", "promoterd"]])
            .await;
        connection.say(b"+OK\r\n").await;
        connection
    }
}

pub(super) struct ScriptedConnection(TcpStream);

impl ScriptedConnection {
    /// Reads exactly these commands.
    pub(super) async fn expect(&mut self, commands: &[&[&str]]) {
        let mut expected = Vec::new();
        for command in commands {
            let mut packed = redis::cmd(command[0]);
            packed.arg(&command[1..]);
            expected.extend(packed.get_packed_command());
        }
        let mut bytes = vec![0; expected.len()];
        let read = timeout(PATIENCE, self.0.read_exact(&mut bytes)).await;
        read.unwrap().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            String::from_utf8_lossy(&expected)
        );
    }

    /// What one read of the socket yields, once something is there.
    pub(super) async fn read_once(&mut self) -> String {
        let mut bytes = vec![0; 4096];
        let count = timeout(PATIENCE, self.0.read(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    pub(super) async fn say(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.0.write_all(bytes))
            .await
            .unwrap()
            .unwrap();
    }

    /// Says as much of it as the other end takes.
    pub(super) async fn pour(&mut self, bytes: &[u8]) {
        drop(timeout(PATIENCE, self.0.write_all(bytes)).await.unwrap());
    }

    /// Whether the other end closed the connection.
    pub(super) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        !matches!(
            timeout(PATIENCE, self.0.read(&mut byte)).await,
            Ok(Ok(1..)) | Err(_)
        )
    }
}

/// A real server on a free port of the loopback, killed with the guard.
pub(super) struct RedisServer {
    pub(super) endpoint: Endpoint,
    process: Child,
    // Held open, so that the server can go on logging.
    _log: BufReader<std::process::ChildStdout>,
    _directory: TempDir,
}

impl RedisServer {
    pub(super) fn start(arguments: &[&str]) -> Self {
        // Another process may take the port between our look and the server's bind.
        (0..5).find_map(|_| Self::try_start(arguments)).unwrap()
    }

    fn try_start(arguments: &[&str]) -> Option<Self> {
        let probe = StdListener::bind("127.0.0.1:0").unwrap();
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let directory = TempDir::new().unwrap();
        let mut process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync-delay", "0", "--dir"])
            .arg(directory.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("Ready to accept connections") {
            line.clear();
            if log.read_line(&mut line).unwrap() == 0 {
                process.wait().unwrap();
                return None;
            }
        }
        Some(Self {
            endpoint: Endpoint::new("127.0.0.1", port).unwrap(),
            process,
            _log: log,
            _directory: directory,
        })
    }

    pub(super) fn process_id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Kills the server and reaps it, as its parent.
    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// A plain client of the server's.
    pub(super) async fn client(&self) -> ScriptedConnection {
        let address = (self.endpoint.host(), self.endpoint.port());
        ScriptedConnection(TcpStream::connect(address).await.unwrap())
    }

    /// Sends a command by a plain client and returns the reply.
    pub(super) async fn ask(&self, command: &str) -> String {
        let mut client = self.client().await;
        client.say(format!("{command}\r\n").as_bytes()).await;
        client.read_once().await
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Gone already where a test killed it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
