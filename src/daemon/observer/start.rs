//! Opening, locking and binding all that an observer needs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing::info;

use super::briefed::Briefed;
use super::following::Following;
use super::saved::StateDirectory;
use super::{Inbox, ObserverDaemon, SAVE_INTERVAL, Saving};
use crate::clients::journal::Journal;
use crate::clients::{Target, Worker};
use crate::daemon::Surroundings;
use crate::daemon::files::Files;
use crate::daemon::reload::InForce;
use crate::daemon::service::Service;
use crate::daemon::start::{StartError, random};
use crate::daemon::stream::{Stream, wall_clock};
use crate::model::Epoch;
use crate::peer::{FollowSettings, Follower, Position};
use crate::settings::Settings;
use crate::status::{EventFeed, Gatekeeper, StatusServer};

/// News from voters that may wait for the loop; beyond it nothing more is read from them.
const NEWS_MAX: usize = 16;
/// Status questions that may wait for the loop; beyond it they are turned away.
const QUESTIONS_MAX: usize = 16;

pub(super) async fn start(
    settings: Settings,
    surroundings: Arc<Surroundings>,
) -> Result<ObserverDaemon, StartError> {
    let now = Instant::now();
    let (directory, saved) = StateDirectory::open(&settings.state_dir)?;
    let journal = Journal::open_or_begin(&settings.state_dir)?;

    let (questions_outbox, questions) = mpsc::channel(QUESTIONS_MAX);
    let feed = EventFeed::new(settings.node.clone());
    let gatekeeper = Gatekeeper::new(&settings.admin_group);
    let server = StatusServer::bind(&settings.status_socket).await?;
    let server = tokio::spawn(server.serve(questions_outbox, feed.clone(), gatekeeper));

    let targets: Vec<Target> = settings.clients.values().cloned().collect();
    let files = Files::new(&targets);
    let briefed = Briefed::new(saved.knowledge);
    let unfinished = briefed.unfinished(&targets, |it| journal.last(&it.client, &it.group));
    let (outcomes, files_inbox) = mpsc::unbounded_channel();
    // Whose files it does not know yet is behind.
    let files_of = targets.iter().map(|target| target.group.clone());
    let position = Position {
        files: files_of.map(|group| (group, Epoch::default())).collect(),
    };
    let worker = Worker::start(
        targets,
        journal,
        unfinished,
        Handle::current(),
        // The loop is gone only while the daemon stops.
        Box::new(move |outcome| drop(outcomes.send(outcome))),
    )?;

    let (news, voters) = mpsc::channel(NEWS_MAX);
    let follow = FollowSettings {
        node: settings.node.clone(),
        voters: settings.voters.clone(),
        key: settings.peer_key.clone(),
        seed: random()?,
    };
    let follower = Follower::start(follow, briefed.knowledge().clone(), news);
    follower.place(position.clone());
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (ended, saves) = mpsc::unbounded_channel();
    let (rereads_outbox, rereads) = mpsc::unbounded_channel();
    let stale_before = saved.confirmed_at.map_or(Duration::ZERO, |at| {
        Duration::from_millis(wall_clock().time.0.saturating_sub(at.0))
    });

    info!(node = %settings.node, role = %settings.role, voters = settings.voters.len(),
        clients = settings.clients.len(), groups = briefed.knowledge().groups().len(), ?stale_before,
        status = %settings.status_socket.display(), version = env!("CARGO_PKG_VERSION"),
        "promoterd started");
    Ok(ObserverDaemon {
        in_force: InForce::new(settings, rereads_outbox),
        surroundings,
        started_at: now,
        directory,
        briefed,
        confirmed_at: saved.confirmed_at,
        saving: Saving {
            ended,
            is_running: false,
            is_wanted: false,
            due: now + SAVE_INTERVAL,
            error: None,
        },
        following: Following::new(stale_before, now),
        follower,
        position,
        worker,
        files,
        stream: Stream { feed },
        service: Service::new(now),
        server,
        inbox: Inbox {
            signals,
            voters,
            files: files_inbox,
            questions,
            saves,
            rereads,
        },
    })
}
