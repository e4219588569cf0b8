//! Schedules that broke a promise once, made small.

use crate::run::play;

/// What let them, and the script.
const MENDED: &[(&str, &str)] = &[
    (
        "a leader was sent a snapshot, and never heard what became of its own Begin",
        "nodes n1 n2 n3\n\
         weather 4688\n\
         guarded\n\
         rewrites\n\
         sabotage anybody\n\
         with gone_after 100\n\
         with failovers_max 0\n\
         at 353 restart a data\n\
         at 707 kill b\n\
         at 716 restart b old\n\
         at 1103 freeze log\n\
         at 2268 kill a\n\
         at 2274 restart a data\n\
         at 2907 thaw log\n\
         at 3428 calm\n",
    ),
    (
        "what was told to a process came to the next one of its node, and confirmed a state of the past",
        "nodes n1 n2 n3\n\
         weather 9669\n\
         beside n2 b\n\
         sabotage candidates\n\
         at 495 kill a\n\
         at 564 restart a data\n\
         at 816 ask n3 1 pause\n\
         at 1238 crash n3\n\
         at 1282 start n3\n\
         at 1302 calm\n",
    ),
    (
        "the same",
        "nodes n1 n2 n3\n\
         weather 17014\n\
         beside n1 a\n\
         beside n3 c\n\
         with gone_after 100\n\
         at 483 restart a aof\n\
         at 505 crash n3\n\
         at 506 start n3\n\
         at 1050 calm\n",
    ),
    (
        "a leader slept shortly in the midst of a choice, and the choice went on behind views that had changed",
        "nodes n1 n2 n3 n4 n5\n\
         weather 27416\n\
         beside n1 a\n\
         beside n3 c\n\
         guarded\n\
         with fencing off\n\
         at 384 restart a old\n\
         at 407 pause n1\n\
         at 616 calm\n",
    ),
    (
        "a candidate that was promoted and lost at the end of its time was said never to have been promoted",
        "nodes n1\n\
         weather 64397\n\
         sabotage candidates\n\
         with gone_after 100\n\
         with promote_timeout 500\n\
         at 627 kill a\n\
         at 710 restart a empty\n\
         at 747 kill b\n\
         at 756 restart b data\n\
         at 1237 kill c\n\
         at 2897 calm\n",
    ),
    (
        "a candidate whose copy of an emptied master ended between its check and its promotion became the master",
        "nodes n1 n2 n3\n\
         weather 2159\n\
         beside n1 a\n\
         beside n2 b\n\
         beside n3 c\n\
         guarded\n\
         rewrites\n\
         rescues\n\
         sabotage anybody\n\
         with gone_after 100\n\
         with promote_timeout 500\n\
         with cooldown 3000\n\
         with replica_veto_max 1000\n\
         with failovers_max 0\n\
         at 0 priority c 0\n\
         at 276 kill b\n\
         at 287 reject n2 a\n\
         at 376 heal n2 a\n\
         at 537 reject n3 c\n\
         at 768 crash n1\n\
         at 871 heal n3 c\n\
         at 1096 kill a\n\
         at 1185 start n1\n\
         at 1214 kill a\n\
         at 1855 restart b old\n\
         at 2017 restart a empty\n\
         at 2400 calm\n",
    ),
    (
        "a master was waited for that came back with more than the candidate, and less than one that refused",
        "nodes n1 n2 n3 n4 n5\n\
         weather 24855\n\
         beside n2 b\n\
         beside n3 c\n\
         guarded\n\
         rewrites\n\
         sabotage anybody\n\
         with gone_after 100\n\
         with promote_timeout 2000\n\
         with cooldown 3000\n\
         with replica_veto_max 1000\n\
         with failovers_max 0\n\
         with gone_loss_max 1000\n\
         at 571 freeze log\n\
         at 577 thaw log\n\
         at 865 pause n3\n\
         at 886 wake n3\n\
         at 949 restart b data\n\
         at 987 deny promote c\n\
         at 1008 kill a\n\
         at 1014 restart a old\n\
         at 1214 resume c\n\
         at 1377 heed c\n\
         at 1381 ask n3 1 pause 674\n\
         at 1401 calm\n",
    ),
    (
        "a replica was sent, showing nothing, to a master that had restarted empty meanwhile",
        "nodes n1 n2 n3\n\
         weather 36060\n\
         beside n1 a\n\
         beside n2 b\n\
         beside n3 c\n\
         guarded\n\
         rewrites\n\
         rescues\n\
         sabotage anybody\n\
         with gone_after 20\n\
         with promote_timeout 2000\n\
         with cooldown 0\n\
         with replica_veto_max 1000\n\
         with failovers_max 0\n\
         with fencing off\n\
         with instances a\n\
         at 180 kill b\n\
         at 233 restart b data\n\
         at 551 hang a\n\
         at 585 resume a\n\
         at 843 kill a\n\
         at 848 restart a data\n\
         at 865 deny follow c\n\
         at 874 heed c\n\
         at 894 calm\n",
    ),
    (
        "a promotion was aborted whose answer came on a connection that was given up",
        "nodes n1 n2 n3 n4 n5\n\
         weather 62399\n\
         beside n2 b\n\
         guarded\n\
         sabotage candidates\n\
         with gone_after 100\n\
         with promote_timeout 500\n\
         with cooldown 0\n\
         with replica_veto_max 1000\n\
         with failovers_max 0\n\
         with instances a\n\
         with gone_loss_max 1000\n\
         at 72 restart a empty\n\
         at 1116 replicaof a none\n\
         at 1136 calm\n",
    ),
];

#[test]
fn what_broke_a_promise_once_holds() {
    for (what, script) in MENDED {
        let broken = play(script, false).broken;
        assert_eq!(broken, None, "{what}");
    }
}
