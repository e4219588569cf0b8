//! The site: five hosts with a daemon each, and groups of three instances spread over them.

use std::fs;
use std::path::{Path, PathBuf};

use promoterd::model::{Endpoint, Epoch};
use promoterd::status::{GroupReport, StatusReport};
use tempfile::TempDir;

use super::history::{HostId, InstanceId};
use super::listeners::get_now;
use crate::cluster::{MORE_NODES, draw_key};
use crate::daemon::{Daemon, PROGRAM, client_file};
use crate::disk::build_faults;
use crate::hosts::Lab;
use crate::process::{Process, Turn, eventually};
use crate::server::{Kind, Server};

/// Where the instances of a group are, from its first host on.
const SPREADS: [[usize; 3]; 4] = [[0, 1, 3], [0, 2, 3], [0, 1, 2], [0, 2, 4]];

/// `min-replicas-to-write` of a server that takes no writes.
const FENCED: &str = "2147483647";

/// A group.
pub struct Group {
    pub name: String,
    pub hosts: Vec<HostId>,
    pub servers: Vec<Server>,
    pub is_guarded: bool,
    /// Whether its servers start fenced.
    pub is_strict: bool,
    /// The file of its client on each host.
    pub files: Vec<PathBuf>,
}

/// All of it.
pub struct Site {
    // In the order in which they end: nothing is promoted while the servers go down.
    pub daemons: Vec<Daemon>,
    pub groups: Vec<Group>,
    _fencers: Vec<Process>,
    pub lab: Lab,
    pub directory: TempDir,
    /// A file with data that are of no group.
    pub foreign_data: PathBuf,
    /// The program twice: an upgrade goes from the one to the other.
    pub programs: [PathBuf; 2],
    _turn: Turn,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub groups: usize,
    /// `PROMOTERD_GROUPS__F__FENCING`.
    pub fencing: String,
    /// Of the log.
    pub log: String,
}

impl Group {
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.servers
            .iter()
            .map(|server| server.endpoint.clone())
            .collect()
    }

    pub fn instance(&self, endpoint: &Endpoint) -> InstanceId {
        let place = self
            .servers
            .iter()
            .position(|server| server.endpoint == *endpoint);
        place.unwrap_or_else(|| panic!("{endpoint} is no instance of {}", self.name))
    }

    /// `min-replicas-to-write` of an instance that nobody has told anything.
    pub fn limit_at_rest(&self) -> &'static str {
        match self.is_strict {
            true => FENCED,
            false => "0",
        }
    }

    /// Every other group is guarded.
    fn new(number: usize, is_strict: bool, lab: &Lab, directory: &Path) -> Self {
        let name = format!("g{}", number + 1);
        let hosts: Vec<HostId> = SPREADS[number % SPREADS.len()]
            .iter()
            .map(|offset| (number + offset) % MORE_NODES.len())
            .collect();
        let port = 6400 + u16::try_from(number).unwrap();
        let server = |host: &HostId| {
            let host = lab.host(host + 1);
            let endpoint = Endpoint::new(&host.address(), port).unwrap();
            let mut server = Server::new(Kind::Redis7, endpoint, directory, Some(host));
            if is_strict {
                server.configure(&["--min-replicas-to-write", FENCED]);
                server.configure(&["--min-replicas-max-lag", "1"]);
            }
            server
        };
        let servers: Vec<Server> = hosts.iter().map(server).collect();
        let file = |node: &&str| {
            let path = directory.join(format!("{node}-{name}.env"));
            fs::write(&path, client_file(&servers[0].endpoint)).unwrap();
            path
        };
        Self {
            files: MORE_NODES.iter().map(file).collect(),
            is_guarded: number.is_multiple_of(2),
            is_strict,
            name,
            hosts,
            servers,
        }
    }
}

impl Site {
    /// Everything, up and well.
    pub fn start(wanted: &Wanted) -> Self {
        let turn = Turn::take_all();
        let directory = TempDir::new().unwrap();
        let lab = Lab::start(MORE_NODES.len());
        let groups: Vec<Group> = (0..wanted.groups)
            .map(|number| Group::new(number, wanted.is_strict(), &lab, directory.path()))
            .collect();
        let faults = build_faults(directory.path());
        let key = draw_key(&directory.path().join("key"));
        let daemons = (0..MORE_NODES.len())
            .map(|host| daemon(host, wanted, &groups, &lab, directory.path(), &faults, &key))
            .collect();
        let fencers = match wanted.is_strict() {
            true => start_fencers(&lab, directory.path()),
            false => Vec::new(),
        };
        let foreign_data = make_foreign_data(&lab, directory.path());
        let next = directory.path().join("promoterd-next");
        fs::copy(PROGRAM, &next).unwrap();
        let mut site = Self {
            daemons,
            groups,
            _fencers: fencers,
            lab,
            directory,
            foreign_data,
            programs: [PROGRAM.into(), next],
            _turn: turn,
        };
        for group in &mut site.groups {
            let master = group.servers[0].endpoint.clone();
            group.servers[0].start(&[]);
            for replica in &mut group.servers[1..] {
                replica.start_as_replica_of(&master);
            }
        }
        for daemon in &mut site.daemons {
            daemon.start();
        }
        eventually("all is well at first", || {
            site.restart_ended();
            site.settled()
        });
        site
    }

    /// Starts again whatever a fencer ended, as a supervisor does; says by group and number what that was.
    pub fn restart_ended(&mut self) -> Vec<(usize, usize)> {
        let mut ended = Vec::new();
        for (number, group) in self.groups.iter_mut().enumerate() {
            for (instance, server) in group.servers.iter_mut().enumerate() {
                if server.was_ended() {
                    server.kill();
                    server.spawn(&[]);
                    ended.push((number, instance));
                }
            }
        }
        ended
    }

    /// The path that has a fault of a daemon be in force while it is there.
    pub fn fault_of(&self, host: HostId, name: &str) -> PathBuf {
        fault_path(self.directory.path(), MORE_NODES[host], name)
    }

    /// Whether all say the same of every group and nothing is wrong, or what is.
    pub fn settled(&self) -> Result<(), String> {
        let mut reports = Vec::new();
        for daemon in &self.daemons {
            let report: StatusReport = get_now(&daemon.socket, "/v1/status")?;
            if let Some(waiting) = &report.waiting {
                return Err(format!("{} waits: {waiting}", daemon.name));
            }
            reports.push(report);
        }
        for group in &self.groups {
            group.settled(&reports)?;
        }
        Ok(())
    }
}

impl Group {
    fn settled(&self, reports: &[StatusReport]) -> Result<(), String> {
        let mut agreed: Option<(Epoch, Endpoint)> = None;
        for report in reports {
            let group = report
                .groups
                .iter()
                .find(|group| group.name.as_str() == self.name);
            let group = group.ok_or_else(|| format!("{}: no {}", report.node, self.name))?;
            let says = self
                .agrees(group)
                .map_err(|why| format!("{}: {why}", report.node))?;
            if *agreed.get_or_insert_with(|| says.clone()) != says {
                return Err(format!(
                    "{} of {} says {says:?}, not {agreed:?}",
                    self.name, report.node
                ));
            }
        }
        let (_, master) = agreed.ok_or("no daemon")?;
        for server in &self.servers {
            if server.endpoint != master {
                server.follows(&master)?;
            } else if !server.is_master()? {
                return Err(format!("{master} is no master"));
            }
            let limit = server.ask::<(String, String)>(&["CONFIG", "GET", "min-replicas-to-write"]);
            let (_, limit) = limit.map_err(|error| error.to_string())?;
            let wanted = match server.endpoint == master {
                true => "0",
                false => self.limit_at_rest(),
            };
            if limit != wanted {
                return Err(format!("{} has the limit {limit}", server.endpoint));
            }
        }
        for file in &self.files {
            let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
            if text != client_file(&master) {
                return Err(format!("{} does not name {master}", file.display()));
            }
        }
        Ok(())
    }

    /// What a daemon says of the group, if it says that nothing is wrong.
    fn agrees(&self, group: &GroupReport) -> Result<(Epoch, Endpoint), String> {
        let name = &self.name;
        let (Some(epoch), Some(master)) = (group.epoch, group.master.clone()) else {
            return Err(format!("{name} is not registered"));
        };
        if group.phase != "watching" {
            return Err(format!("{name} is {}", group.phase));
        }
        for server in &self.servers {
            let mut seen = group.master_instance.iter().chain(&group.replicas);
            let seen = seen.find(|instance| instance.endpoint == server.endpoint);
            let is_well =
                seen.is_some_and(|it| it.healthy && it.trouble.is_none() && it.fence.is_none());
            if !is_well {
                return Err(format!("{name}: {} is {seen:?}", server.endpoint));
            }
        }
        if let Some(file) = group.files.iter().find(|file| file.epoch != Some(epoch)) {
            return Err(format!("{name}: {file:?}"));
        }
        // Only the leader knows.
        let guard = group.guard.as_ref();
        let is_armed = guard.is_none_or(|it| it.in_force && it.replicas + 1 == self.servers.len());
        if !is_armed {
            return Err(format!("{name}: {guard:?}"));
        }
        Ok((epoch, master))
    }
}

impl Wanted {
    fn is_strict(&self) -> bool {
        self.fencing == "strict"
    }
}

/// One on each host, of real-time priority as its unit has it.
fn start_fencers(lab: &Lab, directory: &Path) -> Vec<Process> {
    let start = |(host, node): (usize, &&str)| {
        let socket = fencer_socket(directory, node);
        fs::create_dir(socket.parent().unwrap()).unwrap();
        let mut command = lab.host(host + 1).command(Path::new("/usr/bin/chrt"));
        command
            .args(["--fifo", "10", PROGRAM, "fencer", "--socket"])
            .arg(socket)
            .args(["--assume", "starts-fenced"]);
        Process::start(&mut command, &directory.join(format!("fencer-{node}.log")))
    };
    MORE_NODES.iter().enumerate().map(start).collect()
}

/// In a directory of its own: a fencer keeps there what it holds.
fn fencer_socket(directory: &Path, node: &str) -> PathBuf {
    directory.join(format!("fencer-{node}")).join("sock")
}

fn fault_path(directory: &Path, node: &str, name: &str) -> PathBuf {
    directory.join(format!("{node}-told-{name}"))
}

fn daemon(
    host: HostId,
    wanted: &Wanted,
    groups: &[Group],
    lab: &Lab,
    directory: &Path,
    faults: &Path,
    key: &str,
) -> Daemon {
    let node = MORE_NODES[host];
    let first = &groups[0].servers[0].endpoint;
    let mut daemon = Daemon::new(node, directory, first, Some(lab.host(host + 1)));
    // It has files of its own for each group.
    daemon.variables.retain(|name, _| !name.contains("CLIENTS"));
    let peers: Vec<String> = MORE_NODES
        .iter()
        .enumerate()
        .map(|(number, name)| format!("{name}={}:7400", lab.host(number + 1).address()))
        .collect();
    daemon.set("PEERS", &peers.join(","));
    daemon.set("PEER_KEY_FILE", key);
    daemon.set("LOG", &wanted.log);
    if wanted.is_strict() {
        let socket = fencer_socket(directory, node);
        daemon.set("FENCER_SOCKET", &socket.display().to_string());
    }
    for group in groups {
        let name = group.name.to_uppercase();
        let endpoints: Vec<String> = group.endpoints().iter().map(ToString::to_string).collect();
        let settings = [
            ("INSTANCES", endpoints.join(",")),
            ("FENCING", wanted.fencing.clone()),
            (
                "GUARD",
                if group.is_guarded { "on" } else { "off" }.to_owned(),
            ),
            // It fails over as often as it takes.
            ("FAILOVERS_MAX", "0".to_owned()),
            ("COOLDOWN", "2s".to_owned()),
        ];
        for (key, value) in settings {
            daemon.set(&format!("GROUPS__{name}__{key}"), &value);
        }
        let file = group.files[host].display().to_string();
        daemon.set(&format!("CLIENTS__{name}__FILE"), &file);
        daemon.set(&format!("CLIENTS__{name}__EDIT"), "REDIS_URL");
        daemon.set(&format!("CLIENTS__{name}__GROUP"), &group.name);
    }
    let fault = |name: &str| fault_path(directory, node, name).display().to_string();
    for (name, value) in [
        ("LD_PRELOAD", faults.display().to_string()),
        ("FAULTY_SYNC", fault("sync")),
        ("FAULTY_FULL", fault("full")),
        ("FAULTY_BELOW", daemon.state.display().to_string()),
        ("FAULTY_CLOCK", fault("clock")),
    ] {
        daemon.variables.insert(name.to_owned(), value);
    }
    daemon
}

/// The file of a server that has nothing to do with any group.
fn make_foreign_data(lab: &Lab, directory: &Path) -> PathBuf {
    let host = lab.host(1);
    let endpoint = Endpoint::new(&host.address(), 6399).unwrap();
    let mut server = Server::new(Kind::Redis7, endpoint, directory, Some(host));
    server.start(&[]);
    server.must::<()>(&["SET", "theirs", "1"]);
    server.must::<()>(&["SAVE"]);
    server.kill();
    server.directory.join("dump.rdb")
}
