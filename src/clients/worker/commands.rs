//! The commands of the targets: one tries a copy before it counts, one makes its reader take it in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shift::Shift;
use super::{Outcome, ReloadError, ReloadOutcome, ReloadState, Trouble};
use crate::clients::Publication;
use crate::clients::command::{self, Command, CommandError, Report, Running};
use crate::clients::transaction::{self, ATTEMPTS_MAX, ReplaceError, Staged};
use crate::model::{Endpoint, Epoch, with_causes};

/// Most commands that run at a time: each is a process or more, on a host that may be short of them.
const COMMANDS_MAX: usize = 8;

/// A copy that a command tries.
pub(super) struct Trial {
    command: u64,
    _running: Running,
    staged: Staged,
    publication: Publication,
    is_revisit: bool,
    took: Duration,
}

/// A reload that runs.
pub(super) struct Reloading {
    command: u64,
    _running: Running,
    started: Instant,
    epoch: Epoch,
}

impl Shift {
    /// Whether another command may run.
    pub(super) fn has_room(&self) -> bool {
        self.trials.len() + self.reloading.len() < COMMANDS_MAX
    }

    /// Has a command try the copy; the rest follows when it ends.
    pub(super) fn begin_trial(
        &mut self,
        index: usize,
        staged: Staged,
        publication: Publication,
        is_revisit: bool,
        took: Duration,
    ) {
        let Some(Command { line, limit }) = self.targets[index].check.clone() else {
            return;
        };
        let words = line.about_file(&staged.path());
        let master = publication.master.clone();
        match self.start(index, &words, limit, publication.epoch, &master) {
            Ok((command, running)) => {
                let trial = Trial {
                    command,
                    _running: running,
                    staged,
                    publication,
                    is_revisit,
                    took,
                };
                self.trials.insert(index, trial);
            }
            Err(error) => self.refuse(index, publication.epoch, error, String::new()),
        }
    }

    /// Takes in how a command ended; one that nobody waits for any more changes nothing.
    pub(super) fn end_command(&mut self, command: u64, report: Report) {
        let is_tried = |(_, trial): &(&usize, &Trial)| trial.command == command;
        if let Some(index) = self.trials.iter().find(is_tried).map(|(index, _)| *index) {
            if let Some(trial) = self.trials.remove(&index) {
                self.end_trial(index, trial, report);
            }
            return;
        }
        let is_run = |(_, reloading): &(&usize, &Reloading)| reloading.command == command;
        let index = self.reloading.iter().find(is_run).map(|(index, _)| *index);
        if let Some((index, reloading)) =
            index.and_then(|index| Some((index, self.reloading.remove(&index)?)))
        {
            let took = reloading.started.elapsed();
            self.end_reload(index, reloading.epoch, report, took);
        }
    }

    fn end_trial(&mut self, index: usize, trial: Trial, report: Report) {
        let Trial {
            staged,
            publication,
            is_revisit,
            took,
            ..
        } = trial;
        let epoch = publication.epoch;
        if let Err(error) = report.result {
            self.refuse(index, epoch, error, report.output);
            return;
        }
        let started = Instant::now();
        let committed = self.commit(vec![(index, epoch, staged)]).pop();
        match committed.unwrap_or(Ok(None)) {
            Ok(Some(replacement)) => {
                self.restarts[index] = 0;
                let took = took + started.elapsed();
                self.note_right(index, &publication, replacement, is_revisit, took);
            }
            Ok(None) if self.restarts[index] + 1 < ATTEMPTS_MAX => {
                self.restarts[index] += 1;
                self.schedule.restart(index, Instant::now());
            }
            Ok(None) => {
                self.restarts[index] = 0;
                let error = transaction::keeps_changing(&self.targets[index]);
                self.fail(index, epoch, &error, String::new());
            }
            Err(error) => self.fail(index, epoch, &error, String::new()),
        }
    }

    fn refuse(&mut self, index: usize, epoch: Epoch, source: CommandError, output: String) {
        let path = self.targets[index].path.clone();
        let error = ReplaceError::Refused { path, source };
        self.fail(index, epoch, &error, output);
    }

    /// A target whose client is to read its file again now.
    pub(super) fn due_reload(&self, now: Instant) -> Option<(usize, Epoch)> {
        self.reloads.due(now).filter(|_| self.has_room())
    }

    /// Has a client read its file again.
    pub(super) fn begin_reload(&mut self, index: usize, epoch: Epoch) {
        self.reloads.begin(index);
        let target = &self.targets[index];
        let known = self.journal.last(&target.client, &target.group);
        let (Some(Command { line, limit }), Some(known)) = (target.reload.clone(), known) else {
            self.reloads.end(index, true, Instant::now());
            return;
        };
        let words = line.with_file(&target.path);
        let master = known.master.clone();
        let started = Instant::now();
        match self.start(index, &words, limit, epoch, &master) {
            Ok((command, running)) => {
                self.tell_reload(index, epoch, ReloadState::Running);
                let reloading = Reloading {
                    command,
                    _running: running,
                    started,
                    epoch,
                };
                self.reloading.insert(index, reloading);
            }
            Err(error) => {
                let report = Report {
                    result: Err(error),
                    output: String::new(),
                };
                self.end_reload(index, epoch, report, started.elapsed());
            }
        }
    }

    fn end_reload(&mut self, index: usize, epoch: Epoch, report: Report, took: Duration) {
        let Report { result, output } = report;
        let is_done = self.reloads.end(index, result.is_ok(), Instant::now());
        if is_done {
            self.note_reloaded(index);
        }
        let state = match result {
            Ok(()) => ReloadState::Done { took, output },
            Err(error) => {
                let error = with_causes(&ReloadError(error));
                ReloadState::Failed(Trouble { error, output })
            }
        };
        self.tell_reload(index, epoch, state);
    }

    /// The client has read what its file says.
    fn note_reloaded(&mut self, index: usize) {
        let target = &self.targets[index];
        self.journal.note_reloaded(&target.client, &target.group);
        if let Err(error) = self.journal.flush() {
            let error = with_causes(&error);
            tracing::warn!(client = %self.targets[index].client, "a restart of the daemon will repeat this reload: {error}");
        }
    }

    fn tell_reload(&self, index: usize, epoch: Epoch, state: ReloadState) {
        let target = &self.targets[index];
        self.tell(Outcome::Reload(ReloadOutcome {
            client: target.client.clone(),
            group: target.group.clone(),
            epoch,
            state,
        }));
    }

    fn start(
        &mut self,
        index: usize,
        words: &[String],
        limit: Duration,
        epoch: Epoch,
        master: &Endpoint,
    ) -> Result<(u64, Running), CommandError> {
        let target = &self.targets[index];
        let variables = [
            ("FAILOVER_CLIENT", target.client.to_string()),
            ("FAILOVER_GROUP", target.group.to_string()),
            ("FAILOVER_EPOCH", epoch.to_string()),
            ("FAILOVER_MASTER", master.to_string()),
        ];
        self.commands += 1;
        let (number, mailbox) = (self.commands, Arc::clone(&self.mailbox));
        let done = move |report| mailbox.end(number, report);
        let running = command::start(words, limit, &variables, &self.runtime, done)?;
        Ok((number, running))
    }
}
