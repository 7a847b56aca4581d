#!/usr/bin/env python3
"""Reads at a fixed rate, each by a connection of its own, until standard input ends. Then which server answered
when, as JSON."""

import argparse
import contextlib
import json
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import realtime
from databases.mysql import Connection, Refused


def read(address, timeout):
    """The server that answers; none where none does."""
    try:
        with contextlib.closing(Connection(address, "app", timeout=timeout)) as connection:
            return int(connection.query("SELECT @@server_id")[0][0])
    except (OSError, Refused):
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--timeout", type=float, default=0.9)
    options = parser.parse_args()
    name, port = options.address.split(":")
    realtime.begin()
    realtime.ready()
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    reads, due = [], time.monotonic()
    while not over.wait(max(0, due - time.monotonic())):
        reads.append((time.monotonic(), read((name, int(port)), options.timeout)))
        due = max(due + 1 / options.rate, time.monotonic())
    json.dump(reads, sys.stdout)


if __name__ == "__main__":
    main()
