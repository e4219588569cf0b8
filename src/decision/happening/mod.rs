//! What a person on call would want to hear of, as it happens: the event stream and the log.

mod words;

use serde::{Deserialize, Serialize};
use tracing::{debug, error, info, warn};

use words::Reasons;

use crate::decision::choice::Ineligible;
use crate::decision::discovery::WaitingFor;
use crate::decision::entry::{AbortReason, Candidate, Evidence, Identity, Step};
use crate::decision::fencing::FenceCause;
use crate::decision::health::Cause;
use crate::decision::held_back::HeldBack;
use crate::decision::request::Reason;
use crate::model::{ClientName, Endpoint, Epoch, GroupName, NodeId, Term, UnixTime};

/// A change of state, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[allow(
    missing_docs,
    reason = "the fields are named by the words of the glossary"
)]
pub enum Happening {
    /// The engine elected a leader, or lost it.
    LeaderChanged { leader: Option<NodeId>, term: Term },
    /// A link to a peer is up.
    PeerUp { peer: NodeId },
    /// A link to a peer is down.
    PeerDown { peer: NodeId, reason: String },
    /// A group cannot be registered yet.
    Waiting {
        group: GroupName,
        reason: WaitingFor,
    },
    /// A group is registered.
    Registered { group: GroupName, master: Endpoint },
    /// This node holds an instance down.
    SubjectivelyDown {
        group: GroupName,
        instance: Endpoint,
        is_master: bool,
        cause: Cause,
    },
    /// An instance that this node held down answers.
    AnswersAgain {
        group: GroupName,
        instance: Endpoint,
    },
    /// A quorum holds the master down.
    ObjectivelyDown {
        group: GroupName,
        epoch: Epoch,
        master: Endpoint,
        evidence: Evidence,
    },
    /// Nobody can be promoted.
    NobodyEligible {
        group: GroupName,
        passed_over: Vec<(Endpoint, Ineligible)>,
    },
    /// An epoch began.
    Begun {
        group: GroupName,
        epoch: Epoch,
        candidate: Candidate,
        evidence: Evidence,
        passed_over: Vec<(Endpoint, Ineligible)>,
        loss_estimate_bytes: u64,
        /// Whether it keeps the master that was given up.
        reinstates: bool,
    },
    /// The candidate is a master.
    Promoted {
        group: GroupName,
        epoch: Epoch,
        master: Endpoint,
    },
    /// The epoch ended with a new master.
    Done {
        group: GroupName,
        epoch: Epoch,
        master: Endpoint,
        steps: Vec<Step>,
    },
    /// The epoch ended without.
    Aborted {
        group: GroupName,
        epoch: Epoch,
        why: AbortReason,
    },
    /// The master of this epoch has another process or history.
    MasterIdentified {
        group: GroupName,
        epoch: Epoch,
        master: Identity,
    },
    /// An instance was told to follow the master.
    Followed {
        group: GroupName,
        instance: Endpoint,
        master: Endpoint,
        demoted: bool,
    },
    /// That could not be done.
    FollowFailed {
        group: GroupName,
        instance: Endpoint,
        why: String,
    },
    /// An instance takes no more writes.
    Fenced {
        group: GroupName,
        instance: Endpoint,
        cause: FenceCause,
    },
    /// An instance has the limits of writing again that it had before it was fenced.
    Unfenced {
        group: GroupName,
        instance: Endpoint,
    },
    /// An instance could not be fenced, or a fence of it could not be lifted.
    FenceFailed {
        group: GroupName,
        instance: Endpoint,
        lifts: bool,
        why: String,
    },
    /// An instance has a fence, and nobody holds it.
    FenceUnowned {
        group: GroupName,
        instance: Endpoint,
        lifted_by: String,
    },
    /// An instance that is not of the group, or no longer, answers at an address of the group.
    Stranger {
        group: GroupName,
        instance: Endpoint,
    },
    /// The master restarted without the group's data, and they are nowhere any more.
    DataLost { group: GroupName, master: Endpoint },
    /// The guard is wanted from now on, or no longer.
    GuardSwitched { group: GroupName, on: bool },
    /// The guard is not in force for one instance.
    GuardFailed {
        group: GroupName,
        instance: Endpoint,
        why: String,
    },
    /// A failover waits for somebody who may have more data.
    PutOff { group: GroupName, awaited: String },
    /// The old master is back: what the new one never got.
    LossKnown {
        group: GroupName,
        epoch: Epoch,
        lost_bytes: u64,
    },
    /// Replicas and files have followed.
    Settled {
        group: GroupName,
        epoch: Epoch,
        steps: Vec<Step>,
    },
    /// From here on the group is left alone.
    Paused {
        group: GroupName,
        by: String,
        reason: Option<Reason>,
        until: Option<UnixTime>,
    },
    /// From here on it is looked after again.
    Resumed { group: GroupName, by: String },
    /// Sentinels watch the group too, so nothing is done about it.
    SentinelsFound {
        group: GroupName,
        instance: Endpoint,
        sentinels: u64,
    },
    /// None does any more.
    SentinelsGone { group: GroupName },
    /// Whether any does is not told to us.
    SentinelsHidden {
        group: GroupName,
        instance: Endpoint,
        why: String,
    },
    /// A quorum holds the master down, and it is left so on purpose.
    HeldBack {
        group: GroupName,
        master: Endpoint,
        evidence: Evidence,
        why: HeldBack,
    },
    /// A client's file names the master.
    FileRewritten {
        client: ClientName,
        group: GroupName,
        epoch: Epoch,
        took_us: u64,
    },
    /// It could not be made to.
    FileFailed {
        client: ClientName,
        group: GroupName,
        epoch: Epoch,
        error: String,
    },
    /// Somebody else had changed it, and it names the master again.
    FileCorrected {
        client: ClientName,
        group: GroupName,
        epoch: Epoch,
    },
    /// A client was made to read its file again.
    ClientReloaded {
        client: ClientName,
        group: GroupName,
        epoch: Epoch,
        took_us: u64,
    },
    /// It could not be made to.
    ReloadFailed {
        client: ClientName,
        group: GroupName,
        epoch: Epoch,
        error: String,
    },
    /// This node did not run for a while, and takes nothing it missed for evidence.
    Slept { for_ms: u64 },
}

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
                evidence,
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
                ..
            } => {
                info!(%group, %epoch, %master, "failover done");
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
                let what = if *lifts {
                    "lift the fence of it"
                } else {
                    "fence it"
                };
                error!(%group, %instance, why, "cannot {what}, will try again: allow +config|get and \
                    +config|set to our user");
            }
            Self::FenceUnowned {
                group,
                instance,
                lifted_by,
            } => {
                error!(%group, %instance, lifted_by, "it is fenced (min-replicas-to-write 2147483647) and \
                    nobody holds that: once it is sure to be the master, lift it by the command named");
            }
            Self::Stranger { group, instance } => {
                error!(%group, %instance, "a stranger (a master with other data, or a replica of somebody \
                    outside of this group) is not touched: list it here, empty it, or take it off \
                    this address");
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
