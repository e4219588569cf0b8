//! The recorder: starts everybody who writes and listens, and makes one history of what they found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::history::{At, Change, GroupHistory, History, HostId, Level, Told, WriteId};
use super::listeners::{Heard, Listener};
use super::nemesis::Found;
use super::server_logs;
use super::site::{Group, Site};
use super::writers::{Aim, Part, Processes, Written, key};
use crate::cluster::MORE_NODES;
use crate::daemon::client_file;
use crate::process::eventually;

/// Ends all who write and listen when the test fails.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub struct Recorder {
    pub began: Instant,
    began_at: SystemTime,
    over: Over,
    processes: Vec<Processes>,
    writers: Vec<Vec<JoinHandle<Written>>>,
    listeners: Vec<Listener>,
    heard: Vec<JoinHandle<Heard>>,
}

impl Recorder {
    pub fn start(site: &Site) -> Self {
        let began = Instant::now();
        let began_at = SystemTime::now();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Over(Arc::clone(&is_over));
        let processes: Vec<Processes> = site
            .groups
            .iter()
            .map(|_| Arc::new(Mutex::new(Vec::new())))
            .collect();
        let writers = site
            .groups
            .iter()
            .zip(&processes)
            .map(|(group, processes)| {
                let were_masters = Arc::new(Mutex::new(BTreeSet::new()));
                let part = |(writer, aim)| Part {
                    aim,
                    writer,
                    endpoints: group.endpoints(),
                    processes: Arc::clone(processes),
                    were_masters: Arc::clone(&were_masters),
                    began,
                    is_over: Arc::clone(&is_over),
                };
                let parts = aims(site, group).into_iter().enumerate().map(part);
                parts.map(Part::start).collect()
            });
        let writers = writers.collect();
        let known = site
            .groups
            .iter()
            .map(|group| (group.name.clone(), group.endpoints()));
        let known: Arc<Vec<_>> = Arc::new(known.collect());
        let listeners: Vec<Listener> = site
            .daemons
            .iter()
            .enumerate()
            .map(|(host, daemon)| Listener {
                host,
                socket: daemon.socket.clone(),
                groups: Arc::clone(&known),
                began,
                is_over: Arc::clone(&is_over),
            })
            .collect();
        let heard = listeners.iter().cloned().map(Listener::start).collect();
        Self {
            began,
            began_at,
            over,
            processes,
            writers,
            listeners,
            heard,
        }
    }

    /// Ends all, and puts together what everybody found.
    pub fn end(
        self,
        site: &Site,
        found: Found,
        calms: Vec<(Duration, Result<Duration, String>)>,
        level: Level,
    ) -> History {
        // The last word of the daemons, while all can still be asked.
        let last_told = self.last_told(calms.last().is_some_and(|(_, settled)| settled.is_ok()));
        drop(self.over);
        let mut history = History {
            hosts: MORE_NODES.len(),
            world: found.world,
            calms,
            notes: found.notes,
            ..History::default()
        };
        for (number, writers) in self.writers.into_iter().enumerate() {
            let group = &site.groups[number];
            let mut of_group = GroupHistory {
                hosts: group.hosts.clone(),
                level,
                is_guarded: group.is_guarded,
                last_told: last_told.get(number).cloned().unwrap_or_default(),
                ..GroupHistory::default()
            };
            for writer in writers {
                let written = writer.join().unwrap();
                of_group.writes.extend(written.writes);
                of_group.forks.extend(written.forks);
                of_group.files.extend(written.files);
            }
            of_group.processes = self.processes[number].lock().unwrap().clone();
            for (instance, server) in group.servers.iter().enumerate() {
                let forks = &mut of_group.forks;
                let logged = server_logs::read(&server.log(), instance, self.began_at, forks);
                of_group.promotions.extend(logged.promotions);
                of_group.followers.extend(logged.followers);
            }
            of_group.held = held(group).into_iter().collect();
            history.groups.push(of_group);
        }
        for (host, heard) in self.heard.into_iter().enumerate() {
            let heard = heard.join().unwrap();
            let let_in = let_in(&history.world, host, &heard.was_voter);
            history.world.extend(let_in);
            history.notes.extend(heard.notes);
            for (group, heard) in history.groups.iter_mut().zip(heard.groups) {
                group.begun.extend(heard.begun);
                group.told.extend(heard.told);
                group.identified.extend(heard.identified);
                group.epochs.extend(heard.epochs);
            }
        }
        for (group, at, harm) in found.harms {
            history.groups[group].harms.push((at, harm));
        }
        for (group, at, what) in found.touched {
            history.groups[group].strangers_touched.push((at, what));
        }
        for stranger in found.strangers {
            let mut processes = history.groups[stranger.group].processes.iter_mut();
            let it = processes.find(|process| process.run_id.to_string() == stranger.run_id);
            if let Some(process) = it {
                process.is_stranger = true;
            }
        }
        history.world.sort_by_key(|(at, _)| *at);
        for group in &mut history.groups {
            // What nobody was asked about in time, the end tells.
            group.told.extend(group.last_told.iter().cloned());
            group.files.sort_by_key(|file| file.seen);
            group.told.sort_by_key(|told| told.heard);
            group.epochs.sort_by_key(|seen| seen.heard);
            group.identified.sort_by_key(|identified| identified.heard);
        }
        history.notes.sort_by_key(|(at, _, _)| *at);
        history
    }

    /// What all daemons tell of every failover, by group, once they tell the same.
    fn last_told(&self, is_settled: bool) -> Vec<Vec<Told>> {
        let alike = |told: &[Vec<Told>]| -> Vec<Vec<Told>> {
            let unsigned = |told: &Told| Told {
                node: 0,
                heard: Duration::ZERO,
                ..told.clone()
            };
            told.iter()
                .map(|group| group.iter().map(unsigned).collect())
                .collect()
        };
        if !is_settled {
            return self
                .listeners
                .iter()
                .find_map(|it| it.tell_now().ok())
                .unwrap_or_default();
        }
        eventually("all daemons tell one history", || {
            let told: Result<Vec<_>, _> = self.listeners.iter().map(Listener::tell_now).collect();
            let told = told?;
            match told
                .windows(2)
                .all(|pair| alike(&pair[0]) == alike(&pair[1]))
            {
                true => Ok(told.into_iter().next().unwrap_or_default()),
                false => Err("they do not".to_owned()),
            }
        })
    }
}

/// When a daemon that had lost its state was a voter again: when it first said so after it was started.
fn let_in(world: &[(At, Change)], host: HostId, was_voter: &[At]) -> Vec<(At, Change)> {
    let mut found = Vec::new();
    let mut is_outside = false;
    for (at, change) in world {
        match change {
            Change::Voter { host: it, .. } if *it == host => is_outside = true,
            Change::Daemon { host: it, is_well } if *it == host && *is_well && is_outside => {
                if let Some(again) = was_voter.iter().find(|again| *again > at) {
                    found.push((*again, Change::Voter { host, is_one: true }));
                    is_outside = false;
                }
            }
            Change::Cuts(_)
            | Change::Lossy(_)
            | Change::Daemon { .. }
            | Change::Voter { .. }
            | Change::Instance { .. } => {}
        }
    }
    found
}

/// A client on each host, and somebody beside each instance.
fn aims(site: &Site, group: &Group) -> Vec<Aim> {
    let clients = group
        .files
        .iter()
        .enumerate()
        .map(|(number, path)| Aim::File {
            host: site.lab.host(number + 1),
            number,
            path: path.clone(),
        });
    let stubborn = group
        .servers
        .iter()
        .enumerate()
        .map(|(instance, server)| Aim::Instance {
            instance,
            directory: server.directory.clone(),
        });
    clients.chain(stubborn).collect()
}

/// What the master has that a file names.
fn held(group: &Group) -> Vec<WriteId> {
    let named = group.files.iter().find_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        group
            .servers
            .iter()
            .find(|server| text == client_file(&server.endpoint))
    });
    let Some(master) = named else {
        return Vec::new();
    };
    let mut held = Vec::new();
    let mut times: BTreeMap<WriteId, u32> = BTreeMap::new();
    for writer in 0..group.files.len() + group.servers.len() {
        let numbers: Vec<u64> = master.must(&["LRANGE", &key(writer), "0", "-1"]);
        for number in numbers {
            let id = WriteId { writer, number };
            *times.entry(id).or_default() += 1;
            held.push(id);
        }
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "written once, and there twice: {twice:?}");
    held
}
