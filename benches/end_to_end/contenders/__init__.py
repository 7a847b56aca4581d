"""Who is measured: each contender turns a Task into a configuration of its own."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import time


class Fault(Exception):
    """Why a contender has no figure."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a contender has to do, with one worker and without an access log."""

    static: bool = False  # serve the files below `documents`, else proxy to `origins`
    tls: bool = False  # listen on `secure` too: HTTP/2 and HTTP/1.1 by ALPN
    passes_on: bool = False  # pass connections on, whatever they carry
    by_address: bool = False  # choose the origin by the client's address
    large: bool = False  # bodies are megabytes: tune buffers where that helps
    hosts: int = 1  # server names hK.bench.test, each with its own certificate
    origins: tuple = ()
    documents: pathlib.Path = None
    certificates: pathlib.Path = None  # hK.crt, hK.key, and hK.pem with both
    plain: str = ""
    secure: str = ""

    def host(self, k):
        return f"h{k}.bench.test"


class Contender:
    name = ""
    serves_files = True
    cpus = None  # other than the one that all are measured on

    def version(self):
        raise NotImplementedError

    def command(self, task, folder):
        """Writes the configuration below `folder`; the command stays in the foreground."""
        raise NotImplementedError

    def reload(self, running):
        """Takes the same configuration again, with no request lost."""
        os.kill(running.process.pid, signal.SIGHUP)


class Running:
    """A started contender: a session of its own on one CPU."""

    def __init__(self, contender, task, folder, cpu, prefix=()):
        self.contender, self.task, self.folder = contender, task, folder
        command = [*prefix, *map(str, contender.command(task, folder))]
        self.started = time.monotonic()
        self.start_seconds = self.start_mib = None  # where a scenario looks at them
        with open(folder / "output.log", "wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, contender.cpus or {cpu}),
            )

    def pids(self):
        """Every live process of its session."""
        self.process.poll()
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    stat = pathlib.Path("/proc", entry, "stat").read_text()
                except OSError:
                    continue
                state, _, _, session = stat[stat.rindex(")") + 2 :].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    found.append(int(entry))
        return found

    def stop(self):
        for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
            for pid in self.pids():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            end = time.monotonic() + patience
            while self.pids() and time.monotonic() < end:
                time.sleep(0.02)

    def last_words(self):
        """The end of what it printed."""
        return (self.folder / "output.log").read_bytes()[-300:].decode("utf-8", "replace")


def first_line(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=20)
    return (done.stdout + done.stderr).strip().split("\n")[0]
