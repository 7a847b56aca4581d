"""What is measured: for each scenario a task, a load, and the figure that is compared."""

import collections
import pathlib

import load
from contenders import Fault, Task
from meter import Meter

ORIGINS = ("127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003")
LARGE = 10 << 20
FILES = {"/1k.bin": 1024, "/10m.bin": LARGE}


class Scenario:
    """Closed loop over HTTP/1.1: every connection asks anew as soon as it is answered."""

    figure = "cpu_us"  # the figure that is compared; the lower the better
    unit = "CPU µs per request"
    promises = ()  # what else is promised of it
    slice_milliseconds = 125  # how long a contender's turn within a round takes
    is_whole = False  # measured once and at a stretch, where one round tells as much as many
    variant = None  # what haechi is compared with instead of its peers: itself in another setting

    def __init__(self, name, goal, length=1024, connections=64, is_counted=False, load_options=None, **task):
        self.name = name
        self.goal = goal  # of haechi's figure over the better peer's
        self.length = length
        self.is_counted = is_counted  # by callgrind too
        self.connections = connections
        self.load_options = load_options or {}
        self.task_options = task
        if task.get("static"):
            self.path = next(path for path, size in FILES.items() if size == length)
        else:
            self.path = f"/b/{length}"
        if length == LARGE:
            self.unit = "CPU µs per body"

    def task(self, **places):
        origins = ORIGINS if self.task_options.get("by_address") else ORIGINS[:1]
        return Task(origins=origins, large=self.length == LARGE, **places, **self.task_options)

    def address(self, task):
        return task.secure if task.tls else task.plain

    def check(self, running):
        """One request whose answer is looked at closely."""
        task = running.task
        load.wait_until_listening(running, task.plain)
        if task.tls:
            load.wait_until_listening(running, task.secure)
        status, body, _, version = load.fetch(self.address(task), self.path, task.tls)
        if status != 200:
            raise Fault(f"the first answer has status {status}")
        expected = (
            pathlib.Path(task.documents, self.path[1:]).read_bytes()
            if task.static
            else load.fetch(ORIGINS[0], self.path)[1]
        )
        if body != expected:
            raise Fault(f"the first answer's {len(body)} bytes are wrong")
        if task.tls and version != "TLSv1.3":
            raise Fault(f"the first answer came by {version}")

    def options(self, task, **more):
        return {
            "address": self.address(task),
            "path": self.path,
            "expect": self.length,
            "connections": self.connections,
            "tls": task.tls,
            **self.load_options,
            **more,
        }

    def load(self, running, milliseconds, **more):
        return load.http1(milliseconds, **self.options(running.task, **more))

    def load_command(self, running, milliseconds):
        """The same load as a command, for who watches it from outside."""
        return load.http1_command(milliseconds, **self.options(running.task))

    def pace(self, running, milliseconds):
        """A load in slices of so long."""
        return load.Paced(milliseconds, **self.options(running.task))

    def measure(self, running, milliseconds):
        """What a whole round shows, taken at a stretch."""
        return figures(self.slice(running, lambda: self.load(running, milliseconds)))

    def slice(self, running, run_load):
        """What was used and what was done; slices of a round add up."""
        with Meter(running) as meter:
            counts = run_load()
        handshakes = counts.get("full_handshakes", 0) + counts.get("resumed_handshakes", 0)
        if self.load_options.get("resume") and counts["resumed_handshakes"] < 0.9 * handshakes:
            raise Fault(f"only {counts['resumed_handshakes']} of {handshakes} sessions were resumed")
        used = {"cpu": meter.cpu, "user": meter.user, "others": meter.others, "wall": meter.wall}
        done = {"done": counts["done"], "in_time": counts.get("done_in_time", counts["done"])}
        return collections.Counter(used | done | {"seconds": counts["seconds"]})


def figures(total):
    return {
        "cpu_us": total["cpu"] / total["done"] * 1e6,
        "user_us": total["user"] / total["done"] * 1e6,
        "requests_per_second": total["in_time"] / total["seconds"],
        "cpu_share": total["cpu"] / total["wall"],
        "others": max(0.0, total["others"]) / total["wall"],
    }


class Http2(Scenario):
    """16 connections with 32 streams each. Each slice shakes hands anew: they are longer."""

    slice_milliseconds = 500

    def pace(self, running, milliseconds):
        return load.H2Paced(milliseconds * 60, self.address(running.task), self.path, self.length)

    def load(self, running, milliseconds, requests=0, **_):
        # Under callgrind ten times as many: each run shakes hands anew.
        return load.h2(requests * 10 or milliseconds * 15, self.address(running.task), self.path, self.length)

    def load_command(self, running, milliseconds):
        return load.h2_command(milliseconds * 100, self.address(running.task), self.path)


NEW = {"new_connection": True, "sources": 64}

# What `make bench` compares.
SCENARIOS = [
    Scenario("http1-proxy", 0.85, is_counted=True),
    Scenario("http1-proxy-hash", 0.85, by_address=True, load_options={"sources": 64}),
    Scenario("http1-new-connection", 1.00, is_counted=True, connections=32, load_options=NEW),
    Scenario("tls-proxy", 0.75, is_counted=True, tls=True),
    Scenario("tls-handshake", 0.55, connections=32, tls=True, load_options=NEW),
    Scenario("tls-resume", 0.55, connections=32, tls=True, load_options={**NEW, "resume": True}),
    Http2("h2-proxy", 0.90, is_counted=True, tls=True),
    Scenario("static-small", 0.70, is_counted=True, static=True),
    Scenario("static-small-tls", 0.70, static=True, tls=True),
    Scenario("static-large", 0.95, LARGE, connections=8, static=True),
    Scenario("static-large-tls", 0.95, LARGE, connections=8, static=True, tls=True),
    Scenario("proxy-large", 0.75, LARGE, connections=8),
    Scenario("proxy-large-tls", 0.85, LARGE, connections=8, tls=True),
    Scenario("l4-small", 1.00, passes_on=True),
    Scenario("l4-bulk", 0.90, LARGE, connections=8, passes_on=True),
    Scenario("l4-conn", 1.00, is_counted=True, connections=32, load_options=NEW, passes_on=True),
]
