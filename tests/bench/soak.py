"""Kills daemons and servers at random moments, from a seed, and checks after each round that nothing
was promoted twice in an epoch, that no acknowledged write is lost but what had not been replicated
yet, and that everything settles by itself: servers, daemons and clients' files."""

import argparse
import os
import random
import shutil
import signal
import sys
import threading
import time

# The checkout stays as it is.
sys.dont_write_bytecode = True

from ground import PATIENCE, Cluster, Failure, Redis, Refusal, answer, wait_for  # noqa: E402

# Seconds: the longest way to a settled cluster, and how old a write may be that was not replicated
# when its master was killed.
SETTLES_WITHIN, WINDOW = 30, 0.25
# Kills of a round come within this time, in seconds; daemons come back within that.
KILLS_WITHIN, BACK_WITHIN = 0.05, 0.5
PROMOTED = "MASTER MODE enabled"
# Keys that are written in turn, and seconds between two writes: a server has little to copy and to load.
KEYS, WRITE_INTERVAL = 20_000, 0.0003


class Writer:
    """A client that writes one key after the other to the address in its file."""

    def __init__(self, daemon):
        # (moment, port) of each acknowledged write.
        self.daemon, self.acknowledged, self.ends = daemon, [], False
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def write(self):
        connection = None
        while not self.ends:
            port = self.daemon.port_in_file()
            if connection is None or connection.port != port:
                connection = Redis(port)
            number = len(self.acknowledged)
            if answer(connection, "SET", f"soak:{number % KEYS}", str(number)) == "OK":
                self.acknowledged.append((time.monotonic(), port))
                time.sleep(WRITE_INTERVAL)
            else:
                connection.close()
                time.sleep(0.001)

    def end(self):
        self.ends = True
        self.thread.join()


class Soak:
    def __init__(self, cluster, writer, seed):
        self.cluster, self.writer, self.random = cluster, writer, random.Random(seed)
        self.epochs, self.checked, self.lost, self.failovers = {}, 0, 0, 0
        # The number that each key has to hold, or a later one.
        self.expected = {}
        self.kills = {"masters": 0, "replicas": 0, "daemons": 0}
        self.slowest = 0.0

    def round(self):
        """Kills some, starts them again, and checks; returns what was done."""
        cluster, draw = self.cluster, self.random
        master = cluster.master()
        replicas = [server for server in cluster.servers if server is not master]
        draw.shuffle(replicas)
        victims = []
        if draw.random() < 0.7:
            victims.append(master)
        # One server always lives: they have no files, so it has all that there is.
        if draw.random() < 0.3:
            victims.append(replicas[0])
        for daemon in cluster.daemons:
            if draw.random() < 0.35:
                victims.append(daemon)
        if not victims:
            victims.append(draw.choice(cluster.daemons))
        moments = sorted((draw.random() * KILLS_WITHIN, draw.random(), victim) for victim in victims)
        start, killed_at = time.monotonic(), {}
        for delay, _, victim in moments:
            time.sleep(max(0.0, start + delay - time.monotonic()))
            killed_at[victim] = victim.kill()
        for victim in victims:
            victim.end()
        time.sleep(draw.random() * BACK_WITHIN)
        for daemon in cluster.daemons:
            if not daemon.is_running():
                daemon.run()
        if master in victims:
            # `RestartSec=`: it comes back empty, and whoever still has its old address would write to it.
            wait_for(lambda: self.is_not_replaced(master), "another master", SETTLES_WITHIN)
            time.sleep(draw.random() * 0.2)
        cluster.start_what_is_dead()
        cluster.await_whole(SETTLES_WITHIN)
        took = time.monotonic() - start
        self.slowest = max(self.slowest, took)
        self.check_epochs()
        self.check_promotions()
        self.check_writes(master.port, killed_at.get(master))
        self.kills["masters"] += master in victims
        self.kills["replicas"] += replicas[0] in victims
        self.kills["daemons"] += sum(1 for victim in victims if victim in cluster.daemons)
        names = [getattr(victim, "node", None) or victim.port for _, _, victim in moments]
        return f"killed {names} (master {master.port}), settled after {took:.2f} s"

    def is_not_replaced(self, master):
        for daemon in self.cluster.daemons:
            if daemon.port_in_file() == master.port:
                return f"the file of {daemon.node} still names it"
        for server in self.cluster.servers:
            if server is not master and server.is_running():
                if server.replication().get("role") == "master":
                    return None
        return "nobody was promoted"

    def check_epochs(self):
        """All daemons tell one and the same of every epoch, for as long as anybody remembers it."""
        for daemon in self.cluster.daemons:
            for past in daemon.get("/v1/history")["failovers"]:
                told = (past["to"], past["outcome"])
                before = self.epochs.setdefault(past["epoch"], told)
                if before != told:
                    raise Failure(f"epoch {past['epoch']}: {daemon.node} says {told}, before {before}")
        self.failovers = sum(1 for _, outcome in self.epochs.values() if outcome == "done")

    def check_promotions(self):
        """The servers' own logs: none was promoted more often than there are epochs for it."""
        for server in self.cluster.servers:
            promoted = server.log.read_text(errors="replace").count(PROMOTED)
            named = sum(1 for to, _ in self.epochs.values() if to.endswith(f":{server.port}"))
            if promoted > named:
                raise Failure(f"{server.port} was promoted {promoted} times in {named} epochs")

    def check_writes(self, old_port, killed_at):
        """What the new master lacks was acknowledged by the old one just before it was killed."""
        master = Redis(self.cluster.master().port, 5)
        until = len(self.writer.acknowledged)
        self.expected.update({number % KEYS: number for number in range(self.checked, until)})
        self.checked = until
        keys = list(self.expected)
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            values = master.ask("MGET", *[f"soak:{key}" for key in part])
            if isinstance(values, Refusal):
                raise Failure(f"cannot look for what was written: {values}")
            for key, value in zip(part, values):
                held = -1 if value is None else int(value)
                if held < self.expected[key]:
                    self.check_lost(self.expected[key], old_port, killed_at)
                    self.expected[key] = held

    def check_lost(self, number, old_port, killed_at):
        at, port = self.writer.acknowledged[number]
        is_of_the_dead = killed_at is not None and port == old_port
        if not is_of_the_dead or not killed_at - WINDOW <= at <= killed_at + PATIENCE:
            when = "nothing was killed" if killed_at is None else f"{at - killed_at:.3f} s after its end"
            raise Failure(f"write {number}, acknowledged by {port}, is lost ({when})")
        self.lost += 1


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/soak", description=__doc__)
    parser.add_argument("promoterd", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=200, help="how many (200)")
    parser.add_argument("--seed", type=int, default=None, help="of the kills (drawn)")
    arguments = parser.parse_args()
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if not server:
        raise Failure("there is no redis-server or valkey-server on PATH: install one")
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    start = time.monotonic()
    with Cluster(os.path.abspath(arguments.promoterd), server) as cluster:
        writer = Writer(cluster.daemons[0])
        soak = Soak(cluster, writer, seed)
        try:
            for number in range(1, arguments.rounds + 1):
                print(f"round {number}: {soak.round()}", flush=True)
        except Failure as failure:
            for daemon in cluster.daemons:
                text = daemon.log.read_text(errors="replace").splitlines()
                print(f"--- log of daemon {daemon.node}", *text[-80:], sep="\n", file=sys.stderr)
            raise Failure(f"seed {seed}, round {number}: {failure}") from None
        finally:
            writer.end()
        kills = ", ".join(f"{count} {what}" for what, count in soak.kills.items())
        print(
            f"{arguments.rounds} rounds in {time.monotonic() - start:.0f} s: killed {kills}; "
            f"{soak.failovers} failovers, none promoted twice; {soak.lost} of {soak.checked} "
            f"acknowledged writes lost; slowest round {soak.slowest:.1f} s"
        )


if __name__ == "__main__":
    # So that SIGTERM, too, ends all that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"tests/bench/soak: FAILED: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
