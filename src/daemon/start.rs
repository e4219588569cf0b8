//! Opening, locking and binding all that a daemon needs, or saying what cannot be had.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing::info;

use super::Daemon;
use super::alarm::Alarm;
use super::effects::Effects;
use super::files::Files;
use super::inbox::Inbox;
use super::node::{Node, NodeError, Origin};
use super::observer::SavedError;
use super::observers::Observers;
use super::operations::Operations;
use super::reload::{InForce, Surroundings};
use super::sentinel::Sentinel;
use super::service::Service;
use super::stream::{Stream, wall_clock};
use crate::clients::journal::{Journal, JournalError};
use crate::clients::{Target, Worker};
use crate::consensus::{
    EngineSettings, Identity, LogError, LogFile, LogWriter, heartbeat_interval,
};
use crate::decision::Readers;
use crate::fencer::{BootClock, Fencer};
use crate::model::{ClusterId, Incarnation, Life};
use crate::peer::{
    LinkError, LinkSettings, Links, Observers as Port, ObserversError, ObserversSettings,
};
use crate::redis::{GuardKey, Instances, Logins};
use crate::sentinel::SentinelError;
use crate::settings::Settings;
use crate::status::{EventFeed, Gatekeeper, StatusError, StatusServer};

/// News from peers that may wait for the loop; beyond it nothing more is read from them.
const LINK_NEWS_MAX: usize = 256;
/// Status questions that may wait for the loop; beyond it they are turned away.
const QUESTIONS_MAX: usize = 16;

/// Why a daemon cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state directory.
    #[error("the state directory cannot be used")]
    State(#[from] LogError),
    /// The clients' journal in it.
    #[error("the journal of the clients' files cannot be used")]
    Journal(#[from] JournalError),
    /// The committed state, or the engine.
    #[error("the state of this node cannot be continued")]
    Node(#[from] NodeError),
    /// The peer port.
    #[error("the links to the peers cannot be started")]
    Links(#[from] LinkError),
    /// The observers' port.
    #[error("the observers' port cannot be opened")]
    Observers(#[from] ObserversError),
    /// The state file of an observer.
    #[error("the state directory cannot be used")]
    Saved(#[from] SavedError),
    /// The status socket.
    #[error("the status socket cannot be opened")]
    Status(#[from] StatusError),
    /// The Sentinel endpoint.
    #[error("the Sentinel endpoint cannot be opened")]
    Sentinel(#[from] SentinelError),
    /// A thread, a signal handler.
    #[error("the system does not give what the daemon needs: raise its limits")]
    System(#[from] io::Error),
    /// Random bytes.
    #[error("the system gave no random bytes")]
    Randomness(getrandom::Error),
}

pub(super) async fn start(
    settings: Settings,
    surroundings: Arc<Surroundings>,
) -> Result<Daemon, StartError> {
    let life = Life(random()?);
    let identity = Identity {
        node: settings.node.clone(),
        voters: settings.voters.keys().cloned().collect(),
    };
    let (file, recovered) = LogFile::open(&settings.state_dir, &identity, Incarnation(random()?))?;
    let journal = Journal::open_or_begin(&settings.state_dir)?;
    let policies = settings
        .groups
        .iter()
        .map(|(name, group)| (name.clone(), group.policy.clone()))
        .collect();
    let engine = EngineSettings {
        node: identity.node,
        voters: identity.voters,
        election_timeout_min: settings.election_timeout.min,
        election_timeout_max: settings.election_timeout.max,
        heartbeat_interval: heartbeat_interval(settings.election_timeout.min),
        seed: random()?,
    };
    let origin = Origin {
        life,
        cluster: ClusterId(random()?),
    };
    let announced = settings.sentinel.as_ref();
    let announced = announced.map(|sentinel| sentinel.announce.clone());
    let node = Node::new(engine, policies, recovered, origin, wall_clock())?
        .with_role(settings.role)
        .with_sentinel(announced);

    let (link_events, links_inbox) = mpsc::channel(LINK_NEWS_MAX);
    let link_settings = LinkSettings {
        node: settings.node.clone(),
        life,
        cluster: node.cluster(),
        voters: settings.voters.clone(),
        listen: settings.listen.clone(),
        key: settings.peer_key.clone(),
    };
    let links = Links::start(link_settings, link_events).await?;

    let observers = match &settings.observers {
        Some(listen) => {
            let port = Port::start(ObserversSettings {
                node: settings.node.clone(),
                listen: listen.clone(),
                key: settings.peer_key.clone(),
            });
            Some(Observers::new(port.await?))
        }
        None => None,
    };

    let (questions_outbox, questions) = mpsc::channel(QUESTIONS_MAX);
    let feed = EventFeed::new(settings.node.clone());
    let gatekeeper = Gatekeeper::new(&settings.admin_group);
    let server = StatusServer::bind(&settings.status_socket).await?;
    let server = tokio::spawn(server.serve(questions_outbox, feed.clone(), gatekeeper));

    let (sentinel, sentinel_inbox) = match &settings.sentinel {
        Some(it) => {
            let (voters, election) = (&settings.voters, settings.election_timeout.max);
            let (sentinel, inbox) = Sentinel::start(it, voters, election, &node, &links).await?;
            (Some(sentinel), Some(inbox))
        }
        None => (None, None),
    };

    let (instance_events, instances_inbox) = mpsc::unbounded_channel();
    let credentials = settings
        .groups
        .iter()
        .map(|(name, group)| (name.clone(), group.credentials.clone()))
        .collect();
    let logins = Logins {
        key: settings
            .peer_key
            .as_ref()
            .map(|key| GuardKey::new(key.derive("replicas' logins"))),
        own: settings
            .groups
            .iter()
            .map(|(name, group)| (name.clone(), group.replica_login.clone()))
            .collect(),
    };
    let (hold_outcomes, holds) = mpsc::unbounded_channel();
    let fencer = Fencer::new(settings.fencer_socket.clone(), hold_outcomes);
    let targets: Vec<Target> = settings.clients.values().cloned().collect();
    let files = Files::new(&targets);
    let (outcomes, files_inbox) = mpsc::unbounded_channel();
    let worker = Worker::start(
        targets,
        journal,
        Vec::new(),
        Handle::current(),
        // The loop is gone only while the daemon stops.
        Box::new(move |outcome| drop(outcomes.send(outcome))),
    )?;
    let (written, written_inbox) = mpsc::unbounded_channel();
    let writer = LogWriter::start(file, move |outcome| drop(written.send(outcome)))?;
    let alarm = Alarm::new()?;
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;

    info!(node = %settings.node, role = %settings.role, listen = %settings.listen,
        voters = settings.voters.len(), groups = settings.groups.len(),
        status = %settings.status_socket.display(), version = env!("CARGO_PKG_VERSION"),
        "promoterd started");
    let (rereads_outbox, rereads) = mpsc::unbounded_channel();
    Ok(Daemon {
        surroundings,
        in_force: InForce::new(settings.clone(), rereads_outbox),
        state_dir: settings.state_dir.clone(),
        service: Service::new(Instant::now()),
        node,
        inbox: Inbox {
            alarm,
            links: links_inbox,
            instances: instances_inbox,
            holds,
            written: written_inbox,
            files: files_inbox,
            questions,
            sentinel: sentinel_inbox,
            signals,
            rereads,
        },
        effects: Effects {
            started_at: Instant::now(),
            links,
            voters: settings.voters,
            fencer,
            clock: BootClock::new(),
            instances: Instances::new(credentials, instance_events)
                .with_logins(logins)
                .with_rescues(settings.state_dir.clone()),
            state_dir: settings.state_dir,
            left: None,
            writer,
            worker,
            is_current: true,
            readers: Readers::default(),
            readers_due: Instant::now(),
            files,
            stream: Stream { feed },
            observers,
            operations: Operations::default(),
            sentinel,
            server,
        },
    })
}

pub(super) fn random() -> Result<u64, StartError> {
    getrandom::u64().map_err(StartError::Randomness)
}
