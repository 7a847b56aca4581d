#!/usr/bin/env python3
"""Measures what a pair of hosts costs its clients when things fail. What and how: benches/README.md."""

import argparse
import fnmatch
import os
import pathlib
import signal
import sys
import time

import realtime
import report
import segment
from contenders.haechi import Haechi
from contenders.keepalived import Keepalived
from databases.events import EVENTS as DATABASE_EVENTS
from events import EVENTS as PAIR_EVENTS
from fault import Fault

EVENTS = PAIR_EVENTS + DATABASE_EVENTS
CONTENDERS = {contender.name: contender for contender in (Haechi, Keepalived)}
# A round that says nothing, mostly since the machine was busy, is repeated so often.
REPEATS = 2


def main():
    options = arguments()
    if os.geteuid():
        raise SystemExit("network namespaces need root")
    Haechi.binary = options.haechi
    for number in segment.ENDS:
        signal.signal(number, lambda *_: sys.exit("ended by a signal"))
    for namespace in segment.leftovers():
        namespace.remove()
    realtime.begin()
    bench = Bench(options)
    for event in options.only:
        for contender in options.contender:
            bench.measure(event, contender)
    text = bench.document()
    print(text)
    if options.readme and not options.quick:
        report.write(options.readme, text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--haechi", type=pathlib.Path, default="target/release/haechi", help="the binary")
    parser.add_argument("--contender", type=contenders, default=[Haechi], metavar="NAME,..", help="haechi, keepalived")
    names = ", ".join(event.name for event in EVENTS)
    some = f"some of {names}; PATTERN*"
    parser.add_argument("--only", type=chosen, default=EVENTS, metavar="PATTERN,..", help=some)
    parser.add_argument("--rounds", type=int, default=3, help="how often each event is measured")
    parser.add_argument("--quick", action="store_true", help="one round, and less patience: does every event work?")
    kept = "write there all that was seen of each round"
    parser.add_argument("--records", type=pathlib.Path, metavar="FOLDER", help=kept)
    written = "write the tables between its markers, unless quick"
    parser.add_argument("--readme", type=pathlib.Path, metavar="FILE", help=written)
    options = parser.parse_args()
    options.haechi = options.haechi.resolve()
    if options.quick:
        options.rounds = 1
    return options


def chosen(patterns):
    found = []
    for pattern in patterns.split(","):
        matching = [event for event in EVENTS if fnmatch.fnmatch(event.name, pattern)]
        if not matching:
            raise argparse.ArgumentTypeError(f"no event {pattern}")
        found += [event for event in matching if event not in found]
    return found


def contenders(names):
    try:
        return [CONTENDERS[name] for name in names.split(",")]
    except KeyError as name:
        raise argparse.ArgumentTypeError(f"no contender {name}") from None


class Bench:
    def __init__(self, options):
        self.options = options
        self.begin = time.monotonic()
        self.cells = {contender.name: [] for contender in options.contender}
        self.versions = {contender.name: contender.version() for contender in options.contender}

    def measure(self, event, contender):
        if event.needs and event.needs not in contender.can:
            return
        cell = {"rounds": []}
        self.cells[contender.name].append((event, cell))
        for number in range(self.options.rounds):
            try:
                found = self.round(event, contender, number)
            except Fault as fault:
                # With one round less the median would be another one's.
                cell.update(rounds=[], fault=fault)
                return
            cell["rounds"].append(found)
            shown = ", ".join(f"{key} {self.number(value)}" for key, value in found.items())
            self.say(f"{event.name} {number + 1} {contender.name}: {shown}")

    def round(self, event, contender, number):
        for left in reversed(range(REPEATS + 1)):
            trial = event.trial(contender, event.settings, self.options.quick)
            try:
                return trial.measure(event)
            except Fault as fault:
                self.say(f"{event.name} {contender.name}: no result: {fault}")
                if not left:
                    raise
            finally:
                if self.options.records:
                    trial.keep(self.options.records / f"{event.name}-{contender.name}-{number + 1}.json")

    def document(self):
        return report.document(self.cells, self.versions, facts(), self.options.rounds)

    def number(self, value):
        return f"{value:.1f}" if isinstance(value, float) else str(value)

    def say(self, text):
        print(f"[{time.monotonic() - self.begin:4.0f} s] {text}", file=sys.stderr, flush=True)


def facts():
    """What a reader needs to judge times by."""
    kernel = ".".join(os.uname().release.split(".")[:2])
    load = os.getloadavg()[1]
    return f"{os.cpu_count()} CPUs ({os.uname().machine}), Linux {kernel}, load average {load:.1f}"


if __name__ == "__main__":
    main()
