//! How the clients' files of this host stand, and the commands that go with them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::stream::Stream;
use crate::clients::{FileOutcome, Outcome, ReloadOutcome, ReloadState, Replaced, Target, Trouble};
use crate::decision::{Event, Happening};
use crate::model::{ClientName, Epoch, GroupName};
use crate::status::{ClientReloadOverview, FileOverview, ReloadStanding};

/// How each file stands.
#[derive(Debug)]
pub(super) struct Files {
    files: BTreeMap<ClientName, File>,
}

#[derive(Debug)]
struct File {
    group: GroupName,
    path: PathBuf,
    epoch: Option<Epoch>,
    /// The last failure, and the epoch that it was about.
    trouble: Option<(Epoch, Trouble)>,
    reload: Option<ClientReloadOverview>,
}

impl Files {
    pub(super) fn new(targets: &[Target]) -> Self {
        let file = |target: &Target| File {
            group: target.group.clone(),
            path: target.path.clone(),
            epoch: None,
            trouble: None,
            reload: None,
        };
        let files = targets
            .iter()
            .map(|target| (target.client.clone(), file(target)));
        Self {
            files: files.collect(),
        }
    }

    /// Takes in what became of a client; tells people, and the core once all files of a group are right.
    pub(super) fn take_in(&mut self, outcome: Outcome, stream: &Stream) -> Option<Event> {
        match outcome {
            Outcome::File(outcome) => self.take_in_file(outcome, stream),
            Outcome::Reload(outcome) => {
                self.take_in_reload(outcome, stream);
                None
            }
        }
    }

    fn take_in_file(&mut self, outcome: FileOutcome, stream: &Stream) -> Option<Event> {
        let FileOutcome {
            client,
            group,
            epoch,
            result,
        } = outcome;
        let file = self.files.get_mut(&client)?;
        match result {
            Ok(replaced) => {
                file.epoch = Some(epoch);
                file.trouble = None;
                if let Some(happening) = rewritten(client, group.clone(), epoch, replaced) {
                    stream.announce(&happening);
                }
                self.rewritten(&group)
                    .map(|epoch| Event::FilesRewritten { group, epoch })
            }
            Err(trouble) => {
                let error = trouble.error.clone();
                let told = file.trouble.replace((epoch, trouble));
                if told.is_none_or(|(about, told)| (about, told.error) != (epoch, error.clone())) {
                    stream.announce(&Happening::FileFailed {
                        client,
                        group,
                        epoch,
                        error,
                    });
                }
                None
            }
        }
    }

    fn take_in_reload(&mut self, outcome: ReloadOutcome, stream: &Stream) {
        let ReloadOutcome {
            client,
            group,
            epoch,
            state,
        } = outcome;
        let Some(file) = self.files.get_mut(&client) else {
            return;
        };
        // What the last run printed, and why it failed, is shown until the next one ends.
        let before = file.reload.take();
        let (error, output) = before.map_or_else(Default::default, |it| (it.error, it.output));
        let reload = match state {
            ReloadState::Running => ClientReloadOverview {
                epoch,
                standing: ReloadStanding::Running,
                error,
                output,
            },
            ReloadState::Done { took, output } => {
                let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                stream.announce(&Happening::ClientReloaded {
                    client,
                    group,
                    epoch,
                    took_us,
                });
                ClientReloadOverview {
                    epoch,
                    standing: ReloadStanding::Done,
                    error: None,
                    output,
                }
            }
            ReloadState::Failed(Trouble { error, output }) => {
                stream.announce(&Happening::ReloadFailed {
                    client,
                    group,
                    epoch,
                    error: error.clone(),
                });
                ClientReloadOverview {
                    epoch,
                    standing: ReloadStanding::Failed,
                    error: Some(error),
                    output,
                }
            }
        };
        file.reload = Some(reload);
    }

    /// The oldest epoch that a file of the group names, once all name one.
    fn rewritten(&self, group: &GroupName) -> Option<Epoch> {
        let of_group = self.files.values().filter(|file| file.group == *group);
        let epochs: Option<Vec<Epoch>> = of_group.map(|file| file.epoch).collect();
        epochs?.into_iter().min()
    }

    pub(super) fn overview(&self) -> Vec<FileOverview> {
        let overview = |(client, file): (&ClientName, &File)| {
            let trouble = file.trouble.as_ref().map(|(_, trouble)| trouble);
            FileOverview {
                client: client.clone(),
                group: file.group.clone(),
                path: file.path.clone(),
                epoch: file.epoch,
                error: trouble.map(|trouble| trouble.error.clone()),
                check_output: trouble
                    .map(|trouble| trouble.output.clone())
                    .unwrap_or_default(),
                reload: file.reload.clone(),
            }
        };
        self.files.iter().map(overview).collect()
    }
}

fn rewritten(
    client: ClientName,
    group: GroupName,
    epoch: Epoch,
    replaced: Replaced,
) -> Option<Happening> {
    let took_us = u64::try_from(replaced.took.as_micros()).unwrap_or(u64::MAX);
    match (replaced.changed, replaced.is_correction) {
        (false, _) => None,
        (true, true) => Some(Happening::FileCorrected {
            client,
            group,
            epoch,
        }),
        (true, false) => Some(Happening::FileRewritten {
            client,
            group,
            epoch,
            took_us,
        }),
    }
}
