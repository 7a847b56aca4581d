"""What is done to a pair, what it costs today, and what it may cost."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from contenders import Settings
from figures import LATE, Goal
from trial import SERVERS

FAST = Settings(interval_ms=10)
USUAL = Settings()
OLD = Settings(interval_ms=1000, version=2, password="secret")


@dataclasses.dataclass(frozen=True)
class Event:
    """`script` does it to a pair at work, and goes on until all has come to rest."""

    name: str
    text: str
    settings: Settings
    script: Callable
    goals: tuple
    today: str = ""  # of keepalived 2.2.7, HAProxy 2.6.12 and nginx 1.22.1
    prepare: Callable = None  # before the client comes
    also: tuple = ()  # more figures that are shown
    late: float = LATE  # how late the client may be
    needs: str = ""  # what a contender must be able to do

    @property
    def adverts(self):
        return f"v{self.settings.version} {self.settings.interval_ms} ms"


def down_goal(settings):
    """Host lost: within two's down interval and 10 ms; with adverts of 10 ms within 50 ms."""
    return Goal("gap_ms", 50 if settings.interval_ms == 10 else settings.down_ms("two") + 10)


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
    change(with_settings(trial.settings, password="another"))
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


UNMOVED = (Goal("refused", 0), Goal("takeovers", 0))
BROKEN = ("named_ms", "failed_after", "twice_after_ms")


def healed(settings):
    """Named within a down interval, then one active within an interval, and nobody notices."""
    return (
        Goal("named_ms", settings.down_ms("two")),
        Goal("twice_after_ms", settings.interval_ms),
        Goal("failed_after", 0),
    )


def with_settings(settings, **changes):
    return dataclasses.replace(settings, **changes)


EVENTS = [
    Event("worker-killed", "worker kill -9", USUAL, worker_killed, (Goal("gap_ms", 20), *UNMOVED), "1485 ms, 297 failed"),
    Event("worker-hung", "worker hangs (SIGSTOP)", USUAL, worker_hung, UNMOVED, also=("slowest_ms",)),
    *(
        Event(f"{name}-{label}", text, settings, script, (down_goal(settings),), today)
        for name, text, script, figures in (
            ("carrier-lost", "cable of the active host cut", carrier_lost, ("335 ms, 66 failed", "", "3465 ms, 693 failed")),
            (
                "host-killed",
                "all of the active host killed",
                host_killed,
                ("339 ms, 68 failed", "41 ms, 6 failed", "3340 ms, 667 failed"),
            ),
        )
        for (label, settings), today in zip((("100ms", USUAL), ("10ms", FAST), ("v2", OLD)), figures)
    ),
    *(
        Event(f"{name}-{label}", text, settings, script, (Goal("failed", most),), today, needs=needs, also=also)
        for name, text, script, most, needs, also, figures in (
            ("stop", "graceful stop", stopped, 1, "stop", (), ("12 failed", "1 failed", "123 failed")),
            ("drain", "drain", drained, 1, "drain", (), ("", "", "")),
            ("upgrade", "upgrade", upgraded, 0, "upgrade", ("advert_gap_ms",), ("", "", "")),
        )
        for (label, settings), today in zip((("100ms", USUAL), ("10ms", FAST), ("v2", OLD)), figures)
    ),
    Event("returns-preempt", "active returns, preempt", USUAL, returned, (Goal("failed", 1),), "1 failed (0–2)", stop_first),
    Event(
        "returns-nopreempt",
        "active returns, nopreempt",
        with_settings(USUAL, preempt=False),
        returned,
        (Goal("failed", 0), Goal("takeovers", 0)),
        "0 failed",
        stop_first,
    ),
    Event(
        "cable-back",
        "cable back, servers beyond it",
        with_settings(USUAL, servers=SERVERS),
        cable_back,
        (Goal("failed", 1),),
        "1026 failed (5.1 s of 502)",
        unplug_first,
    ),
    Event(
        "adverts-dropped-serve",
        "protocol 112 dropped, then healed: `serve`",
        USUAL,
        adverts_dropped,
        healed(USUAL),
        "both active, unnamed; then a black hole of 9 s and more",
        also=BROKEN,
    ),
    Event(
        "adverts-dropped-stop",
        "protocol 112 dropped, then healed: `stop`",
        with_settings(USUAL, on_partition="stop"),
        adverts_dropped,
        (Goal("twice_ms", 0), *healed(USUAL)),
        also=BROKEN,
        needs="drain",
    ),
    *(
        Event(
            f"wrong-password-{how}",
            f"wrong auth_pass by a {how}, then repaired",
            OLD,
            script,
            (Goal("named_ms", most), Goal("failed_after", 0)),
            today,
            also=BROKEN,
            needs=how,
        )
        for how, script, most, today in (
            ("reload", wrong_password_reloaded, OLD.interval_ms, ""),
            (
                "restart",
                wrong_password_restarted,
                # The program has to come up first.
                OLD.interval_ms + 500,
                'both active, "invalid passwd" at INFO; then an outage of 24 s and more',
            ),
        )
    ),
    Event(
        "cpu-burnt",
        "twice as many busy loops as CPUs, 60 s",
        FAST,
        cpu_burnt,
        (Goal("takeovers", 0),),
        "timer slips to 35 ms",
        also=("advert_gap_ms",),
        late=0.5,
    ),
]
