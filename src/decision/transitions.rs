//! The transitions of the failover machine, in one table: the diagram, the tests and the tally of the
//! simulation all go by it.

/// One way from one state of [`Failover`](super::failover::Failover) to another.
#[derive(Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state that is left, as [`Failover::phase`](super::failover::Failover::phase) calls it.
    pub from: &'static str,
    /// The state that is entered.
    pub to: &'static str,
    /// On what occasions.
    pub why: &'static str,
}

const fn way(from: &'static str, to: &'static str, why: &'static str) -> Transition {
    Transition { from, to, why }
}

/// All that there are.
pub const TRANSITIONS: [Transition; 20] = [
    way(
        "watching",
        "choosing",
        "the master is objectively down: all replicas are asked",
    ),
    way(
        "watching",
        "beginning",
        "the master that an aborted epoch gave up is well: its Begin is proposed",
    ),
    way(
        "watching",
        "checking",
        "this node leads now, or its refused Begin was committed: the open epoch is carried out",
    ),
    way(
        "watching",
        "preparing",
        "a switchover is wanted: the replicas are asked how far they are",
    ),
    way(
        "choosing",
        "watching",
        "it answers again, or nobody may be promoted, or it is worth waiting; a pause; deposed",
    ),
    way(
        "choosing",
        "beginning",
        "one is chosen: its Begin is proposed",
    ),
    way(
        "preparing",
        "holding",
        "its successor is close: the master is told to hold writes",
    ),
    way(
        "preparing",
        "watching",
        "the switchover is given up, or the master lost; a pause; deposed",
    ),
    way(
        "holding",
        "beginning",
        "the successor has everything: its Begin is proposed",
    ),
    way(
        "holding",
        "watching",
        "the switchover is given up, or the master lost; a pause; deposed",
    ),
    way(
        "beginning",
        "checking",
        "the Begin is committed: the candidate is looked at again",
    ),
    way(
        "beginning",
        "watching",
        "the Begin was void, or refused; deposed",
    ),
    way(
        "checking",
        "promoting",
        "the candidate is as chosen: it is promoted",
    ),
    way(
        "checking",
        "ending",
        "it is a master already, or may not be promoted, or does not answer in time",
    ),
    way(
        "checking",
        "watching",
        "the epoch was ended by an earlier leader's entry; deposed",
    ),
    way(
        "promoting",
        "checking",
        "whether it was promoted is not known",
    ),
    way(
        "promoting",
        "ending",
        "it is the master, or refused, or took too long: Done or Abort is proposed",
    ),
    way(
        "promoting",
        "watching",
        "the epoch was ended by an earlier leader's entry; deposed",
    ),
    way("ending", "watching", "Done or Abort is committed; deposed"),
    way(
        "ending",
        "checking",
        "what was proposed was refused: the epoch is still open",
    ),
];

/// Which transitions a machine has made, and where it stands.
#[derive(Debug, Clone)]
pub struct Taken {
    phase: &'static str,
    /// By place in [`TRANSITIONS`].
    bits: u32,
}

impl Taken {
    /// None, by a machine that stands at `phase`.
    #[must_use]
    pub fn from(phase: &'static str) -> Self {
        Self { phase, bits: 0 }
    }

    /// The machine stands at `phase` now.
    pub fn note(&mut self, phase: &'static str) {
        let from = std::mem::replace(&mut self.phase, phase);
        if from == phase {
            return;
        }
        let place = TRANSITIONS
            .iter()
            .position(|way| way.from == from && way.to == phase);
        debug_assert!(
            place.is_some(),
            "no transition leads from {from} to {phase}"
        );
        if let Some(place) = place {
            self.bits |= 1 << place;
        }
    }

    /// Those made since the last call.
    pub fn drain(&mut self) -> impl Iterator<Item = &'static Transition> + use<> {
        let bits = std::mem::take(&mut self.bits);
        let ways = TRANSITIONS.iter().enumerate();
        ways.filter_map(move |(place, way)| (bits & (1 << place) != 0).then_some(way))
    }

    /// Those made.
    pub fn iter(&self) -> impl Iterator<Item = &'static Transition> + use<> {
        self.clone().drain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::ground_tests::assert_transcript;

    /// As it stands in the documentation.
    fn diagram() -> String {
        let mut text = String::new();
        let mut from = "";
        for way in &TRANSITIONS {
            if way.from != from {
                from = way.from;
                text.push_str(from);
                text.push('\n');
            }
            text.push_str(&format!("  ──▶ {:<10} {}\n", way.to, way.why));
        }
        text
    }

    #[test]
    fn the_diagram_in_the_documentation_is_the_table() {
        assert_transcript("transitions.txt", &diagram());
    }

    #[test]
    fn no_transition_stands_there_twice_and_all_of_one_state_stand_together() {
        let mut froms: Vec<&str> = TRANSITIONS.iter().map(|way| way.from).collect();
        froms.dedup();
        let mut once = froms.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(froms.len(), once.len());
        for way in &TRANSITIONS {
            let same = TRANSITIONS
                .iter()
                .filter(|other| (other.from, other.to) == (way.from, way.to));
            assert_eq!(same.count(), 1, "{way:?}");
        }
    }

    #[test]
    fn what_was_made_is_told_once() {
        let mut taken = Taken::from("watching");
        for phase in ["watching", "choosing", "choosing", "watching", "choosing"] {
            taken.note(phase);
        }
        let made: Vec<_> = taken.drain().map(|way| (way.from, way.to)).collect();
        assert_eq!(made, [("watching", "choosing"), ("choosing", "watching")]);
        assert_eq!(taken.drain().count(), 0);
    }

    #[test]
    #[should_panic(expected = "no transition leads from watching to promoting")]
    fn a_transition_that_is_not_in_the_table_is_noticed() {
        Taken::from("watching").note("promoting");
    }
}
