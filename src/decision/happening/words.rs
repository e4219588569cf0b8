//! Each happening in one line, for people who watch.

use std::fmt;

use super::Happening;
use crate::decision::choice::Ineligible;
use crate::model::Endpoint;

/// Why each of these was passed over.
pub(super) struct Reasons<'a>(pub(super) &'a [(Endpoint, Ineligible)]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("none");
        }
        for (position, (endpoint, reason)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "; " };
            write!(formatter, "{comma}{endpoint}: {reason}")?;
        }
        Ok(())
    }
}

/// One line for people who watch.
impl fmt::Display for Happening {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaderChanged {
                leader: Some(leader),
                term,
            } => {
                write!(formatter, "{leader} leads in term {term}")
            }
            Self::LeaderChanged { leader: None, term } => {
                write!(formatter, "no leader in term {term}")
            }
            Self::PeerUp { peer } => write!(formatter, "peer {peer} connected"),
            Self::PeerDown { peer, reason } => write!(formatter, "peer {peer} lost: {reason}"),
            Self::Waiting { reason, .. } => write!(formatter, "not registered: {reason}"),
            Self::Registered { group, master } => {
                write!(formatter, "group {group} registered, master {master}")
            }
            Self::Adopted {
                group, master, by, ..
            } => {
                write!(
                    formatter,
                    "group {group} registered by {by}, master {master}"
                )
            }
            Self::AdoptionRefused { group, why, .. } => {
                write!(formatter, "group {group} not registered by hand: {why}")
            }
            Self::SettingsDiffer {
                node, difference, ..
            } => {
                write!(formatter, "settings are not equal: {node} {difference}")
            }
            Self::SettingsEqual { node, .. } => {
                write!(formatter, "settings are equal to those of {node} again")
            }
            Self::SubjectivelyDown {
                instance, cause, ..
            } => {
                write!(formatter, "{instance} subjectively down: {cause}")
            }
            Self::AnswersAgain { instance, .. } => write!(formatter, "{instance} answers again"),
            Self::ObjectivelyDown {
                master, evidence, ..
            } => {
                write!(formatter, "{master} objectively down, {evidence}")
            }
            Self::NobodyEligible { passed_over, .. } => {
                write!(
                    formatter,
                    "nobody can be promoted: {}",
                    Reasons(passed_over)
                )
            }
            Self::Begun {
                epoch,
                candidate,
                reinstates: true,
                ..
            } => {
                write!(
                    formatter,
                    "epoch {epoch} begins: keep {} as the master",
                    candidate.endpoint
                )
            }
            Self::Begun {
                epoch,
                candidate,
                reinstates: false,
                ..
            } => {
                write!(
                    formatter,
                    "epoch {epoch} begins: promote {}",
                    candidate.endpoint
                )
            }
            Self::SwitchoverGivenUp { group, why, .. } => {
                write!(formatter, "switchover of group {group} given up: {why}")
            }
            Self::Promoted { epoch, master, .. } => {
                write!(formatter, "{master} is a master (epoch {epoch})")
            }
            Self::Done { epoch, master, .. } => {
                write!(formatter, "epoch {epoch} done: the master is {master}")
            }
            Self::Aborted { epoch, why, .. } => write!(formatter, "epoch {epoch} aborted: {why}"),
            Self::MasterIdentified { master, .. } => {
                write!(formatter, "history of {} logged", master.endpoint)
            }
            Self::Followed {
                instance,
                master,
                demoted: true,
                ..
            } => {
                write!(formatter, "{instance} demoted, follows {master}")
            }
            Self::Followed {
                instance,
                master,
                demoted: false,
                ..
            } => {
                write!(formatter, "{instance} follows {master}")
            }
            Self::FollowFailed { instance, why, .. } => {
                write!(formatter, "{instance} does not follow: {why}")
            }
            Self::DataLost { master, .. } => write!(
                formatter,
                "nobody has the group's latest data any more: {master} goes on with what it has"
            ),
            Self::Fenced {
                instance, cause, ..
            } => write!(formatter, "{instance} fenced: {cause}"),
            Self::Unfenced { instance, .. } => write!(formatter, "{instance} fenced no longer"),
            Self::FenceFailed {
                instance,
                lifts,
                why,
                ..
            } => {
                let what = if *lifts { "lifted" } else { "set" };
                write!(formatter, "fence of {instance} not {what}: {why}")
            }
            Self::FenceUnowned { instance, .. } => {
                write!(formatter, "{instance} is fenced, and nobody holds that")
            }
            Self::Rescuing { instance, .. } => {
                write!(
                    formatter,
                    "saving the data of {instance} before it is demoted"
                )
            }
            Self::Rescued { instance, path, .. } => {
                write!(formatter, "data of {instance} saved as {path}")
            }
            Self::RescueFailed { instance, why, .. } => {
                write!(formatter, "data of {instance} NOT saved: {why}")
            }
            Self::Stranger { instance, .. } => {
                write!(formatter, "{instance} is a stranger, not touched")
            }
            Self::LeaseSwitched { on: true, .. } => {
                formatter.write_str("strict fencing is in force: its master writes under a lease")
            }
            Self::LeaseSwitched { on: false, .. } => {
                formatter.write_str("strict fencing is not in force any more")
            }
            Self::LeaseUnready { instance, why, .. } => {
                write!(formatter, "{instance} can hold no lease: {why}")
            }
            Self::GuardSwitched { on: true, .. } => formatter
                .write_str("the guard is on: only a process that was looked at feeds replicas"),
            Self::GuardSwitched { on: false, .. } => formatter.write_str("the guard is off"),
            Self::GuardFailed { instance, why, .. } => {
                write!(formatter, "the guard is not in force: {instance} {why}")
            }
            Self::PutOff { awaited, .. } => {
                write!(formatter, "failover put off, waiting for {awaited}")
            }
            Self::LossKnown { lost_bytes, .. } => {
                write!(
                    formatter,
                    "the old master is back, {lost_bytes} bytes were not replicated"
                )
            }
            Self::Settled { epoch, .. } => write!(formatter, "epoch {epoch} settled"),
            Self::Paused { by, .. } => write!(formatter, "paused by {by}"),
            Self::Resumed { by, .. } => write!(formatter, "resumed by {by}"),
            Self::SentinelsFound { sentinels, .. } => {
                write!(formatter, "watched by {sentinels} Sentinels too")
            }
            Self::SentinelsGone { .. } => write!(formatter, "no Sentinel watches it any more"),
            Self::SentinelsHidden { instance, why, .. } => {
                write!(formatter, "{instance} does not tell of Sentinels: {why}")
            }
            Self::HeldBack { master, why, .. } => {
                write!(formatter, "{master} objectively down, left so: {why}")
            }
            Self::FileRewritten {
                client, took_us, ..
            } => {
                write!(formatter, "file of {client} rewritten in {took_us} µs")
            }
            Self::FileFailed { client, error, .. } => {
                write!(formatter, "file of {client} not rewritten: {error}")
            }
            Self::FileCorrected { client, .. } => {
                write!(
                    formatter,
                    "file of {client}, changed by somebody else, brought in line"
                )
            }
            Self::ClientReloaded {
                client, took_us, ..
            } => {
                write!(formatter, "{client} reloaded in {took_us} µs")
            }
            Self::ReloadFailed { client, error, .. } => {
                write!(formatter, "{client} not reloaded: {error}")
            }
            Self::Slept { for_ms } => write!(formatter, "did not run for {for_ms} ms"),
        }
    }
}
