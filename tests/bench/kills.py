"""Failovers in which the leading daemon is killed too: together with the master, and between any two
steps of the failover that it leads."""

import collections
import time

from ground import Cluster, Events, Failure

TOGETHER = {"median": 600}
BETWEEN = {"worst": 700}
# Milliseconds after the master's end at which the leader ends, at most: a failover is over by then.
SWEEP_MAX = 6.0
# What a leader tells of a failover, in order: it is killed at each word too.
STEPS = ("objectively_down", "begun", "promoted", "done", "followed")


def measure_kills(promoterd, server, runs, table, note):
    """Both figures, each by so many failovers of one cluster that is made whole again in between."""
    if not runs:
        return
    together, between, last_words = [], [], collections.Counter()
    with Cluster(promoterd, server) as cluster:
        for run in range(runs):
            together.append(kill(cluster, 0)[0])
            note(f"master and leader together, {run + 1} of {runs}: writable in {together[-1]:.1f} ms")
        for run in range(runs):
            delay = SWEEP_MAX * run / max(1, runs - 1)
            step = STEPS[run % len(STEPS)]
            for kind in (delay, step):
                writable, last = kill(cluster, kind)
                between.append(writable)
                last_words[last] += 1
                when = f"at \"{step}\"" if kind is step else f"{delay:.1f} ms after the master"
                note(f"leader {when}, its last word \"{last}\": writable in {writable:.1f} ms")
    table.add("master and leader together: to writable, ms", together, TOGETHER)
    table.add("leader between any two steps: to writable, ms", between, BETWEEN)
    told = ", ".join(f"{word} {count}" for word, count in last_words.most_common())
    table.remarks.append(f"the last that a killed leader told: {told}")


def kill(cluster, when):
    """Kills the master, and the leader so many milliseconds later, or as soon as it tells of a step.
    Gives the milliseconds until another server takes writes, and the last step that the leader told."""
    master, leader = cluster.master(), cluster.leader()
    is_step = when in STEPS
    events = Events(leader, when if is_step else None)
    at = master.kill()
    if not is_step:
        # Shorter than the scheduler would let it sleep.
        while time.monotonic() < at + when / 1000:
            pass
        leader.kill()
    writable = cluster.await_writable(master, at)
    last = next((name for name in reversed(events.all()) if name in STEPS), "nothing")
    if events.last_word is not None:
        raise Failure(f"the leader never told \"{when}\"")
    for process in (master, leader):
        process.end()
    cluster.start_what_is_dead()
    try:
        cluster.await_whole()
    except Failure as failure:
        raise Failure(f"after a leader that died at {when}: {failure}") from None
    return writable, last
