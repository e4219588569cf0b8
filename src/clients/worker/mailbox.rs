//! Where news waits for the worker: the newest publication of each group, which files may have been
//! changed, and which commands ended. None of it can grow: there are so many groups and targets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clients::Publication;
use crate::clients::command::Report;
use crate::model::GroupName;

/// The handle's end of the mailbox.
#[derive(Debug)]
pub(super) struct StopOnDrop(pub(super) Arc<Mailbox>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    arrival: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) publications: BTreeMap<GroupName, Publication>,
    /// Targets whose file or template somebody touched, by their place in the settings.
    pub(super) touched: BTreeSet<usize>,
    /// What came of each command, by the number that it was given.
    pub(super) ended: BTreeMap<u64, Report>,
    /// Whether there is a leader, when that changed.
    pub(super) led: Option<bool>,
    pub(super) stopping: bool,
}

/// How long to wait for mail.
pub(super) enum Patience {
    None,
    Until(Instant),
    Endless,
}

impl Mail {
    fn is_empty(&self) -> bool {
        let is_quiet = self.touched.is_empty() && self.ended.is_empty();
        self.publications.is_empty() && is_quiet && self.led.is_none()
    }
}

impl Mailbox {
    pub(super) fn put(&self, publication: Publication) {
        let mut mail = self.lock();
        let known = mail.publications.get(&publication.group);
        if known.is_none_or(|known| known.epoch <= publication.epoch) {
            let group = publication.group.clone();
            mail.publications.insert(group, publication);
        }
        self.arrival.notify_one();
    }

    pub(super) fn touch(&self, targets: BTreeSet<usize>) {
        self.lock().touched.extend(targets);
        self.arrival.notify_one();
    }

    pub(super) fn end(&self, command: u64, report: Report) {
        self.lock().ended.insert(command, report);
        self.arrival.notify_one();
    }

    pub(super) fn lead(&self, led: bool) {
        self.lock().led = Some(led);
        self.arrival.notify_one();
    }

    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.arrival.notify_one();
    }

    /// Empties the mailbox, and says whether to stop; waits while there is nothing that is not known.
    pub(super) fn take(&self, patience: &Patience, is_stop_known: bool) -> Mail {
        let mut mail = self.lock();
        while mail.is_empty() && mail.stopping == is_stop_known {
            mail = match patience {
                Patience::None => break,
                Patience::Endless => {
                    let woken = self.arrival.wait(mail);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
                Patience::Until(moment) => {
                    let left = moment.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let woken = self.arrival.wait_timeout(mail, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        Mail {
            publications: std::mem::take(&mut mail.publications),
            touched: std::mem::take(&mut mail.touched),
            ended: std::mem::take(&mut mail.ended),
            led: mail.led.take(),
            stopping: mail.stopping,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        // Each change of the mail is one insertion: whoever panicked left it whole.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Epoch;

    #[test]
    fn the_mailbox_keeps_only_the_newest_publication_of_a_group() {
        let mailbox = Mailbox::default();
        for (group, epoch) in [("x", 1), ("y", 1), ("x", 3), ("x", 2)] {
            mailbox.put(Publication {
                group: group.parse().unwrap(),
                epoch: Epoch(epoch),
                master: "m:1".parse().unwrap(),
                replicas: Vec::new(),
            });
        }
        let mail = mailbox.take(&Patience::None, false);
        let epochs: Vec<u64> = mail
            .publications
            .values()
            .map(|kept| kept.epoch.0)
            .collect();
        assert_eq!(epochs, [3, 1]);
        assert!(mailbox.take(&Patience::None, false).publications.is_empty());
    }
}
