//! How the clients' files of this host stand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::stream::Stream;
use crate::clients::{FileOutcome, Target};
use crate::decision::{Event, Happening};
use crate::model::{ClientName, Epoch, GroupName};
use crate::status::FileOverview;

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
    error: Option<String>,
}

impl Files {
    pub(super) fn new(targets: &[Target]) -> Self {
        let files = targets
            .iter()
            .map(|target| {
                let file = File {
                    group: target.group.clone(),
                    path: target.path.clone(),
                    epoch: None,
                    error: None,
                };
                (target.client.clone(), file)
            })
            .collect();
        Self { files }
    }

    /// Takes in what became of a file; tells people, and the core once all of a group are right.
    pub(super) fn take_in(&mut self, outcome: FileOutcome, stream: &Stream) -> Option<Event> {
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
                file.error = None;
                if replaced.changed {
                    let took_us = u64::try_from(replaced.took.as_micros()).unwrap_or(u64::MAX);
                    let group = group.clone();
                    stream.announce(&Happening::FileRewritten {
                        client,
                        group,
                        epoch,
                        took_us,
                    });
                }
                self.rewritten(&group)
                    .map(|epoch| Event::FilesRewritten { group, epoch })
            }
            Err(error) => {
                if file.error.as_ref() != Some(&error) {
                    file.error = Some(error.clone());
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

    /// The oldest epoch that a file of the group names, once all name one.
    fn rewritten(&self, group: &GroupName) -> Option<Epoch> {
        let of_group = self.files.values().filter(|file| file.group == *group);
        let epochs: Option<Vec<Epoch>> = of_group.map(|file| file.epoch).collect();
        epochs?.into_iter().min()
    }

    pub(super) fn overview(&self) -> Vec<FileOverview> {
        self.files
            .iter()
            .map(|(client, file)| FileOverview {
                client: client.clone(),
                group: file.group.clone(),
                path: file.path.clone(),
                epoch: file.epoch,
                error: file.error.clone(),
            })
            .collect()
    }
}
