//! Each happening in the log, at the level of who should hear of it.

use tracing::{debug, error, info, warn};

use super::Happening;
use super::words::Reasons;
use crate::decision::entry::AbortReason;
use crate::decision::request::Reason;

impl Happening {
    /// Writes it to the log, at the level of who should hear of it.
    pub fn log(&self) {
        match self {
            Self::LeaderChanged {
                leader: Some(leader),
                term,
            } => {
                info!(%leader, %term, "leader elected");
            }
            Self::LeaderChanged { leader: None, term } => {
                warn!(%term, "no leader: nothing is promoted until a majority of voters can talk");
            }
            // The links log these themselves, and not more often than anybody wants to read.
            Self::PeerUp { peer } => debug!(%peer, "peer connected"),
            Self::PeerDown { peer, reason } => debug!(%peer, reason, "peer lost"),
            Self::Waiting { group, reason } => error!(%group, "group not registered: {reason}"),
            Self::Registered { group, master } => info!(%group, %master, "group registered"),
            Self::Adopted { group, master, by } => {
                warn!(%group, %master, by, "group registered by hand");
            }
            Self::AdoptionRefused { group, by, why } => {
                warn!(%group, by, "group not registered by hand: {why}");
            }
            Self::SettingsDiffer {
                group,
                node,
                difference,
            } => {
                warn!(%group, peer = %node, "settings are not equal, {node} {difference}: make the \
                    PROMOTERD_GROUPS__F__ lines equal on all hosts (`promoterd check` shows them)");
            }
            Self::SettingsEqual { group, node } => {
                info!(%group, peer = %node, "settings are equal again");
            }
            Self::SubjectivelyDown {
                group,
                instance,
                is_master,
                cause,
            } => {
                let role = if *is_master { "master" } else { "replica" };
                warn!(%group, %instance, role, %cause, "subjectively down");
            }
            Self::AnswersAgain { group, instance } => info!(%group, %instance, "answers again"),
            Self::ObjectivelyDown {
                group,
                epoch,
                master,
                evidence,
            } => {
                warn!(%group, %epoch, %master, %evidence, "objectively down");
            }
            Self::NobodyEligible { group, passed_over } => {
                error!(%group, "nobody can be promoted: {}", Reasons(passed_over));
            }
            Self::Begun {
                group,
                epoch,
                candidate,
                evidence: None,
                asked_by,
                reinstates,
                ..
            } => {
                let by = asked_by.as_deref().unwrap_or_default();
                info!(%group, %epoch, reinstates, candidate = %candidate.endpoint, offset = %candidate.offset,
                    by, "switchover began");
            }
            Self::Begun {
                group,
                epoch,
                candidate,
                evidence: Some(evidence),
                asked_by: _,
                passed_over,
                loss_estimate_bytes,
                reinstates,
            } => {
                info!(%group, %epoch, reinstates, candidate = %candidate.endpoint, offset = %candidate.offset,
                    cause = %evidence.cause, views = evidence.views.len(), needed = evidence.needed,
                    passed_over = %Reasons(passed_over), loss_estimate_bytes, "failover began");
            }
            Self::Promoted {
                group,
                epoch,
                master,
            } => {
                info!(%group, %epoch, replica = %master, "replica promoted");
            }
            Self::Done {
                group,
                epoch,
                master,
                planned,
                ..
            } => {
                if *planned {
                    info!(%group, %epoch, %master, "switchover done");
                } else {
                    info!(%group, %epoch, %master, "failover done");
                }
            }
            Self::SwitchoverGivenUp { group, by, why } => {
                warn!(%group, by, "switchover given up, the master stays: {why}");
            }
            Self::Aborted {
                group,
                epoch,
                why: why @ AbortReason::NotSwitched(_),
            } => {
                warn!(%group, %epoch, %why, "switchover aborted, the next epoch keeps the master or replaces it");
            }
            Self::Aborted { group, epoch, why } => {
                warn!(%group, %epoch, %why, "failover aborted, the next epoch chooses anew");
            }
            Self::MasterIdentified {
                group,
                epoch,
                master,
            } => {
                info!(%group, %epoch, master = %master.endpoint, run_id = %master.run_id,
                    replication_id = %master.replication_id, "master identified");
            }
            Self::Followed {
                group,
                instance,
                master,
                demoted: true,
            } => {
                warn!(%group, %instance, %master, "demoted: it was no longer the master");
            }
            Self::Followed {
                group,
                instance,
                master,
                demoted: false,
            } => {
                info!(%group, %instance, %master, "replica repointed");
            }
            Self::FollowFailed {
                group,
                instance,
                why,
            } => {
                warn!(%group, %instance, why, "cannot make it follow the master, will try again");
            }
            Self::DataLost { group, master } => {
                error!(%group, %master, "the master restarted without its data and every replica copied \
                    that: it is accepted as it is; restore the data from a backup");
            }
            Self::Fenced {
                group,
                instance,
                cause,
            } => warn!(%group, %instance, %cause, "fenced: it takes no more writes"),
            Self::Unfenced { group, instance } => {
                info!(%group, %instance, "fence lifted: its limits of writing are back");
            }
            Self::FenceFailed {
                group,
                instance,
                lifts,
                why,
            } => {
                if *lifts {
                    error!(%group, %instance, why, "its fence cannot be lifted, will try again: allow \
                        +config|get and +config|set to our user");
                } else {
                    error!(%group, %instance, why, "it cannot be fenced, will try again: allow +config|get and \
                        +config|set to our user");
                }
            }
            Self::FenceUnowned {
                group,
                instance,
                lifted_by,
            } => {
                error!(%group, %instance, lifted_by, "it is fenced (min-replicas-to-write 2147483647) and \
                    nobody holds that: once it is sure to be the master, lift it by the command named");
            }
            Self::Rescuing {
                group,
                instance,
                diverged_bytes,
            } => {
                warn!(%group, %instance, diverged_bytes, "saving its data before it is demoted: it has writes \
                    that the group never got");
            }
            Self::Rescued {
                group,
                instance,
                path,
                bytes,
                diverged_bytes,
            } => {
                warn!(%group, %instance, path, bytes, diverged_bytes, "rescued: `promoterd rescue list` on this \
                    host shows how to load it and compare");
            }
            Self::RescueFailed {
                group,
                instance,
                why,
            } => {
                error!(%group, %instance, "NOT rescued, and demoted all the same: the writes that only it had are \
                    lost: {why}");
            }
            Self::Stranger { group, instance } => {
                error!(%group, %instance, "a stranger (a master with other data, or a replica of somebody \
                    outside of this group) is not touched: list it here, empty it, or take it off \
                    this address");
            }
            Self::LeaseSwitched { group, on: true } => {
                info!(%group, "strict fencing is in force: its master takes writes only under a lease");
            }
            Self::LeaseSwitched { group, on: false } => {
                warn!(%group, "strict fencing is not in force any more: its master takes writes without a lease");
            }
            Self::LeaseUnready {
                group,
                instance,
                why,
            } => {
                error!(%group, %instance, "it can hold no lease, so it cannot be the master under strict \
                    fencing: {why}");
            }
            Self::GuardSwitched { group, on } => info!(%group, on, "guard switched"),
            Self::GuardFailed {
                group,
                instance,
                why,
            } => {
                warn!(%group, %instance, "the guard is not in force: {why}");
            }
            Self::PutOff { group, awaited } => warn!(%group, awaited, "failover put off"),
            Self::LossKnown {
                group,
                epoch,
                lost_bytes: 0,
            } => {
                info!(%group, %epoch, "the old master is back: nothing was lost");
            }
            Self::LossKnown {
                group,
                epoch,
                lost_bytes,
            } => {
                warn!(%group, %epoch, lost_bytes, "the old master is back: bytes of writes that \
                    were never replicated");
            }
            Self::Settled { group, epoch, .. } => info!(%group, %epoch, "failover settled"),
            Self::Paused {
                group,
                by,
                reason,
                until,
            } => {
                let reason = reason.as_ref().map_or("none given", Reason::as_str);
                let until_ms = until.map(|until| until.0);
                warn!(%group, by, reason, until_ms, "paused: nothing is done about it until \
                    `promoterd resume {group}`, or the end of its time");
            }
            Self::Resumed { group, by } => warn!(%group, by, "resumed"),
            Self::SentinelsFound {
                group,
                instance,
                sentinels,
            } => {
                warn!(%group, %instance, sentinels, "watched by Sentinel too: nothing is done about it until \
                    its Sentinels are stopped, or TAKE_OVER is set");
            }
            Self::SentinelsGone { group } => {
                info!(%group, "no Sentinel watches it any more: it is looked after");
            }
            Self::SentinelsHidden {
                group,
                instance,
                why,
            } => {
                warn!(%group, %instance, why, "cannot tell whether a Sentinel watches it too, none is \
                    assumed: allow `PUBSUB NUMSUB`");
            }
            Self::HeldBack {
                group,
                master,
                evidence,
                why,
            } => {
                error!(%group, %master, %evidence, "objectively down, and nothing is done about it: {why}");
            }
            Self::FileRewritten {
                client,
                group,
                epoch,
                took_us,
            } => {
                info!(%client, %group, %epoch, took_us, "client file names the master");
            }
            Self::FileFailed {
                client,
                group,
                epoch,
                error,
            } => {
                error!(%client, %group, %epoch, "client file not rewritten: {error}");
            }
            Self::FileCorrected {
                client,
                group,
                epoch,
            } => {
                warn!(%client, %group, %epoch, "client file was changed by somebody else, and names the master again: \
                    find out who wrote another address into it");
            }
            Self::ClientReloaded {
                client,
                group,
                epoch,
                took_us,
            } => {
                info!(%client, %group, %epoch, took_us, "client reloaded");
            }
            Self::ReloadFailed {
                client,
                group,
                epoch,
                error,
            } => {
                error!(%client, %group, %epoch, "client not reloaded: {error}; `promoterd status` shows its output");
            }
            Self::Slept { for_ms } => {
                debug!(for_ms, "did not run for a while, evidence starts anew")
            }
        }
    }
}
