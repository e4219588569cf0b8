//! What happened over all runs: for the report, and to notice what never did.

use std::collections::BTreeMap;
use std::time::Duration;

use promoterd::decision::{Cause, FenceCause, Happening, Supervisor, TRANSITIONS, Transition};

use super::faults::Injection;

/// Seeds that are named as examples.
const SEEDS_TOLD: usize = 5;

/// Counts of one run, or of many.
#[derive(Debug, Default)]
pub struct Tally {
    pub schedules: u64,
    pub steps: u64,
    pub injections: BTreeMap<Injection, u64>,
    /// Epochs that began, by the strongest cause.
    pub begun: BTreeMap<Cause, u64>,
    pub done: u64,
    pub aborted: u64,
    /// Epochs that kept a master that was given up, or that restarted with a part of the data.
    pub kept: u64,
    pub restored: u64,
    /// Groups that went on with what was left, since nobody had their latest data any more.
    pub salvaged: u64,
    /// Open epochs that another leader, or another life of it, carried on.
    pub resumed: u64,
    pub promotions: u64,
    pub demotions: u64,
    pub fences: u64,
    /// Servers that a fencer ended.
    pub ended: u64,
    /// Rules of leases that came into force.
    pub leases: u64,
    /// Those of masters that were cut off.
    pub isolated: u64,
    /// Epochs that somebody asked for, those that ended with another master, and those of which it was
    /// checked that they lost nothing; and what was given up before an epoch began.
    pub switchovers: u64,
    pub switched: u64,
    pub switched_calmly: u64,
    pub given_up: u64,
    pub held_writes: u64,
    /// Writes that a master refused since it was fenced, or had too few replicas.
    pub refused_writes: u64,
    pub limits_logged: u64,
    pub torn_tails: u64,
    pub snapshots: u64,
    pub installs: u64,
    pub partial_copies: u64,
    pub full_copies: u64,
    pub losses_known: u64,
    /// Tasks of the guard that were carried out.
    pub guarded: u64,
    pub rescued: u64,
    /// Replicas that could not reach a master which did not know them.
    pub turned_away: u64,
    /// Replicas without the guard that copied an emptied instance over their data.
    pub emptied_copies: u64,
    pub slept: u64,
    /// State directories that were removed, and voters that rejoined with a new one.
    pub emptied: u64,
    pub rejoined: u64,
    /// Pauses that began, that somebody ended, and whose time was over.
    pub pauses: u64,
    pub resumes: u64,
    pub expiries: u64,
    /// `Begin` entries that a pause made void.
    pub begins_paused: u64,
    /// Operations that were answered.
    pub operations: u64,
    /// Requests that a daemon refused at once.
    pub refused_requests: u64,
    /// Groups that somebody registered by hand.
    pub adoptions: u64,
    /// Settings that running daemons took on.
    pub reloads: u64,
    /// Leaders that were stopped, and those of them that another one followed in time.
    pub hand_overs: u64,
    pub handed_over: u64,
    /// Clients' files that were replaced, and read again.
    pub files_replaced: u64,
    pub files_read: u64,
    /// Journals of them that were torn, and writes to them that failed.
    pub torn_journals: u64,
    pub not_journalled: u64,
    /// Transitions of the failover machine, by the daemons that made them.
    pub transitions: BTreeMap<(&'static str, &'static str), u64>,
    /// Daemons that ended since their disk refused.
    pub failed_writes: u64,
    /// Schedules in which no majority had the same settings, and nothing was registered.
    pub unequal: u64,
    /// How many runs could not settle, by why that is nobody's fault; and the seeds of some of them.
    pub unsettled: BTreeMap<String, (u64, Vec<u64>)>,
    /// How many runs settled so many milliseconds after the last fault.
    pub settled_after: BTreeMap<u64, u64>,
}

impl Tally {
    /// Counts what a node tells people.
    pub fn hear(&mut self, happening: &Happening) {
        if matches!(happening, Happening::LossKnown { .. }) {
            self.losses_known += 1;
        } else if matches!(happening, Happening::DataLost { .. }) {
            self.salvaged += 1;
        } else if matches!(happening, Happening::Slept { .. }) {
            self.slept += 1;
        } else if let Happening::Fenced { cause, .. } = happening {
            self.isolated += u64::from(*cause == FenceCause::Isolated);
        }
    }

    /// Counts what a daemon's failovers went through, at its end.
    pub fn hear_transitions(&mut self, supervisor: &Supervisor) {
        for group in supervisor.groups().values() {
            for way in group.transitions().iter() {
                *self.transitions.entry((way.from, way.to)).or_default() += 1;
            }
        }
    }

    pub fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        add_all(&mut self.injections, other.injections);
        add_all(&mut self.begun, other.begun);
        add_all(&mut self.transitions, other.transitions);
        self.done += other.done;
        self.aborted += other.aborted;
        self.kept += other.kept;
        self.restored += other.restored;
        self.salvaged += other.salvaged;
        self.resumed += other.resumed;
        self.promotions += other.promotions;
        self.demotions += other.demotions;
        self.fences += other.fences;
        self.ended += other.ended;
        self.leases += other.leases;
        self.isolated += other.isolated;
        self.switchovers += other.switchovers;
        self.switched += other.switched;
        self.switched_calmly += other.switched_calmly;
        self.given_up += other.given_up;
        self.held_writes += other.held_writes;
        self.refused_writes += other.refused_writes;
        self.limits_logged += other.limits_logged;
        self.torn_tails += other.torn_tails;
        self.snapshots += other.snapshots;
        self.installs += other.installs;
        self.partial_copies += other.partial_copies;
        self.full_copies += other.full_copies;
        self.losses_known += other.losses_known;
        self.guarded += other.guarded;
        self.rescued += other.rescued;
        self.turned_away += other.turned_away;
        self.emptied_copies += other.emptied_copies;
        self.slept += other.slept;
        self.emptied += other.emptied;
        self.rejoined += other.rejoined;
        self.pauses += other.pauses;
        self.resumes += other.resumes;
        self.expiries += other.expiries;
        self.begins_paused += other.begins_paused;
        self.operations += other.operations;
        self.refused_requests += other.refused_requests;
        self.adoptions += other.adoptions;
        self.reloads += other.reloads;
        self.hand_overs += other.hand_overs;
        self.handed_over += other.handed_over;
        self.failed_writes += other.failed_writes;
        self.files_replaced += other.files_replaced;
        self.files_read += other.files_read;
        self.torn_journals += other.torn_journals;
        self.not_journalled += other.not_journalled;
        self.unequal += other.unequal;
        for (why, (count, seeds)) in other.unsettled {
            let (sum, some) = self.unsettled.entry(why).or_default();
            *sum += count;
            some.extend(seeds);
            some.truncate(SEEDS_TOLD);
        }
        add_all(&mut self.settled_after, other.settled_after);
    }

    /// What a large number of runs must have seen, or they prove less than they claim.
    pub fn missing(&self) -> Vec<String> {
        let happened = self.never_happened().into_iter().map(str::to_owned);
        let made = |way: &&Transition| self.transitions.contains_key(&(way.from, way.to));
        let ways = TRANSITIONS.iter().filter(|way| !made(way));
        let ways = ways.map(|way| format!("the transition from {} to {}", way.from, way.to));
        happened.chain(ways).collect()
    }

    fn never_happened(&self) -> Vec<&'static str> {
        let begun = |cause| self.begun.get(&cause).copied().unwrap_or(0);
        [
            (begun(Cause::Exited), "a failover of an exited master"),
            (begun(Cause::Restarted), "a failover of a restarted master"),
            (begun(Cause::Gone), "a failover of a master that was gone"),
            (begun(Cause::Silent), "a failover of a silent master"),
            (
                begun(Cause::WrongRole),
                "a failover of a master in the wrong role",
            ),
            (self.done, "a failover that was done"),
            (self.aborted, "an epoch that was aborted"),
            (self.kept, "a master that was given up for nothing and kept"),
            (self.salvaged, "a group that went on with what was left"),
            (self.restored, "a restarted master that was kept"),
            (self.resumed, "an open epoch that another leader carried on"),
            (self.demotions, "an old master that was demoted"),
            (self.fences, "a fence"),
            (self.ended, "the fencer"),
            (self.leases, "strict fencing"),
            (self.isolated, "a fence of a master that was cut off"),
            (self.refused_writes, "a write that a fence refused"),
            (self.switched, "a switchover"),
            (
                self.switched_calmly,
                "a switchover that nothing else disturbed",
            ),
            (
                self.switchovers - self.switched,
                "a switchover that was aborted",
            ),
            (self.given_up, "a switchover that was given up"),
            (self.held_writes, "a write that was held"),
            (
                self.limits_logged,
                "limits of an instance's own that were logged",
            ),
            (self.torn_tails, "a torn log that was recovered"),
            (self.snapshots, "a log that was compacted"),
            (self.installs, "a snapshot that a follower installed"),
            (self.partial_copies, "a replica that went on without a copy"),
            (self.full_copies, "a replica that took a full copy"),
            (self.losses_known, "a loss that became known"),
            (self.guarded, "a guard"),
            (self.rescued, "a rescue"),
            (
                self.turned_away,
                "a replica that a guard kept from an emptied master",
            ),
            (
                self.emptied_copies,
                "a replica without a guard that copied the emptiness",
            ),
            (self.slept, "a node that noticed that it had slept"),
            (self.rejoined, "a voter that lost its state and rejoined"),
            (self.pauses, "a pause"),
            (self.resumes, "a pause that somebody ended"),
            (self.expiries, "a pause whose time was over"),
            (self.begins_paused, "a begin that a pause made void"),
            (self.operations, "an operation that was answered"),
            (self.refused_requests, "a request that was refused"),
            (self.adoptions, "a group that was registered by hand"),
            (self.reloads, "a reload"),
            (
                self.handed_over,
                "a leader that handed over when it stopped",
            ),
            (
                self.failed_writes,
                "a daemon that ended since its disk refused",
            ),
            (self.torn_journals, "a torn journal of the clients' files"),
            (self.not_journalled, "a journal that could not be written"),
            (self.unequal, "a group that waited for equal settings"),
        ]
        .into_iter()
        .filter(|(count, _)| *count == 0)
        .map(|(_, what)| what)
        .collect()
    }

    /// What was done, and how often.
    fn injections(&self) -> String {
        let counts = self.injections.iter();
        let counts = counts.map(|(injection, count)| match injection {
            Injection::Fault(fault) => format!("{fault:?} {count}"),
            Injection::Operation(operation) => format!("{operation:?} {count}"),
        });
        counts.collect::<Vec<_>>().join(", ")
    }

    /// How far it is, in one line.
    pub fn summary(&self, took: Duration) -> String {
        let seconds = took.as_secs().max(1);
        let begun: u64 = self.begun.values().sum();
        let unsettled = self.left_to_operators();
        format!(
            "{seconds} s: schedules {} ({} a second), steps {}, epochs begun {begun}, failovers done {}, \
             transitions {} of {}, left to operators {unsettled}, injected: {}",
            self.schedules,
            self.schedules / seconds,
            self.steps,
            self.done,
            self.transitions.len(),
            TRANSITIONS.len(),
            self.injections()
        )
    }

    /// How many ended in a state that only an operator can mend.
    pub fn left_to_operators(&self) -> u64 {
        self.unsettled.values().map(|(count, _)| count).sum()
    }

    pub fn print(&self) {
        println!("schedules {}, steps {}", self.schedules, self.steps);
        println!("injected {}", self.injections());
        println!("epochs begun, by cause: {:?}", self.begun);
        println!(
            "done {}, aborted {}, kept {}, restored {}, salvaged {}, resumed {}, promotions {}, demotions {}, losses known {}",
            self.done,
            self.aborted,
            self.kept,
            self.restored,
            self.salvaged,
            self.resumed,
            self.promotions,
            self.demotions,
            self.losses_known
        );
        println!(
            "fences {}, of these isolated {}, ended by the fencer {}, leases in force {}, writes refused {}, limits logged {}",
            self.fences,
            self.isolated,
            self.ended,
            self.leases,
            self.refused_writes,
            self.limits_logged
        );
        println!(
            "torn tails {}, snapshots {}, installed {}, slept {}",
            self.torn_tails, self.snapshots, self.installs, self.slept
        );
        println!("emptied {}, rejoined {}", self.emptied, self.rejoined);
        println!(
            "guard: {} tasks, {} emptied masters fed nobody; without it {} copies of emptiness",
            self.guarded, self.turned_away, self.emptied_copies
        );
        println!(
            "pauses {}, ended {}, expired {}, begins void {}, operations answered {}",
            self.pauses, self.resumes, self.expiries, self.begins_paused, self.operations
        );
        println!(
            "switchovers begun {}, done {}, of these undisturbed {}; given up {}, writes held {}",
            self.switchovers, self.switched, self.switched_calmly, self.given_up, self.held_writes
        );
        println!(
            "requests refused {}, adoptions {}, reloads {}, leaders stopped {}, of these handed over {}, ended by their disk {}",
            self.refused_requests,
            self.adoptions,
            self.reloads,
            self.hand_overs,
            self.handed_over,
            self.failed_writes
        );
        println!(
            "files replaced {}, read {}, journals torn {}, not written {}",
            self.files_replaced, self.files_read, self.torn_journals, self.not_journalled
        );
        let made = self.transitions.iter();
        let made = made.map(|((from, to), count)| format!("{from} to {to} {count}"));
        println!("transitions: {}", made.collect::<Vec<_>>().join(", "));
        println!("waited for equal settings {}", self.unequal);
        println!(
            "copies: partial {}, full {}",
            self.partial_copies, self.full_copies
        );
        for (why, (count, seeds)) in &self.unsettled {
            println!("not settled: {count} times {why}, as with seeds {seeds:?}");
        }
        let settled: u64 = self.settled_after.values().sum();
        let at = |share: u64| {
            let mut left = settled.saturating_sub(1) * share / 100;
            let mut spans = self.settled_after.iter();
            let found = spans.find(|(_, count)| {
                let is_it = left < **count;
                left = left.saturating_sub(**count);
                is_it
            });
            found.map_or(0, |(span, _)| *span)
        };
        println!(
            "settled after ms: median {}, 99 % {}, longest {}",
            at(50),
            at(99),
            at(100)
        );
    }
}

fn add_all<Key: Ord>(sum: &mut BTreeMap<Key, u64>, other: BTreeMap<Key, u64>) {
    for (key, count) in other {
        *sum.entry(key).or_default() += count;
    }
}
