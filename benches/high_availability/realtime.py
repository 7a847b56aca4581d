"""Programs that take times run before all others, so that a busy machine is not taken for a slow contender."""

import gc
import os
import sys


def begin():
    """This process alone: what it starts is as others are."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError as error:
        print(f"note: no real-time priority, times may be late: {error}", file=sys.stderr)


def ready():
    """Whoever started this program may go on."""
    print("ready", flush=True)
