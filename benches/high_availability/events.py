"""What is done to a pair, what it costs today, and what it may cost."""

import dataclasses
from collections.abc import Callable

import scripts
from contenders import Settings
from figures import LATE, Goal
from report import PAIR
from trial import SERVERS, Trial

USUAL = Settings()
FAST = Settings(interval_ms=10)
OLD = Settings(interval_ms=1000, version=2, password="secret")
INTERVALS = {"100ms": USUAL, "10ms": FAST, "v2": OLD}


@dataclasses.dataclass(frozen=True)
class Event:
    """`script` does it to a pair at work, and goes on until all has come to rest."""

    name: str
    text: str
    script: Callable
    settings: Settings
    goals: tuple
    today: str = ""  # of keepalived 2.2.7, HAProxy 2.6.12 and nginx 1.22.1
    prepare: Callable = None  # before the client comes
    also: tuple = ()  # more figures that are shown
    late: float = LATE  # how late the client may be
    needs: str = ""  # what a contender must be able to do
    trial: type = Trial
    columns: tuple = PAIR

    @property
    def adverts(self):
        return f"v{self.settings.version} {self.settings.interval_ms} ms"


def by_interval(name, text, script, goals, today=("", "", ""), **more):
    """The same for each interval of adverts; `goals`: by the settings."""
    return [
        Event(f"{name}-{label}", text, script, settings, goals(settings), before, **more)
        for (label, settings), before in zip(INTERVALS.items(), today)
    ]


def lost(settings):
    """A host is lost for the down interval of the other one and 10 ms; with adverts of 10 ms for 50 ms."""
    return (Goal("gap_ms", 50 if settings.interval_ms == 10 else settings.down_ms("two") + 10),)


def at_most(failed):
    return lambda settings: (Goal("failed", failed),)


def upgrade(settings):
    """Nobody notices, and the other host hears adverts at least every second interval."""
    return Goal("failed", 0), Goal("takeovers", 0), Goal("advert_gap_ms", 2 * settings.interval_ms)


UNMOVED = Goal("refused", 0), Goal("takeovers", 0)
# Adverts that do not arrive: named within a down interval; after the repair one is active within an interval.
NAMED = Goal("named_ms", USUAL.down_ms("two"))
HEALED = Goal("twice_after_ms", USUAL.interval_ms), Goal("failed_after", 0)
SPLIT = "named_ms", "failed_after", "twice_after_ms"

WORKER = [
    Event(
        "worker-killed",
        "worker kill -9",
        scripts.worker_killed,
        USUAL,
        (Goal("gap_ms", 20), *UNMOVED),
        "1485 ms, 297 failed",
    ),
    Event("worker-hung", "worker hangs (SIGSTOP)", scripts.worker_hung, USUAL, UNMOVED, also=("slowest_ms",)),
]

HOST = [
    *by_interval(
        "carrier-lost",
        "cable of the active host cut",
        scripts.carrier_lost,
        lost,
        ("335 ms, 66 failed", "", "3465 ms, 693 failed"),
    ),
    *by_interval(
        "host-killed",
        "all of the active host killed",
        scripts.host_killed,
        lost,
        ("339 ms, 68 failed", "41 ms, 6 failed", "3340 ms, 667 failed"),
    ),
    *by_interval(
        "stop",
        "graceful stop",
        scripts.stopped,
        at_most(1),
        ("71 ms, 12 failed", "15 ms, 1 failed", "620 ms, 123 failed"),
    ),
    *by_interval("drain", "drain", scripts.drained, at_most(1), needs="drain"),
    *by_interval("upgrade", "upgrade", scripts.upgraded, upgrade, needs="upgrade", also=("advert_gap_ms",)),
]

RETURN = [
    Event(
        "returns-preempt",
        "active returns, preempt",
        scripts.returned,
        USUAL,
        (Goal("failed", 1),),
        "1 failed (0–2)",
        scripts.stop_first,
    ),
    Event(
        "returns-nopreempt",
        "active returns, nopreempt",
        scripts.returned,
        Settings(preempt=False),
        (Goal("failed", 0), Goal("takeovers", 0)),
        "0 failed",
        scripts.stop_first,
    ),
    Event(
        "cable-back",
        "cable back, servers beyond it",
        scripts.cable_back,
        Settings(servers=SERVERS),
        (Goal("failed", 1),),
        "1026 failed (5.1 s of 502)",
        scripts.unplug_first,
    ),
]

BETWEEN = [
    Event(
        "adverts-dropped-serve",
        "protocol 112 dropped, then healed: `serve`",
        scripts.adverts_dropped,
        USUAL,
        (NAMED, *HEALED),
        "both active, unnamed; then a black hole of 9 s and more",
        also=SPLIT,
    ),
    Event(
        "adverts-dropped-stop",
        "protocol 112 dropped, then healed: `stop`",
        scripts.adverts_dropped,
        Settings(on_partition="stop"),
        (Goal("twice_ms", 0), NAMED, *HEALED),
        needs="on_partition",
        also=SPLIT,
    ),
    Event(
        "wrong-password-reload",
        "wrong auth_pass by a reload, then repaired",
        scripts.wrong_password_reloaded,
        OLD,
        (Goal("named_ms", OLD.interval_ms), Goal("failed_after", 0)),
        needs="reload",
        also=SPLIT,
    ),
    Event(
        "wrong-password-restart",
        "wrong auth_pass by a restart, then repaired",
        scripts.wrong_password_restarted,
        OLD,
        # The program has to come up first.
        (Goal("named_ms", OLD.interval_ms + 500), Goal("failed_after", 0)),
        'both active, "invalid passwd" at INFO; then an outage of 24 s and more',
        needs="restart",
        also=SPLIT,
    ),
    Event(
        "cpu-burnt",
        "two busy loops for each CPU, 60 s",
        scripts.cpu_burnt,
        FAST,
        (Goal("takeovers", 0),),
        "timer slips to 35 ms",
        also=("advert_gap_ms",),
        late=0.5,
    ),
]

EVENTS = WORKER + HOST + RETURN + BETWEEN
