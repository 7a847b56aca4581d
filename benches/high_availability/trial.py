"""One round of one event: a pair on a segment of its own, a client, and a witness."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import segment
from contenders import VIP
from fault import Fault
from figures import QUIET, Record, check, figures

HERE = pathlib.Path(__file__).parent
RATE = 200
TIMEOUT = 0.9
PATIENCE = 60
FAULTS = Fault, OSError, subprocess.SubprocessError, ValueError
SERVERS = tuple(f"{segment.address('servers')}:{port}" for port in (8081, 8082, 8083))


class Trial:
    """What an event has at hand."""

    def __init__(self, contender, settings, quick):
        self.contender, self.settings, self.quick = contender, settings, quick
        self.marks, self.seen, self.pair = {}, {}, []
        self.raw = {}  # all that was seen, for those who want to know why

    def measure(self, event):
        """Figures of a round; a fault where it has none."""
        with contextlib.ExitStack() as stack:
            self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-ha-")))
            self.folder.chmod(0o755)
            stack.callback(self.reap)  # after the segment has ended them
            self.segment = stack.enter_context(segment.Segment())
            try:
                self.begin(stack, event)
                return {**self.watch(stack, event), **self.seen}
            except FAULTS as fault:
                said = "; ".join(f"{host.name_of_host}: {host.last_words()}" for host in self.pair)
                raise Fault(f"{fault} [{said}]") from fault

    def watch(self, stack, event):
        """What clients and witness see of it, as figures."""
        watch = stack.enter_context(Watch(witness(self.segment), client(self.segment)))
        self.hold(2 * QUIET)
        event.script(self)
        end = time.monotonic()
        seen, traffic = watch.results()
        record = Record(**traffic, **seen, marks=self.marks, end=end)
        self.raw = dataclasses.asdict(record)
        check(record, event.late)
        return figures(record)

    def begin(self, stack, event):
        if self.settings.servers:
            self.serve(stack)
        self.one, self.two = self.pair = [self.host(name) for name in ("one", "two")]
        for host, state in (self.one, "active"), (self.two, "backup"):
            host.start()
            self.wait(f"{host.name_of_host} is {state}", lambda: host.state() == state or host.is_over())
            if host.is_over():
                raise Fault(f"{host.name_of_host} ended")
        if event.prepare:
            event.prepare(self)

    def reap(self):
        for host in self.pair:
            host.reap()

    def keep(self, path):
        """What was seen and what was logged, on one clock."""
        logs = {host.name_of_host: sorted(line for p in host.processes for line in p.lines) for host in self.pair}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**self.raw, "logs": logs}))

    def host(self, name):
        folder = self.folder / name
        folder.mkdir()
        return self.contender(self.segment.hosts[name], name, self.settings, folder)

    def serve(self, stack):
        words = self.segment.hosts["servers"].command(sys.executable, HERE / "origin.py", *self.settings.servers)
        origin = stack.enter_context(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        )
        stack.callback(origin.stdin.close)
        if origin.stdout.readline() != "ready\n":
            raise Fault("the servers did not start")

    def mark(self, name="event"):
        """From now on it counts."""
        self.marks[name] = time.monotonic()

    def hold(self, seconds):
        """So long the client goes on."""
        time.sleep(seconds)

    def wait(self, what, condition, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > end:
                raise Fault(f"not within {seconds} s: {what}")
            time.sleep(0.02)
        return found

    def named(self, host, words, since):
        """How long after `since` a log named the cause."""
        at = words and host.said(words, since)
        self.seen["named_ms"] = (at - since) * 1000 if at else None

    def kill_all(self, host):
        """As a crash of the whole host, but that its kernel lives."""
        pids = host.host.pids()
        # Who starts others goes first.
        for pid in sorted(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Watch:
    """Programs that look on, from enter on: each ends with its standard input, and says all that it saw as JSON."""

    def __init__(self, *commands):
        self.commands = commands

    def __enter__(self):
        self.processes = [
            subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            for command in self.commands
        ]
        for process in self.processes:
            if process.stdout.readline() != "ready\n":
                raise Fault(f"{process.args} did not start: {process.communicate()[1].strip()[-300:]}")
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.communicate()

    def results(self):
        """In the order of the commands. The last one ends first, so that the first sees all of it."""
        return [self.result(process) for process in reversed(self.processes)][::-1]

    def result(self, process):
        output, error = process.communicate("", timeout=30)
        if process.returncode:
            raise Fault(f"{process.args}: {error.strip()[-300:]}")
        if error.strip():
            print(error.strip(), file=sys.stderr)
        return json.loads(output)


def witness(on):
    hosts = ",".join(f"{name}={on.hosts[name].name}" for name in ("one", "two"))
    words = ["--address", VIP, "--hosts", hosts, "--listen", on.hosts["client"].name]
    return [sys.executable, HERE / "witness.py", *words]


def client(on):
    words = ["--address", f"{VIP}:80", "--rate", RATE, "--timeout", TIMEOUT]
    return on.hosts["client"].command(sys.executable, HERE / "traffic.py", *words)
