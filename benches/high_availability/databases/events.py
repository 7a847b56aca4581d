"""What is done to databases behind a pair, what it costs today, and what it may cost."""

import dataclasses

from contenders import Settings
from events import Event
from figures import Goal
from report import DATABASE

from .trial import DatabaseTrial

SETTINGS = Settings(on_partition="stop")
# Two checks, and what the readers take to notice.
TWO_CHECKS = 2 * SETTINGS.check_ms + 20


@dataclasses.dataclass(frozen=True)
class DatabaseEvent(Event):
    wrong: int = 0  # the server that ought to get nothing
    trial: type = DatabaseTrial
    columns: tuple = DATABASE


def primary_killed(trial):
    trial.mark()
    trial.cluster.kill(1)
    trial.hold(5)


def returned_writable(trial):
    trial.mark("killed")
    trial.cluster.kill(1)
    trial.wait("a replica was promoted", lambda: any(one["promoted"] for one in trial.promoted()))
    trial.hold(2)
    trial.mark()
    trial.cluster.start(1, writable=True)
    # What it has and nobody else: from now on the two can never be one again by themselves.
    trial.cluster.tell(1, "INSERT INTO bench.writes VALUES (99, 1, 1)")
    trial.hold(4)
    trial.named(trial.one, trial.contender.errant, trial.marks["event"])


def two_writable(trial):
    trial.mark()
    trial.cluster.tell(2, "SET GLOBAL read_only = 0")
    trial.hold(3)
    trial.named(trial.one, trial.contender.double, trial.marks["event"])


def replica_stopped(trial):
    trial.mark()
    trial.cluster.tell(3, "STOP SLAVE")
    trial.hold(2)
    trial.mark("back")
    trial.cluster.tell(3, "START SLAVE")
    trial.hold(2)


def active_lost(trial):
    trial.mark()
    trial.segment.unplug("one")
    trial.hold(4)


EVENTS = [
    DatabaseEvent(
        "db-primary-killed",
        "primary kill -9, promoted by a script",
        primary_killed,
        SETTINGS,
        (Goal("over_ms", 200), Goal("lost", 0)),
        "456 ms, 0 lost",
        also=("promotion_ms", "over_ms"),
        needs="roles",
    ),
    DatabaseEvent(
        "db-old-primary-returns",
        "old primary returns writable",
        returned_writable,
        SETTINGS,
        (Goal("lost", 0), Goal("stray", 0), Goal("named_ms", 2000)),
        "2533 rows lost",
        also=("named_ms",),
        needs="roles",
        wrong=1,
    ),
    DatabaseEvent(
        "db-two-writable",
        "two writable by hand",
        two_writable,
        SETTINGS,
        (Goal("stray", 0), Goal("lost", 0), Goal("named_ms", TWO_CHECKS)),
        "writes to both",
        also=("named_ms",),
        needs="roles",
        wrong=2,
    ),
    DatabaseEvent(
        "db-replica-stopped",
        "replica stopped",
        replica_stopped,
        SETTINGS,
        (Goal("out_ms", TWO_CHECKS), Goal("back_ms", 1000)),
        also=("out_ms", "back_ms"),
        needs="roles",
        wrong=3,
    ),
    DatabaseEvent(
        "db-active-lost",
        "cable of the active host cut during writes",
        active_lost,
        SETTINGS,
        (Goal("lost", 0),),
        needs="roles",
    ),
]
