"""One round of one event, with databases behind the pair."""

import dataclasses
import functools
import json
import pathlib
import sys
import tempfile
import time

import segment
from contenders import READS, VIP, WRITES
from figures import addresses
from trial import HERE, Trial, Watch, witness

from . import figures
from .cluster import PORTS, Cluster, template

RATE = 200
ADDRESSES = tuple(f"{segment.address('servers')}:{port}" for port in PORTS.values())


class DatabaseTrial(Trial):
    """What an event has at hand: `cluster` too, whose first server is the primary."""

    def begin(self, stack, event):
        folder = self.folder / "databases"
        folder.mkdir()
        self.cluster = Cluster(self.segment.hosts["servers"], segment.address("servers"), folder)
        self.cluster.begin(empty())
        self.promotions = self.folder / "promotions"
        script = HERE / "databases" / "promote.py"
        words = [sys.executable, script, "--servers", ",".join(ADDRESSES), "--log", self.promotions]
        self.settings = dataclasses.replace(self.settings, databases=ADDRESSES, promotion=tuple(map(str, words)))
        super().begin(stack, event)

    def watch(self, stack, event):
        host = self.segment.hosts["client"]
        programs = [
            host.command(sys.executable, HERE / "databases" / f"{name}.py", "--address", f"{VIP}:{port}", *more)
            for name, port, more in (("readers", READS, ()), ("writers", WRITES, ("--rate", RATE)))
        ]
        watch = stack.enter_context(Watch(witness(self.segment), *programs))
        self.hold(2)  # every writer has its connection
        event.script(self)
        end = time.monotonic()
        seen, reads, tries = watch.results()
        self.raw = {**seen, "reads": reads, "tries": tries, "promotions": self.promoted(), "marks": self.marks}
        tries = [figures.Try(*one) for one in tries]
        begin = self.marks["event"]
        figures.check(tries, self.begun, RATE)
        tables = {number: self.cluster.rows(number) for number in PORTS if self.cluster.is_up(number)}
        gap = figures.gap(tries, begin, end) * 1000
        found = {
            "gap_ms": gap,
            "failed": figures.failed(tries, begin),
            "lost": figures.lost(tries, tables[self.primary()]),
            "stray": figures.stray(tries, begin, tables, event.wrong) if event.wrong else 0,
            "takeovers": addresses(seen["held"], begin, end)["takeovers"],
        }
        if "over_ms" in event.also:
            promoted = [one["end"] - one["begin"] for one in self.promoted() if one["promoted"]]
            found["promotion_ms"] = promoted[0] * 1000 if promoted else None
            found["over_ms"] = gap - promoted[0] * 1000 if promoted else None
        if back := self.marks.get("back"):
            out, again = figures.out_and_back(reads, event.wrong, begin, back)
            found |= {"out_ms": out * 1000, "back_ms": again and again * 1000}
        return found

    @property
    def begun(self):
        """The first thing that was done."""
        return min(self.marks.values())

    def promoted(self):
        """What the script has done so far, on either host."""
        text = self.promotions.read_text() if self.promotions.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def primary(self):
        """Who ought to take writes: whom the script promoted, or the first."""
        promoted = [one["promoted"] for one in self.promoted() if one["promoted"]]
        return ADDRESSES.index(promoted[-1]) + 1 if promoted else 1

    def reap(self):
        super().reap()
        if hasattr(self, "cluster"):
            self.cluster.reap()


@functools.cache
def empty():
    """Made once for all rounds; it goes with the program."""
    kept = tempfile.TemporaryDirectory(prefix="bench-ha-")
    empty.kept = kept
    folder = pathlib.Path(kept.name)
    folder.chmod(0o755)
    return template(folder)
