//! Everything that talks to Redis instances: probe connections, work on pooled connections, parsing.
//!
//! The core gives orders and never waits; what comes of them arrives as [`InstanceEvent`]s.
//!
//! ```text
//! ProbeOrder  ──► Instances::probe  ──► probe (a task each)  ──► connection ──► stream
//! FollowOrder ──► Instances::follow ──► work (a task each)   ──► pool ──► connection ──► stream
//! GuardOrder  ──► Instances::guard  ──► guard (a task each)  ──► pool ──► connection ──► stream
//! RescueOrder ──► Instances::rescue ──► rescue (a task each) ──► a connection of its own, a file
//! ```

mod connection;
mod credentials;
mod guard;
pub mod info;
mod limits;
mod names;
mod pool;
mod probe;
mod process;
mod reading;
mod reply;
pub mod rescue;
mod stream;
mod work;

#[cfg(test)]
mod probe_server_tests;
#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod test_servers;
#[cfg(test)]
mod work_tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tracing::debug;

pub use credentials::{Credentials, Secret};
pub use guard::{GUARD_USER, GuardKey, Logins};
pub use names::{CommandNames, RENAMABLE};
pub use reading::Asked;

use crate::decision::{
    FollowOrder, FollowOutcome, GuardOrder, GuardOutcome, LinkId, ProbeCommand, ProbeEvent,
    ProbeOrder, RescueOrder, RescueOutcome,
};
use crate::model::{Endpoint, GroupName};
use pool::InstancePool;
use probe::{End, Link, Question, Request};

/// A pool that nobody used for so long is dropped.
const POOL_UNUSED_MAX: Duration = Duration::from_secs(600);

/// The rest before the next connection to a server that sent what is no reply, or sent without end;
/// doubled each time that it does so again.
const REST_AFTER_MADNESS: Duration = Duration::from_secs(1);
const REST_AFTER_MADNESS_MAX: Duration = Duration::from_secs(10);

/// Something that instances did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceEvent {
    /// On a probe connection.
    Probe(ProbeEvent),
    /// A [`FollowOrder`] is done, or failed.
    Followed(FollowOutcome),
    /// A [`GuardOrder`] is done, or failed.
    Guarded(GuardOutcome),
    /// A [`RescueOrder`] is done, or failed.
    Rescued(RescueOutcome),
}

/// All connections to Redis instances. Dropped, it closes them all.
#[derive(Debug)]
pub struct Instances {
    credentials: BTreeMap<GroupName, Arc<Credentials>>,
    logins: Arc<Logins>,
    events: UnboundedSender<InstanceEvent>,
    links: BTreeMap<(Endpoint, LinkId), Link>,
    /// How many connections in a row showed a server gone mad.
    madness: BTreeMap<Endpoint, u32>,
    pools: BTreeMap<(GroupName, Endpoint), PoolUse>,
    works: JoinSet<()>,
    /// Where rescued data are kept.
    state_dir: PathBuf,
}

#[derive(Debug)]
struct PoolUse {
    pool: InstancePool,
    last: Instant,
}

impl Instances {
    /// Groups without `credentials` are spoken to without any. Events go to `events`.
    #[must_use]
    pub fn new(
        credentials: BTreeMap<GroupName, Credentials>,
        events: UnboundedSender<InstanceEvent>,
    ) -> Self {
        let shared = |(group, credentials)| (group, Arc::new(credentials));
        Self {
            credentials: credentials.into_iter().map(shared).collect(),
            logins: Arc::default(),
            events,
            links: BTreeMap::new(),
            madness: BTreeMap::new(),
            pools: BTreeMap::new(),
            works: JoinSet::new(),
            state_dir: PathBuf::new(),
        }
    }

    /// Gives replicas these logins, where the operator wants a guard.
    #[must_use]
    pub fn with_logins(self, logins: Logins) -> Self {
        Self {
            logins: Arc::new(logins),
            ..self
        }
    }

    /// Keeps rescued data in this state directory, from which it removes what an earlier life did not finish.
    #[must_use]
    pub fn with_rescues(self, state_dir: PathBuf) -> Self {
        rescue::remove_unfinished(&state_dir);
        Self { state_dir, ..self }
    }

    /// From now on `group` is spoken to with these. Connections that are open stay.
    pub fn set_credentials(&mut self, group: &GroupName, credentials: Credentials) {
        let before = self.credentials_of(group);
        if *before != credentials {
            self.credentials
                .insert(group.clone(), Arc::new(credentials));
            self.pools.retain(|(of, _), _| of != group);
        }
    }

    /// Carries out `order` without blocking; it has to be called inside of the tokio runtime.
    ///
    /// After [`ProbeCommand::Disconnect`] nothing more is reported of that connection. Orders for
    /// a connection that is gone are dropped, since its end has been reported.
    pub fn probe(&mut self, order: ProbeOrder) {
        let key = (order.endpoint, order.link);
        match order.command {
            ProbeCommand::Connect => self.connect(order.group, key),
            ProbeCommand::Disconnect => {
                self.tidy();
                self.links.remove(&key);
            }
            ProbeCommand::Ping => self.request(&key, Request::Ask(Question::Ping)),
            ProbeCommand::AskInfo => self.request(&key, Request::Ask(Question::Info)),
            ProbeCommand::WatchProcess(process_id) => {
                self.request(&key, Request::WatchProcess(process_id));
            }
            ProbeCommand::CountSentinels => {
                self.request(&key, Request::Ask(Question::CountSentinels));
            }
            ProbeCommand::Promote(order) => {
                self.request(&key, Request::Ask(Question::Promote(order)));
            }
            ProbeCommand::AskLimits => self.request(&key, Request::Ask(Question::Limits)),
            ProbeCommand::SetLimits(limits) => {
                self.request(&key, Request::Ask(Question::SetLimits(limits)));
            }
            ProbeCommand::HoldWrites(lasts) => {
                self.request(&key, Request::Ask(Question::HoldWrites(lasts)));
            }
            ProbeCommand::ReleaseWrites => {
                self.request(&key, Request::Ask(Question::ReleaseWrites));
            }
        }
    }

    /// Starts to carry out `order`; its outcome comes as [`InstanceEvent::Followed`] within 8 s.
    pub fn follow(&mut self, order: FollowOrder) {
        while self.works.try_join_next().is_some() {}
        let pool = self.pool(&order.group, &order.endpoint);
        let (events, logins) = (self.events.clone(), Arc::clone(&self.logins));
        self.works.spawn(async move {
            let result = work::follow(&pool, &order, &logins).await;
            let outcome = FollowOutcome { order, result };
            // Nobody listens any more only while the daemon stops.
            let _ = events.send(InstanceEvent::Followed(outcome));
        });
    }

    /// Starts to carry out `order`; its outcome comes as [`InstanceEvent::Guarded`] within 8 s.
    pub fn guard(&mut self, order: GuardOrder) {
        while self.works.try_join_next().is_some() {}
        let pool = self.pool(&order.group, &order.endpoint);
        let (events, logins) = (self.events.clone(), Arc::clone(&self.logins));
        self.works.spawn(async move {
            let result = guard::guard(&pool, &order, &logins).await;
            let outcome = GuardOutcome { order, result };
            let _ = events.send(InstanceEvent::Guarded(outcome));
        });
    }

    /// Starts to carry out `order`; its outcome comes as [`InstanceEvent::Rescued`] within the time that it
    /// allows.
    pub fn rescue(&mut self, order: RescueOrder) {
        while self.works.try_join_next().is_some() {}
        let credentials = self.credentials_of(&order.group);
        let (events, state_dir) = (self.events.clone(), self.state_dir.clone());
        self.works.spawn(async move {
            let result = rescue::rescue(&state_dir, &credentials, &order).await;
            let outcome = RescueOutcome { order, result };
            let _ = events.send(InstanceEvent::Rescued(outcome));
        });
    }

    fn connect(&mut self, group: GroupName, key: (Endpoint, LinkId)) {
        self.tidy();
        let rest = self.rest_of(&key.0);
        let link = Link::open(
            key.0.clone(),
            key.1,
            self.credentials_of(&group),
            self.events.clone(),
            rest,
        );
        self.links.insert(key, link);
    }

    /// How long to leave a server alone before another connection: each costs what it sends.
    fn rest_of(&self, endpoint: &Endpoint) -> Duration {
        let times = self.madness.get(endpoint).copied().unwrap_or(0);
        match times {
            0 => Duration::ZERO,
            times => REST_AFTER_MADNESS_MAX.min(REST_AFTER_MADNESS * 2_u32.pow(times.min(10) - 1)),
        }
    }

    fn request(&self, key: &(Endpoint, LinkId), request: Request) {
        let is_taken = self
            .links
            .get(key)
            .is_some_and(|link| link.request(request));
        if !is_taken {
            debug!(endpoint = %key.0, link = key.1.0, "order for a connection that is gone");
        }
    }

    fn pool(&mut self, group: &GroupName, endpoint: &Endpoint) -> InstancePool {
        self.tidy();
        let credentials = self.credentials_of(group);
        let key = (group.clone(), endpoint.clone());
        let entry = self.pools.entry(key).or_insert_with(|| PoolUse {
            pool: InstancePool::new(endpoint.clone(), credentials),
            last: Instant::now(),
        });
        entry.last = Instant::now();
        entry.pool.clone()
    }

    fn credentials_of(&self, group: &GroupName) -> Arc<Credentials> {
        self.credentials
            .get(group)
            .map(Arc::clone)
            .unwrap_or_default()
    }

    fn tidy(&mut self) {
        let madness = &mut self.madness;
        self.links.retain(|(endpoint, _), link| {
            match link.take_end() {
                Some(End::Mad) => *madness.entry(endpoint.clone()).or_default() += 1,
                Some(End::Well) => drop(madness.remove(endpoint)),
                None => {}
            }
            !link.is_over()
        });
        self.pools
            .retain(|_, entry| entry.last.elapsed() < POOL_UNUSED_MAX);
    }
}
