"""The machine that is measured on: its CPUs, a network of its own, and what else runs there."""

import os
import pathlib
import subprocess
import sys

ALLOWED = sorted(os.sched_getaffinity(0))
PROXY_CPU, LOAD_CPU = ALLOWED[0], ALLOWED[-1]
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

NETWORK = {
    # BBR paces by timers and CUBIC leaves slow start early on so short a path; both let the CPUs
    # go idle between packets, and it is the wake-ups that would be measured.
    "ipv4/tcp_congestion_control": "reno",
    "ipv4/ip_local_port_range": "10240 65535",
    "ipv4/tcp_tw_reuse": "1",
    "ipv4/tcp_max_syn_backlog": "65535",
    "core/somaxconn": "65535",
}


def enter_own_network():
    """Runs this program again in a network namespace that has a loopback and nothing else."""
    if os.environ.get("BENCH_NETWORK") != "own":
        os.environ["BENCH_NETWORK"] = "own"
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        os.execvp("unshare", ["unshare", "--net", *as_root, sys.executable, *sys.argv])
    # The MTU of a real network: with loopback's 64 KiB, corked answers of that size wait 40 ms.
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1500", "up"], check=True)
    for key, value in NETWORK.items():
        try:
            pathlib.Path("/proc/sys/net", key).write_text(value)
        except OSError as error:
            print(f"note: {key}: {error}", file=sys.stderr)


def facts():
    """What a reader needs to judge absolute figures by."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    kernel = ".".join(os.uname().release.split(".")[:2])
    kind = "virtual machine" if " hypervisor " in flags else "machine"
    cpus = f"{os.cpu_count()} CPUs ({os.uname().machine})"
    return f"{kind} with {cpus} and {memory:.0f} GiB, Linux {kernel}"


def busy_ticks(cpu):
    """Time that this CPU spent on anything since it started."""
    with open("/proc/stat") as stat:
        fields = next(line.split() for line in stat if line.startswith(f"cpu{cpu} "))
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[1:9])
    return user + nice + system + irq + softirq + steal
