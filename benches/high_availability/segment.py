"""Hosts on one switch: network namespaces, which are gone with the segment, and all that ran in them."""

import contextlib
import itertools
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

from fault import Fault

NUMBERS = itertools.count()
PORT = "port{}"
ENDS = signal.SIGINT, signal.SIGTERM
# Who is plugged in: names of hosts, and the last byte of their addresses.
HOSTS = {"one": 11, "two": 12, "client": 21, "servers": 31}


class Namespace:
    """A network namespace."""

    def __init__(self, name):
        self.name = name

    def command(self, *words):
        """Runs in the namespace, as the very process that is started."""
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def ip(self, line):
        return tool("ip", "-n", self.name, *shlex.split(line))

    def nft(self, rules):
        """All of these rules or none, at one moment."""
        return tool(*self.command("nft", "-f", "-"), text=rules)

    def pids(self):
        return [int(pid) for pid in tool("ip", "netns", "pids", self.name).split()]

    def remove(self):
        """With all that still runs in it."""
        end = time.monotonic() + 5
        while (pids := self.pids()) and time.monotonic() < end:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
        tool("ip", "netns", "del", self.name)


class Segment:
    """Two hosts, a client, and a host with servers: 192.168.0.11 and so on, each by its `eth0`."""

    def __enter__(self):
        self.made = []
        try:
            with undisturbed():
                self.build(f"bench-ha-{os.getpid()}-{next(NUMBERS)}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with undisturbed():
            for namespace in reversed(self.made):
                try:
                    namespace.remove()
                except Fault as fault:
                    print(f"note: {fault}", file=sys.stderr)

    def build(self, prefix):
        self.switch = self.add(f"{prefix}-switch")
        self.switch.ip("link add br0 type bridge mcast_snooping 0")
        self.switch.ip("link set br0 up")
        self.hosts = {name: self.add(f"{prefix}-{name}") for name in HOSTS}
        for name in HOSTS:
            self.connect(name)

    def add(self, name):
        tool("ip", "netns", "add", name)
        namespace = Namespace(name)
        self.made.append(namespace)
        # No addresses but ours: the kernel's own would come after a while.
        write = "echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode"
        tool(*namespace.command("sh", "-c", write))
        return namespace

    def connect(self, name):
        host, last = self.hosts[name], HOSTS[name]
        port = PORT.format(last)
        host.ip(f"link add eth0 address 02:00:00:00:00:{last:02x} type veth peer name {port} netns {self.switch.name}")
        self.switch.ip(f"link set {port} master br0 up")
        host.ip(f"addr add {address(name)}/24 dev eth0")
        host.ip("link set lo up")
        host.ip("link set eth0 up")

    def unplug(self, name):
        """Takes the carrier from a host."""
        self.switch.ip(f"link set {PORT.format(HOSTS[name])} down")

    def plug(self, name):
        self.switch.ip(f"link set {PORT.format(HOSTS[name])} up")

    def deafen(self, name):
        """From here on the host hears no advert."""
        self.hosts[name].nft(
            "table inet deaf { chain in { type filter hook input priority 0; meta l4proto 112 drop; }; }"
        )

    def undeafen(self, name):
        """It hears them again."""
        self.hosts[name].nft("delete table inet deaf")


def address(name):
    return f"192.168.0.{HOSTS[name]}"


@contextlib.contextmanager
def undisturbed():
    """An end that a signal asks for comes after this, not in the middle."""
    asked = []
    before = {number: signal.signal(number, lambda *received: asked.append(received[0])) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asked:
            signal.raise_signal(asked[0])


def leftovers():
    """Namespaces of a run that was killed before it could remove them: its process is no more."""
    for path in pathlib.Path("/run/netns").glob("bench-ha-*"):
        pid = path.name.split("-")[2]
        if not pathlib.Path("/proc", pid).exists():
            yield Namespace(path.name)


def tool(*command, text=None):
    # Ctrl-C is for this program, which then still needs its tools.
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=20, start_new_session=True)
    if done.returncode:
        raise Fault(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
