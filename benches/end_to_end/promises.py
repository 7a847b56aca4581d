"""What is promised beside the comparison: memory, many names, reloads, the price of a log and of threads."""

import dataclasses
import json
import pathlib
import subprocess
import threading
import time

import load
import machine
from contenders import Fault
from meter import memory_kib
from scenarios import NEW, Scenario

NAMES = 5000
IDLE = 5000


@dataclasses.dataclass(frozen=True)
class Promise:
    text: str
    figure: str
    goal: float  # at most


class Variant(Scenario):
    """http1-proxy by haechi in another setting, against haechi as it is everywhere else."""

    def __init__(self, name, text, goal, **variant):
        super().__init__(name, None)
        self.variant = variant
        self.promises = (Promise(text, self.figure, goal),)


class Hosts(Scenario):
    """A full handshake for a name at random, each name with its own certificate."""

    is_whole = True
    promises = (
        Promise("seconds until the first answer", "start_seconds", 1),
        Promise("MiB then", "memory_mib", 60),
    )

    def check(self, running):
        task = running.task
        load.wait_until_listening(running, task.secure, 120)
        load.fetch(task.secure, self.path, True)
        running.start_seconds = time.monotonic() - running.started
        running.start_mib = memory_kib(running) / 1024
        for k in (0, 1, task.hosts // 2, task.hosts - 1):
            status, body, certificate, _ = load.fetch(task.secure, self.path, True, task.host(k))
            if status != 200 or len(body) != self.length:
                raise Fault(f"{task.host(k)}: status {status}, {len(body)} bytes")
            if certificate.split() != pathlib.Path(task.certificates, f"h{k}.crt").read_text().split():
                raise Fault(f"{task.host(k)}: not its certificate")

    def measure(self, running, milliseconds):
        return {
            **super().measure(running, milliseconds),
            "start_seconds": running.start_seconds,
            "memory_mib": running.start_mib,
        }


class Idle(Scenario):
    """Memory of a connection that was used once; the kernel's own is not counted."""

    figure = "kib_per_connection"
    is_whole = True

    def __init__(self, name, goal, **options):
        super().__init__(name, None, **options)
        self.promises = (Promise("KiB per idle connection", self.figure, goal),)

    def measure(self, running, _):
        self.load(running, 300)
        time.sleep(1)  # its connections are closed
        base = memory_kib(running)
        task = running.task
        options = load.words(address=self.address(task), path=self.path, connections=IDLE, tls=task.tls)
        process = load.start([load.TOOL, "hold", *options], stdin=subprocess.PIPE)
        overdue = threading.Timer(90, process.kill)
        overdue.start()
        try:
            if process.stdout.readline() != f"held {IDLE}\n":
                raise Fault("not held: " + load.finish(process, 5))
            time.sleep(2)  # they rest
            held = memory_kib(running)
            still_open = int(process.communicate("")[0])
        finally:
            overdue.cancel()
            process.kill()
        if still_open != IDLE:
            raise Fault(f"only {still_open} of {IDLE} are still open")
        return {"kib_per_connection": (held - base) / IDLE, "memory_mib": base / 1024}


class Reload(Scenario):
    """Ten reloads under load: requests that failed, and those that a client may send again."""

    figure = "failed"
    is_whole = True
    promises = (
        Promise("failed requests", "failed", 0),
        Promise("processes more than before", "processes", 0),
        Promise("memory afterwards, over that before", "memory_growth", 1.1),
    )

    def measure(self, running, milliseconds):
        # It has met this load before: what it grows by, it grows by reloads.
        self.load(running, milliseconds)
        before, usual = memory_kib(running), len(running.pids())
        process = load.start(load.http1_command(4500, **self.options(running.task, max_errors=100000)))
        for _ in range(10):
            time.sleep(0.4)
            running.contender.reload(running)
        counts = json.loads(load.finish(process, 20))
        stale = counts.pop("stale")
        failed = sum(count for key, count in counts.items() if key.endswith("_errors") or key in load.FAULTS)
        end = time.monotonic() + 10  # what still serves by an older configuration ends
        while (processes := len(running.pids())) > usual and time.monotonic() < end:
            time.sleep(0.1)
        return {
            "failed": failed,
            "stale": stale,
            "processes": processes - usual,
            "memory_growth": memory_kib(running) / before,
            "requests_per_second": counts["done_in_time"] / counts["seconds"],
        }


# What `make bench` holds haechi to.
PROMISES = [
    Idle("idle", 2),
    Idle("idle-tls", 10, tls=True),
    Hosts("hosts-5000", 0.55, connections=32, tls=True, hosts=NAMES, load_options={**NEW, "hosts": NAMES}),
    Variant("access-log", "CPU with a JSON access log, over that without", 1.10, access="json"),
    # Where there are but two CPUs the load has one of them too, and its work counts against haechi.
    Variant("two-workers", "CPU of two workers, over that of one", 1.10, workers=2, cpus=machine.ALLOWED[:2]),
    Reload("reload", None),
    Reload("reload-new-connection", None, connections=16, load_options=NEW),
]
