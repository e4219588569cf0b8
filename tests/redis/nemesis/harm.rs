//! What is done to instances and their data, one at a time in each group, and to everything at once.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use promoterd::status::StatusReport;
use rustix::process::Signal;

use super::history::{Change, Harm, InstanceId};
use super::listeners::get_now;
use super::nemesis::{Nemesis, Stranger, Undo};
use super::plan::{Data, Whom};
use super::writers::fields;
use crate::process::PATIENCE;
use crate::server::Server;

/// Shares of the shuffled start of everything.
const START_GAP_MAX_MS: u64 = 600;

/// What an instance finds when it is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returning {
    /// What is there.
    AsItIs,
    Older,
    Empty,
}

/// What an instance says of itself.
struct Says {
    is_master: bool,
    is_syncing: bool,
    history: String,
    offset: u64,
}

fn ask(server: &Server) -> Result<Says, String> {
    let info: String = server
        .ask(&["INFO", "replication"])
        .map_err(|error| error.to_string())?;
    let info: BTreeMap<&str, &str> = fields(&info);
    Ok(Says {
        is_master: info["role"] == "master",
        is_syncing: info
            .get("master_sync_in_progress")
            .is_some_and(|it| *it == "1"),
        history: info["master_replid"].to_owned(),
        offset: info["master_repl_offset"].parse().unwrap_or(0),
    })
}

/// Has it write its data down, however busy the disk is.
fn save(server: &Server) -> Result<(), String> {
    let saved = server.connect().and_then(|mut connection| {
        connection.set_read_timeout(Some(PATIENCE))?;
        redis::cmd("SAVE").query(&mut connection)
    });
    saved.map_err(|error| format!("{}: SAVE: {error}", server.endpoint))
}

impl Nemesis<'_> {
    fn must_have_well_instances(&self, group: usize) -> Result<(), String> {
        match self.instances_ill.iter().find(|(of, _)| *of == group) {
            Some((_, instance)) => Err(format!("instance {instance} is not well")),
            None => Ok(()),
        }
    }

    fn make_instance_ill(&mut self, group: usize, instance: InstanceId, how: &str) {
        self.instances_ill.insert((group, instance));
        self.change(Change::Instance {
            group,
            instance,
            is_well: false,
        });
        self.note(Some(group), format!("instance {instance}: {how}"));
    }

    fn make_instance_well(&mut self, group: usize, instance: InstanceId, how: &str) {
        self.instances_ill.remove(&(group, instance));
        self.change(Change::Instance {
            group,
            instance,
            is_well: true,
        });
        self.note(Some(group), format!("instance {instance}: {how}"));
    }

    /// What a daemon that can be asked says of the site.
    fn report(&self) -> Result<StatusReport, String> {
        let daemons = self.site.daemons.iter().enumerate();
        let mut well = daemons.filter(|(host, _)| !self.daemons_ill.contains(host));
        let reports = well.find_map(|(_, daemon)| {
            let report: StatusReport = get_now(&daemon.socket, "/v1/status").ok()?;
            report.leader.is_some().then_some(report)
        });
        reports.ok_or_else(|| "no daemon knows a leader".to_owned())
    }

    fn find(&self, group: usize, whom: Whom) -> Result<InstanceId, String> {
        let report = self.report()?;
        let place = &self.site.groups[group];
        let known = report
            .groups
            .iter()
            .find(|it| it.name.as_str() == place.name);
        let master = known
            .and_then(|it| it.master.as_ref())
            .ok_or("not registered")?;
        let master = place.instance(master);
        let replicas: Vec<InstanceId> = (0..place.servers.len())
            .filter(|it| *it != master)
            .collect();
        Ok(match whom {
            Whom::Master => master,
            Whom::Replica(number) => replicas[number % replicas.len()],
        })
    }

    pub(super) fn stop_instance(
        &mut self,
        group: usize,
        whom: Whom,
        span: Duration,
    ) -> Result<(), String> {
        self.must_have_well_instances(group)?;
        let instance = self.find(group, whom)?;
        self.make_instance_ill(group, instance, "SIGSTOP");
        self.site.groups[group].servers[instance].signal(Signal::STOP);
        self.later(span, Undo::ContinueInstance(group, instance));
        Ok(())
    }

    pub(super) fn continue_instance(&mut self, group: usize, instance: InstanceId) {
        self.site.groups[group].servers[instance].signal(Signal::CONT);
        self.make_instance_well(group, instance, "SIGCONT");
    }

    /// Kills an instance when the others have the group's data, so that these cannot be lost for good.
    pub(super) fn kill_instance(
        &mut self,
        group: usize,
        whom: Whom,
        back: Data,
        after: Duration,
        with_leader: bool,
    ) -> Result<(), String> {
        self.must_have_well_instances(group)?;
        let instance = self.find(group, whom)?;
        self.others_have_all(group, instance)?;
        let is_robbed = matches!(back, Data::Nothing | Data::Older);
        if is_robbed && self.site.groups[group].is_guarded && whom == Whom::Master {
            self.guard_is_in_force(group)?;
        }
        let server = &mut self.site.groups[group].servers[instance];
        let older = server.directory.join("older.rdb");
        let file = server.directory.join("dump.rdb");
        if back == Data::Older && !older.exists() {
            server
                .ask::<()>(&["SAVE"])
                .map_err(|error| error.to_string())?;
            fs::copy(&file, &older).unwrap();
            return Err("there is an older file from now on only".to_owned());
        }
        if back == Data::Saved {
            server
                .ask::<()>(&["SAVE"])
                .map_err(|error| error.to_string())?;
        }
        let leader = if with_leader { self.leader() } else { None };
        self.make_instance_ill(group, instance, &format!("killed, back with {back:?}"));
        let harm = (group, self.now(), Harm::Robbed { instance });
        self.found.harms.push(harm);
        let server = &mut self.site.groups[group].servers[instance];
        if back == Data::Clean {
            // It answers by its end.
            drop(server.ask::<()>(&["SHUTDOWN", "SAVE"]));
        }
        server.kill();
        if let Some(leader) = leader {
            self.kill_daemon(leader, super::plan::State::All, after)?;
        }
        let returning = match back {
            Data::Saved | Data::Clean => Returning::AsItIs,
            Data::Older => Returning::Older,
            Data::Nothing => Returning::Empty,
        };
        self.later(after, Undo::StartInstance(group, instance, returning));
        Ok(())
    }

    fn leader(&self) -> Option<usize> {
        let leader = self.report().ok()?.leader?;
        let place = self
            .site
            .daemons
            .iter()
            .position(|it| it.name == leader.as_str())?;
        (!self.daemons_ill.contains(&place)).then_some(place)
    }

    fn others_have_all(&self, group: usize, instance: InstanceId) -> Result<(), String> {
        let servers = &self.site.groups[group].servers;
        let said: Vec<Says> = servers.iter().map(ask).collect::<Result<_, _>>()?;
        let masters: Vec<&Says> = said.iter().filter(|says| says.is_master).collect();
        let [master] = masters[..] else {
            return Err(format!("{} masters", masters.len()));
        };
        let history = master.history.clone();
        for (other, says) in said
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != instance)
        {
            if says.is_syncing || says.history != history {
                return Err(format!("instance {other} has not all data"));
            }
        }
        Ok(())
    }

    fn guard_is_in_force(&self, group: usize) -> Result<(), String> {
        let leader = self.leader().ok_or("no leader can be asked")?;
        let report: StatusReport = get_now(&self.site.daemons[leader].socket, "/v1/status")?;
        let name = &self.site.groups[group].name;
        let guard = report
            .groups
            .into_iter()
            .find(|it| it.name.as_str() == name);
        match guard.and_then(|group| group.guard) {
            Some(guard) if guard.in_force && guard.armed == 2 => Ok(()),
            Some(_) | None => Err("the guard is not in force".to_owned()),
        }
    }

    pub(super) fn start_instance(&mut self, group: usize, instance: InstanceId, back: Returning) {
        let server = &mut self.site.groups[group].servers[instance];
        let file = server.directory.join("dump.rdb");
        match back {
            Returning::AsItIs => {}
            Returning::Older => drop(fs::copy(server.directory.join("older.rdb"), &file).unwrap()),
            // It need not have had any.
            Returning::Empty => drop(fs::remove_file(&file)),
        }
        server.spawn(&[]);
        self.make_instance_well(group, instance, &format!("started, {back:?}"));
    }

    /// Has a fencer's work undone, and notes it.
    pub fn supervise(&mut self) {
        let at = self.now();
        for (group, instance) in self.site.restart_ended() {
            *self.found.done.entry("ended by a fencer").or_default() += 1;
            self.found
                .harms
                .push((group, at, Harm::Robbed { instance }));
            self.note(Some(group), format!("instance {instance}: ended, started"));
        }
    }

    /// README.md: a listed instance with data of its own is a stranger, unless an epoch replaced it.
    pub(super) fn put_stranger(&mut self, group: usize, span: Duration) -> Result<(), String> {
        self.must_have_well_instances(group)?;
        let instance = self.find(group, Whom::Replica(1))?;
        self.others_have_all(group, instance)?;
        let name = &self.site.groups[group].name;
        let endpoint = self.site.groups[group].servers[instance].endpoint.clone();
        let report: promoterd::status::HistoryReport = {
            let leader = self.leader().ok_or("no leader can be asked")?;
            get_now(&self.site.daemons[leader].socket, "/v1/history")?
        };
        let mut past = report
            .failovers
            .iter()
            .filter(|it| it.group.as_str() == name);
        if past.any(|it| it.from == endpoint || it.to == endpoint) {
            return Err("it was the master once".to_owned());
        }
        self.make_instance_ill(group, instance, "a stranger takes its place");
        let foreign = self.site.foreign_data.clone();
        let server = &mut self.site.groups[group].servers[instance];
        server.kill();
        fs::copy(foreign, server.directory.join("dump.rdb")).unwrap();
        server.start(&[]);
        let run_id = server.run_id();
        self.found.strangers.push(Stranger { group, run_id });
        self.later(span, Undo::EndStranger(group, instance));
        Ok(())
    }

    pub(super) fn end_stranger(&mut self, group: usize, instance: InstanceId) {
        let now = self.now();
        let at_rest = self.site.groups[group].limit_at_rest();
        let server = &mut self.site.groups[group].servers[instance];
        let theirs = server.ask::<usize>(&["EXISTS", "theirs"]);
        let limit = server.ask::<(String, String)>(&["CONFIG", "GET", "min-replicas-to-write"]);
        let is_master = server.is_master();
        let is_untouched = theirs.as_ref().is_ok_and(|count| *count == 1)
            && is_master.as_ref().is_ok_and(|is_master| *is_master)
            && limit.as_ref().is_ok_and(|(_, limit)| limit == at_rest);
        if !is_untouched {
            let what = format!("master {is_master:?}, its data {theirs:?}, limit {limit:?}");
            self.found.touched.push((group, now, what));
        }
        server.kill();
        self.start_instance(group, instance, Returning::Empty);
    }

    /// Kills all daemons and all instances, and starts them in whatever order. What was on disk by then
    /// is what is promised to be there afterwards.
    pub fn restart_everything(&mut self, in_order: bool) {
        let groups = self.site.groups.len();
        for group in 0..groups {
            let mut on_disk = Vec::new();
            for server in &self.site.groups[group].servers {
                let says = ask(server).unwrap();
                save(server).unwrap();
                on_disk.push((says.history.parse().unwrap(), says.offset));
            }
            let harm = (group, self.now(), Harm::Everything { on_disk });
            self.found.harms.push(harm);
        }
        let kind = if in_order {
            "restart of everything"
        } else {
            "power cut of everything"
        };
        *self.found.done.entry(kind).or_default() += 1;
        self.note(None, kind);
        self.end_everything(in_order);
        let mut starts: Vec<Option<(usize, InstanceId)>> = Vec::new();
        for group in 0..groups {
            starts.extend((0..self.site.groups[group].servers.len()).map(|it| Some((group, it))));
        }
        let mut hosts: Vec<usize> = (0..self.site.daemons.len()).collect();
        starts.extend(hosts.iter().map(|_| None));
        self.shuffle(&mut starts);
        self.shuffle(&mut hosts);
        let gap_max = START_GAP_MAX_MS / u64::try_from(groups).unwrap();
        for start in starts {
            match start {
                Some((group, instance)) => self.start_instance(group, instance, Returning::AsItIs),
                None => {
                    let host = hosts.pop().unwrap();
                    self.start_daemon(host);
                }
            }
            thread::sleep(Duration::from_millis(self.random.below(gap_max)));
        }
    }

    fn end_everything(&mut self, in_order: bool) {
        for host in 0..self.site.daemons.len() {
            self.daemons_ill.insert(host);
            self.change(Change::Daemon {
                host,
                is_well: false,
            });
            self.site.daemons[host].kill();
        }
        for group in 0..self.site.groups.len() {
            for instance in 0..self.site.groups[group].servers.len() {
                self.make_instance_ill(group, instance, "killed with everything");
                let server = &mut self.site.groups[group].servers[instance];
                if in_order {
                    drop(server.ask::<()>(&["SHUTDOWN", "SAVE"]));
                }
                server.kill();
            }
        }
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let other = self.random.below(last as u64 + 1);
            list.swap(last, usize::try_from(other).unwrap());
        }
    }
}
