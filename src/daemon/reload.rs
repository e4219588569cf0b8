//! Reading the settings again while the daemon runs, and taking on what can be.

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::log::Log;
use super::node::{NodeError, NodeEvent};
use super::{Daemon, Event};
use crate::settings::{Mistakes, Settings};
use crate::status::ReloadReport;

/// What the daemon has of the process around it.
#[derive(Debug)]
pub struct Surroundings {
    /// The log.
    pub log: Log,
    /// Reads the settings anew, as at the start.
    pub read_settings: fn() -> Result<Settings, Mistakes>,
}

/// Settings that were read again, and who waits to hear of it.
#[derive(Debug)]
pub(super) struct Reread {
    /// Which request it is of.
    number: u64,
    read: Result<Box<Settings>, Mistakes>,
    answer: Option<oneshot::Sender<ReloadReport>>,
}

/// The settings of a daemon that runs.
#[derive(Debug)]
pub(super) struct InForce {
    /// Those it started with.
    started: Settings,
    /// Those that were read last.
    latest: Box<Settings>,
    rereads: UnboundedSender<Reread>,
    /// Requests to read them again, so far.
    asked: u64,
    /// The request that was taken in last.
    taken: u64,
}

impl InForce {
    /// At the start. What is read again later goes to `rereads`.
    pub(super) fn new(settings: Settings, rereads: UnboundedSender<Reread>) -> Self {
        Self {
            latest: Box::new(settings.clone()),
            started: settings,
            rereads,
            asked: 0,
            taken: 0,
        }
    }

    /// Those that the daemon started with.
    pub(super) fn started(&self) -> &Settings {
        &self.started
    }

    /// Starts to read them again. A disk may be slow, and the loop does not wait for it.
    pub(super) fn read_again(
        &mut self,
        surroundings: &Surroundings,
        answer: Option<oneshot::Sender<ReloadReport>>,
    ) {
        let read_settings = surroundings.read_settings;
        let rereads = self.rereads.clone();
        self.asked += 1;
        let number = self.asked;
        tokio::task::spawn_blocking(move || {
            let read = read_settings().map(Box::new);
            // The loop is gone only while the daemon stops.
            drop(rereads.send(Reread {
                number,
                read,
                answer,
            }));
        });
    }

    /// What was read and is to be taken on with [`Self::take_on`], or why nothing is; and who waits to hear
    /// of it.
    pub(super) fn open(&mut self, reread: Reread) -> (Result<Box<Settings>, ReloadReport>, Asker) {
        let Reread {
            number,
            read,
            answer,
        } = reread;
        let opened = match read {
            // Two may be read at a time, and end in another order.
            Ok(_) if number < self.taken => Err(ReloadReport::default()),
            Ok(settings) => {
                self.taken = number;
                Ok(settings)
            }
            Err(mistakes) => {
                error!("settings not reloaded, those in force stay: {mistakes}");
                let mistakes = mistakes.iter().map(ToString::to_string);
                Err(ReloadReport {
                    mistakes: mistakes.collect(),
                    ..ReloadReport::default()
                })
            }
        };
        (opened, Asker(answer))
    }

    /// The log follows the settings at once; what else does is in force already.
    pub(super) fn take_on(&mut self, settings: Box<Settings>, log: &Log) -> ReloadReport {
        let changes = self.started.changes(&self.latest, &settings);
        log.set_filter(&settings.log);
        self.latest = settings;
        let list = |variables: &[String]| variables.join(", ");
        let report = ReloadReport {
            applied: changes.live.into_iter().collect(),
            needs_restart: changes.from_start.into_iter().collect(),
            mistakes: Vec::new(),
        };
        info!(applied = %list(&report.applied), "settings reloaded");
        if !report.needs_restart.is_empty() {
            let variables = list(&report.needs_restart);
            warn!(%variables, "these settings count from the next start of promoterd: restart it");
        }
        report
    }
}

/// Who asked for a reload, if somebody waits.
#[derive(Debug)]
pub(super) struct Asker(Option<oneshot::Sender<ReloadReport>>);

impl Asker {
    pub(super) fn tell(self, report: ReloadReport) {
        if let Some(answer) = self.0 {
            // Whoever asked may have lost patience.
            drop(answer.send(report));
        }
    }
}

impl Daemon {
    /// Starts to read the settings again.
    pub(super) fn begin_reload(&mut self, answer: Option<oneshot::Sender<ReloadReport>>) {
        self.service.reloading();
        self.in_force.read_again(&self.surroundings, answer);
    }

    /// Takes on what was read, as far as a running daemon can.
    pub(super) fn finish_reload(&mut self, reread: Reread) -> Result<(), NodeError> {
        let (opened, asker) = self.in_force.open(reread);
        let report = match opened {
            Ok(settings) => self.take_on(settings)?,
            Err(report) => report,
        };
        self.service.ready(&self.node);
        asker.tell(report);
        Ok(())
    }

    fn take_on(&mut self, settings: Box<Settings>) -> Result<ReloadReport, NodeError> {
        let groups = self.in_force.started().live_groups(&settings);
        for (name, group) in &groups {
            let credentials = group.credentials.clone();
            self.effects.instances.set_credentials(name, credentials);
        }
        let policies = groups.into_iter().map(|(name, group)| (name, group.policy));
        let adjusted = Event::Adjusted(policies.collect());
        self.handle(NodeEvent::Core(adjusted))?;
        Ok(self.in_force.take_on(settings, &self.surroundings.log))
    }
}
