//! Which group a happening is about.

use super::Happening;
use crate::model::GroupName;

impl Happening {
    /// The group that it is about; none where it is about the node.
    #[must_use]
    pub fn group(&self) -> Option<&GroupName> {
        match self {
            Self::LeaderChanged { .. }
            | Self::PeerUp { .. }
            | Self::PeerDown { .. }
            | Self::Slept { .. } => None,
            Self::Waiting { group, .. }
            | Self::Registered { group, .. }
            | Self::Adopted { group, .. }
            | Self::AdoptionRefused { group, .. }
            | Self::SettingsDiffer { group, .. }
            | Self::SettingsEqual { group, .. }
            | Self::SubjectivelyDown { group, .. }
            | Self::AnswersAgain { group, .. }
            | Self::ObjectivelyDown { group, .. }
            | Self::NobodyEligible { group, .. }
            | Self::Begun { group, .. }
            | Self::Promoted { group, .. }
            | Self::Done { group, .. }
            | Self::SwitchoverGivenUp { group, .. }
            | Self::Aborted { group, .. }
            | Self::MasterIdentified { group, .. }
            | Self::Followed { group, .. }
            | Self::FollowFailed { group, .. }
            | Self::Fenced { group, .. }
            | Self::Unfenced { group, .. }
            | Self::FenceFailed { group, .. }
            | Self::FenceUnowned { group, .. }
            | Self::Rescuing { group, .. }
            | Self::Rescued { group, .. }
            | Self::RescueFailed { group, .. }
            | Self::Stranger { group, .. }
            | Self::DataLost { group, .. }
            | Self::LeaseSwitched { group, .. }
            | Self::LeaseUnready { group, .. }
            | Self::GuardSwitched { group, .. }
            | Self::GuardFailed { group, .. }
            | Self::PutOff { group, .. }
            | Self::LossKnown { group, .. }
            | Self::Settled { group, .. }
            | Self::Paused { group, .. }
            | Self::Resumed { group, .. }
            | Self::SentinelsFound { group, .. }
            | Self::SentinelsGone { group }
            | Self::SentinelsHidden { group, .. }
            | Self::HeldBack { group, .. }
            | Self::FileRewritten { group, .. }
            | Self::FileFailed { group, .. }
            | Self::FileCorrected { group, .. }
            | Self::ClientReloaded { group, .. }
            | Self::ReloadFailed { group, .. } => Some(group),
        }
    }
}
