//! Carrying out what the node decided, without ever waiting for it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tracing::{debug, error, warn};

use super::files::Files;
use super::node::{Node, NodeAction};
use super::observers::Observers;
use super::operations::{self, Operations};
use super::overview;
use super::rescues;
use super::sentinel::Sentinel;
use super::stream::Stream;
use crate::clients::{Publication, Worker};
use crate::consensus::LogWriter;
use crate::decision::{ChangedReaders, Group, GroupRecord, Readers};
use crate::fencer::{BootClock, Fencer};
use crate::model::{Endpoint, GroupName, NodeId};
use crate::peer::{Dismissal, Links, PeerMessage};
use crate::redis::Instances;
use crate::status::Question;

/// Time between two looks at what readers are told, unless something happened.
const READERS_INTERVAL: Duration = Duration::from_millis(100);
/// Longest time that a stop waits for the clients' files.
const FILES_MAX: Duration = Duration::from_secs(5);

/// All that the daemon acts with.
pub(super) struct Effects {
    pub(super) started_at: Instant,
    pub(super) links: Links,
    pub(super) voters: BTreeMap<NodeId, Endpoint>,
    pub(super) instances: Instances,
    pub(super) fencer: Fencer,
    pub(super) clock: BootClock,
    pub(super) writer: LogWriter,
    pub(super) worker: Worker,
    /// Whether the worker was told that what was published last is what is right.
    pub(super) is_current: bool,
    pub(super) readers: Readers,
    /// When to look at what readers are told.
    pub(super) readers_due: Instant,
    pub(super) files: Files,
    pub(super) stream: Stream,
    pub(super) observers: Option<Observers>,
    pub(super) operations: Operations,
    pub(super) sentinel: Option<Sentinel>,
    pub(super) server: JoinHandle<Infallible>,
    /// Why this state directory may not speak for the node any more.
    pub(super) left: Option<Dismissal>,
    pub(super) state_dir: PathBuf,
}

impl Effects {
    /// Starts each action, in order.
    pub(super) fn carry_out(&mut self, actions: Vec<NodeAction>, node: &Node) {
        let now = Instant::now();
        for action in actions {
            if let Some(observers) = &mut self.observers {
                observers.note(&action, node);
            }
            match action {
                NodeAction::Probe(order) => self.instances.probe(order),
                NodeAction::Follow(order) => self.instances.follow(order),
                NodeAction::Guard(order) => self.instances.guard(order),
                NodeAction::Hold(order) => self.fencer.order(order, self.clock.reading()),
                NodeAction::Rescue(order) => self.instances.rescue(order),
                NodeAction::Send(peer, message) => {
                    if let Err(error) = self.links.send(&peer, message.encode()) {
                        debug!(%peer, %error, "message not sent");
                    }
                }
                NodeAction::Persist(batch) => {
                    // Its first error has stopped the loop already, or is about to.
                    if let Err(error) = self.writer.write(batch) {
                        error!(%error, "nothing is written any more");
                    }
                }
                NodeAction::Publish {
                    group,
                    epoch,
                    master,
                    replicas,
                } => {
                    if let Some(sentinel) = &mut self.sentinel {
                        sentinel.note_change(&group);
                    }
                    let known = group_of(node, &group);
                    let named = (epoch, &master);
                    let replicas = self.readers.publish(&group, named, &replicas, known, now);
                    self.publish(Publication {
                        group,
                        epoch,
                        master,
                        replicas,
                    });
                }
                NodeAction::Announce(happening) => {
                    // Of an instance, it may be.
                    self.readers_due = now;
                    self.stream.announce(&happening);
                    if let Some(sentinel) = &mut self.sentinel {
                        sentinel.note(&happening);
                    }
                }
                NodeAction::Belong(cluster) => self.links.belong(cluster),
                NodeAction::Leave(why) => self.left = Some(why),
                NodeAction::Answer(operation) => {
                    self.operations.answer(node, operation, Instant::now())
                }
            }
        }
        // Behind what was published in this turn.
        let is_current = node.is_current(now);
        if std::mem::replace(&mut self.is_current, is_current) != is_current {
            self.worker.lead(is_current);
        }
        self.look_for_readers(node, now);
        if let Some(observers) = &mut self.observers {
            observers.show(node, now);
        }
        if let Some(sentinel) = &mut self.sentinel {
            sentinel.tell(node, &self.links, now);
        }
    }

    fn publish(&mut self, publication: Publication) {
        if let Some(observers) = &mut self.observers {
            observers.note_replicas(&publication.group, &publication.replicas);
        }
        self.worker.publish(publication);
    }

    /// Without a leader the committed master may be out of date, and so is how its replicas stand to it.
    fn look_for_readers(&mut self, node: &Node, now: Instant) {
        if now < self.readers_due || !self.is_current {
            return;
        }
        self.readers_due = now + READERS_INTERVAL;
        let supervisor = node.supervisor();
        let changed = self
            .readers
            .look(supervisor.groups(), supervisor.records(), now);
        for changed in changed {
            let ChangedReaders {
                group,
                epoch,
                master,
                replicas,
            } = changed;
            self.publish(Publication {
                group,
                epoch,
                master,
                replicas,
            });
        }
    }

    /// Answers somebody who asks for the status.
    pub(super) fn answer(&self, node: &Node, question: Question) {
        // Whoever asked may have lost patience.
        match question {
            Question::Alive(answer) => drop(answer.send(())),
            // These go by the node; whoever asks here hears that they did not.
            Question::Operate(_, answer) => drop(answer),
            Question::Reload(answer) => drop(answer),
            Question::Operation(operation, answer) => {
                drop(answer.send(operations::overview(node, operation, Instant::now())));
            }
            Question::Rescues(answer) => {
                let masters = rescues::masters(node);
                let state_dir = self.state_dir.clone();
                tokio::task::spawn_blocking(move || {
                    drop(answer.send(rescues::report(&state_dir, &masters)));
                });
            }
            Question::Overview(answer) => {
                drop(answer.send(overview::source(self, node, Instant::now())));
            }
        }
    }

    /// Any peer that there is a link to.
    pub(super) fn connected_peer(&self) -> Option<NodeId> {
        self.links
            .status()
            .into_iter()
            .find(|(_, status)| status.connected.is_some())
            .map(|(peer, _)| peer)
    }

    /// Ends everything in good order, within a limit.
    pub(super) async fn stop(self) {
        self.server.abort();
        // It ends only by being aborted, and takes its socket along.
        drop(self.server.await);
        if let Some(sentinel) = self.sentinel {
            sentinel.stop();
        }
        // They follow another voter at once.
        drop(self.observers);
        self.links.stop().await;
        drop(self.instances);
        drop(self.fencer);
        let worker = self.worker;
        let stopped = tokio::task::spawn_blocking(move || worker.stop(FILES_MAX)).await;
        if let Ok(Err(still_writing)) = stopped {
            warn!(%still_writing, "stopped all the same");
        }
    }
}

/// A group, once it is registered.
fn group_of<'a>(node: &'a Node, name: &GroupName) -> Option<(&'a Group, &'a GroupRecord)> {
    let supervisor = node.supervisor();
    supervisor
        .groups()
        .get(name)
        .zip(supervisor.records().get(name))
}

/// Reads a peer's message; what is none is logged and lost.
pub(super) fn decode(peer: &NodeId, payload: &[u8]) -> Option<PeerMessage> {
    match PeerMessage::decode(payload) {
        Ok(message) => Some(message),
        Err(error) => {
            debug!(%peer, %error, "message dropped");
            None
        }
    }
}
