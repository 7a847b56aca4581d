#!/usr/bin/env python3
"""Writers at a fixed rate, until standard input ends: each has a connection, makes a new one when it breaks, and
never writes the same number twice. Then every try as JSON, and what the database said of it."""

import argparse
import json
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import realtime
from databases.mysql import Connection, Refused


class Writer(threading.Thread):
    def __init__(self, options, begin, number, over):
        super().__init__()
        name, port = options.address.split(":")
        self.address = name, int(port)
        self.options, self.begin, self.number, self.over = options, begin, number, over
        self.tries, self.connection = [], None

    def run(self):
        count = 0
        while not self.over.is_set():
            due = self.begin + (count * self.options.writers + self.number) / self.options.rate
            # A try that took long is not made good by several at once.
            if (now := time.monotonic()) < due:
                self.over.wait(due - now)
            outcome = self.write(count)
            self.tries.append((due, time.monotonic(), self.number, count, outcome))
            behind = (time.monotonic() - due) * self.options.rate / self.options.writers
            count += max(1, int(behind))

    def write(self, count):
        try:
            if not self.connection:
                self.connection = Connection(self.address, "app", timeout=self.options.timeout)
            self.connection.query(f"INSERT INTO bench.writes VALUES ({self.number}, {count}, @@server_id)")
            return "acked"
        except (OSError, Refused) as error:
            if self.connection:
                self.connection.stream.close()
            self.connection = None
            return f"{type(error).__name__} {error}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=200, help="writes a second, of all together")
    parser.add_argument("--timeout", type=float, default=5, help="seconds for a connection or a write")
    options = parser.parse_args()
    realtime.begin()
    realtime.ready()
    over, begin = threading.Event(), time.monotonic()
    writers = [Writer(options, begin, number, over) for number in range(options.writers)]
    for writer in writers:
        writer.start()
    sys.stdin.read()
    over.set()
    for writer in writers:
        writer.join()
    json.dump(sorted(one for writer in writers for one in writer.tries), sys.stdout)


if __name__ == "__main__":
    main()
