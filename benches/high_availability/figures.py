"""From what was seen to figures. Arithmetic alone: figures_test.py holds it."""

import collections
import dataclasses
import itertools
import statistics

from fault import Fault

# A client that is later than this measures itself.
LATE = 0.010
# So long before the event everything has to be well.
QUIET = 0.5

Outcome = collections.namedtuple("Outcome", "due sent ended kind who")


@dataclasses.dataclass
class Record:
    """All that was seen of one round. Times are the machine's monotonic clock, in seconds."""

    begin: float  # the first request was due
    rate: float
    outcomes: list
    held: list  # time, host, whether it has the address from then on
    adverts: list  # time, source, version, priority
    marks: dict  # what was done when, the event first
    end: float  # the round was over

    @property
    def event(self):
        return min(self.marks.values())


def check(record, late=LATE):
    """Raises a fault where the round is not what it should be: then its figures say nothing."""
    outcomes = sorted(Outcome(*outcome) for outcome in record.outcomes)
    for number, outcome in enumerate(outcomes):
        if abs(outcome.due - record.begin - number / record.rate) > 1e-6:
            raise Fault(f"request {number} is missing or was counted twice")
        if not outcome.due <= outcome.sent <= outcome.ended:
            raise Fault(f"request {number} ended before it began")
    if not outcomes or outcomes[-1].due < record.end - 2 / record.rate - late:
        raise Fault("requests were not made until the end")
    lateness = (outcome.sent - outcome.due for outcome in outcomes if outcome.due >= record.event - QUIET)
    if (worst := max(lateness, default=0)) > late:
        raise Fault(f"the client was {worst * 1000:.0f} ms late, the machine is too busy")
    before = [outcome for outcome in outcomes if record.event - QUIET <= outcome.ended < record.event]
    if len(before) < QUIET * record.rate * 0.9:
        raise Fault(f"only {len(before)} answers in the {QUIET} s before the event")
    if bad := [outcome for outcome in before if outcome.kind != "good"]:
        raise Fault(f"{bad[0].kind} before the event")
    holders = {host for host, _, _ in spans(record.held, record.event, record.event)}
    if holders != {before[-1].who}:
        raise Fault(f"{before[-1].who} answers and {', '.join(sorted(holders)) or 'nobody'} has the address")


def figures(record):
    """What the event cost."""
    found = {
        "gap_ms": gap(record.outcomes, record.event, record.end) * 1000,
        "failed": failed(record.outcomes, record.event),
        "refused": failed(record.outcomes, record.event, ("refused", "reset", "unreachable")),
        "slowest_ms": slowest(record.outcomes, record.event) * 1000,
        **addresses(record.held, record.event, record.end),
        "advert_gap_ms": advert_gap(record.adverts, record.event, record.end) * 1000,
        "kinds": kinds(record.outcomes, record.event),
    }
    if heal := record.marks.get("heal"):
        after = addresses(record.held, heal, record.end)
        found["failed_after"] = failed(record.outcomes, heal)
        found["gap_after_ms"] = gap(record.outcomes, heal, record.end) * 1000
        found["twice_after_ms"] = after["twice_ms"]
    return found


def gap(outcomes, since, end):
    """The longest time without a good answer: of those that were not over when it began, in seconds."""
    good = sorted(Outcome(*outcome).ended for outcome in outcomes if Outcome(*outcome).kind == "good")
    times = [time for time in good if time < since][-1:] + [time for time in good if since <= time <= end] + [end]
    return max((later - sooner for sooner, later in itertools.pairwise(times)), default=end - since)


def failed(outcomes, since, of=None):
    """Requests without a good answer that ended after this."""
    outcomes = (Outcome(*outcome) for outcome in outcomes)
    return sum(o.kind != "good" and (of is None or o.kind in of) for o in outcomes if o.ended >= since)


def kinds(outcomes, since):
    """What became of those that failed."""
    outcomes = (Outcome(*outcome) for outcome in outcomes)
    return dict(collections.Counter(o.kind for o in outcomes if o.ended >= since and o.kind != "good"))


def slowest(outcomes, since):
    """The longest time from when a request was due to its good answer, in seconds."""
    outcomes = (Outcome(*outcome) for outcome in outcomes)
    return max((o.ended - o.due for o in outcomes if o.ended >= since and o.kind == "good"), default=0.0)


def spans(held, begin, end):
    """Who held the address from when to when, cut to this time: (host, from, to)."""
    since, found = {}, []
    for time, host, holds in sorted(held):
        if holds:
            since.setdefault(host, time)
        elif host in since:
            found.append((host, since.pop(host), time))
    found += [(host, time, float("inf")) for host, time in since.items()]
    return [(host, max(a, begin), min(b, end)) for host, a, b in found if a <= end and b > begin]


def addresses(held, begin, end):
    """How long nobody or more than one host had the address, and how often it came to a host."""
    cut = spans(held, begin, end)
    edges = sorted({begin, end, *(edge for _, a, b in cut for edge in (a, b))})
    nowhere = twice = 0.0
    for a, b in itertools.pairwise(edges):
        holders = sum(start <= a and b <= stop for _, start, stop in cut)
        nowhere += (b - a) * (holders == 0)
        twice += (b - a) * (holders > 1)
    came = sum(begin < time <= end and holds for time, _, holds in held)
    return {"nowhere_ms": nowhere * 1000, "twice_ms": twice * 1000, "takeovers": came}


def advert_gap(adverts, begin, end):
    """The longest time in which nobody on the segment sent an advert, in seconds."""
    times = [time for time, *_ in adverts if begin <= time <= end]
    times = [time for time, *_ in adverts if time < begin][-1:] + times + [end]
    return max(later - sooner for sooner, later in itertools.pairwise([times[0], *times]))


def median(rounds, figure):
    return statistics.median(found[figure] for found in rounds)


def worst(rounds, figure):
    return max(found[figure] for found in rounds)


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a figure may be at the most: times by their median, counts in every round."""

    figure: str
    most: float

    @property
    def is_time(self):
        return self.figure.endswith("_ms") and self.most > 0

    def is_reached(self, rounds):
        # A figure that nobody has is no figure.
        if any(found.get(self.figure) is None for found in rounds) or not rounds:
            return False
        return (median if self.is_time else worst)(rounds, self.figure) <= self.most
