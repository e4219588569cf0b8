//! From what raft-rs wants done to a [`Ready`]: what may leave now, what the disk must have first.

use raft::eraftpb::{Entry as RaftEntry, Message as RaftMessage, Snapshot as RaftSnapshot};
use raft::{ProgressState, SnapshotStatus};

use super::engine::{Engine, Outstanding};
use super::entry::{Batch, LogEntry};
use super::message::Body;
use super::raft::{entry_from_raft, message_from_raft, snapshot_from_raft};
use super::seat::Standing;
use super::status::{Outgoing, Progress, Ready};
use crate::breaks::{Break, is_broken};

impl Engine {
    pub(super) fn next_ready(&mut self) -> Ready {
        let mut ready = self.raft.ready();
        let (number, must_sync) = (ready.number(), ready.must_sync());
        // raft-rs lets a leader's messages go ahead of the disk, and puts all others into a second list.
        let mut send = self.outgoing(ready.take_messages());
        let mut withheld = self.outgoing(ready.take_persisted_messages());
        let committed = ready.take_committed_entries();
        let applied = committed.last().map(|entry| entry.index);
        let mut rejoined = Vec::new();
        let mut to_apply = Vec::new();
        for entry in committed.into_iter().filter(|entry| !entry.data.is_empty()) {
            let entry = entry_from_raft(entry);
            match self.apply_rejoin(&entry) {
                Some(rejoin) => rejoined.push(rejoin),
                None => to_apply.push(entry),
            }
        }

        if let Some(hard_state) = ready.hs() {
            self.raft.mut_store().set_hard_state(hard_state.clone());
        }
        let install = (!ready.snapshot().is_empty()).then(|| ready.snapshot().clone());
        let persist = self.batch(install.as_ref(), ready.take_entries(), must_sync);
        self.raft.advance_append_async(ready);
        if let Some(index) = applied {
            self.raft.advance_apply_to(index);
        }

        if !must_sync || is_broken(Break::AnswersBeforeDisk) {
            self.note_promises(&withheld);
            send.append(&mut withheld);
        }
        if persist.is_some() {
            self.outstanding = Some(Outstanding {
                ready: number,
                hard_state: self.written.clone(),
                progress: Progress {
                    send: withheld,
                    install: install.as_ref().map(snapshot_from_raft),
                },
            });
        } else {
            self.raft.on_persist_ready(number);
        }
        Ready {
            send,
            persist,
            committed: to_apply,
            rejoined,
        }
    }

    /// Brings the log in memory up to date, and says what the disk needs to be so too.
    fn batch(
        &mut self,
        install: Option<&RaftSnapshot>,
        entries: Vec<RaftEntry>,
        must_sync: bool,
    ) -> Option<Batch> {
        let written: Vec<LogEntry> = entries.iter().cloned().map(entry_from_raft).collect();
        if install.is_some() {
            self.rejoins.clear();
        }
        self.note_rejoins(&written);
        let keep_commit = std::mem::take(&mut self.keep_commit);
        let store = self.raft.mut_store();
        if let Some(snapshot) = install {
            store.install(snapshot.clone());
        }
        let replace = std::mem::take(&mut self.compacted) || install.is_some();
        let hard_state = self.voters.hard_state_from_raft(store.hard_state());
        let changed = (hard_state != self.written).then(|| hard_state.clone());
        if !(replace || must_sync || keep_commit && changed.is_some()) {
            return None;
        }
        self.written = hard_state.clone();
        if !replace {
            store.append(entries);
            return Some(Batch::Append {
                hard_state: changed,
                entries: written,
            });
        }
        store.append(entries);
        Some(Batch::Replace {
            snapshot: snapshot_from_raft(store.latest_snapshot()),
            hard_state,
            entries: store
                .all_entries()
                .iter()
                .cloned()
                .map(entry_from_raft)
                .collect(),
        })
    }

    /// In the order of the voters' names: raft-rs walks a hash map.
    fn outgoing(&mut self, mut messages: Vec<RaftMessage>) -> Vec<Outgoing> {
        messages.sort_by_key(|message| message.to);
        let mut outgoing = Vec::with_capacity(messages.len());
        for message in messages {
            let number = message.to;
            let Some(to) = self.voters.name(number).cloned() else {
                continue;
            };
            let Some(message) = message_from_raft(message) else {
                continue;
            };
            if self.standing != Standing::Voter && !message.body.is_about_copying() {
                continue;
            }
            if matches!(message.body, Body::Snapshot { .. }) {
                self.snapshots_sent.insert(number, self.clock);
            }
            outgoing.push((to, message));
        }
        outgoing
    }

    /// raft-rs sends nothing more to a follower until it is told what became of a snapshot. One that
    /// answers heartbeats but not the snapshot has not got it.
    pub(super) fn repeat_lost_snapshot(&mut self, number: u64) {
        let progress = self.raft.raft.prs().get(number);
        if progress.is_none_or(|progress| progress.state != ProgressState::Snapshot) {
            self.snapshots_sent.remove(&number);
            return;
        }
        let patience = self.settings.election_timeout_max;
        let is_overdue = self
            .snapshots_sent
            .get(&number)
            .is_none_or(|sent| self.clock.saturating_duration_since(*sent) >= patience);
        if is_overdue {
            self.snapshots_sent.remove(&number);
            self.raft.report_snapshot(number, SnapshotStatus::Failure);
        }
    }
}
