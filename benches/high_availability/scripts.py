"""What is done to a pair at work. Each goes on until all that it set off has come to rest."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys


def rest(trial):
    """Until what an event set off has long been over."""
    trial.hold(trial.settings.down_ms("two") / 1000 + 1.5)


# Of the worker.


def worker_killed(trial):
    proxy = trial.one.proxy()
    trial.mark()
    os.kill(proxy, signal.SIGKILL)
    # A check every two seconds is what finds it where there is no guard.
    trial.hold(2 if trial.contender.name == "haechi" else 5)


def worker_hung(trial):
    proxy = trial.one.proxy()
    trial.mark()
    os.kill(proxy, signal.SIGSTOP)
    trial.hold(10)


# Of a whole host.


def carrier_lost(trial):
    trial.mark()
    trial.segment.unplug("one")
    rest(trial)


def host_killed(trial):
    trial.mark()
    trial.kill_all(trial.one)
    rest(trial)
    trial.hold(2)  # until its address has gone, where it goes


def stopped(trial):
    trial.mark()
    trial.one.stop()
    trial.wait("two is active", lambda: trial.two.state() == "active")
    rest(trial)


def drained(trial):
    trial.mark()
    trial.one.drain()
    trial.wait("two is active", lambda: trial.two.state() == "active")
    rest(trial)


def upgraded(trial):
    trial.mark()
    trial.one.upgrade()
    rest(trial)


def stop_first(trial):
    trial.one.stop()
    for process in trial.one.processes[-1:]:
        process.process.wait(30)
    trial.wait("two is active", lambda: trial.two.state() == "active")


def returned(trial):
    trial.mark()
    trial.one.start()
    wanted = "active" if trial.settings.preempt else "backup"
    trial.wait(f"one is {wanted}", lambda: trial.one.state() == wanted)
    rest(trial)


def unplug_first(trial):
    trial.segment.unplug("one")
    trial.wait("two is active", lambda: trial.two.state() == "active")
    trial.hold(8)  # so that its neighbours are given up


def cable_back(trial):
    trial.mark()
    trial.segment.plug("one")
    trial.wait("one is active", lambda: trial.one.state() == "active")
    rest(trial)
    trial.hold(5)  # servers that were wrongly given up are out for so long


# Of what is between the hosts.


def adverts_dropped(trial):
    trial.segment.deafen("one")
    trial.segment.deafen("two")
    trial.mark("cut")
    trial.hold(4 if trial.quick else 8)
    trial.named(trial.two, trial.contender.unheard, trial.marks["cut"])
    trial.segment.undeafen("one")
    trial.segment.undeafen("two")
    trial.mark("heal")
    trial.hold(5 if trial.quick else 10)


def wrong_password(trial, change):
    """`change` gives the second host other settings."""
    change(dataclasses.replace(trial.settings, password="another"))
    trial.mark("cut")
    trial.hold(trial.settings.down_ms("two") / 1000 + 4)
    trial.named(trial.two, trial.contender.refused, trial.marks["cut"])
    trial.mark("heal")
    change(trial.settings)
    trial.hold(5 if trial.quick else 10)


def wrong_password_reloaded(trial):
    wrong_password(trial, trial.two.reload)


def wrong_password_restarted(trial):
    wrong_password(trial, trial.two.restart)


def cpu_burnt(trial):
    trial.mark()
    with contextlib.ExitStack() as stack:
        for _ in range(2 * os.cpu_count()):
            burner = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
            stack.callback(burner.wait)
            stack.callback(burner.kill)
        trial.hold(10 if trial.quick else 60)
