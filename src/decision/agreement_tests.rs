//! Tables of views and the verdicts that they come to.

use super::super::ground_tests::{milliseconds, node, policy, run_id};
use super::super::view::View;
use super::*;
use crate::model::{Epoch, Life};

/// One voter's view: its opinion, and its signs of life, as milliseconds of the table's clock.
#[derive(Clone, Copy)]
enum Seen {
    Up,
    Answered(u64),
    UpMoving(u64),
    Suspected(u64),
    Unknown,
    Down(Cause, u64),
    DownMoving(Cause, u64, u64),
}

struct Table {
    start: Instant,
    policy: GroupPolicy,
    cooldown_until: Option<u64>,
}

impl Table {
    fn new() -> Self {
        Self {
            // Before any moment of the table there are others.
            start: Instant::now() + milliseconds(100_000),
            policy: policy(),
            cooldown_until: None,
        }
    }

    fn at(&self, moment: u64) -> Instant {
        self.start + milliseconds(moment)
    }

    fn view(&self, seen: Seen) -> HeldView {
        let down = |cause, since| Health::Down {
            cause,
            since: self.at(since),
        };
        let (health, answered, moving) = match seen {
            Seen::Up => (Health::Up, None, None),
            Seen::Answered(at) => (Health::Up, Some(at), None),
            Seen::UpMoving(at) => (Health::Up, None, Some(at)),
            Seen::Suspected(since) => {
                let since = self.at(since);
                (Health::Suspected { since }, None, None)
            }
            Seen::Unknown => (Health::Unknown, None, None),
            Seen::Down(cause, since) => (down(cause, since), None, None),
            Seen::DownMoving(cause, since, at) => (down(cause, since), None, Some(at)),
        };
        HeldView {
            life: Life(1),
            received_at: self.start,
            epoch: Epoch(1),
            run_id: run_id(1),
            health,
            answered: answered.map(|at| self.at(at)),
            moving_since: moving.map(|at| self.at(at)),
            files_epoch: None,
            fences: Vec::new(),
            lease: None,
            rescues: Vec::new(),
        }
    }

    /// The verdict at `now`, in a word or two.
    fn judge(&self, views: &[Seen], now: u64) -> String {
        let views = views
            .iter()
            .enumerate()
            .map(|(index, seen)| (node(&format!("n{index}")), self.view(*seen)))
            .collect();
        let circumstances = Circumstances {
            cooldown_until: self.cooldown_until.map(|at| self.at(at)),
            now: self.at(now),
        };
        match judge(&views, &self.policy, circumstances) {
            Verdict::NotDown => "not down".to_owned(),
            Verdict::Short { views, needed } => format!("{views} of {needed}"),
            Verdict::Vetoed { veto, until: None } => format!("vetoed: {veto:?}"),
            Verdict::Vetoed {
                veto,
                until: Some(until),
            } => {
                let until = (until - self.start).as_millis();
                format!("vetoed: {veto:?} until {until}")
            }
            Verdict::Down { evidence, since } => {
                let since = (since - self.start).as_millis();
                let (views, needed) = (evidence.views.len(), evidence.needed);
                format!(
                    "{} since {since}, {views} views, {needed} needed",
                    evidence.cause
                )
            }
        }
    }
}

#[test]
fn silence_needs_a_quorum_of_the_voters() {
    let table = |quorum| {
        let mut table = Table::new();
        table.policy.quorum = quorum;
        table
    };
    for (voters, quorum) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (5, 5)] {
        for silent in 0..=voters {
            let mut views = vec![Seen::Up; voters];
            views[..silent].fill(Seen::Down(Cause::Silent, 7));
            let expected = match silent {
                0 => "not down".to_owned(),
                few if few < quorum => format!("{few} of {quorum}"),
                enough => format!("silent since 7, {enough} views, {quorum} needed"),
            };
            let verdict = table(quorum).judge(&views, 1007);
            assert_eq!(verdict, expected, "{silent} of {voters}");
        }
    }
}

#[test]
fn views_come_to_these_verdicts() {
    use Cause::{Exited, Gone, Restarted, Silent, WrongRole};
    use Seen::{Answered, Down, DownMoving, Suspected, Unknown, Up, UpMoving};
    let cases: &[(&str, &[Seen], u64, &str)] = &[
        (
            "nothing is known",
            &[Unknown, Unknown, Unknown],
            5,
            "not down",
        ),
        (
            "a suspicion is no view",
            &[Suspected(1), Suspected(1), Down(Gone, 1)],
            30,
            "1 of 2",
        ),
        (
            "one proof is enough, whatever the others say",
            &[Down(Exited, 4), Answered(9), UpMoving(9)],
            10,
            "exited since 4, 1 views, 1 needed",
        ),
        (
            "so is a restart",
            &[Down(Restarted, 4), Up, Answered(3)],
            10,
            "restarted since 4, 1 views, 1 needed",
        ),
        (
            "one that reaches another server by the same name proves nothing",
            &[Down(Restarted, 4), Up, Answered(5)],
            10,
            "1 of 2",
        ),
        (
            "that counts as a view",
            &[Down(Restarted, 4), Down(Restarted, 4), Answered(5)],
            10,
            "restarted since 4, 2 views, 2 needed",
        ),
        (
            "a proof beside other views",
            &[Down(Gone, 3), Down(Exited, 4), Up],
            10,
            "exited since 3, 2 views, 1 needed",
        ),
        (
            "gone and silent add up, under the stronger name",
            &[Down(Silent, 0), Down(Gone, 900), Up],
            1000,
            "gone since 0, 2 views, 2 needed",
        ),
        (
            "a wrong role adds up too",
            &[Down(WrongRole, 5), Down(Silent, 6), Up],
            1010,
            "silent since 5, 2 views, 2 needed",
        ),
        (
            "an answer to a ping sent after the evidence",
            &[Down(Gone, 10), Down(Gone, 11), Answered(12)],
            40,
            "vetoed: Answered until 1010",
        ),
        (
            "an answer to a ping sent at or before the evidence",
            &[Down(Gone, 10), Down(Gone, 10), Answered(10)],
            40,
            "gone since 10, 2 views, 2 needed",
        ),
        (
            "the answer speaks against the older evidence alone",
            &[
                Down(Gone, 10),
                Down(Gone, 20),
                Down(Gone, 21),
                Answered(15),
                Up,
            ],
            40,
            "gone since 20, 2 views, 2 needed",
        ),
        (
            "an answer to somebody who holds it down now",
            &[Down(Gone, 10), Down(Gone, 11), Suspected(20)],
            40,
            "gone since 10, 2 views, 2 needed",
        ),
        (
            "a stream that moves after the evidence",
            &[DownMoving(Gone, 10, 11), Down(Gone, 10), Up],
            40,
            "vetoed: StreamMoves until 51",
        ),
        (
            "a stream that moves no more",
            &[DownMoving(Gone, 10, 11), Down(Gone, 10), Up],
            51,
            "gone since 10, 2 views, 2 needed",
        ),
        (
            "a stream that moved before",
            &[DownMoving(Gone, 10, 10), Down(Gone, 10), Up],
            40,
            "gone since 10, 2 views, 2 needed",
        ),
        (
            "refused to a quorum and answering the third: silent in its time",
            &[Down(Gone, 10), Down(Gone, 10), Answered(1000)],
            1009,
            "vetoed: Answered until 1010",
        ),
        (
            "and then it is as lost as a silent one",
            &[Down(Gone, 10), Down(Gone, 10), Answered(1000)],
            1010,
            "gone since 10, 2 views, 2 needed",
        ),
        (
            "a moving stream delays a silent verdict",
            &[DownMoving(Silent, 10, 600), Down(Silent, 10), Up],
            1010,
            "vetoed: StreamMoves until 1600",
        ),
        (
            "as long as a reply at that moment would have",
            &[DownMoving(Silent, 10, 600), Down(Silent, 10), Up],
            1600,
            "silent since 10, 2 views, 2 needed",
        ),
        (
            "what was on its way when it fell silent is no movement",
            &[DownMoving(Silent, 10, 510), Down(Silent, 10), Up],
            1010,
            "silent since 10, 2 views, 2 needed",
        ),
        (
            "the delay lasts for replica_veto_max",
            &[DownMoving(Silent, 10, 4000), Down(Silent, 10), Up],
            4009,
            "vetoed: StreamMoves until 4010",
        ),
        (
            "and no longer",
            &[DownMoving(Silent, 10, 4000), Down(Silent, 10), Up],
            4010,
            "silent since 10, 2 views, 2 needed",
        ),
        (
            "nor longer for a gone one",
            &[DownMoving(Gone, 10, 4000), Down(Gone, 10), Up],
            4010,
            "gone since 10, 2 views, 2 needed",
        ),
        (
            "a moving stream says nothing of a wrong role",
            &[DownMoving(WrongRole, 10, 4000), Down(WrongRole, 10), Up],
            1010,
            "wrong role since 10, 2 views, 2 needed",
        ),
    ];
    for (name, views, now, expected) in cases {
        assert_eq!(Table::new().judge(views, *now), *expected, "{name}");
    }
}

#[test]
fn a_cooldown_lets_proofs_and_gone_act_and_nothing_else() {
    let mut table = Table::new();
    table.cooldown_until = Some(5000);
    for (cause, now, expected) in [
        (Cause::Exited, 4999, "exited since 10, 2 views, 1 needed"),
        (
            Cause::Restarted,
            4999,
            "restarted since 10, 2 views, 1 needed",
        ),
        (Cause::Gone, 4999, "gone since 10, 2 views, 2 needed"),
        (Cause::Silent, 4999, "vetoed: Cooldown until 5000"),
        (Cause::Silent, 5000, "silent since 10, 2 views, 2 needed"),
        (Cause::WrongRole, 4999, "vetoed: Cooldown until 5000"),
        (
            Cause::WrongRole,
            5000,
            "wrong role since 10, 2 views, 2 needed",
        ),
    ] {
        let views = [Seen::Down(cause, 10), Seen::Down(cause, 10), Seen::Up];
        assert_eq!(table.judge(&views, now), expected, "{cause} at {now}");
    }
    let answered = [
        Seen::Down(Cause::Gone, 10),
        Seen::Down(Cause::Gone, 10),
        Seen::Answered(2000),
    ];
    assert_eq!(table.judge(&answered, 4999), "vetoed: Cooldown until 5000");
}

#[test]
fn a_view_counts_while_it_is_fresh_and_for_the_logged_life_alone() {
    let table = Table::new();
    let view = table.view(Seen::Up);
    for (epoch, life, age, counts) in [
        (1, 1, 0, true),
        (1, 1, 1999, true),
        (1, 1, 2000, false),
        (2, 1, 0, false),
        (0, 1, 0, false),
        (1, 2, 0, false),
    ] {
        assert_eq!(
            view.counts(Epoch(epoch), run_id(life), table.at(age)),
            counts,
            "epoch {epoch}, life {life}, {age} ms"
        );
    }
}

#[test]
fn ages_become_moments_of_the_receiver_and_never_panic() {
    let now = Instant::now();
    let mut view = View {
        group: super::super::ground_tests::group_name(),
        epoch: Epoch(1),
        run_id: run_id(1),
        opinion: super::super::view::Opinion::Down {
            cause: Cause::Gone,
            age: milliseconds(20),
        },
        answered_age: Some(milliseconds(30)),
        moving_age: Some(milliseconds(40)),
        files_epoch: Some(Epoch(1)),
        fences: Vec::new(),
        lease: None,
        rescues: Vec::new(),
    };
    let held = HeldView::receive(&view, Life(3), now);
    let since = now - milliseconds(20);
    assert_eq!(
        held.health,
        Health::Down {
            cause: Cause::Gone,
            since
        }
    );
    assert_eq!(held.answered, Some(now - milliseconds(30)));
    assert_eq!(held.moving_since, Some(now - milliseconds(40)));
    view.answered_age = Some(std::time::Duration::MAX);
    assert_eq!(HeldView::receive(&view, Life(3), now).answered, Some(now));
}
