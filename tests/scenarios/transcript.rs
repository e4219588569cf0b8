//! What happened, for people: actions and entries in a few words each.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use promoterd::decision::{
    Action, Entry, Evidence, FollowOrder, Grounds, GuardOrder, GuardTask, Happening, Identity,
    Ineligible, Login, Opinion, ProbeCommand, ProbeOrder, View,
};
use promoterd::model::Endpoint;

/// Lines for people, made only when somebody will read them.
#[derive(Debug)]
pub struct Transcript {
    is_wanted: bool,
    lines: VecDeque<String>,
}

impl Transcript {
    pub fn new(is_wanted: bool) -> Self {
        let lines = VecDeque::new();
        Self { is_wanted, lines }
    }

    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    pub fn note(&mut self, at_ms: f64, who: &str, text: impl FnOnce() -> String) {
        if self.is_wanted {
            let mut line = String::new();
            writeln!(line, "{at_ms:>8.1}  {who:<4}{}", text()).unwrap();
            self.lines.push_back(line);
        }
    }

    /// The last moments.
    pub fn last(&self, lines: usize) -> String {
        let skipped = self.lines.len().saturating_sub(lines);
        self.lines
            .iter()
            .skip(skipped)
            .map(String::as_str)
            .collect()
    }
}

pub fn probe(order: &ProbeOrder) -> String {
    let command = match &order.command {
        ProbeCommand::Connect => "connect".to_owned(),
        ProbeCommand::Disconnect => "disconnect".to_owned(),
        ProbeCommand::Ping => "PING".to_owned(),
        ProbeCommand::CountSentinels => "PUBSUB NUMSUB".to_owned(),
        ProbeCommand::AskInfo => "INFO".to_owned(),
        ProbeCommand::WatchProcess(number) => format!("watch process {number}"),
        ProbeCommand::Promote(order) => format!("PROMOTE in epoch {}", order.epoch()),
        ProbeCommand::AskLimits => "ask limits".to_owned(),
        ProbeCommand::SetLimits(limits) if limits.is_fence() => "FENCE".to_owned(),
        ProbeCommand::SetLimits(limits) => format!("LIFT, {limits}"),
        ProbeCommand::HoldWrites(_) => "HOLD WRITES".to_owned(),
        ProbeCommand::ReleaseWrites => "RELEASE WRITES".to_owned(),
    };
    format!("{}#{}: {command}", order.endpoint.host(), order.link.0)
}

pub fn follow(order: &FollowOrder) -> String {
    let word = if order.demotes { "demote" } else { "repoint" };
    let (instance, master) = (order.endpoint.host(), order.master.host());
    let login = match order.login {
        Login::Kept => String::new(),
        Login::Guard => format!(", showing epoch {}", order.epoch),
        Login::Own => ", showing its own".to_owned(),
    };
    format!("{word} {instance} to {master}{login}")
}

pub fn guard(order: &GuardOrder) -> String {
    let (instance, epoch) = (order.endpoint.host(), order.epoch);
    match order.task {
        GuardTask::Admit => format!("guard: {instance} admits epoch {epoch}"),
        GuardTask::Arm => format!("guard: {instance} shows epoch {epoch}"),
        GuardTask::Release => format!("guard: {instance} shows its own"),
        GuardTask::Close => format!("guard: {instance} forgets its replicas' user"),
    }
}

pub fn entry(entry: &Entry) -> String {
    match entry {
        Entry::Register {
            master, members, ..
        } => format!("Register {}, members {}", identity(master), names(members)),
        Entry::Members { members, .. } => format!("Members {}", names(members)),
        Entry::Identify { epoch, master, .. } => {
            format!("Identify epoch {epoch}: {}", identity(master))
        }
        Entry::Begin(begin) => format!(
            "Begin epoch {}: {} at {} instead of {}; {}; passed over: {}; loss {}",
            begin.epoch,
            begin.candidate.endpoint.host(),
            begin.candidate.offset,
            begin.from.endpoint.host(),
            grounds(&begin.grounds),
            reasons(&begin.passed_over),
            begin
                .loss_estimate
                .map_or("unknown".to_owned(), |most| format!("at most {most}")),
        ),
        Entry::Done { epoch, master, .. } => format!("Done epoch {epoch}: {}", identity(master)),
        Entry::Abort { epoch, why, .. } => format!("Abort epoch {epoch}: {why}"),
        Entry::Settled { epoch, steps, .. } => {
            let steps: Vec<String> = steps.iter().map(|step| step.what.to_string()).collect();
            format!("Settled epoch {epoch}: {}", steps.join(", "))
        }
        Entry::Returned {
            epoch, lost_bytes, ..
        } => format!("Returned epoch {epoch}: {lost_bytes} bytes lost"),
        Entry::Limits { limits, .. } => {
            let limits: Vec<String> = limits
                .iter()
                .map(|(instance, limits)| format!("{}: {limits}", instance.host()))
                .collect();
            format!("Limits {}", limits.join("; "))
        }
        Entry::Lease { rule, .. } => match rule {
            Some(rule) if rule.is_obeyed => format!("Lease {} is obeyed", rule.number),
            Some(rule) => format!("Lease {} of {} ms", rule.number, rule.length.as_millis()),
            None => "Lease none".to_owned(),
        },
        Entry::Guarded { on, .. } => format!("Guarded {}", if *on { "on" } else { "off" }),
        Entry::Pause(pause) => format!("Pause{} by {}", span(pause.lasts), pause.by),
        Entry::Resume(resume) => format!("Resume by {}", resume.by),
        Entry::Adopt(adoption) => format!(
            "Adopt {}, members {}, by {}",
            self::identity(&adoption.master),
            names(&adoption.members),
            adoption.by
        ),
        Entry::GiveUp(given_up) => format!(
            "GiveUp operation {}: {}",
            given_up.asked.operation.0, given_up.why
        ),
    }
}

fn span(lasts: Option<Duration>) -> String {
    lasts.map_or_else(String::new, |lasts| {
        format!(" for {} ms", lasts.as_millis())
    })
}

fn identity(identity: &Identity) -> String {
    let life = &identity.run_id.to_string()[..2];
    let history = &identity.replication_id.to_string()[..2];
    format!("{} life {life} history {history}", identity.endpoint.host())
}

fn names<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>) -> String {
    let names: Vec<&str> = endpoints.into_iter().map(Endpoint::host).collect();
    names.join(" ")
}

fn grounds(grounds: &Grounds) -> String {
    match grounds {
        Grounds::Lost(evidence) => self::evidence(evidence),
        Grounds::Asked(asked) => format!("operation {}", asked.operation.0),
    }
}

pub fn evidence(evidence: &Evidence) -> String {
    let views: Vec<String> = evidence
        .views
        .iter()
        .map(|(node, cause)| format!("{node} {cause}"))
        .collect();
    format!("{} of {}", views.join(" + "), evidence.needed)
}

pub fn reasons(reasons: &[(Endpoint, Ineligible)]) -> String {
    if reasons.is_empty() {
        return "nobody".to_owned();
    }
    let reasons: Vec<String> = reasons
        .iter()
        .map(|(endpoint, reason)| format!("{} ({reason})", endpoint.host()))
        .collect();
    reasons.join(", ")
}

/// A view without its ages.
pub fn view(view: &View) -> String {
    let opinion = match view.opinion {
        Opinion::Unknown => "unknown".to_owned(),
        Opinion::Up => "up".to_owned(),
        Opinion::Suspected { .. } => "suspected".to_owned(),
        Opinion::Down { cause, .. } => cause.to_string(),
    };
    format!("report: master of epoch {} {opinion}", view.epoch)
}

/// An announcement, unless all nodes make it alike for a committed entry.
pub fn happening(happening: &Happening) -> Option<String> {
    match happening {
        Happening::SubjectivelyDown {
            instance, cause, ..
        } => Some(format!("says {} is {cause}", instance.host())),
        Happening::AnswersAgain { instance, .. } => {
            Some(format!("says {} answers again", instance.host()))
        }
        Happening::ObjectivelyDown { evidence, .. } => Some(format!(
            "says objectively down: {}",
            self::evidence(evidence)
        )),
        Happening::NobodyEligible { passed_over, .. } => {
            Some(format!("says nobody is eligible: {}", reasons(passed_over)))
        }
        Happening::Waiting { reason, .. } => Some(format!("waits: {reason}")),
        Happening::Promoted { master, .. } => Some(format!("says {} is promoted", master.host())),
        Happening::Followed {
            instance, master, ..
        } => Some(format!(
            "says {} follows {}",
            instance.host(),
            master.host()
        )),
        Happening::FollowFailed { instance, why, .. } => {
            Some(format!("says {} does not follow: {why}", instance.host()))
        }
        Happening::DataLost { master, .. } => {
            Some(format!("says {} has lost the data for good", master.host()))
        }
        Happening::Stranger { instance, .. } => {
            Some(format!("says {} is a stranger", instance.host()))
        }
        Happening::Fenced {
            instance, cause, ..
        } => Some(format!("says {} is fenced: {cause}", instance.host())),
        Happening::Rescuing { .. } => None,
        Happening::Rescued { instance, .. } => Some(format!("says {} is rescued", instance.host())),
        Happening::RescueFailed { instance, why, .. } => {
            Some(format!("says {} is not rescued: {why}", instance.host()))
        }
        Happening::Unfenced { instance, .. } => {
            Some(format!("says {} is fenced no longer", instance.host()))
        }
        Happening::FenceFailed { instance, why, .. } => Some(format!(
            "says the fence of {} failed: {why}",
            instance.host()
        )),
        Happening::FenceUnowned { instance, .. } => Some(format!(
            "says nobody holds the fence of {}",
            instance.host()
        )),
        Happening::SentinelsFound { sentinels, .. } => {
            Some(format!("says {sentinels} Sentinels watch the group too"))
        }
        Happening::SentinelsGone { .. } => Some("says no Sentinel watches the group".to_owned()),
        Happening::HeldBack { why, .. } => Some(format!("says objectively down, left so: {why}")),
        Happening::GuardFailed { instance, why, .. } => Some(format!(
            "says the guard fails at {}: {why}",
            instance.host()
        )),
        Happening::SettingsDiffer {
            node, difference, ..
        } => Some(format!("says {node} {difference}")),
        Happening::SettingsEqual { node, .. } => Some(format!("says {node} has the same settings")),
        Happening::AdoptionRefused { why, .. } => Some(format!("does not adopt: {why}")),
        Happening::PutOff { awaited, .. } => Some(format!("waits for {awaited}")),
        Happening::LeaseUnready { instance, why, .. } => {
            Some(format!("says {} can hold no lease: {why}", instance.host()))
        }
        Happening::Slept { for_ms } => Some(format!("says it slept for {for_ms} ms")),
        Happening::LeaderChanged { .. }
        | Happening::PeerUp { .. }
        | Happening::PeerDown { .. }
        | Happening::Registered { .. }
        | Happening::Adopted { .. }
        | Happening::Begun { .. }
        | Happening::Done { .. }
        | Happening::Aborted { .. }
        | Happening::SwitchoverGivenUp { .. }
        | Happening::MasterIdentified { .. }
        | Happening::LossKnown { .. }
        | Happening::Settled { .. }
        | Happening::GuardSwitched { .. }
        | Happening::LeaseSwitched { .. }
        | Happening::Paused { .. }
        | Happening::SentinelsHidden { .. }
        | Happening::Resumed { .. }
        | Happening::FileRewritten { .. }
        | Happening::FileFailed { .. }
        | Happening::FileCorrected { .. }
        | Happening::ClientReloaded { .. }
        | Happening::ReloadFailed { .. } => None,
    }
}

/// An action in a few words, unless it is one on a probe connection that is not to be shown.
pub fn action(action: &Action, shows_probes: bool) -> Option<String> {
    match action {
        Action::Probe(order) => {
            let is_change = matches!(
                order.command,
                ProbeCommand::Promote(_)
                    | ProbeCommand::SetLimits(_)
                    | ProbeCommand::HoldWrites(_)
                    | ProbeCommand::ReleaseWrites
            );
            (shows_probes || is_change).then(|| probe(order))
        }
        Action::Follow(order) => Some(follow(order)),
        Action::Hold(_) | Action::Lease { .. } => None,
        Action::Guard(order) => Some(guard(order)),
        Action::Rescue(order) => Some(format!("rescue {}", order.endpoint.host())),
        Action::Propose(proposed) => Some(format!("propose {}", entry(proposed))),
        Action::Report(report) => report.views.first().map(view),
        Action::Publish { epoch, master, .. } => {
            Some(format!("publish epoch {epoch}: {}", master.host()))
        }
        Action::Announce(announced) => happening(announced),
        Action::Forward(request) => Some(format!("forwards operation {}", request.operation.0)),
        Action::Answer(operation) => Some(format!("answers operation {}", operation.0)),
    }
}
