"""Who is measured: each contender is a pair of hosts that share an address and answer at it."""

import dataclasses
import subprocess
import threading
import time

from fault import Fault

VIP = "192.168.0.100"
ROUTER = 51
WRITES, READS = 3306, 3307


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a pair is set up. `one` has the higher priority."""

    interval_ms: int = 100
    version: int = 3
    preempt: bool = True
    on_partition: str = "serve"
    password: str = ""
    servers: tuple = ()  # answers come from these; none: from the hosts themselves
    databases: tuple = ()  # a primary and its replicas, behind an address for writes and one for reads
    check_ms: int = 50  # how often they are asked for their roles
    promotion: tuple = ()  # the command that makes one of them the primary

    def priority(self, name):
        return {"one": 150, "two": 100}[name]

    def down_ms(self, name):
        """How long this host waits for adverts before it takes the address: RFC 9568, 6.1. With version 2's
        adverts of a second it is the same."""
        return (3 + (256 - self.priority(name)) / 256) * self.interval_ms


class Process:
    """A process on a host, and when it said what."""

    def __init__(self, host, words, folder):
        self.lines = []
        self.process = subprocess.Popen(
            host.command(*words),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line.rstrip()))
        self.process.wait()  # a process that nobody waited for still has its number

    @property
    def pid(self):
        return self.process.pid

    def said(self, words, since=0.0):
        """When it first said this, if it did."""
        return next((at for at, line in list(self.lines) if at >= since and words in line), None)

    def last_words(self):
        return " | ".join(line for _, line in self.lines[-5:])


class Contender:
    """A program, or several, on one host."""

    name = ""
    can = frozenset()  # what not every contender can do, by the names that events use

    def __init__(self, host, name, settings, folder):
        self.host, self.name_of_host, self.settings, self.folder = host, name, settings, folder
        self.processes = []

    def start(self):
        raise NotImplementedError

    def state(self):
        """`active`, `backup`, or something else."""
        raise NotImplementedError

    def proxy(self):
        """The process that clients reach."""
        raise NotImplementedError

    def stop(self):
        """As an operator does."""
        raise NotImplementedError

    def restart(self, settings):
        """Stops VRRP and starts it with these settings."""
        raise NotImplementedError

    def said(self, words, since=0.0):
        found = [at for process in self.processes if (at := process.said(words, since)) is not None]
        return min(found, default=None)

    def spawn(self, *words):
        process = Process(self.host, words, self.folder)
        self.processes.append(process)
        return process

    def is_over(self):
        """What was started last has ended."""
        return self.processes[-1].process.poll() is not None

    def reap(self):
        for process in self.processes:
            process.process.wait(10)

    def last_words(self):
        return "; ".join(process.last_words() for process in self.processes)


def run(command, seconds=30):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise Fault(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def first_line(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=20)
    return (done.stdout + done.stderr).strip().split("\n")[0]
