#!/usr/bin/env python3
"""Measures haechi beside nginx and HAProxy. What it measures and how: benches/README.md."""

import argparse
import collections
import contextlib
import fnmatch
import http.client
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import time

import load
import machine
import meter
import report
import scenarios
from contenders import Fault, Running
from contenders.haechi import Haechi
from contenders.haproxy import Haproxy
from contenders.nginx import Nginx
from promises import PROMISES
from scenarios import FILES, ORIGINS, SCENARIOS

FAULTS = (Fault, OSError, ssl.SSLError, http.client.HTTPException, subprocess.SubprocessError, ValueError)

EVERY = SCENARIOS + PROMISES


def main():
    options = arguments()
    machine.enter_own_network()
    os.sched_setaffinity(0, {machine.LOAD_CPU})
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.chmod(folder, 0o755)
        bench = Bench(options, pathlib.Path(folder))
        with load.origin(ORIGINS):
            for scenario in options.only:
                bench.compare(scenario)
            for scenario in options.only if options.instructions else []:
                if scenario.is_counted:
                    bench.count(scenario)
    text = bench.document()
    print(text)
    if options.readme and not options.quick:
        report.write(options.readme, text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--haechi", type=pathlib.Path, default="target/release/haechi", help="the binary")
    parser.add_argument("--load", type=pathlib.Path, default="target/load/release/load", help="the load tool")
    parser.add_argument("--contenders", default="haechi,nginx,haproxy")
    names = ", ".join(scenario.name for scenario in EVERY)
    parser.add_argument("--only", type=chosen, default=EVERY, metavar="NAME,..", help=f"some of {names}; NAME*")
    parser.add_argument("--rounds", type=int, default=7, help="how often each cell is measured")
    parser.add_argument("--milliseconds", type=int, default=1500, help="how long a cell is measured in a round")
    parser.add_argument("--no-instructions", dest="instructions", action="store_false", help="without callgrind")
    parser.add_argument("--profile", type=pathlib.Path, metavar="FOLDER", help="write there where time and instructions go")
    parser.add_argument("--quick", action="store_true", help="one short round: does every cell work?")
    parser.add_argument("--readme", type=pathlib.Path, metavar="FILE", help="write the tables between its markers, unless quick")
    options = parser.parse_args()
    options.haechi = options.haechi.resolve()
    load.TOOL = options.load.resolve()
    if options.quick:
        options.rounds, options.milliseconds = 1, 1000
    return options


def chosen(names):
    found = []
    for name in names.split(","):
        matching = [scenario for scenario in EVERY if fnmatch.fnmatch(scenario.name, name)]
        if not matching:
            raise argparse.ArgumentTypeError(f"no scenario {name}")
        found += matching
    return found


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.begin = time.monotonic()
        self.results = []
        self.instructions = {}
        every = {known.name: known for known in (Haechi(options.haechi), Nginx(), Haproxy())}
        self.contenders = [every[name] for name in options.contenders.split(",")]
        self.versions = {contender.name: contender.version() for contender in self.contenders}
        self.documents = folder / "documents"
        self.documents.mkdir()
        for path, length in FILES.items():
            (self.documents / path[1:]).write_bytes(b"s" * length)
        self.certificates = folder / "certificates"
        load.certificates(self.certificates, max(s.task_options.get("hosts", 1) for s in options.only))

    def compare(self, scenario):
        """All contenders are up at once; in each round they take turns."""
        milliseconds = self.options.milliseconds
        cells = {}
        with contextlib.ExitStack() as stack:
            running = {}
            for number, contender in enumerate(self.able(scenario)):
                cells[contender.name] = {"rounds": []}
                try:
                    started = self.start(scenario, contender, number)
                    stack.callback(started.stop)
                    scenario.check(started)
                    scenario.load(started, 300)
                    running[contender.name] = started
                except FAULTS as fault:
                    self.failed(scenario, contender.name, cells, fault)
            for turn in range(1 if scenario.is_whole else self.options.rounds):
                for name, figures in self.round(scenario, running, cells, turn).items():
                    cells[name]["rounds"].append(figures)
                    shown = ", ".join(f"{key} {report.number(value)}" for key, value in figures.items())
                    self.say(f"{scenario.name} {turn + 1} {name}: {shown}")
            for name in running if self.options.profile else []:
                self.profile(scenario, running[name])
        self.results.append((scenario, cells))

    def round(self, scenario, running, cells, turn):
        """The machine is faster or slower by the tenth of a second: contenders take turns within
        it, so that each has of both."""
        found = self.stretch(scenario, running, cells) if scenario.is_whole else self.slices(scenario, running, cells, turn)
        for name in list(running) if turn == 0 else []:
            if "cpu_us" in found[name]:
                load_it = lambda name=name: scenario.load(running[name], self.options.milliseconds // 2)
                with self.dropping(scenario, name, running, cells):
                    found[name]["syscalls"] = meter.syscalls(running[name], load_it)
        return {name: found[name] for name in running}

    def stretch(self, scenario, running, cells):
        found = {}
        for name in list(running):
            with self.dropping(scenario, name, running, cells):
                found[name] = scenario.measure(running[name], self.options.milliseconds)
        return found

    def slices(self, scenario, running, cells, turn):
        milliseconds = min(scenario.slice_milliseconds, self.options.milliseconds)
        totals = {name: collections.Counter() for name in running}
        with contextlib.ExitStack() as stack:
            paced = {}
            for name in list(running):
                with self.dropping(scenario, name, running, cells):
                    paced[name] = scenario.pace(running[name], milliseconds)
                    stack.callback(paced[name].stop)
                    paced[name].slice()  # it connects, and is not counted
            for number in range(max(1, self.options.milliseconds // milliseconds)):
                names = list(running)
                first = (turn + number) % max(len(names), 1)
                for name in names[first:] + names[:first]:
                    with self.dropping(scenario, name, running, cells):
                        totals[name].update(scenario.slice(running[name], paced[name].slice))
        return {name: scenarios.figures(totals[name]) for name in running}

    @contextlib.contextmanager
    def dropping(self, scenario, name, running, cells):
        """Who fails is measured no more."""
        try:
            yield
        except FAULTS as fault:
            self.failed(scenario, name, cells, fault)
            del running[name]

    def able(self, scenario):
        if scenario.variant:
            return [Haechi(self.options.haechi), Haechi(self.options.haechi, scenario.name, **scenario.variant)]
        is_static = scenario.task_options.get("static")
        return [contender for contender in self.contenders if contender.serves_files or not is_static]

    def start(self, scenario, contender, number, run=Running, *more):
        task = scenario.task(
            documents=self.documents,
            certificates=self.certificates,
            plain=f"127.0.0.1:{8080 + number}",
            secure=f"127.0.0.1:{8443 + number}",
        )
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{scenario.name}-{contender.name}-", dir=self.folder))
        folder.chmod(0o755)
        return run(contender, task, folder, machine.PROXY_CPU, *more)

    def failed(self, scenario, name, cells, fault):
        """A contender that fails once has no figure: a half would be taken for a whole."""
        text = " ".join(str(fault).split())[-300:]
        cells[name] = {"rounds": [], "fault": text}
        self.say(f"{scenario.name} {name}: failed: {text}")

    def profile(self, scenario, running):
        path = self.options.profile / f"{scenario.name}-{running.contender.name}.txt"
        process = load.start(scenario.load_command(running, 10000))
        try:
            meter.profile(running, path)
        finally:
            process.kill()
            process.communicate()

    def count(self, scenario):
        def run_load(running, requests):
            scenario.check(running)
            return scenario.load(running, 60000, requests=requests, connections=8)

        for number, contender in enumerate(self.able(scenario)):
            listing = self.options.profile and self.options.profile / f"{scenario.name}-{contender.name}-instructions.txt"
            try:
                counted = self.start(scenario, contender, number, meter.instructions, run_load, listing)
                self.instructions.setdefault(scenario.name, {})[contender.name] = counted
                self.say(f"{scenario.name} {contender.name}: {counted:,.0f} instructions")
            except FAULTS as fault:
                self.say(f"{scenario.name} {contender.name}: instructions: {fault}")

    def document(self):
        settings = f"{self.options.rounds} rounds of {self.options.milliseconds} ms"
        return report.document(self.results, self.instructions, self.versions, machine.facts(), settings)

    def say(self, text):
        print(f"[{time.monotonic() - self.begin:4.0f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
