//! A whole cluster: servers that replicate, and daemons that watch them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use promoterd::model::{Endpoint, Epoch};
use promoterd::status::FailoverReport;
use tempfile::TempDir;

use crate::daemon::{Daemon, PROGRAM};
use crate::hosts::{Host, Lab};
use crate::process::{Turn, eventually, free_port};
use crate::server::{Kind, Server};

/// The names of the daemons.
pub const NODES: [&str; 3] = ["a", "b", "c"];
/// Those of a larger cluster.
pub const MORE_NODES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A cluster of three servers and three daemons; the first server is the master at first.
pub struct Cluster {
    // In the order in which they end: nothing is promoted while the servers go down.
    pub daemons: Vec<Daemon>,
    pub servers: Vec<Server>,
    /// The position of a host that is not to be counted on, for whatever reason.
    pub cut_off: Option<usize>,
    pub lab: Option<Lab>,
    pub directory: TempDir,
    _turn: Turn,
}

impl Cluster {
    /// Servers and daemons of which none is started.
    pub fn prepare(kind: Kind) -> Self {
        Self::prepare_in(Turn::take(), None, kind, &NODES)
    }

    /// The same while no other cluster runs: for what is measured.
    #[allow(dead_code, reason = "for the tests of tests/sentinel")]
    pub fn prepare_alone(kind: Kind) -> Self {
        Self::prepare_in(Turn::take_all(), None, kind, &NODES)
    }

    /// The same with one server and one daemon on each of three hosts, which share a key.
    pub fn prepare_on_hosts() -> Self {
        Self::with_key(&NODES, NODES.len())
    }

    /// The same, and one more host on which nothing is.
    pub fn prepare_beside_a_host() -> (Self, Host) {
        let cluster = Self::with_key(&NODES, NODES.len() + 1);
        let lab = cluster.lab.as_ref().expect("it is on hosts");
        let host = lab.host(NODES.len() + 1);
        (cluster, host)
    }

    /// The same on five hosts.
    pub fn prepare_on_five_hosts() -> Self {
        Self::with_key(&MORE_NODES, MORE_NODES.len())
    }

    fn with_key(nodes: &[&str], hosts: usize) -> Self {
        let lab = Some(Lab::start(hosts));
        let mut cluster = Self::prepare_in(Turn::take(), lab, Kind::Redis7, nodes);
        let key = cluster.new_key("key");
        cluster.set("PEER_KEY_FILE", &key);
        cluster
    }

    fn prepare_in(turn: Turn, lab: Option<Lab>, kind: Kind, nodes: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let hosts: Vec<Option<Host>> = (1..=nodes.len())
            .map(|number| lab.as_ref().map(|lab| lab.host(number)))
            .collect();
        let place = |host: &Option<Host>, port| match host {
            Some(host) => Endpoint::new(&host.address(), port).unwrap(),
            None => local(free_port()),
        };
        let servers: Vec<Server> = hosts
            .iter()
            .map(|host| Server::new(kind, place(host, 6379), directory.path(), host.clone()))
            .collect();
        let master = &servers[0].endpoint;
        let daemons = nodes
            .iter()
            .zip(&hosts)
            .map(|(name, host)| Daemon::new(name, directory.path(), master, host.clone()))
            .collect();
        let peers = nodes.iter().zip(&hosts);
        let peers: Vec<String> = peers
            .map(|(name, host)| format!("{name}={}", place(host, 7400)))
            .collect();
        let mut cluster = Self {
            daemons,
            servers,
            cut_off: None,
            lab,
            directory,
            _turn: turn,
        };
        cluster.set("PEERS", &peers.join(","));
        // Tests fail over as often as they like.
        cluster.set("GROUPS__FEATURES__FAILOVERS_MAX", "0");
        let instances: Vec<String> = cluster
            .servers
            .iter()
            .map(|it| it.endpoint.to_string())
            .collect();
        cluster.set("GROUPS__FEATURES__INSTANCES", &instances.join(","));
        cluster
    }

    /// A cluster of Debian's Redis that runs, with these settings beside the usual ones.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_with(Kind::Redis7, settings)
    }

    /// The same with another server.
    pub fn start_with(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::prepare(kind);
        for (key, value) in settings {
            cluster.set(key, value);
        }
        cluster.start_servers();
        cluster.start_daemons();
        cluster.await_healthy(1);
        cluster
    }

    /// Gives all daemons a setting, by its name without `PROMOTERD_`.
    pub fn set(&mut self, key: &str, value: &str) {
        for daemon in &mut self.daemons {
            daemon.set(key, value);
        }
    }

    /// Starts the first server as a master and the others as its replicas.
    pub fn start_servers(&mut self) {
        let master = self.servers[0].endpoint.clone();
        self.servers[0].start(&[]);
        for replica in &mut self.servers[1..] {
            replica.start_as_replica_of(&master);
        }
    }

    /// Starts all daemons that do not run.
    pub fn start_daemons(&mut self) {
        for daemon in self
            .daemons
            .iter_mut()
            .filter(|daemon| !daemon.is_running())
        {
            daemon.start();
        }
    }

    /// Draws a cluster key and returns the path of its file.
    pub fn new_key(&self, name: &str) -> String {
        draw_key(&self.directory.path().join(name))
    }

    /// The daemons that run and can be counted on.
    fn running(&self) -> impl Iterator<Item = &Daemon> {
        let daemons = self.daemons.iter().enumerate();
        daemons
            .filter(|(position, daemon)| daemon.is_running() && self.cut_off != Some(*position))
            .map(|(_, daemon)| daemon)
    }

    fn running_servers(&self) -> impl Iterator<Item = &Server> {
        let is_cut_off = |position| self.lab.is_some() && self.cut_off == Some(position);
        let servers = self.servers.iter().enumerate();
        servers
            .filter(move |(position, server)| server.is_running() && !is_cut_off(*position))
            .map(|(_, server)| server)
    }

    /// The position of the daemon that leads, once all that run agree on one.
    pub fn await_leader(&self) -> usize {
        eventually("all agree on a leader", || {
            let mut leaders = self.running().map(|daemon| {
                let leader = daemon.status()?.leader;
                leader.ok_or_else(|| format!("{} knows no leader", daemon.name))
            });
            let first = leaders.next().expect("a daemon runs")?;
            for leader in leaders {
                if leader? != first {
                    return Err("they name several".to_owned());
                }
            }
            let position = self.daemons.iter().position(|it| it.name == first.as_str());
            let position = position.expect("a daemon of ours");
            if self.daemons[position].is_running() {
                Ok(position)
            } else {
                Err(format!("{first} does not run"))
            }
        })
    }

    /// Waits until all is well in `epoch` with all that run, and returns the position of the master:
    /// status, `INFO` and clients' files say the same.
    pub fn await_healthy(&self, epoch: u64) -> usize {
        eventually(&format!("all is well in epoch {epoch}"), || {
            self.check(epoch)
        })
    }

    /// The same, once.
    pub fn check(&self, epoch: u64) -> Result<usize, String> {
        let reports: Vec<_> = self
            .running()
            .map(|daemon| (daemon, daemon.group()))
            .collect();
        let first = reports.first().expect("a daemon runs").1.as_ref();
        let master = first?.master.clone().ok_or("the group is not registered")?;
        for (daemon, group) in &reports {
            let group = group.as_ref()?;
            let says = (group.epoch, &group.master, group.phase.as_str());
            if says != (Some(Epoch(epoch)), &Some(master.clone()), "watching") {
                return Err(format!("{} says {says:?}", daemon.name));
            }
            let named = group
                .files
                .iter()
                .map(|file| file.epoch)
                .collect::<Vec<_>>();
            let is_named = |named: &Option<Epoch>| *named == Some(Epoch(epoch));
            if named.is_empty() || !named.iter().all(is_named) {
                return Err(format!("files of {}: {:?}", daemon.name, group.files));
            }
            for server in self.running_servers() {
                let mut seen = group.master_instance.iter().chain(&group.replicas);
                let seen = seen.find(|instance| instance.endpoint == server.endpoint);
                if !seen.is_some_and(|instance| instance.healthy && instance.trouble.is_none()) {
                    return Err(format!(
                        "{} sees {seen:?} of {}",
                        daemon.name, server.endpoint
                    ));
                }
            }
            daemon.file_names(&master)?;
        }
        self.check_servers(&master)?;
        let position = self.servers.iter().position(|it| it.endpoint == master);
        Ok(position.expect("a server of ours"))
    }

    /// Whether every server that runs says that `master` is the master, and itself is.
    fn check_servers(&self, master: &Endpoint) -> Result<(), String> {
        for server in self.running_servers() {
            if server.endpoint != *master {
                server.follows(master)?;
            } else if !server.is_master()? {
                return Err(format!("{master} is no master"));
            }
        }
        Ok(())
    }

    /// The history, on which all daemons agree once each has applied what is committed.
    pub fn failovers(&self) -> Vec<FailoverReport> {
        eventually("all daemons tell one history", || {
            let histories = self.running().map(|daemon| daemon.failovers());
            let histories = histories.collect::<Result<Vec<_>, _>>()?;
            let first = histories.first().expect("a daemon runs");
            match histories.iter().all(|other| other == first) {
                true => Ok(first.clone()),
                false => Err(format!("{histories:?}")),
            }
        })
    }

    /// Fails when a failover was begun since the cluster is there.
    pub fn assert_no_failover(&self) {
        assert_eq!(self.failovers(), [], "a failover nobody needed");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for daemon in &self.daemons {
            eprintln!("--- log of daemon {}\n{}", daemon.name, daemon.logged());
        }
        for server in &self.servers {
            let log = fs::read_to_string(server.log()).unwrap_or_default();
            eprintln!("--- log of server {}\n{log}", server.endpoint);
        }
    }
}

/// Draws a cluster key into a file of this path, and returns the path.
pub fn draw_key(path: &Path) -> String {
    let made = Command::new(PROGRAM).arg("keygen").output().unwrap();
    assert!(made.status.success());
    fs::write(path, made.stdout).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// An endpoint on this machine.
pub fn local(port: u16) -> Endpoint {
    Endpoint::new("127.0.0.1", port).unwrap()
}
