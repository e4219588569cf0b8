//! The shape of a cluster, drawn from the seed: how many hosts, of which kind, how many groups.
//!
//! Observers do not exist in the product yet: there are none here.

use promoterd::decision::Fencing;
use promoterd::model::{NodeRole, SplitMix};

use super::clock::DRIFT_MAX;
use super::narrowing::Narrowing;
use super::theme::Theme;

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Daemons that are counted, witnesses included.
    pub voters: usize,
    /// The last so many of them have neither servers nor clients.
    witnesses: usize,
    /// Hosts with servers and without a daemon.
    other_hosts: usize,
    pub groups: usize,
    /// Messages between daemons are lost, repeated and overtaken.
    pub datagrams: bool,
    /// Servers keep their roles over a restart.
    pub rewrites: bool,
    /// By how much the rate of a host's clock may differ from the world's, in millionths.
    pub drift: u64,
}

impl Shape {
    pub fn draw(random: &mut SplitMix, narrowing: &Narrowing) -> Self {
        let drawn = match narrowing.theme {
            Theme::Everything | Theme::Disks => Self::draw_any(random),
            Theme::Leases => Self::draw_for_leases(random),
        };
        Self {
            groups: drawn.groups.min(narrowing.groups.unwrap_or(drawn.groups)),
            datagrams: drawn.datagrams && !narrowing.is_calm,
            drift: if narrowing.is_calm { 0 } else { drawn.drift },
            ..drawn
        }
    }

    /// A daemon beside each server, few groups, clocks that are as wrong as they may be.
    fn draw_for_leases(random: &mut SplitMix) -> Self {
        let voters = one_of(random, &[3, 3, 3, 3, 3, 4, 5, 5]);
        Self {
            voters,
            witnesses: one_of(random, &[0, 0, 1]).min((voters - 1) / 2),
            other_hosts: 0,
            groups: one_of(random, &[1, 1, 1, 1, 1, 1, 1, 2]),
            datagrams: random.below(4) == 0,
            rewrites: random.below(2) == 0,
            drift: one_of(
                random,
                &[0, 100, DRIFT_MAX, DRIFT_MAX, DRIFT_MAX, DRIFT_MAX],
            ),
        }
    }

    fn draw_any(random: &mut SplitMix) -> Self {
        const VOTERS: [usize; 16] = [1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 5, 5, 6, 7];
        let voters = one_of(random, &VOTERS);
        // One host at least has clients, or nothing would be written anywhere.
        let witnesses = one_of(random, &[0, 0, 0, 1, 1, 2]).min((voters - 1) / 2);
        let other_hosts = one_of(random, &[0, 1, 2]);
        let groups = draw_groups(random);
        let datagrams = random.below(3) == 0;
        let rewrites = random.below(2) == 0;
        let drift = one_of(random, &[0, 0, 100, DRIFT_MAX]);
        Self {
            voters,
            witnesses,
            other_hosts,
            groups,
            datagrams,
            rewrites,
            drift,
        }
    }

    pub fn hosts(&self) -> usize {
        self.voters + self.other_hosts
    }

    pub fn role(&self, node: usize) -> NodeRole {
        if node + self.witnesses >= self.voters {
            NodeRole::Witness
        } else {
            NodeRole::Voter
        }
    }

    /// The hosts whose daemon has clients' files to keep.
    pub fn with_clients(&self) -> usize {
        self.voters - self.witnesses
    }

    /// The `place`-th host that bears servers, counted round and round.
    pub fn server_host(&self, place: usize) -> usize {
        let clients = self.with_clients();
        let place = place % (clients + self.other_hosts);
        if place < clients {
            place
        } else {
            place + self.witnesses
        }
    }
}

/// Mostly few: each group costs time.
fn draw_groups(random: &mut SplitMix) -> usize {
    match random.below(200) {
        0 => 11 + one_of(random, &[0, 3, 6, 9]),
        1..=4 => 4 + one_of(random, &[0, 1, 2, 4]),
        5..=14 => 3,
        15..=64 => 2,
        _ => 1,
    }
}

/// How a group keeps an old master from taking writes.
pub fn draw_fencing(theme: Theme, random: &mut SplitMix) -> Fencing {
    if theme == Theme::Leases {
        return Fencing::Strict;
    }
    one_of(
        random,
        &[
            Fencing::Off,
            Fencing::Fast,
            Fencing::Fast,
            Fencing::Strict,
            Fencing::Strict,
        ],
    )
}

/// One of some, all as likely.
pub fn one_of<Item: Copy>(random: &mut SplitMix, some: &[Item]) -> Item {
    let count = u64::try_from(some.len()).expect("a short list");
    some[usize::try_from(random.below(count)).expect("a place in it")]
}
