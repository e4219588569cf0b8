//! What is left to chance in a script that names a seed: how long things take, and what is lost.

use promoterd::model::SplitMix;

#[derive(Debug)]
pub struct Weather {
    random: SplitMix,
    /// Nothing is lost or refused any more.
    pub is_calm: bool,
}

impl Weather {
    pub fn new(seed: u64) -> Self {
        Self {
            random: SplitMix::new(seed),
            is_calm: false,
        }
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    pub fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.random.below(count as u64)).unwrap_or(0)
    }

    /// Once in so many times, while it is not calm.
    pub fn chance(&mut self, once_in: u64) -> bool {
        self.random.below(once_in) == 0 && !self.is_calm
    }

    /// One way through the network: mostly short, once in a while not.
    pub fn delay(&mut self) -> u64 {
        match self.random.below(60) {
            0 => 2_000 + self.random.below(30_000),
            _ => 50 + self.random.below(400),
        }
    }

    /// To an instance, on a connection of its own: some orders come long after they were given.
    pub fn work_delay(&mut self) -> u64 {
        match self.random.below(12) {
            0 if !self.is_calm => self.random.below(1_500_000),
            _ => self.delay(),
        }
    }

    /// A report to one node: lost, repeated, or late.
    pub fn report_delays(&mut self) -> [Option<u64>; 2] {
        let first = Some(self.delay());
        match self.random.below(30) {
            _ if self.is_calm => [first, None],
            0 => [None, None],
            1 => [first, Some(self.random.below(3_000_000))],
            2 => [Some(self.random.below(1_500_000)), None],
            _ => [first, None],
        }
    }

    /// From a proposal to its commit: a round trip and a write to disk.
    pub fn commit_delay(&mut self) -> u64 {
        match self.random.below(20) {
            0 if !self.is_calm => self.random.below(300_000),
            _ => 200 + self.random.below(2_000),
        }
    }

    /// From the commit to a node that does not lead.
    pub fn apply_delay(&mut self) -> u64 {
        match self.random.below(20) {
            0 if !self.is_calm => self.random.below(800_000),
            _ => self.delay(),
        }
    }

    /// How long a leader does not know that it leads no more.
    pub fn deposed_for(&mut self) -> u64 {
        self.random.below(600_000)
    }

    /// Until somebody is elected.
    pub fn election(&mut self) -> u64 {
        150_000 + self.random.below(400_000)
    }
}
