//! What happened over all schedules: for the report, and to notice what never did.

use std::collections::BTreeMap;

use crate::run::Outcome;

#[derive(Debug, Default)]
pub struct Tally {
    schedules: u64,
    steps: u64,
    epochs: [u64; 3],
    /// How many could not settle, by why that is nobody's fault; and one of them.
    pub unsettled: BTreeMap<String, (u64, u64)>,
    /// Milliseconds from the last fault to the settled group.
    settled_after: Vec<u32>,
}

impl Tally {
    pub fn count(&mut self, seed: u64, outcome: &Outcome) {
        self.schedules += 1;
        self.steps += outcome.steps;
        for (sum, count) in self.epochs.iter_mut().zip(outcome.epochs) {
            *sum += count;
        }
        if let Some(excuse) = &outcome.excuse {
            let counted = self.unsettled.entry(excuse.clone()).or_insert((0, seed));
            counted.0 += 1;
        }
        let settled = outcome.settled_after.map(|after| after / 1000);
        let settled = settled.map(|after| u32::try_from(after).unwrap_or(u32::MAX));
        self.settled_after.extend(settled);
    }

    pub fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        for (sum, count) in self.epochs.iter_mut().zip(other.epochs) {
            *sum += count;
        }
        for (why, (count, seed)) in other.unsettled {
            self.unsettled.entry(why).or_insert((0, seed)).0 += count;
        }
        self.settled_after.extend(other.settled_after);
    }

    /// What a large number of schedules must have seen, or they prove less than they claim.
    pub fn missing(&self) -> Vec<&'static str> {
        let [begun, done, aborted] = self.epochs;
        let seen = [
            (begun, "an epoch that began"),
            (done, "an epoch that was done"),
            (aborted, "an epoch that was aborted"),
        ];
        let missing = seen.into_iter().filter(|(count, _)| *count == 0);
        missing.map(|(_, what)| what).collect()
    }

    pub fn print(&self) {
        let [begun, done, aborted] = self.epochs;
        println!("schedules {}, steps {}", self.schedules, self.steps);
        println!("epochs begun {begun}, done {done}, aborted {aborted}");
        for (why, (count, seed)) in &self.unsettled {
            println!("not settled: {count} times {why}, as with seed {seed}");
        }
        let mut settled = self.settled_after.clone();
        settled.sort_unstable();
        let at = |share: usize| {
            let last = settled.len().saturating_sub(1);
            settled.get(last * share / 1000).copied().unwrap_or(0)
        };
        println!(
            "settled after ms: median {}, 99 % {}, longest {}",
            at(500),
            at(990),
            at(1000)
        );
    }
}
