//! Listeners: what each daemon tells, by its events, its status and its history of failovers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use promoterd::decision::Happening;
use promoterd::model::Endpoint;
use promoterd::status::client::{self, Events};
use promoterd::status::{FailoverReport, HistoryReport, StatusReport};
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use super::history::{At, Begun, EpochSeen, HostId, Identified, Told};

/// Time between two questions for the status.
const STATUS_INTERVAL: Duration = Duration::from_millis(250);
/// The history of failovers is asked for with every so manieth of them.
const HISTORY_EVERY: u64 = 3;
/// Time before a daemon that is not there is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(20);
/// Longest wait for anything, so that the end is seen.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// What was heard of one group.
#[derive(Debug, Default)]
pub struct OfGroup {
    pub begun: Vec<Begun>,
    pub told: Vec<Told>,
    pub identified: Vec<Identified>,
    pub epochs: Vec<EpochSeen>,
}

/// What was heard of one daemon.
#[derive(Debug, Default)]
pub struct Heard {
    pub groups: Vec<OfGroup>,
    /// When its status said that it is a voter, and that its state is not an old one.
    pub was_voter: Vec<At>,
    pub notes: Vec<(At, Option<usize>, String)>,
}

/// Whom to listen to.
#[derive(Debug, Clone)]
pub struct Listener {
    pub host: HostId,
    pub socket: PathBuf,
    /// The instances of each group.
    pub groups: Arc<Vec<(String, Vec<Endpoint>)>>,
    pub began: Instant,
    pub is_over: Arc<AtomicBool>,
}

impl Listener {
    /// Listens until all is over.
    pub fn start(self) -> JoinHandle<Heard> {
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let (mut heard, asked) =
                runtime.block_on(async { tokio::join!(self.hear(), self.ask()) });
            for (group, asked) in heard.groups.iter_mut().zip(asked.groups) {
                group.told = asked.told;
                group.epochs = asked.epochs;
            }
            heard.was_voter = asked.was_voter;
            heard
        })
    }

    fn now(&self) -> At {
        self.began.elapsed()
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn nothing(&self) -> Vec<OfGroup> {
        self.groups.iter().map(|_| OfGroup::default()).collect()
    }

    /// The place of an instance in its group.
    fn instance(&self, group: usize, endpoint: &Endpoint) -> usize {
        let endpoints = &self.groups[group].1;
        let place = endpoints.iter().position(|it| it == endpoint);
        place.unwrap_or_else(|| panic!("{endpoint} is none of ours"))
    }

    fn group(&self, name: &str) -> usize {
        let place = self.groups.iter().position(|(it, _)| it == name);
        place.unwrap_or_else(|| panic!("{name} is none of ours"))
    }

    async fn hear(&self) -> Heard {
        let mut heard = Heard {
            groups: self.nothing(),
            ..Heard::default()
        };
        while !self.is_over() {
            match client::events(&self.socket).await {
                Ok(events) => self.follow(events, &mut heard).await,
                Err(_) => sleep(RETRY_AFTER).await,
            }
        }
        heard
    }

    /// Until the daemon is gone.
    async fn follow(&self, mut events: Events, heard: &mut Heard) {
        while !self.is_over() {
            match timeout(WAIT_MAX, events.next()).await {
                Ok(Ok(Some(line))) => self.take_in(&line, heard),
                Ok(Ok(None) | Err(_)) => return,
                Err(_) => {}
            }
        }
    }

    fn take_in(&self, line: &str, heard: &mut Heard) {
        // The first line is no such event.
        let Ok(happening) = serde_json::from_str::<Happening>(line) else {
            return;
        };
        let at = self.now();
        let group = group_of(line).map(|name| self.group(&name));
        heard.notes.push((
            at,
            group,
            format!("node {}: {}", self.host, shortened(line)),
        ));
        if let Happening::Begun {
            epoch,
            candidate,
            reinstates,
            ..
        } = &happening
        {
            let group = group.unwrap();
            heard.groups[group].begun.push(Begun {
                heard: at,
                epoch: epoch.0,
                instance: self.instance(group, &candidate.endpoint),
                run_id: candidate.run_id,
                reinstates: *reinstates,
            });
        }
        if let Happening::MasterIdentified { epoch, master, .. } = &happening {
            let group = group.unwrap();
            heard.groups[group].identified.push(Identified {
                heard: at,
                epoch: epoch.0,
                instance: self.instance(group, &master.endpoint),
                run_id: master.run_id,
                history: master.replication_id,
            });
        }
    }

    async fn ask(&self) -> Heard {
        let mut heard = Heard {
            groups: self.nothing(),
            ..Heard::default()
        };
        let mut latest = BTreeMap::new();
        let mut life = 0;
        let mut uptime = 0;
        for turn in 0_u64.. {
            if self.is_over() {
                break;
            }
            if let Ok(Ok(status)) = timeout(WAIT_MAX, self.get::<StatusReport>("/v1/status")).await
            {
                life += u64::from(status.uptime_ms < uptime);
                uptime = status.uptime_ms;
                self.note_epochs(&status, life, &mut heard.groups);
                if is_voter(&status) {
                    heard.was_voter.push(self.now());
                }
            }
            if turn.is_multiple_of(HISTORY_EVERY) {
                let answer = timeout(WAIT_MAX, self.get::<HistoryReport>("/v1/history")).await;
                if let Ok(Ok(history)) = answer {
                    self.note_told(&history, &mut latest, &mut heard.groups);
                }
            }
            sleep(STATUS_INTERVAL).await;
        }
        heard
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<T, client::ClientError> {
        client::get(&self.socket, path).await
    }

    fn note_epochs(&self, status: &StatusReport, life: u64, groups: &mut [OfGroup]) {
        for group in &status.groups {
            let Some(epoch) = group.epoch else { continue };
            groups[self.group(group.name.as_str())]
                .epochs
                .push(EpochSeen {
                    node: self.host,
                    life,
                    heard: self.now(),
                    epoch: epoch.0,
                });
        }
    }

    /// Notes what is told for the first time, or otherwise than before.
    fn note_told(
        &self,
        history: &HistoryReport,
        latest: &mut BTreeMap<(usize, u64), FailoverReport>,
        groups: &mut [OfGroup],
    ) {
        for report in &history.failovers {
            let group = self.group(report.group.as_str());
            let key = (group, report.epoch.0);
            if latest.get(&key) != Some(report) {
                latest.insert(key, report.clone());
                groups[group].told.push(self.told(group, report));
            }
        }
    }

    fn told(&self, group: usize, report: &FailoverReport) -> Told {
        Told {
            node: self.host,
            heard: self.now(),
            epoch: report.epoch.0,
            from: self.instance(group, &report.from),
            to: self.instance(group, &report.to),
            leader: report.leader.to_string(),
            cause: report.cause,
            outcome: report.outcome,
            estimate: report.loss_estimate_bytes,
            fact: report.loss_bytes,
        }
    }

    /// What it tells of every failover now.
    pub fn tell_now(&self) -> Result<Vec<Vec<Told>>, String> {
        let report: HistoryReport = get_now(&self.socket, "/v1/history")?;
        let mut groups: Vec<Vec<Told>> = self.groups.iter().map(|_| Vec::new()).collect();
        for failover in &report.failovers {
            let group = self.group(failover.group.as_str());
            groups[group].push(self.told(group, failover));
        }
        Ok(groups)
    }
}

/// Whether a daemon says that it is a voter, and a leader has confirmed that its state is not an old one.
pub fn is_voter(status: &StatusReport) -> bool {
    status.waiting.is_none() && status.confirmed
}

/// What the daemon at a socket answers.
pub fn get_now<T: serde::de::DeserializeOwned>(socket: &Path, path: &str) -> Result<T, String> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(client::get(socket, path));
    answer.map_err(|error| format!("{}: {error}", socket.display()))
}

fn group_of(line: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    value.get("group")?.as_str().map(str::to_owned)
}

/// Enough of an event to read.
fn shortened(line: &str) -> String {
    const LENGTH_MAX: usize = 600;
    line.chars().take(LENGTH_MAX).collect()
}
