"""What a contender uses: CPU time, memory, system calls, instructions."""

import collections
import os
import pathlib
import re
import signal
import subprocess
import time

from contenders import Fault, Running
from machine import PROXY_CPU, TICKS_PER_SECOND, busy_ticks


class Meter:
    """A contender's CPU time between enter and exit, in seconds."""

    def __init__(self, running):
        self.running = running

    def __enter__(self):
        self.begin = self.now()
        return self

    def __exit__(self, *_):
        cpu, user, system, busy, wall = (after - before for before, after in zip(self.begin, self.now()))
        self.cpu = cpu
        self.user = cpu * user / max(user + system, 1)
        self.wall = wall
        # Whose figures suffer: what else ran on the contender's CPU meanwhile, in seconds. Ticks
        # are coarse: of a short time it can be below nothing, of many they add up.
        self.others = busy / TICKS_PER_SECOND - cpu

    def now(self):
        cpu = user = system = 0
        for pid in self.running.pids():
            try:
                stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
                for task in os.listdir(f"/proc/{pid}/task"):
                    # The scheduler's nanoseconds: user and system time below tick at 10 ms.
                    cpu += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
            except OSError:
                continue
            fields = stat[stat.rindex(")") + 2 :].split()
            user += int(fields[11])
            system += int(fields[12])
        return cpu / 1e9, user, system, busy_ticks(PROXY_CPU), time.monotonic()


def memory_kib(running):
    """Proportional set size, and files in memory that they hold open, each once."""
    total, files = 0, {}
    for pid in running.pids():
        try:
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1])
            for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                if os.readlink(descriptor).startswith("/memfd:"):
                    held = descriptor.stat()
                    files[held.st_ino] = held.st_blocks / 2
        except OSError:
            pass
    return total + sum(files.values())


def syscalls(running, run_load):
    """System calls per request, counted by the kernel's tracepoint; `None` where perf cannot."""
    pids = ",".join(map(str, running.pids()))
    perf = subprocess.Popen(
        ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", pids],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.3)  # perf does not say when it is ready
    done = run_load()["done"]
    perf.send_signal(signal.SIGINT)
    found = re.search(r"^(\d+),,raw_syscalls", perf.communicate(timeout=10)[1], re.M)
    return int(found[1]) / done if found else None


def profile(running, path):
    """Where CPU time goes during two seconds: symbols sampled by perf."""
    pids = ",".join(map(str, running.pids()))
    data = running.folder / "perf.data"
    record = ["perf", "record", "-q", "-F", "1999", "-e", "cpu-clock", "-g", "-p", pids, "-o", data, "--", "sleep", "2"]
    subprocess.run(record, capture_output=True, timeout=30, check=True)
    report = ["perf", "report", "-i", data, "--stdio", "-q", "--no-children", "-g", "none", "-s", "dso,sym"]
    shown = subprocess.run([*report, "--percent-limit", "0.3"], capture_output=True, text=True, timeout=120, check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(shown.stdout)


def instructions(contender, task, folder, cpu, run_load, listing=None):
    """Instructions in user space per request, counted by callgrind after a warm-up, so that the
    start is left out. It hardly varies; it says nothing about the kernel. `listing`: a file for
    the functions that they are spent in."""
    prefix = [
        "valgrind",
        "--tool=callgrind",
        "--instr-atstart=no",
        "--trace-children=yes",
        f"--callgrind-out-file={folder}/callgrind.%p",
        f"--log-file={folder}/valgrind.%p",
        "--",
    ]
    running = Running(contender, task, folder, cpu, prefix)
    try:
        run_load(running, 300)
        control(running, "on")
        done = run_load(running, 3000)["done"]
        control(running, "off")
    finally:
        for pid in running.pids():
            os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 20  # callgrind writes its counts at the end
        while running.pids() and time.monotonic() < end:
            time.sleep(0.1)
        running.stop()
    counts = [re.findall(r"Collected\s*:\s*(\d+)", log.read_text()) for log in folder.glob("valgrind.*")]
    total = sum(int(found[-1]) for found in counts if found)
    if not total:
        raise Fault("callgrind counted nothing")
    if listing:
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text("".join(f"{count / done:8.0f} {name}\n" for name, count in by_function(folder)))
    return total / done


def control(running, switch):
    for pid in running.pids():
        subprocess.run(["callgrind_control", "-i", switch, str(pid)], capture_output=True, timeout=30, check=True)


def by_function(folder):
    """Functions, what was inlined into them included, and their instructions, the most first."""
    parts = [str(part) for part in folder.glob("callgrind.*")]
    annotated = subprocess.run(["callgrind_annotate", "--auto=no", *parts], capture_output=True, text=True, timeout=120)
    counts = collections.Counter()
    for count, name in re.findall(r"^ *([\d,]+) \([^)]*\)  [^:\n]*:(.*?)(?: \[[^]]*\])?$", annotated.stdout, re.M):
        counts[name] += int(count.replace(",", ""))
    return counts.most_common()
