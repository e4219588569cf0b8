//! Opening, locking and binding all that an observer needs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing::info;

use super::following::Following;
use super::saved::{Saved, StateDirectory};
use super::{Inbox, ObserverDaemon, SAVE_INTERVAL, Saving, publish};
use crate::clients::journal::Journal;
use crate::clients::{Target, Worker};
use crate::daemon::Surroundings;
use crate::daemon::files::Files;
use crate::daemon::reload::InForce;
use crate::daemon::service::Service;
use crate::daemon::start::{StartError, random};
use crate::daemon::stream::{Stream, wall_clock};
use crate::model::GroupName;
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
    let unfinished = unfinished(&targets, &journal, &saved);
    let (outcomes, files_inbox) = mpsc::unbounded_channel();
    let worker = Worker::start(
        targets,
        journal,
        Handle::current(),
        // The loop is gone only while the daemon stops.
        Box::new(move |outcome| drop(outcomes.send(outcome))),
    )?;

    for group in unfinished {
        if let Some(known) = saved.knowledge.groups().get(&group) {
            publish(&worker, &group, known);
        }
    }

    let (news, voters) = mpsc::channel(NEWS_MAX);
    let follow = FollowSettings {
        node: settings.node.clone(),
        voters: settings.voters.clone(),
        key: settings.peer_key.clone(),
        seed: random()?,
    };
    let follower = Follower::start(follow, saved.knowledge.clone(), news);
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (ended, saves) = mpsc::unbounded_channel();
    let (rereads_outbox, rereads) = mpsc::unbounded_channel();
    let stale_before = saved.confirmed_at.map_or(Duration::ZERO, |at| {
        Duration::from_millis(wall_clock().time.0.saturating_sub(at.0))
    });

    info!(node = %settings.node, role = %settings.role, voters = settings.voters.len(),
        clients = settings.clients.len(), groups = saved.knowledge.groups().len(), ?stale_before,
        status = %settings.status_socket.display(), version = env!("CARGO_PKG_VERSION"),
        "promoterd started");
    Ok(ObserverDaemon {
        in_force: InForce::new(settings, rereads_outbox),
        surroundings,
        started_at: now,
        directory,
        saved,
        saving: Saving {
            ended,
            is_running: false,
            is_wanted: false,
            due: now + SAVE_INTERVAL,
            error: None,
        },
        following: Following::new(stale_before, now),
        follower,
        is_confirmed: false,
        position: Position::default(),
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

/// The groups of which this host was told more than its files say: it goes on with that. What is right by
/// the journal is not touched before a voter confirms it, since somebody may have had a reason to change it.
fn unfinished(targets: &[Target], journal: &Journal, saved: &Saved) -> BTreeSet<GroupName> {
    let is_unfinished = |target: &&Target| {
        let known = saved.knowledge.groups().get(&target.group);
        let written = journal.last(&target.client, &target.group);
        known.zip(written).is_some_and(|(known, written)| {
            let is_unread = target.reload.is_some() && !written.reloaded;
            written.epoch < known.epoch || is_unread
        })
    };
    let targets = targets.iter().filter(is_unfinished);
    targets.map(|target| target.group.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::command::Command;
    use crate::clients::journal::Entry;
    use crate::clients::{Content, Digest};
    use crate::model::{ClusterId, Epoch, LogIndex};
    use crate::peer::{News, PublicGroup};

    fn saved(epoch: u64) -> Saved {
        let group = PublicGroup {
            epoch: Epoch(epoch),
            master: "m:1".parse().unwrap(),
            replicas: Vec::new(),
            is_paused: false,
            index: LogIndex(9),
        };
        let mut saved = Saved::default();
        let news = News {
            cluster: Some(ClusterId(7)),
            is_confirmed: true,
            groups: [("f".parse().unwrap(), group.into())].into(),
        };
        saved.knowledge.take_in(news).unwrap();
        saved
    }

    #[test]
    fn without_a_voter_only_what_was_told_and_not_done_is_done() {
        for (known, written, has_reload, is_unfinished) in [
            (2, Some((1, true)), false, true),
            (2, Some((2, true)), false, false),
            (2, Some((2, false)), false, false),
            (2, Some((2, false)), true, true),
            (2, Some((2, true)), true, false),
            (2, None, true, false),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let mut journal = Journal::open_or_begin(directory.path()).unwrap();
            let target = Target {
                client: "api".parse().unwrap(),
                group: "f".parse().unwrap(),
                path: "/api.env".into(),
                content: Content::Template {
                    source: "/t".into(),
                },
                check: None,
                reload: has_reload.then(|| Command {
                    line: "true".parse().unwrap(),
                    limit: Duration::from_secs(1),
                }),
            };
            if let Some((epoch, reloaded)) = written {
                journal.note(Entry {
                    client: target.client.clone(),
                    group: target.group.clone(),
                    epoch: Epoch(epoch),
                    master: "m:1".parse().unwrap(),
                    digest: Digest::of(b""),
                    reloaded,
                });
            }
            let found = !unfinished(&[target], &journal, &saved(known)).is_empty();
            assert_eq!(found, is_unfinished, "{written:?} {has_reload}");
        }
    }
}
