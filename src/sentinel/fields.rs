//! The fields that Sentinel gives of a master, a replica and another Sentinel: their names, their order,
//! and what each is here.

use std::time::{Duration, Instant};

use super::reply::Replies;
use super::view::{GroupView, PeerView, SentinelId, View};
use crate::decision::{InstanceOutline, Phase};
use crate::model::{Endpoint, MasterLink, Role};

/// Fields in their order.
type Fields = Vec<(&'static str, String)>;

/// Writes the fields of the master of `group`.
pub fn master(view: &View, group: &GroupView, now: Instant, replies: &mut Replies<'_>) {
    write(&master_fields(view, group, now), replies);
}

/// Writes those of each replica.
pub fn replicas(group: &GroupView, now: Instant, replies: &mut Replies<'_>) {
    let replicas = group.outline.instances.get(1..).unwrap_or_default();
    replies.array(replicas.len());
    for replica in replicas {
        write(&replica_fields(group, replica, now), replies);
    }
}

/// Writes those of each other voter that has a Sentinel endpoint.
pub fn sentinels(view: &View, group: &GroupView, now: Instant, replies: &mut Replies<'_>) {
    replies.array(view.sentinels().count());
    for (peer, endpoint) in view.sentinels() {
        write(&sentinel_fields(view, group, peer, endpoint, now), replies);
    }
}

fn write(fields: &Fields, replies: &mut Replies<'_>) {
    replies.map(fields.len());
    for (name, value) in fields {
        replies.pair(name, value);
    }
}

fn master_fields(view: &View, group: &GroupView, now: Instant) -> Fields {
    let outline = &group.outline;
    let Some(instance) = outline.instances.first() else {
        return Fields::new();
    };
    let mut flags = Flags::default();
    flags.set(instance.down_since.is_some(), "s_down");
    flags.set(outline.is_down, "o_down");
    flags.set(true, "master");
    flags.set(!instance.is_connected, "disconnected");
    let state = failover_state(outline.phase);
    flags.set(state.is_some(), "failover_in_progress");
    let is_asked = outline.phase == Phase::Switching
        || outline.open.as_ref().is_some_and(|open| open.is_planned);
    flags.set(is_asked, "force_failover");
    // A node that no leader's word reaches says so, or what it tells would look like news. No library
    // knows the word, and so none takes the master for lost, which may be well.
    flags.set(!view.has_quorum(now), "no_quorum");

    let mut fields = head(
        outline.name.as_str(),
        &instance.endpoint,
        outline.run_id.to_string(),
    );
    fields.push(("flags", flags.0));
    link(&mut fields, 1);
    fields.extend(state.map(|state| ("failover-state", state.to_owned())));
    pings(
        &mut fields,
        instance.answered_at,
        instance.is_connected,
        now,
    );
    downs(&mut fields, instance.down_since, group.down_since, now);
    fields.push(("down-after-milliseconds", milliseconds(outline.down_after)));
    reported(&mut fields, group, instance, true, now);
    let number = |number: usize| number.to_string();
    fields.extend([
        ("config-epoch", outline.epoch.to_string()),
        ("num-slaves", number(outline.instances.len() - 1)),
        ("num-other-sentinels", number(view.other_sentinels(now))),
        ("quorum", number(outline.quorum)),
        ("failover-timeout", milliseconds(outline.promote_timeout)),
        ("parallel-syncs", number(outline.parallel_syncs)),
    ]);
    fields
}

fn replica_fields(group: &GroupView, instance: &InstanceOutline, now: Instant) -> Fields {
    let info = instance.read.as_ref().map(|(_, info)| info);
    let run_id = info.map_or_else(String::new, |info| info.run_id.to_string());
    let open = group.outline.open.as_ref();
    let is_promoted = open.is_some_and(|open| open.candidate == instance.endpoint);
    let mut flags = Flags::default();
    flags.set(instance.down_since.is_some(), "s_down");
    flags.set(true, "slave");
    flags.set(!instance.is_connected, "disconnected");
    flags.set(is_promoted, "promoted");

    let mut fields = head(&instance.endpoint.to_string(), &instance.endpoint, run_id);
    fields.push(("flags", flags.0));
    link(&mut fields, 1);
    pings(
        &mut fields,
        instance.answered_at,
        instance.is_connected,
        now,
    );
    downs(&mut fields, instance.down_since, None, now);
    let down_after = milliseconds(group.outline.down_after);
    fields.push(("down-after-milliseconds", down_after));
    reported(&mut fields, group, instance, false, now);
    let (master, link) = match info.map(|info| &info.role) {
        Some(Role::Replica { master, link }) => (Some(master), Some(*link)),
        Some(Role::Master { .. }) | None => (None, None),
    };
    let down_for = match link {
        Some(MasterLink::Down { seconds }) => Duration::from_secs(seconds.unwrap_or_default()),
        Some(MasterLink::Up | MasterLink::Syncing) | None => Duration::ZERO,
    };
    let is_up = link == Some(MasterLink::Up);
    fields.extend([
        ("master-link-down-time", milliseconds(down_for)),
        (
            "master-link-status",
            if is_up { "ok" } else { "err" }.to_owned(),
        ),
        ("master-host", master.map_or("?", Endpoint::host).to_owned()),
        ("master-port", master.map_or(0, Endpoint::port).to_string()),
        (
            "slave-priority",
            info.map_or(100, |info| info.priority).to_string(),
        ),
        (
            "slave-repl-offset",
            info.map_or(0, |info| info.history.offset.0).to_string(),
        ),
        ("replica-announced", "1".to_owned()),
    ]);
    fields
}

fn sentinel_fields(
    view: &View,
    group: &GroupView,
    peer: &PeerView,
    endpoint: &Endpoint,
    now: Instant,
) -> Fields {
    let id = SentinelId::of(view.cluster, &peer.node).to_string();
    let mut flags = Flags::default();
    flags.set(!peer.is_connected, "s_down");
    flags.set(true, "sentinel");
    flags.set(!peer.is_connected, "disconnected");

    let mut fields = head(&id, endpoint, id.clone());
    fields.push(("flags", flags.0));
    link(&mut fields, view.groups.len());
    pings(&mut fields, peer.heard_at, peer.is_connected, now);
    let down_since = peer.heard_at.filter(|_| !peer.is_connected);
    downs(&mut fields, down_since, None, now);
    let down_after = milliseconds(group.outline.down_after);
    let heard = since(peer.heard_at, now);
    fields.extend([
        ("down-after-milliseconds", down_after),
        ("last-hello-message", heard),
        // Nobody votes for one group alone.
        ("voted-leader", "?".to_owned()),
        ("voted-leader-epoch", "0".to_owned()),
    ]);
    fields
}

/// In the order in which they are set, which is Sentinel's.
#[derive(Default)]
struct Flags(String);

impl Flags {
    fn set(&mut self, is_set: bool, flag: &str) {
        if !is_set {
            return;
        }
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(flag);
    }
}

/// What `failover-state` says, while there is one.
fn failover_state(phase: Phase) -> Option<&'static str> {
    match phase {
        Phase::Discovering | Phase::Watching | Phase::Suspecting | Phase::Down => None,
        Phase::Choosing | Phase::Switching => Some("select_slave"),
        Phase::Beginning => Some("send_slaveof_noone"),
        Phase::Promoting => Some("wait_promotion"),
        Phase::Ending => Some("update_config"),
    }
}

fn head(name: &str, endpoint: &Endpoint, run_id: String) -> Fields {
    vec![
        ("name", name.to_owned()),
        ("ip", endpoint.host().to_owned()),
        ("port", endpoint.port().to_string()),
        ("runid", run_id),
    ]
}

fn link(fields: &mut Fields, shared_by: usize) {
    fields.push(("link-pending-commands", "0".to_owned()));
    fields.push(("link-refcount", shared_by.to_string()));
}

/// A ping that was answered is no longer one that waits.
fn pings(fields: &mut Fields, answered_at: Option<Instant>, is_connected: bool, now: Instant) {
    let age = since(answered_at, now);
    let waits = if is_connected {
        "0".to_owned()
    } else {
        age.clone()
    };
    fields.push(("last-ping-sent", waits));
    fields.push(("last-ok-ping-reply", age.clone()));
    fields.push(("last-ping-reply", age));
}

fn downs(
    fields: &mut Fields,
    subjectively: Option<Instant>,
    objectively: Option<Instant>,
    now: Instant,
) {
    let age = |at: Instant| milliseconds(now.saturating_duration_since(at));
    fields.extend(subjectively.map(|at| ("s-down-time", age(at))));
    fields.extend(objectively.map(|at| ("o-down-time", age(at))));
}

fn reported(
    fields: &mut Fields,
    group: &GroupView,
    instance: &InstanceOutline,
    is_expected_master: bool,
    now: Instant,
) {
    let role = group.roles.get(&instance.endpoint);
    let is_master = role.map_or(is_expected_master, |(is_master, _)| *is_master);
    let read_at = instance.read.as_ref().map(|(at, _)| *at);
    fields.extend([
        ("info-refresh", since(read_at, now)),
        (
            "role-reported",
            if is_master { "master" } else { "slave" }.to_owned(),
        ),
        ("role-reported-time", since(role.map(|(_, at)| *at), now)),
    ]);
}

fn since(at: Option<Instant>, now: Instant) -> String {
    milliseconds(at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at)))
}

fn milliseconds(span: Duration) -> String {
    span.as_millis().to_string()
}
