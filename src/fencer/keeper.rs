//! Takes orders about processes, and ends those whose moment has come.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, panic};

use tokio::task::{JoinError, JoinSet};
use tracing::{debug, error, info, warn};

use super::clock::BootMoment;
use super::connection::Asked;
use super::holds::{Hold, Holds, ProcessKey};
use super::process::{Process, boot_id};
use super::protocol::Task;
use super::trust::Trust;
use crate::model::with_causes;

/// How long the word of the service manager counts before it is asked again.
const VERDICT_MAX: Duration = Duration::from_secs(30);
/// Most processes that the service manager is asked about at once.
const ASSESSMENTS_MAX: usize = 8;
/// Most processes of which its word is remembered.
const VERDICTS_MAX: usize = 128;

#[cfg(test)]
mod tests;

/// A process, and whether it may be held.
type Assessed = (Process, Result<(), String>);

/// All that the fencer knows.
pub(super) struct Keeper {
    trust: Arc<Trust>,
    holds: Holds,
    /// Each process that is held.
    processes: BTreeMap<ProcessKey, Process>,
    verdicts: BTreeMap<ProcessKey, (BootMoment, Result<(), String>)>,
    assessments: JoinSet<Assessed>,
    /// Orders that wait for an assessment, of each process that is being assessed.
    waiting: BTreeMap<ProcessKey, Vec<Asked>>,
    file: HoldsFile,
}

/// What the next fencer goes on with, should this one end.
struct HoldsFile {
    path: PathBuf,
    boot: String,
}

impl Keeper {
    /// Goes on with what the last fencer left in the file at `path`.
    pub(super) fn open(trust: Trust, path: PathBuf) -> io::Result<Self> {
        let boot = boot_id()?;
        let file = HoldsFile { path, boot };
        let mut holds = file.read()?;
        let mut processes = BTreeMap::new();
        for key in holds.keys().copied().collect::<Vec<_>>() {
            match Process::open(key.process_id) {
                Ok(process) if process.key == key => {
                    info!(process_id = key.process_id, "held as before");
                    processes.insert(key, process);
                }
                Ok(_) | Err(_) => holds.forget(&key),
            }
        }
        Ok(Self {
            trust: Arc::new(trust),
            holds,
            processes,
            verdicts: BTreeMap::new(),
            assessments: JoinSet::new(),
            waiting: BTreeMap::new(),
            file,
        })
    }

    /// When the next process is to end.
    pub(super) fn next_moment(&self) -> Option<BootMoment> {
        self.holds.next()
    }

    /// How many processes are held.
    pub(super) fn held(&self) -> usize {
        self.processes.len()
    }

    /// Ends all processes whose moment has come.
    pub(super) fn end_due(&mut self) {
        let due = self.holds.take_due(BootMoment::now());
        let ended: Vec<_> = due
            .into_iter()
            .filter_map(|(key, hold)| {
                let process = self.processes.remove(&key)?;
                Some((key, hold, process.end(), BootMoment::now()))
            })
            .collect();
        for (key, hold, ended, at) in ended {
            let (group, instance, process_id) = (&hold.group, &hold.instance, key.process_id);
            match ended {
                Ok(true) => {
                    let late = at.since(hold.until);
                    warn!(%group, %instance, process_id, ?late, "server ended: its lease was not renewed in time");
                }
                Ok(false) => {
                    debug!(%group, %instance, process_id, "it had ended before its moment came")
                }
                Err(error) => {
                    error!(%group, %instance, process_id, %error, "a server cannot be ended");
                }
            }
        }
        self.keep_or_complain();
    }

    /// Carries out an order, or starts to.
    pub(super) fn take_in(&mut self, asked: Asked) {
        if let Err(unheld) = self.holds.hear(asked.life, asked.order.number) {
            return asked.answer(Err(unheld.to_string()));
        }
        match asked.order.task {
            Task::Release => self.release(asked),
            Task::Check => self.assess_or_refuse(asked),
            Task::Until(until) => self.hold(asked, until),
        }
    }

    /// The next assessment that is done; never, when none is under way.
    pub(super) async fn next_assessed(&mut self) -> Result<Assessed, JoinError> {
        match self.assessments.join_next().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// Carries out what waited for an assessment.
    pub(super) fn take_in_assessed(&mut self, assessed: Result<Assessed, JoinError>) {
        // Nobody aborts it.
        let (process, verdict) =
            assessed.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()));
        let key = process.key;
        let now = BootMoment::now();
        self.verdicts.insert(key, (now, verdict.clone()));
        if self.verdicts.len() > VERDICTS_MAX {
            let oldest = self.verdicts.iter().min_by_key(|(_, (at, _))| *at);
            let oldest = oldest.map(|(key, _)| *key);
            oldest.and_then(|key| self.verdicts.remove(&key));
        }
        let mut process = Some(process);
        for asked in self.waiting.remove(&key).into_iter().flatten() {
            match (asked.order.task, &verdict) {
                (Task::Until(until), Ok(())) => self.place(asked, key, process.take(), until),
                (Task::Until(_) | Task::Check | Task::Release, verdict) => {
                    asked.answer(verdict.clone());
                }
            }
        }
    }

    fn release(&mut self, asked: Asked) {
        let process_id = asked.order.process_id;
        if let Err(unheld) = self.holds.release(process_id, asked.life) {
            return asked.answer(Err(unheld.to_string()));
        }
        self.processes.retain(|key, _| self.holds.is_held(key));
        // What was to be held once the service manager has spoken.
        for (_, waiting) in self
            .waiting
            .iter_mut()
            .filter(|(key, _)| key.process_id == process_id)
        {
            let is_hold = |asked: &mut Asked| matches!(asked.order.task, Task::Until(_));
            for hold in waiting.extract_if(.., is_hold) {
                hold.answer(Err("it was released meanwhile".into()));
            }
        }
        // The next fencer would end a process that may live: only once it is written it is done.
        let kept = self.file.write(&self.holds);
        asked.answer(kept.map_err(|error| not_kept(&error)));
    }

    fn hold(&mut self, asked: Asked, until: BootMoment) {
        let process_id = asked.order.process_id;
        let of_it = |process: &&Process| {
            process.key.process_id == process_id && matches!(process.has_exited(), Ok(false))
        };
        if let Some(key) = self
            .processes
            .values()
            .find(of_it)
            .map(|process| process.key)
        {
            return self.renew(asked, key, until);
        }
        match Process::open(process_id) {
            // What starts it was looked at when the daemon first saw it; a promotion does not wait for more.
            Ok(process) if matches!(self.verdicts.get(&process.key), Some((_, Ok(())))) => {
                let key = process.key;
                self.place(asked, key, Some(process), until);
                self.refresh(key);
            }
            Ok(process) => self.assess(process, Some(asked)),
            Err(error) => asked.answer(Err(with_causes(&error))),
        }
    }

    /// A process that is held is held on, unless what starts it was found to have changed.
    fn renew(&mut self, asked: Asked, key: ProcessKey, until: BootMoment) {
        match self.verdicts.get(&key) {
            Some((_, Err(_))) => self.assess_or_refuse(asked),
            Some((_, Ok(()))) | None => {
                self.place(asked, key, None, until);
                self.refresh(key);
            }
        }
    }

    /// Looks again at what starts a process, when that was long ago, and does not wait for it.
    fn refresh(&mut self, key: ProcessKey) {
        let now = BootMoment::now();
        let verdict = self.verdicts.get(&key);
        let is_fresh = verdict.is_some_and(|(at, _)| now.since(*at) <= VERDICT_MAX);
        if !is_fresh && let Ok(process) = Process::open(key.process_id) {
            self.assess(process, None);
        }
    }

    fn place(
        &mut self,
        asked: Asked,
        key: ProcessKey,
        process: Option<Process>,
        until: BootMoment,
    ) {
        let hold = Hold {
            group: asked.order.group.clone(),
            instance: asked.order.instance.clone(),
            until,
            life: asked.life,
        };
        if let Err(unheld) = self.holds.place(key, hold) {
            return asked.answer(Err(unheld.to_string()));
        }
        if let Some(process) = process {
            self.processes.entry(key).or_insert(process);
        }
        let kept = self.file.write(&self.holds);
        asked.answer(kept.map_err(|error| not_kept(&error)));
    }

    fn assess_or_refuse(&mut self, asked: Asked) {
        match Process::open(asked.order.process_id) {
            Ok(process) => self.assess(process, Some(asked)),
            Err(error) => asked.answer(Err(with_causes(&error))),
        }
    }

    /// Has the service manager asked about a process, once at a time.
    fn assess(&mut self, process: Process, asked: Option<Asked>) {
        if let Some(waiting) = self.waiting.get_mut(&process.key) {
            waiting.extend(asked);
            return;
        }
        if self.assessments.len() >= ASSESSMENTS_MAX {
            if let Some(asked) = asked {
                asked.answer(Err(
                    "too many processes are looked at at once: ask again".into()
                ));
            }
            return;
        }
        self.waiting
            .insert(process.key, asked.into_iter().collect());
        let trust = Arc::clone(&self.trust);
        self.assessments.spawn(async move {
            let verdict = trust.assess(&process).await;
            (process, verdict)
        });
    }

    fn keep_or_complain(&self) {
        if let Err(error) = self.file.write(&self.holds) {
            warn!(%error, path = %self.file.path.display(), "what is held cannot be kept for the next fencer");
        }
    }
}

fn not_kept(error: &io::Error) -> String {
    format!(
        "it cannot be kept for the next fencer ({error}): give it room in its runtime directory"
    )
}

impl HoldsFile {
    fn read(&self) -> io::Result<Holds> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holds::default()),
            Err(error) => return Err(error),
        };
        Ok(Holds::from_kept(&bytes, &self.boot).unwrap_or_else(|| {
            warn!(path = %self.path.display(), "what the last fencer held cannot be read");
            Holds::default()
        }))
    }

    /// Whole or not at all: a fencer that is killed here leaves the last one.
    fn write(&self, holds: &Holds) -> io::Result<()> {
        let beside: &Path = &self.path.with_extension("new");
        fs::write(beside, holds.to_keep(&self.boot))?;
        fs::rename(beside, &self.path)
    }
}
