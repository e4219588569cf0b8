//! Random numbers in streams of their own, so that to leave one thing out changes none of the others.

use promoterd::model::SplitMix;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// How large the cluster is, and what it is made of.
    Shape,
    /// One host.
    Host,
    /// One group with its servers.
    Group,
    /// Settings that are not equal.
    Settings,
    /// Which kinds of faults there are, and when.
    Plan,
    /// One fault, or one request of an operator.
    Injection,
    /// What happens when all faults end.
    End,
    /// All else: how long things take, what clients do.
    Course,
    /// Observers.
    Observers,
}

/// The stream of the `ordinal`-th thing of its kind in the schedule of `seed`.
pub fn stream(seed: u64, purpose: Purpose, ordinal: u64) -> SplitMix {
    let mut of_seed = SplitMix::new(seed);
    let mut of_purpose = SplitMix::new(of_seed.next() ^ purpose as u64);
    let mut of_one = SplitMix::new(of_purpose.next() ^ ordinal);
    SplitMix::new(of_one.next())
}
