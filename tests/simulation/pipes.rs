//! Ordered streams between hosts, as TCP gives them: late, never out of order, and stuck in a cut.

use std::collections::{BTreeMap, VecDeque};

use promoterd::model::SplitMix;

/// Virtual time in microseconds since the start.
pub type Micros = u64;

/// One direction of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PipeId(pub u64);

#[derive(Debug)]
struct Pipe<Item> {
    from: usize,
    to: usize,
    queue: VecDeque<Item>,
    last_at: Micros,
}

/// All pipes, and which hosts cannot reach which.
#[derive(Debug)]
pub struct Pipes<Item> {
    pipes: BTreeMap<PipeId, Pipe<Item>>,
    drawn: u64,
    /// How many faults cut each direction.
    cuts: BTreeMap<(usize, usize), u32>,
    /// How many faults answer for the far end, in each direction, that nobody is there.
    rejections: BTreeMap<(usize, usize), u32>,
    /// By how much some directions take longer, and until when.
    slow: BTreeMap<(usize, usize), (Micros, Micros)>,
}

impl<Item> Pipes<Item> {
    pub fn new() -> Self {
        Self {
            pipes: BTreeMap::new(),
            drawn: 0,
            cuts: BTreeMap::new(),
            rejections: BTreeMap::new(),
            slow: BTreeMap::new(),
        }
    }

    pub fn open(&mut self, from: usize, to: usize) -> PipeId {
        self.drawn += 1;
        let id = PipeId(self.drawn);
        let pipe = Pipe {
            from,
            to,
            queue: VecDeque::new(),
            last_at: 0,
        };
        self.pipes.insert(id, pipe);
        id
    }

    /// Puts an item in; it may be taken at the moment returned. None when the pipe is gone.
    pub fn push(
        &mut self,
        id: PipeId,
        item: Item,
        now: Micros,
        random: &mut SplitMix,
    ) -> Option<Micros> {
        let pipe = self.pipes.get(&id)?;
        let lasts = self.delay(pipe.from, pipe.to, now, random);
        let pipe = self.pipes.get_mut(&id)?;
        pipe.queue.push_back(item);
        pipe.last_at = pipe.last_at.max(now + lasts);
        Some(pipe.last_at)
    }

    /// Takes the first item, unless the path is cut.
    pub fn take(&mut self, id: PipeId) -> Option<Item> {
        let pipe = self.pipes.get_mut(&id)?;
        let is_cut = self
            .cuts
            .get(&(pipe.from, pipe.to))
            .is_some_and(|cuts| *cuts > 0);
        if is_cut {
            return None;
        }
        pipe.queue.pop_front()
    }

    pub fn is_empty(&self, id: PipeId) -> bool {
        self.pipes.get(&id).is_none_or(|pipe| pipe.queue.is_empty())
    }

    pub fn close(&mut self, id: PipeId) {
        self.pipes.remove(&id);
    }

    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|cuts| *cuts > 0)
    }

    pub fn is_open_both_ways(&self, one: usize, other: usize) -> bool {
        !self.is_cut(one, other) && !self.is_cut(other, one)
    }

    pub fn cut(&mut self, from: usize, to: usize) {
        if from != to {
            *self.cuts.entry((from, to)).or_default() += 1;
        }
    }

    /// Lifts one cut; when it was the last, gives the pipes that wait, with how much.
    pub fn heal(&mut self, from: usize, to: usize) -> Vec<(PipeId, usize)> {
        if let Some(cuts) = self.cuts.get_mut(&(from, to)) {
            *cuts = cuts.saturating_sub(1);
        }
        if self.is_cut(from, to) {
            return Vec::new();
        }
        self.pipes
            .iter()
            .filter(|(_, pipe)| pipe.from == from && pipe.to == to && !pipe.queue.is_empty())
            .map(|(id, pipe)| (*id, pipe.queue.len()))
            .collect()
    }

    /// Whoever connects this way is refused.
    pub fn reject(&mut self, from: usize, to: usize) {
        *self.rejections.entry((from, to)).or_default() += 1;
    }

    /// Lifts one rejection.
    pub fn admit(&mut self, from: usize, to: usize) {
        if let Some(rejections) = self.rejections.get_mut(&(from, to)) {
            *rejections = rejections.saturating_sub(1);
        }
    }

    pub fn is_rejected(&self, from: usize, to: usize) -> bool {
        self.rejections.get(&(from, to)).is_some_and(|it| *it > 0)
    }

    /// What goes this way takes longer until then.
    pub fn slow_down(&mut self, from: usize, to: usize, longer: Micros, until: Micros) {
        if from != to {
            self.slow.insert((from, to), (longer, until));
        }
    }

    pub fn end_delays(&mut self) {
        self.slow.clear();
        self.rejections.clear();
    }

    /// Time that a packet takes at `now`.
    pub fn delay(&self, from: usize, to: usize, now: Micros, random: &mut SplitMix) -> Micros {
        let longer = self.slow.get(&(from, to));
        let longer = longer.filter(|(_, until)| *until > now);
        longer.map_or(0, |(longer, _)| *longer) + usual_delay(from, to, random)
    }

    pub fn cut_paths(&self) -> Vec<(usize, usize)> {
        self.cuts
            .iter()
            .filter(|(_, cuts)| **cuts > 0)
            .map(|(path, _)| *path)
            .collect()
    }
}

/// Within a host almost none, and once in a while much more.
fn usual_delay(from: usize, to: usize, random: &mut SplitMix) -> Micros {
    if from == to {
        return 10 + random.below(40);
    }
    match random.below(200) {
        0 => 2_000 + random.below(30_000),
        _ => 100 + random.below(400),
    }
}
