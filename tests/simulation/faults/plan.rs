//! When something goes wrong and what, and when somebody asks for something.

use std::collections::VecDeque;

use promoterd::model::SplitMix;

use super::ambushes::Ambush;
use super::{ALL, Fault, OF_DISKS, OF_LEASES, TAKE_TIME};
use crate::operators::{self, Operation};
use crate::pipes::Micros;
use crate::streams::{Purpose, stream};
use crate::theme::Theme;
use crate::world::{Happens, World};

/// Something that is done to a cluster from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Injection {
    Fault(Fault),
    Operation(Operation),
}

/// One schedule in so many is long.
const LONG_EVERY: u64 = 12;

/// Least time that a fault which takes some is left alone.
const TIME_TAKEN_MIN: Micros = 1_200_000;

/// What is done, and from when to when.
#[derive(Debug)]
pub struct Plan {
    pub faults_from: Micros,
    pub faults_until: Micros,
    pause_max: Micros,
    kinds: Vec<Injection>,
    /// Moments that will be disturbed.
    sabotages: VecDeque<SplitMix>,
    /// Writes in whose midst the power will be cut.
    power_cuts: VecDeque<SplitMix>,
    /// What lies in wait for the next promotions.
    ambushes: VecDeque<(Ambush, SplitMix)>,
    /// Faults come close together, and then none for a while.
    comes_in_waves: bool,
    /// What has been done so far, by its number.
    pub injected: Vec<u64>,
    pub is_over: bool,
}

/// When faults begin, for how long they come, and the longest time between two.
struct Course {
    faults_from: Micros,
    lasts: Micros,
    pause_max: Micros,
}

impl Course {
    /// Mostly brief: what a long one shows, many that are unlike each other show sooner.
    fn draw(random: &mut SplitMix) -> Self {
        if random.below(LONG_EVERY) == 0 {
            return Self {
                faults_from: random.below(4_000_000),
                lasts: 2_000_000 + random.below(10_000_000),
                pause_max: 200_000 + random.below(4_000_000),
            };
        }
        let is_dense = random.below(3) == 0;
        Self {
            faults_from: 300_000 + random.below(1_200_000),
            lasts: 300_000 + random.below(2_000_000),
            pause_max: 100_000 + random.below(if is_dense { 300_000 } else { 1_500_000 }),
        }
    }
}

impl Plan {
    pub fn draw(theme: Theme, random: &mut SplitMix) -> Self {
        // Each run knows about half of the kinds, so that rare ones are not drowned by the others.
        let mut kinds: Vec<Injection> = all_kinds(theme)
            .into_iter()
            .filter(|_| random.below(2) == 0)
            .collect();
        if kinds.is_empty() {
            kinds.push(Injection::Fault(Fault::CrashMaster));
        }
        if theme == Theme::Leases {
            return Self::of_leases(kinds, random);
        }
        let Course {
            faults_from,
            lasts,
            pause_max,
        } = Course::draw(random);
        Self {
            faults_from,
            faults_until: faults_from + lasts,
            pause_max,
            kinds,
            sabotages: VecDeque::new(),
            power_cuts: VecDeque::new(),
            ambushes: VecDeque::new(),
            comes_in_waves: false,
            injected: Vec::new(),
            is_over: false,
        }
    }

    /// A lease is had first, and again between the waves.
    fn of_leases(kinds: Vec<Injection>, random: &mut SplitMix) -> Self {
        let faults_from = 2_000_000 + random.below(1_000_000);
        Self {
            faults_from,
            faults_until: faults_from + 3_000_000 + random.below(3_000_000),
            pause_max: 50_000 + random.below(300_000),
            kinds,
            sabotages: VecDeque::new(),
            power_cuts: VecDeque::new(),
            ambushes: VecDeque::new(),
            comes_in_waves: true,
            injected: Vec::new(),
            is_over: false,
        }
    }

    /// Until the next fault.
    fn pause(&self, dice: &mut SplitMix) -> Micros {
        if self.comes_in_waves && dice.below(4) == 0 {
            1_000_000 + dice.below(2_000_000)
        } else {
            dice.below(self.pause_max)
        }
    }

    /// The power will be cut at one of the next writes.
    pub fn cut_power(&mut self, dice: &mut SplitMix) {
        self.power_cuts.push_back(SplitMix::new(dice.next()));
    }

    /// The random numbers to cut it by, if it is to be cut now.
    pub fn power_cut(&mut self) -> Option<SplitMix> {
        self.power_cuts.pop_front().filter(|_| !self.is_over)
    }

    /// The next promotion will find somebody in wait.
    pub fn lie_in_wait(&mut self, ambush: Ambush, dice: &mut SplitMix) {
        let dice = SplitMix::new(dice.next());
        self.ambushes.push_back((ambush, dice));
    }

    /// Who lay in wait for this promotion.
    pub fn ambush(&mut self) -> Option<(Ambush, SplitMix)> {
        self.ambushes.pop_front().filter(|_| !self.is_over)
    }

    /// The random numbers to disturb this moment by, if it is to be.
    pub fn sabotage(&mut self) -> Option<SplitMix> {
        self.sabotages.pop_front().filter(|_| !self.is_over)
    }
}

/// What may be done in schedules about `theme`; what is there more often is more frequent.
fn all_kinds(theme: Theme) -> Vec<Injection> {
    let (faults, operations): (&[Fault], &[Operation]) = match theme {
        Theme::Everything => (&ALL, &operators::ALL),
        Theme::Leases => (&OF_LEASES, &operators::OF_LEASES),
        Theme::Disks => (&OF_DISKS, &operators::OF_DISKS),
    };
    let faults = faults.iter().copied().map(Injection::Fault);
    let operations = operations.iter().copied().map(Injection::Operation);
    faults.chain(operations).collect()
}

impl World {
    /// The next fault, or the next request. One that is left out changes none of those behind it.
    pub fn on_injection(&mut self, ordinal: u64) {
        if self.plan.is_over {
            return;
        }
        let mut dice = stream(self.seed, Purpose::Injection, ordinal);
        let mut pause = self.plan.pause(&mut dice);
        let count = self.plan.kinds.len() as u64;
        let kind = usize::try_from(dice.below(count)).unwrap_or(0);
        let injection = self.plan.kinds[kind];
        if matches!(injection, Injection::Fault(fault) if TAKE_TIME.contains(&fault)) {
            pause += TIME_TAKEN_MIN + dice.below(TIME_TAKEN_MIN);
        }
        let ordinal_next = ordinal + 1;
        self.later(
            pause,
            Happens::Injection {
                ordinal: ordinal_next,
            },
        );
        if !self.narrowing.keeps(ordinal) {
            return;
        }
        self.plan.injected.push(ordinal);
        *self.tally.injections.entry(injection).or_default() += 1;
        self.with_dice(dice, |world| match injection {
            Injection::Fault(fault) => {
                world.note(|| format!("fault {ordinal}: {fault:?}"));
                world.inject_fault(fault);
            }
            Injection::Operation(operation) => {
                world.note(|| format!("request {ordinal}: {operation:?}"));
                world.operate(operation);
            }
        });
    }

    /// The next important moments will be disturbed.
    pub fn plan_sabotage(&mut self) {
        for _ in 0..1 + self.pick(8) {
            let dice = SplitMix::new(self.dice.next());
            self.plan.sabotages.push_back(dice);
        }
    }
}
