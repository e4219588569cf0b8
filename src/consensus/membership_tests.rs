//! Births that are interrupted everywhere, and state directories that are not what they were.

use super::*;
use crate::model::{LogIndex, SplitMix, Term};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn name(place: usize) -> NodeId {
    NAMES[place].parse().unwrap()
}

fn voters() -> BTreeSet<NodeId> {
    (0..NAMES.len()).map(name).collect()
}

/// Daemons that do nothing but be born, and their disks.
struct Nursery {
    random: SplitMix,
    disks: Vec<Seat>,
    lives: Vec<Life>,
    running: Vec<Option<Membership>>,
}

impl Nursery {
    fn new(seed: u64) -> Self {
        let mut random = SplitMix::new(seed);
        Self {
            disks: NAMES
                .iter()
                .map(|_| Seat::new(Incarnation(random.next())))
                .collect(),
            lives: vec![Life(0); NAMES.len()],
            running: NAMES.iter().map(|_| None).collect(),
            random,
        }
    }

    fn pick(&mut self) -> usize {
        usize::try_from(self.random.below(NAMES.len() as u64)).unwrap()
    }

    fn start(&mut self, place: usize) {
        if self.running[place].is_some() {
            return;
        }
        self.disks[place].starts += 1;
        self.lives[place] = Life(self.random.next());
        let cluster = ClusterId(self.random.next());
        let seat = self.disks[place].clone();
        let knew = Promise::default();
        self.running[place] = Some(Membership::new(name(place), voters(), seat, knew, cluster));
    }

    fn crash(&mut self, place: usize) {
        self.running[place] = None;
        for other in self.running.iter_mut().flatten() {
            other.link_down(&name(place));
        }
    }

    /// A link comes up, and both sides announce themselves.
    fn meet(&mut self, one: usize, other: usize) {
        for (here, there) in [(one, other), (other, one)] {
            let Some(announcement) = self.running[there]
                .as_ref()
                .map(|peer| peer.announcement(Standing::Unborn))
            else {
                return;
            };
            let life = self.lives[there];
            if let Some(node) = &mut self.running[here] {
                node.link_up(&name(there), life);
                assert_eq!(node.hear(&name(there), life, announcement), Heard::Taken);
            }
        }
    }

    /// Writes what is to be written, with a crash before or behind it as it comes.
    fn write(&mut self, place: usize, may_crash: bool) {
        let next = self.running[place].as_mut().and_then(Membership::next_seat);
        let Some(seat) = next else { return };
        let crash = if may_crash { self.random.below(6) } else { 9 };
        if crash != 0 {
            self.disks[place] = seat;
        }
        if crash <= 1 {
            return self.crash(place);
        }
        assert!(self.running[place].as_mut().unwrap().written());
    }

    fn check(&self) {
        let members: Vec<&Stage> = self.disks.iter().filter_map(member_stage).collect();
        assert!(
            members.windows(2).all(|pair| pair[0] == pair[1]),
            "{members:?}"
        );
    }

    fn is_founder(&self, place: usize) -> bool {
        let seat = &self.disks[place];
        match &seat.stage {
            Stage::Member { founders, .. } => founders[&name(place)] == seat.incarnation,
            Stage::Empty | Stage::Forming { .. } => false,
        }
    }
}

#[test]
fn a_birth_interrupted_anywhere_ends_in_one_cluster_of_all_voters() {
    for seed in 0..3000 {
        let mut nursery = Nursery::new(seed);
        for _ in 0..60 {
            let (one, other) = (nursery.pick(), nursery.pick());
            match nursery.random.below(8) {
                0 => nursery.crash(one),
                1 | 2 => nursery.start(one),
                3 => nursery.write(one, true),
                _ if one != other => nursery.meet(one, other),
                _ => {}
            }
            nursery.check();
        }
        settle(&mut nursery);
        assert!((0..3).all(|place| nursery.is_founder(place)), "seed {seed}");
    }
}

#[test]
fn a_voter_emptied_during_a_birth_is_a_founder_of_the_same_cluster_or_has_to_rejoin() {
    let mut had_to_rejoin = 0;
    for seed in 0..3000 {
        let mut nursery = Nursery::new(seed);
        for _ in 0..500 {
            let (one, other) = (nursery.pick(), nursery.pick());
            match nursery.random.below(16) {
                0 => nursery.crash(one),
                1 => {
                    // One that was a member and is emptied must come back while others are members.
                    let others = (0..3).filter(|place| *place != one);
                    let mut others = others.map(|place| member_stage(&nursery.disks[place]));
                    if member_stage(&nursery.disks[one]).is_none() || others.any(|it| it.is_some())
                    {
                        nursery.crash(one);
                        nursery.disks[one] = Seat::new(Incarnation(nursery.random.next()));
                    }
                }
                2..6 => nursery.start(one),
                6..10 => nursery.write(one, true),
                _ if one != other => nursery.meet(one, other),
                _ => {}
            }
            nursery.check();
        }
        settle(&mut nursery);
        had_to_rejoin += (0..3).filter(|place| !nursery.is_founder(*place)).count();
    }
    assert!(had_to_rejoin > 20, "{had_to_rejoin}");
}

fn settle(nursery: &mut Nursery) {
    for _ in 0..20 {
        for place in 0..3 {
            nursery.start(place);
            nursery.meet(place, (place + 1) % 3);
            nursery.write(place, false);
            nursery.check();
        }
    }
    let members = nursery.disks.iter().filter_map(member_stage).count();
    assert_eq!(members, 3, "{:?}", nursery.disks);
}

#[test]
fn nothing_is_born_while_a_voter_is_missing_and_status_names_it() {
    let mut nursery = Nursery::new(1);
    nursery.start(0);
    nursery.start(1);
    nursery.meet(0, 1);
    for place in [0, 1] {
        assert_eq!(nursery.running[place].as_mut().unwrap().next_seat(), None);
    }
    let waiting = nursery.running[0].as_ref().unwrap();
    let waiting = waiting.waiting(Standing::Unborn).unwrap().to_string();
    assert!(waiting.ends_with("waiting for c"), "{waiting}");
    nursery.start(2);
    nursery.meet(0, 2);
    assert!(nursery.running[0].as_mut().unwrap().next_seat().is_some());
}

fn promise(term: u64, index: u64) -> Promise {
    Promise {
        term: Term(term),
        index: LogIndex(index),
    }
}

#[test]
fn a_directory_that_knows_less_than_it_promised_is_outdated() {
    let announce = |incarnation, starts, knew| Announcement {
        seat: Seat {
            incarnation: Incarnation(incarnation),
            starts,
            stage: Stage::Empty,
        },
        standing: Standing::Voter,
        knew,
    };
    // The directory 5, started for the third time, has promised term 4 up to entry 10.
    for (incarnation, starts, knew, heard) in [
        (5, 4, promise(4, 10), Heard::Taken),
        (5, 4, promise(5, 2), Heard::Taken),
        (5, 4, promise(4, 9), Heard::Outdated),
        (5, 4, promise(3, 99), Heard::Outdated),
        (5, 3, promise(4, 10), Heard::Outdated),
        (5, 2, promise(9, 99), Heard::Outdated),
        // Another directory promised nothing.
        (6, 1, promise(0, 0), Heard::Taken),
    ] {
        let seat = Seat::new(Incarnation(1));
        let mut node = Membership::new(name(0), voters(), seat, promise(0, 0), ClusterId(1));
        let b = name(1);
        node.link_up(&b, Life(1));
        let before = announce(5, 3, promise(2, 7));
        assert_eq!(node.hear(&b, Life(1), before.clone()), Heard::Taken);
        node.note_promise(&b, Life(1), promise(4, 10));
        assert_eq!(
            node.hear(&b, Life(1), before),
            Heard::Taken,
            "the same process"
        );
        node.link_up(&b, Life(2));
        assert!(node.announced(&b, Life(2)).is_none());
        let announcement = announce(incarnation, starts, knew);
        assert_eq!(
            node.hear(&b, Life(2), announcement),
            heard,
            "{incarnation} {starts} {knew:?}"
        );
        assert_eq!(node.announced(&b, Life(2)).is_some(), heard == Heard::Taken);
        // What comes late from the process before is nothing.
        let late = announce(5, 3, promise(2, 7));
        assert_eq!(node.hear(&b, Life(1), late), Heard::Ignored);
    }
}
