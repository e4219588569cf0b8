//! A whole cluster on free loopback ports in a directory of its own: servers, daemons, files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, Connection, RedisResult};
use rustix::process::{Pid, Signal, kill_process};

use super::DemoError;

/// The names of the demo's nodes.
pub(super) const NODES: [&str; 3] = ["a", "b", "c"];
/// Longest time for anything to come up.
pub(super) const START_MAX: Duration = Duration::from_secs(20);
/// Time between two looks at something that is coming up.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Everything that the demo started.
pub(super) struct Cluster {
    pub(super) directory: PathBuf,
    pub(super) server: PathBuf,
    /// The first one is the master.
    pub(super) instances: Vec<Process>,
    pub(super) ports: Vec<u16>,
    pub(super) daemons: Vec<Process>,
    keep: bool,
}

/// A process of the demo's own; killed and awaited when dropped, unless it is let go.
pub(super) struct Process {
    child: Child,
    kept: bool,
}

impl Process {
    fn start(command: &mut Command, log: &Path) -> io::Result<Self> {
        let log = fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the demo, which then ends them itself.
            .process_group(0)
            .spawn()?;
        Ok(Self { child, kept: false })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or(io::ErrorKind::NotFound)?, signal)?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.kept {
            // It may have ended already.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

impl Cluster {
    /// Starts servers and daemons, and waits until the servers replicate.
    pub(super) fn start(settings: &[String]) -> Result<Self, DemoError> {
        let server = find_server()?;
        let directory = make_directory()?;
        let ports = free_ports(2 * NODES.len()).map_err(DemoError::Ports)?;
        let (instance_ports, peer_ports) = ports.split_at(NODES.len());
        let mut cluster = Self {
            directory,
            server,
            instances: Vec::new(),
            ports: instance_ports.to_vec(),
            daemons: Vec::new(),
            keep: false,
        };
        cluster.start_instances()?;
        cluster.start_daemons(peer_ports, settings)?;
        Ok(cluster)
    }

    /// Leaves everything running when this is dropped.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    fn start_instances(&mut self) -> Result<(), DemoError> {
        for (position, port) in self.ports.clone().into_iter().enumerate() {
            let directory = self.directory.join(format!("redis-{port}"));
            fs::create_dir(&directory).map_err(|source| self.cannot_write(source))?;
            let mut command = Command::new(&self.server);
            command
                .arg("--port")
                .arg(port.to_string())
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
                .args([
                    "--repl-diskless-sync-delay",
                    "0",
                    "--daemonize",
                    "no",
                    "--dir",
                ])
                .arg(&directory);
            if position > 0 {
                command.args(["--replicaof", "127.0.0.1", &self.ports[0].to_string()]);
            }
            let log = self.directory.join(format!("redis-{port}.log"));
            let process =
                Process::start(&mut command, &log).map_err(|source| DemoError::Start {
                    what: self.server.clone(),
                    source,
                })?;
            self.instances.push(process);
        }
        let until = Instant::now() + START_MAX;
        for port in &self.ports[1..] {
            wait_for(until, || replicates(*port)).ok_or_else(|| DemoError::NotReplicating {
                log: self.directory.clone(),
            })?;
        }
        Ok(())
    }

    fn start_daemons(&mut self, ports: &[u16], settings: &[String]) -> Result<(), DemoError> {
        let program = std::env::current_exe().map_err(|source| DemoError::Start {
            what: "promoterd".into(),
            source,
        })?;
        let list = |ports: &mut dyn Iterator<Item = String>| ports.collect::<Vec<_>>().join(",");
        let peers = list(
            &mut NODES
                .iter()
                .zip(ports)
                .map(|(node, port)| format!("{node}=127.0.0.1:{port}")),
        );
        let instances = list(&mut self.ports.iter().map(|port| format!("127.0.0.1:{port}")));
        for node in NODES {
            let file = self.file(node);
            let text = format!(
                "# settings of the application on host {node}\n\
                 export APP_NAME=\"demo\"\n\
                 REDIS_URL=redis://127.0.0.1:{}/0   # kept right by promoterd\n",
                self.ports[0]
            );
            fs::write(&file, text).map_err(|source| self.cannot_write(source))?;
            let mut variables = BTreeMap::from([
                ("NODE", node.to_owned()),
                ("PEERS", peers.clone()),
                (
                    "STATE_DIR",
                    self.directory
                        .join(format!("state-{node}"))
                        .display()
                        .to_string(),
                ),
                ("STATUS_SOCKET", self.socket(node).display().to_string()),
                ("GROUPS__DEMO__INSTANCES", instances.clone()),
                ("CLIENTS__APP__FILE", file.display().to_string()),
                ("CLIENTS__APP__EDIT", "REDIS_URL".to_owned()),
            ]);
            for setting in settings {
                if let Some((key, value)) = setting.split_once('=') {
                    variables.insert(key, value.to_owned());
                }
            }
            let mut command = Command::new(&program);
            command.arg("run");
            for (key, _) in std::env::vars_os() {
                if key.to_string_lossy().starts_with("PROMOTERD_") {
                    command.env_remove(key);
                }
            }
            command.envs(
                variables
                    .iter()
                    .map(|(key, value)| (format!("PROMOTERD_{key}"), value)),
            );
            let log = self.directory.join(format!("promoterd-{node}.log"));
            let process =
                Process::start(&mut command, &log).map_err(|source| DemoError::Start {
                    what: program.clone(),
                    source,
                })?;
            self.daemons.push(process);
        }
        Ok(())
    }

    fn cannot_write(&self, source: io::Error) -> DemoError {
        DemoError::Directory {
            path: self.directory.clone(),
            source,
        }
    }

    /// The client's file on the host of a node.
    pub(super) fn file(&self, node: &str) -> PathBuf {
        self.directory.join(format!("app-{node}.env"))
    }

    /// The status socket of a node.
    pub(super) fn socket(&self, node: &str) -> PathBuf {
        self.directory.join(format!("{node}.sock"))
    }

    /// A daemon that ended although nobody asked it to.
    pub(super) fn ended_daemon(&mut self) -> Option<&'static str> {
        let ended = |daemon: &mut Process| matches!(daemon.child.try_wait(), Ok(Some(_)) | Err(_));
        let position = self.daemons.iter_mut().position(ended)?;
        Some(NODES[position])
    }

    /// Ids of all processes that still run, for whoever has to end them by hand.
    pub(super) fn process_ids(&self) -> Vec<u32> {
        self.instances
            .iter()
            .chain(&self.daemons)
            .map(Process::id)
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.keep {
            for process in self.instances.iter_mut().chain(&mut self.daemons) {
                process.kept = true;
            }
            return;
        }
        self.daemons.clear();
        self.instances.clear();
        // What is left of it does no harm in the directory for temporary files.
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// Looks again and again until it is there.
pub(super) fn wait_for(until: Instant, mut look: impl FnMut() -> bool) -> Option<()> {
    loop {
        if look() {
            return Some(());
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// A connection on which nothing takes longer than `limit`.
pub(super) fn connect(address: &str, limit: Duration) -> RedisResult<Connection> {
    let client = Client::open(format!("redis://{address}/"))?;
    let connection = client.get_connection_with_timeout(limit)?;
    connection.set_read_timeout(Some(limit))?;
    connection.set_write_timeout(Some(limit))?;
    Ok(connection)
}

fn replicates(port: u16) -> bool {
    let info =
        connect(&format!("127.0.0.1:{port}"), Duration::from_secs(1)).and_then(|mut connection| {
            redis::cmd("INFO")
                .arg("replication")
                .query::<String>(&mut connection)
        });
    info.is_ok_and(|info| info.contains("master_link_status:up"))
}

fn find_server() -> Result<PathBuf, DemoError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    ["redis-server", "valkey-server"]
        .iter()
        .flat_map(|name| {
            directories
                .iter()
                .map(move |directory| directory.join(name))
        })
        .find(|candidate| candidate.is_file())
        .ok_or(DemoError::NoServer)
}

fn make_directory() -> Result<PathBuf, DemoError> {
    let path = std::env::temp_dir().join(format!("promoterd-demo-{}", std::process::id()));
    fs::create_dir(&path).map_err(|source| DemoError::Directory {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

/// Ports that nobody listens at. All are held until all are found, so that none comes twice.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let listeners = (0..count)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<io::Result<Vec<_>>>()?;
    listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}
