//! What the worker's thread does: one thing after the other, the most urgent first.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::commands::{Reloading, Trial};
use super::mailbox::{Mail, Mailbox, Patience};
use super::{FileOutcome, Outcome, Outcomes, Replaced, Trouble};
use crate::clients::reloads::Reloads;
use crate::clients::schedule::{Due, Schedule};
use crate::clients::transaction::{self, ATTEMPTS_MAX, Prepared, Replacement, Staged};
use crate::clients::watch::Watch;
use crate::clients::{Content, Journal, Publication, Target};
use crate::model::{Epoch, with_causes};

/// How long a file that is gone is waited for: whoever replaces it by hand takes it away first.
const VANISHED_PATIENCE: Duration = Duration::from_secs(1);

/// What the thread owns.
pub(super) struct Shift {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) targets: Vec<Target>,
    pub(super) schedule: Schedule,
    pub(super) reloads: Reloads,
    pub(super) journal: Journal,
    pub(super) runtime: Handle,
    outcomes: Outcomes,
    watch: Option<Watch>,
    /// Whether there is a leader, so that what was published last is what is right.
    led: bool,
    /// Targets that somebody touched and that were not looked at since.
    touched: BTreeSet<usize>,
    /// What each file, and its template, looked like when it was last found right.
    seen: Vec<Option<Sight>>,
    /// Files that say what they shall and of which the journal does not know durably.
    written: Vec<(usize, Epoch, Replaced)>,
    /// The copies that commands are trying, by target.
    pub(super) trials: BTreeMap<usize, Trial>,
    /// The reloads that run, by target.
    pub(super) reloading: BTreeMap<usize, Reloading>,
    /// How often each file was changed by somebody else while a command tried its copy.
    pub(super) restarts: Vec<u32>,
    /// The number of the last command.
    pub(super) commands: u64,
    /// Dropped with the rest, which tells the handle that the thread is done.
    _alive: Sender<Infallible>,
}

/// By which to tell whether somebody touched a file or the template that it is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    file: Option<transaction::Identity>,
    template: Option<transaction::Identity>,
}

impl Shift {
    pub(super) fn new(
        targets: Vec<Target>,
        journal: Journal,
        runtime: Handle,
        outcomes: Outcomes,
        mailbox: Arc<Mailbox>,
        alive: Sender<Infallible>,
    ) -> Self {
        let touched = Arc::clone(&mailbox);
        let changed = Box::new(move |targets| touched.touch(targets));
        let watch = Watch::start(&targets, &runtime, changed);
        let watch = watch.inspect_err(|error| {
            tracing::warn!(%error, "client files that others change are brought in line only when the daemon \
                starts and at each failover: raise fs.inotify.max_user_instances");
        });
        Self {
            mailbox,
            schedule: Schedule::new(&targets),
            reloads: Reloads::new(targets.len()),
            seen: vec![None; targets.len()],
            restarts: vec![0; targets.len()],
            targets,
            journal,
            runtime,
            outcomes,
            watch: watch.ok(),
            led: true,
            touched: BTreeSet::new(),
            written: Vec::new(),
            trials: BTreeMap::new(),
            reloading: BTreeMap::new(),
            commands: 0,
            _alive: alive,
        }
    }

    pub(super) fn run(mut self) {
        for target in &self.targets {
            remove_stale_stages(target);
        }
        let mut stopping = false;
        loop {
            let mail = self.mailbox.take(&self.patience(stopping), stopping);
            let now = Instant::now();
            stopping = mail.stopping;
            self.take_in(mail, now);
            if stopping {
                self.schedule.drop_retries();
                self.reloads.drop_retries();
            }
            if let Some(due) = self.schedule.due(self.has_room(), now) {
                self.replace(due);
            } else if !self.written.is_empty() {
                self.settle();
            } else if let Some((index, epoch)) = self.due_reload(now) {
                self.begin_reload(index, epoch);
            } else if stopping && !self.has_commands() {
                return;
            }
        }
    }

    fn patience(&self, stopping: bool) -> Patience {
        let reload = self.reloads.next().filter(|_| self.has_room());
        let next = [self.schedule.next(self.has_room()), reload];
        match next.into_iter().flatten().min() {
            _ if !self.written.is_empty() => Patience::None,
            _ if stopping && !self.has_commands() => Patience::None,
            Some(moment) => Patience::Until(moment),
            None => Patience::Endless,
        }
    }

    fn has_commands(&self) -> bool {
        !self.trials.is_empty() || !self.reloading.is_empty()
    }

    fn take_in(&mut self, mail: Mail, now: Instant) {
        for publication in mail.publications.values() {
            self.schedule.accept(publication, now);
        }
        // A copy of what is no longer to be published is not tried any further.
        let schedule = &self.schedule;
        self.trials.retain(|index, _| schedule.is_checking(*index));
        for (command, report) in mail.ended {
            self.end_command(command, report);
        }
        self.led = mail.led.unwrap_or(self.led);
        self.touched.extend(mail.touched);
        // Without a leader somebody else may know better what the file has to say.
        if self.led {
            for index in std::mem::take(&mut self.touched) {
                self.look_at(index, now);
            }
        }
    }

    fn look_at(&mut self, index: usize, now: Instant) {
        let sight = Sight::of(&self.targets[index]);
        if self.seen[index].as_ref() == Some(&sight) {
            return;
        }
        let patience = match sight.file {
            Some(_) => Duration::ZERO,
            None => VANISHED_PATIENCE,
        };
        self.schedule.revisit(index, patience, now);
    }

    fn replace(&mut self, due: Due) {
        let Due {
            index,
            publication,
            is_revisit,
        } = due;
        let target = &self.targets[index];
        let epoch = publication.epoch;
        if let Err(refusal) = self
            .journal
            .may_publish(&target.client, &target.group, epoch)
        {
            self.schedule.settle(index);
            self.report_error(index, epoch, &refusal, String::new());
            return;
        }
        // Before it is read: what is changed behind the reading is told.
        if let Some(watch) = &self.watch {
            watch.add(index);
        }
        let started = Instant::now();
        for _ in 0..ATTEMPTS_MAX {
            let result = match transaction::prepare(&self.targets[index], &publication) {
                Ok(Prepared::Staged(staged)) if self.targets[index].check.is_some() => {
                    let took = started.elapsed();
                    self.schedule.check(index);
                    self.begin_trial(index, staged, publication, is_revisit, took);
                    return;
                }
                Ok(Prepared::Staged(staged)) => self.commit(index, epoch, staged),
                Ok(Prepared::Right(replacement)) => Ok(Some(replacement)),
                Err(error) => Err(error),
            };
            match result {
                Ok(Some(replacement)) => {
                    let took = started.elapsed();
                    self.note_right(index, &publication, replacement, is_revisit, took);
                    return;
                }
                Ok(None) => {}
                Err(error) => {
                    self.fail(index, epoch, &error, String::new());
                    return;
                }
            }
        }
        let error = transaction::keeps_changing(&self.targets[index]);
        self.fail(index, epoch, &error, String::new());
    }

    /// Puts a copy in place; first the journal forgets that the client has read this epoch's file, so
    /// that a crash behind that leaves a reload too many and never one too few.
    pub(super) fn commit(
        &mut self,
        index: usize,
        epoch: Epoch,
        staged: Staged,
    ) -> Result<Option<Replacement>, transaction::ReplaceError> {
        let target = &self.targets[index];
        if self
            .journal
            .note_replacing(&target.client, &target.group, epoch)
        {
            // The file is more important; what could not be written is tried again behind it.
            if let Err(error) = self.journal.flush() {
                tracing::debug!(%error, "journal not written before a replacement");
            }
        }
        staged.commit()
    }

    /// The file says what it shall.
    pub(super) fn note_right(
        &mut self,
        index: usize,
        publication: &Publication,
        replacement: Replacement,
        is_revisit: bool,
        took: Duration,
    ) {
        let target = &self.targets[index];
        let Replacement {
            changed,
            digest,
            identity,
        } = replacement;
        self.seen[index] = Some(Sight {
            file: Some(identity),
            template: Sight::template_of(target),
        });
        let reloaded = self
            .journal
            .note_right(&target.client, publication, digest, changed);
        let now = Instant::now();
        if target.reload.is_some() && !reloaded {
            self.reloads.want(index, publication.epoch, now);
        }
        self.schedule.settle(index);
        let is_correction = is_revisit && changed;
        if is_correction {
            self.schedule.note_correction(index, now);
        }
        let replaced = Replaced {
            changed,
            is_correction,
            took,
        };
        self.written.push((index, publication.epoch, replaced));
    }

    /// Makes durable what was written, and reports it.
    fn settle(&mut self) {
        let written = std::mem::take(&mut self.written);
        match self.journal.flush() {
            Ok(()) => {
                for (index, epoch, replaced) in written {
                    self.report(index, epoch, Ok(replaced));
                }
            }
            Err(error) => {
                for (index, epoch, _) in written {
                    self.fail(index, epoch, &error, String::new());
                }
            }
        }
    }

    pub(super) fn fail(&mut self, index: usize, epoch: Epoch, error: &dyn Error, output: String) {
        self.schedule.fail(index, epoch, Instant::now());
        self.report_error(index, epoch, error, output);
    }

    fn report_error(&self, index: usize, epoch: Epoch, error: &dyn Error, output: String) {
        let error = with_causes(error);
        self.report(index, epoch, Err(Trouble { error, output }));
    }

    fn report(&self, index: usize, epoch: Epoch, result: Result<Replaced, Trouble>) {
        let target = &self.targets[index];
        self.tell(Outcome::File(FileOutcome {
            client: target.client.clone(),
            group: target.group.clone(),
            epoch,
            result,
        }));
    }

    pub(super) fn tell(&self, outcome: Outcome) {
        (self.outcomes)(outcome);
    }
}

impl Sight {
    fn of(target: &Target) -> Self {
        Self {
            file: transaction::Identity::at(&target.path),
            template: Self::template_of(target),
        }
    }

    fn template_of(target: &Target) -> Option<transaction::Identity> {
        match &target.content {
            Content::Edit { .. } => None,
            Content::Template { source } => transaction::Identity::at(source),
        }
    }
}

fn remove_stale_stages(target: &Target) {
    let path = target.path.display();
    match transaction::remove_stale_stages(&target.path) {
        Ok(0) => {}
        Ok(removed) => tracing::info!(%path, removed, "copies left by a crash removed"),
        Err(error) => tracing::warn!(%path, %error, "cannot look for copies left by a crash"),
    }
}
