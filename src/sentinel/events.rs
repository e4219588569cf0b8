//! What subscribers hear, under the names that Sentinel has for it.
//!
//! | here | events, in order |
//! |---|---|
//! | a group is registered | `+monitor`, `+slave` for each replica |
//! | an instance or a peer is subjectively down, or answers again | `+sdown`, `-sdown` |
//! | the master is objectively down | `+odown`; `-odown` once it is not |
//! | an epoch begins | `+odown` where nobody was told, `+new-epoch`, `+try-failover`, `+elected-leader`, `+failover-state-select-slave`, `+selected-slave`, `+failover-state-send-slaveof-noone` |
//! | the candidate is a master | `+failover-state-wait-promotion`, `+promoted-slave` |
//! | an epoch is done | both, where nobody was told; `+failover-state-reconf-slaves`, `+config-update-from`, `+switch-master`, `+slave` for each replica, `+sdown` for those that are down |
//! | an instance is told to follow | `+slave-reconf-sent`, or `+convert-to-slave` for an old master |
//! | all have followed | `+slave-reconf-done` for each, `+failover-end` |
//! | not all have in time | `+failover-end-for-timeout`, `+failover-end` |
//! | an epoch is aborted, nobody can be promoted, a switchover is given up | `-failover-abort-slave-timeout`, `-failover-abort-no-good-slave`, `-failover-abort-master-timeout` |
//! | the master restarted and is kept | `+reboot` |
//! | a replica or a peer is new, or a peer's endpoint is elsewhere | `+slave`, `+sentinel` |
//! | this node did not run for a while | `+tilt`, `-tilt` |
//!
//! Lines name the master that subscribers were told of: the view may be further than what is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::feed::News;
use super::view::{GroupView, PeerView, SentinelId, View};
use crate::decision::{Happening, StepName};
use crate::model::{Endpoint, GroupName, NodeId};

/// A channel and a message.
pub type Event = (&'static str, String);

/// Makes events of news.
#[derive(Debug)]
pub struct Translator {
    view: Arc<View>,
    told: BTreeMap<GroupName, Told>,
    /// Peers that subscribers were told of, each with its endpoint and whether it is down.
    peers: BTreeMap<NodeId, (Endpoint, bool)>,
}

/// What subscribers were told of a group.
#[derive(Debug, Clone)]
struct Told {
    master: Endpoint,
    members: BTreeSet<Endpoint>,
    is_down: bool,
    /// Whether an attempt was told of and not its end.
    is_tried: bool,
    is_promoted: bool,
}

impl Told {
    fn of(group: &GroupView) -> Self {
        Self {
            master: group.outline.master.clone(),
            members: members(group).cloned().collect(),
            is_down: group.outline.is_down,
            is_tried: false,
            is_promoted: false,
        }
    }
}

impl Translator {
    /// Subscribers are told of what is otherwise than in `view`.
    #[must_use]
    pub fn new(view: Arc<View>) -> Self {
        let told = view.groups.iter();
        let told = told.map(|(name, group)| (name.clone(), Told::of(group)));
        Self {
            told: told.collect(),
            peers: sentinels(&view)
                .map(|(peer, endpoint)| {
                    let told = (endpoint.clone(), !peer.is_connected);
                    (peer.node.clone(), told)
                })
                .collect(),
            view,
        }
    }

    /// What subscribers have to hear, in order.
    pub fn translate(&mut self, news: &News) -> Vec<Event> {
        self.view = Arc::clone(&news.view);
        let mut events = Vec::new();
        for happening in &news.happenings {
            self.happened(happening, &mut events);
        }
        // What no happening told of: a snapshot of the log, an instance that somebody added.
        let view = Arc::clone(&self.view);
        for (name, group) in &view.groups {
            if !self.told.contains_key(name) {
                self.monitor(group, &mut events);
            }
            self.switch(group, &mut events);
            self.end_of_down(group, &mut events);
            self.new_members(group, &mut events);
        }
        self.note_peers(&mut events);
        events
    }

    fn happened(&mut self, happening: &Happening, events: &mut Vec<Event>) {
        let view = Arc::clone(&self.view);
        let of = |name: &GroupName| view.groups.get(name).map(|group| &**group);
        match happening {
            Happening::Registered { group, .. } | Happening::Adopted { group, .. } => {
                if let Some(group) = of(group).filter(|_| !self.told.contains_key(group)) {
                    self.monitor(group, events);
                }
            }
            Happening::SubjectivelyDown {
                group, instance, ..
            } => events.extend(of(group).map(|group| ("+sdown", self.line(group, instance)))),
            Happening::AnswersAgain { group, instance } => {
                events.extend(of(group).map(|group| ("-sdown", self.line(group, instance))));
            }
            Happening::ObjectivelyDown {
                group, evidence, ..
            } => {
                if let Some(group) = of(group) {
                    self.down(group, Some((evidence.views.len(), evidence.needed)), events);
                }
            }
            Happening::Begun {
                group,
                epoch,
                candidate,
                evidence,
                ..
            } => {
                if let Some(group) = of(group) {
                    if let Some(evidence) = evidence {
                        self.down(group, Some((evidence.views.len(), evidence.needed)), events);
                    }
                    self.note(group, |told| {
                        (told.is_tried, told.is_promoted) = (true, false)
                    });
                    let master = self.master_line(group);
                    let candidate = self.line(group, &candidate.endpoint);
                    events.extend([
                        ("+new-epoch", epoch.to_string()),
                        ("+try-failover", master.clone()),
                        ("+elected-leader", master.clone()),
                        ("+failover-state-select-slave", master),
                        ("+selected-slave", candidate.clone()),
                        ("+failover-state-send-slaveof-noone", candidate),
                    ]);
                }
            }
            Happening::Promoted { group, master, .. } => {
                if let Some(group) = of(group) {
                    self.promoted(group, master, events);
                }
            }
            Happening::Done { group, master, .. } => {
                if let Some(group) = of(group) {
                    self.promoted(group, master, events);
                    self.switch(group, events);
                    // An epoch that keeps its master switches nothing, and is over all the same.
                    self.note(group, |told| {
                        (told.is_tried, told.is_promoted) = (false, false)
                    });
                }
            }
            Happening::Followed {
                group,
                instance,
                demoted,
                ..
            } => {
                let name = if *demoted {
                    "+convert-to-slave"
                } else {
                    "+slave-reconf-sent"
                };
                events.extend(of(group).map(|group| (name, self.line(group, instance))));
            }
            Happening::Settled { group, steps, .. } => {
                if let Some(group) = of(group) {
                    let follow = steps
                        .iter()
                        .any(|step| step.what == StepName::ReplicasFollow);
                    self.ended(group, follow, events);
                }
            }
            Happening::Aborted { group, .. } => {
                self.aborted(of(group), "-failover-abort-slave-timeout", events);
            }
            Happening::NobodyEligible { group, .. } => {
                self.aborted(of(group), "-failover-abort-no-good-slave", events);
            }
            Happening::SwitchoverGivenUp { group, .. } => {
                self.aborted(of(group), "-failover-abort-master-timeout", events);
            }
            Happening::MasterIdentified { group, .. } => {
                events.extend(of(group).map(|group| ("+reboot", self.master_line(group))));
            }
            Happening::Slept { .. } => events.extend([
                ("+tilt", "#tilt mode entered".to_owned()),
                ("-tilt", "#tilt mode exited".to_owned()),
            ]),
            // Sentinel has no word for these.
            Happening::LeaderChanged { .. }
            | Happening::PeerUp { .. }
            | Happening::PeerDown { .. }
            | Happening::Waiting { .. }
            | Happening::AdoptionRefused { .. }
            | Happening::SettingsDiffer { .. }
            | Happening::SettingsEqual { .. }
            | Happening::FollowFailed { .. }
            | Happening::Fenced { .. }
            | Happening::Unfenced { .. }
            | Happening::FenceFailed { .. }
            | Happening::FenceUnowned { .. }
            | Happening::Rescuing { .. }
            | Happening::Rescued { .. }
            | Happening::RescueFailed { .. }
            | Happening::Stranger { .. }
            | Happening::DataLost { .. }
            | Happening::LeaseSwitched { .. }
            | Happening::LeaseUnready { .. }
            | Happening::GuardSwitched { .. }
            | Happening::GuardFailed { .. }
            | Happening::PutOff { .. }
            | Happening::LossKnown { .. }
            | Happening::Paused { .. }
            | Happening::Resumed { .. }
            | Happening::SentinelsFound { .. }
            | Happening::SentinelsGone { .. }
            | Happening::SentinelsHidden { .. }
            | Happening::HeldBack { .. }
            | Happening::FileRewritten { .. }
            | Happening::FileFailed { .. }
            | Happening::FileCorrected { .. }
            | Happening::ClientReloaded { .. }
            | Happening::ReloadFailed { .. } => {}
        }
    }

    fn note(&mut self, group: &GroupView, change: impl FnOnce(&mut Told)) {
        if let Some(told) = self.told.get_mut(&group.outline.name) {
            change(told);
        }
    }

    fn monitor(&mut self, group: &GroupView, events: &mut Vec<Event>) {
        let quorum = group.outline.quorum;
        events.push((
            "+monitor",
            format!("{} quorum {quorum}", master_line(group)),
        ));
        self.told
            .insert(group.outline.name.clone(), Told::of(group));
        slaves(group, events);
    }

    fn down(&mut self, group: &GroupView, views: Option<(usize, usize)>, events: &mut Vec<Event>) {
        let mut was_down = false;
        self.note(group, |told| {
            was_down = std::mem::replace(&mut told.is_down, true)
        });
        if !was_down {
            let (views, needed) = views.unwrap_or_default();
            let master = self.master_line(group);
            events.push(("+odown", format!("{master} #quorum {views}/{needed}")));
        }
    }

    /// That it is not down any more is told by no happening.
    fn end_of_down(&mut self, group: &GroupView, events: &mut Vec<Event>) {
        let mut was_down = false;
        let is_down = group.outline.is_down;
        self.note(group, |told| was_down = told.is_down && !is_down);
        if was_down {
            self.note(group, |told| told.is_down = false);
            events.push(("-odown", master_line(group)));
        }
    }

    /// All that followed a failover is over: whether all replicas follow.
    fn ended(&self, group: &GroupView, follow: bool, events: &mut Vec<Event>) {
        if follow {
            let replicas = group.outline.instances.iter().skip(1);
            let up = replicas.filter(|replica| replica.down_since.is_none());
            events.extend(up.map(|it| ("+slave-reconf-done", self.line(group, &it.endpoint))));
        } else {
            events.push(("+failover-end-for-timeout", self.master_line(group)));
        }
        events.push(("+failover-end", self.master_line(group)));
    }

    fn promoted(&mut self, group: &GroupView, master: &Endpoint, events: &mut Vec<Event>) {
        let mut was_told = false;
        self.note(group, |told| {
            was_told = std::mem::replace(&mut told.is_promoted, true)
        });
        if was_told {
            return;
        }
        let before = self
            .told
            .get(&group.outline.name)
            .map(|told| told.master.clone());
        let promoted = match before.filter(|before| before != master) {
            Some(before) => slave_line(group, master, &before),
            None => master_line(group),
        };
        events.push(("+failover-state-wait-promotion", promoted.clone()));
        events.push(("+promoted-slave", promoted));
    }

    /// The view has another master than subscribers were told of.
    fn switch(&mut self, group: &GroupView, events: &mut Vec<Event>) {
        let (name, master) = (&group.outline.name, &group.outline.master);
        let before = self
            .told
            .get(name)
            .map(|told| (told.master.clone(), told.is_tried));
        let Some((before, is_tried)) = before.filter(|(before, _)| before != master) else {
            return;
        };
        if is_tried {
            let old = format!("master {name} {} {}", before.host(), before.port());
            events.push(("+failover-state-reconf-slaves", old.clone()));
            events.push(("+config-update-from", self.update_from(&old)));
        }
        events.push((
            "+switch-master",
            format!(
                "{name} {} {} {} {}",
                before.host(),
                before.port(),
                master.host(),
                master.port()
            ),
        ));
        // Sentinel begins anew with a group, too.
        self.told.insert(name.clone(), Told::of(group));
        slaves(group, events);
    }

    fn update_from(&self, old: &str) -> String {
        let view = &self.view;
        let leader = view.leader.as_ref().unwrap_or(&view.node);
        let id = SentinelId::of(view.cluster, leader);
        let place = sentinels(view).find(|(peer, _)| peer.node == *leader);
        let place = place.map_or_else(
            || "* 0".to_owned(),
            |(_, endpoint)| format!("{} {}", endpoint.host(), endpoint.port()),
        );
        let master = old.strip_prefix("master ").unwrap_or(old);
        format!("sentinel {id} {place} @ {master}")
    }

    fn aborted(&mut self, group: Option<&GroupView>, name: &'static str, events: &mut Vec<Event>) {
        if let Some(group) = group {
            self.note(group, |told| {
                (told.is_tried, told.is_promoted) = (false, false)
            });
            events.push((name, self.master_line(group)));
        }
    }

    /// The master that subscribers were told of.
    fn told_master<'a>(&'a self, group: &'a GroupView) -> &'a Endpoint {
        let told = self.told.get(&group.outline.name);
        told.map_or(&group.outline.master, |told| &told.master)
    }

    /// How they know an instance.
    fn line(&self, group: &GroupView, instance: &Endpoint) -> String {
        line_under(group, instance, self.told_master(group))
    }

    /// How they know the master.
    fn master_line(&self, group: &GroupView) -> String {
        line_of_master(group, self.told_master(group))
    }

    fn new_members(&mut self, group: &GroupView, events: &mut Vec<Event>) {
        let current: BTreeSet<Endpoint> = members(group).cloned().collect();
        self.note(group, |told| {
            for new in current.difference(&told.members) {
                events.push(("+slave", line(group, new)));
            }
            told.members = current;
        });
    }

    fn note_peers(&mut self, events: &mut Vec<Event>) {
        let view = Arc::clone(&self.view);
        for (peer, endpoint) in sentinels(&view) {
            let is_down = !peer.is_connected;
            let told = (endpoint.clone(), is_down);
            let before = self.peers.insert(peer.node.clone(), told);
            let (is_new, was_down) = match before {
                None => (true, is_down),
                Some((before, was_down)) => (before != *endpoint, was_down),
            };
            if is_new {
                self.sentinel("+sentinel", peer, endpoint, events);
            }
            if was_down != is_down {
                let name = if is_down { "+sdown" } else { "-sdown" };
                self.sentinel(name, peer, endpoint, events);
            }
        }
    }

    /// Something about a peer, for each group.
    fn sentinel(
        &self,
        name: &'static str,
        peer: &PeerView,
        endpoint: &Endpoint,
        events: &mut Vec<Event>,
    ) {
        let id = SentinelId::of(self.view.cluster, &peer.node);
        let (host, port) = (endpoint.host(), endpoint.port());
        for (group, of) in &self.view.groups {
            let master = &of.outline.master;
            let line = format!(
                "sentinel {id} {host} {port} @ {group} {} {}",
                master.host(),
                master.port()
            );
            events.push((name, line));
        }
    }
}

fn sentinels(view: &View) -> impl Iterator<Item = (&PeerView, &Endpoint)> {
    view.sentinels()
}

fn members(group: &GroupView) -> impl Iterator<Item = &Endpoint> {
    group
        .outline
        .instances
        .iter()
        .map(|instance| &instance.endpoint)
}

/// `+slave` for each replica, and `+sdown` for those that are down.
fn slaves(group: &GroupView, events: &mut Vec<Event>) {
    let replicas = || group.outline.instances.iter().skip(1);
    events.extend(replicas().map(|it| ("+slave", line(group, &it.endpoint))));
    let down = replicas().filter(|replica| replica.down_since.is_some());
    events.extend(down.map(|it| ("+sdown", line(group, &it.endpoint))));
}

/// How Sentinel names an instance.
fn line(group: &GroupView, instance: &Endpoint) -> String {
    line_under(group, instance, &group.outline.master)
}

/// The same under a master that may be another one than the view's.
fn line_under(group: &GroupView, instance: &Endpoint, master: &Endpoint) -> String {
    if instance == master {
        return line_of_master(group, master);
    }
    slave_line(group, instance, master)
}

fn slave_line(group: &GroupView, instance: &Endpoint, master: &Endpoint) -> String {
    format!(
        "slave {instance} {} {} @ {} {} {}",
        instance.host(),
        instance.port(),
        group.outline.name,
        master.host(),
        master.port()
    )
}

fn master_line(group: &GroupView) -> String {
    line_of_master(group, &group.outline.master)
}

fn line_of_master(group: &GroupView, master: &Endpoint) -> String {
    format!(
        "master {} {} {}",
        group.outline.name,
        master.host(),
        master.port()
    )
}
