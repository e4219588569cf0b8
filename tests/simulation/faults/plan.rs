//! When something goes wrong and what, and when somebody asks for something.

use std::collections::VecDeque;

use promoterd::model::SplitMix;

use super::{ALL, Fault};
use crate::operators::{self, Operation};
use crate::pipes::Micros;
use crate::streams::{Purpose, stream};
use crate::world::{Happens, World};

/// Something that is done to a cluster from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Injection {
    Fault(Fault),
    Operation(Operation),
}

/// What is done, and from when to when.
#[derive(Debug)]
pub struct Plan {
    pub faults_from: Micros,
    pub faults_until: Micros,
    pause_max: Micros,
    kinds: Vec<Injection>,
    /// Moments that will be disturbed.
    sabotages: VecDeque<SplitMix>,
    /// What has been done so far, by its number.
    pub injected: Vec<u64>,
    pub is_over: bool,
}

impl Plan {
    pub fn draw(random: &mut SplitMix) -> Self {
        let faults = ALL.into_iter().map(Injection::Fault);
        let operations = operators::ALL.into_iter().map(Injection::Operation);
        // Each run knows about half of the kinds, so that rare ones are not drowned by the others.
        let mut kinds: Vec<Injection> = faults
            .chain(operations)
            .filter(|_| random.below(2) == 0)
            .collect();
        if kinds.is_empty() {
            kinds.push(Injection::Fault(Fault::CrashMaster));
        }
        let faults_from = random.below(4_000_000);
        let is_rough = random.below(2) == 0;
        Self {
            faults_from,
            faults_until: faults_from + 2_000_000 + random.below(10_000_000),
            pause_max: 200_000 + random.below(if is_rough { 2_500_000 } else { 6_000_000 }),
            kinds,
            sabotages: VecDeque::new(),
            injected: Vec::new(),
            is_over: false,
        }
    }

    /// The random numbers to disturb this moment by, if it is to be.
    pub fn sabotage(&mut self) -> Option<SplitMix> {
        self.sabotages.pop_front().filter(|_| !self.is_over)
    }
}

impl World {
    /// The next fault, or the next request. One that is left out changes none of those behind it.
    pub fn on_injection(&mut self, ordinal: u64) {
        if self.plan.is_over {
            return;
        }
        let mut dice = stream(self.seed, Purpose::Injection, ordinal);
        let pause = dice.below(self.plan.pause_max);
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
        let count = self.plan.kinds.len() as u64;
        let kind = usize::try_from(dice.below(count)).unwrap_or(0);
        let injection = self.plan.kinds[kind];
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
