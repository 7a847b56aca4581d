"""From what writers, readers and databases say to figures."""

import collections
import itertools

from fault import Fault
from figures import QUIET

Try = collections.namedtuple("Try", "due ended writer number outcome")


def check(tries, event, rate):
    """Writes went well until the event, or the round says nothing."""
    before = [one for one in tries if event - QUIET <= one.ended < event]
    if bad := [one for one in before if one.outcome != "acked"]:
        raise Fault(f"{bad[0].outcome} before the event")
    if len(before) < QUIET * rate * 0.9:
        raise Fault(f"only {len(before)} writes in the {QUIET} s before the event")
    if len({(one.writer, one.number) for one in tries}) != len(tries):
        raise Fault("a number was written twice")


def gap(tries, event, end):
    """The longest time without an acknowledged write, in seconds: of those that were not over at the event."""
    acked = sorted(one.ended for one in tries if one.outcome == "acked")
    times = [time for time in acked if time < event][-1:] + [time for time in acked if event <= time <= end] + [end]
    return max((later - sooner for sooner, later in itertools.pairwise(times)), default=end - event)


def failed(tries, event):
    return sum(one.ended >= event and one.outcome != "acked" for one in tries)


def lost(tries, rows):
    """Acknowledged writes that the primary of the end does not have."""
    return sum(one.outcome == "acked" and (one.writer, one.number) not in rows for one in tries)


def stray(tries, event, tables, wrong):
    """Writes after the event that a server took which must take none, whoever has them."""
    began = {(one.writer, one.number) for one in tries if one.due >= event}
    found = {key for rows in tables.values() for key, server in rows.items() if server == wrong}
    return len(found & began)


def out_and_back(reads, server, out, back):
    """How long after `out` the server still answered, and after `back` until it did again, in seconds."""
    times = [time for time, who in reads if who == server]
    last = max((time for time in times if time < back), default=out)
    first = min((time for time in times if time >= back), default=None)
    return max(0.0, last - out), first and first - back
