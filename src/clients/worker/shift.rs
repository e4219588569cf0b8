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
use super::side_by_side::each_at_once;
use super::{FileOutcome, Outcome, Outcomes, Replaced, Trouble};
use crate::clients::reloads::Reloads;
use crate::clients::schedule::{Due, Schedule};
use crate::clients::transaction::{self, ATTEMPTS_MAX, Prepared, Replacement, Staged};
use crate::clients::watch::Watch;
use crate::clients::{Content, Journal, Publication, Target};
use crate::model::{Epoch, with_causes};

/// How long a file that is gone is waited for: whoever replaces it by hand takes it away first.
const VANISHED_PATIENCE: Duration = Duration::from_secs(1);

/// Most files that are replaced at once: what is more urgent waits for no more than these.
const BATCH_MAX: usize = 64;

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

    /// Goes on with what an earlier life of the daemon did not finish.
    pub(super) fn resume(&mut self, unfinished: &[(usize, Publication)]) {
        let now = Instant::now();
        for (index, publication) in unfinished {
            self.schedule.accept_for(*index, publication, now);
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
                let mut batch = self.schedule.due_beside(&due, BATCH_MAX - 1, now);
                batch.insert(0, due);
                self.replace(batch);
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

    /// Replaces the files of `batch`, none of which waits for another one's disk.
    fn replace(&mut self, mut batch: Vec<Due>) {
        batch.retain(|due| self.may_replace(due));
        // Before it is read: what is changed behind the reading is told.
        if let Some(watch) = &self.watch {
            batch.iter().for_each(|due| watch.add(due.index));
        }
        let started = Instant::now();
        for _ in 0..ATTEMPTS_MAX {
            batch = self.attempt(batch, started);
            if batch.is_empty() {
                return;
            }
        }
        for due in batch {
            let error = transaction::keeps_changing(&self.targets[due.index]);
            self.fail(due.index, due.publication.epoch, &error, String::new());
        }
    }

    fn may_replace(&mut self, due: &Due) -> bool {
        let (target, epoch) = (&self.targets[due.index], due.publication.epoch);
        let may = self
            .journal
            .may_publish(&target.client, &target.group, epoch);
        if let Err(refusal) = &may {
            self.schedule.settle(due.index);
            self.report_error(due.index, epoch, refusal, String::new());
        }
        may.is_ok()
    }

    /// Stages a copy of each and puts it in place. Returns those that somebody changed meanwhile.
    fn attempt(&mut self, batch: Vec<Due>, started: Instant) -> Vec<Due> {
        let targets = &self.targets;
        let prepared = each_at_once(batch, |due| {
            let prepared = transaction::prepare(&targets[due.index], &due.publication);
            (due, prepared)
        });
        let mut staged = Vec::new();
        for (due, prepared) in prepared {
            let (index, epoch) = (due.index, due.publication.epoch);
            match prepared {
                Ok(Prepared::Staged(copy)) if self.targets[index].check.is_some() => {
                    self.schedule.check(index);
                    let took = started.elapsed();
                    self.begin_trial(index, copy, due.publication, due.is_revisit, took);
                }
                Ok(Prepared::Staged(copy)) => staged.push((due, (index, epoch, copy))),
                Ok(Prepared::Right(replacement)) => {
                    let took = started.elapsed();
                    self.note_right(index, &due.publication, replacement, due.is_revisit, took);
                }
                Err(error) => self.fail(index, epoch, &error, String::new()),
            }
        }
        let (batch, copies): (Vec<Due>, Vec<_>) = staged.into_iter().unzip();
        let committed = self.commit(copies);
        let mut changed_meanwhile = Vec::new();
        for (due, result) in batch.into_iter().zip(committed) {
            let (index, epoch) = (due.index, due.publication.epoch);
            match result {
                Ok(Some(replacement)) => {
                    let took = started.elapsed();
                    self.note_right(index, &due.publication, replacement, due.is_revisit, took);
                }
                Ok(None) => changed_meanwhile.push(due),
                Err(error) => self.fail(index, epoch, &error, String::new()),
            }
        }
        changed_meanwhile
    }

    /// Puts copies in place, each of a target and for an epoch; first the journal forgets that the clients
    /// have read this epoch's files, so that a crash behind that leaves a reload too many and never one too
    /// few.
    pub(super) fn commit(
        &mut self,
        copies: Vec<(usize, Epoch, Staged)>,
    ) -> Vec<Result<Option<Replacement>, transaction::ReplaceError>> {
        let mut is_news = false;
        for (index, epoch, _) in &copies {
            let target = &self.targets[*index];
            is_news |= self
                .journal
                .note_replacing(&target.client, &target.group, *epoch);
        }
        // The files are more important; what could not be written is tried again behind them.
        if is_news && let Err(error) = self.journal.flush() {
            tracing::debug!(%error, "journal not written before a replacement");
        }
        each_at_once(copies, |(_, _, staged)| staged.commit())
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
