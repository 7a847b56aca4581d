#!/usr/bin/env python3
"""Requests at a fixed rate, each by a connection of its own, until standard input ends. Then their outcomes
as JSON. A request's time runs from when it was due, whether or not it was sent then."""

import argparse
import collections
import errno
import json
import selectors
import socket
import sys
import time

import realtime

REQUEST = b"GET / HTTP/1.1\r\nHost: vip.test\r\nConnection: close\r\n\r\n"
KINDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "timeout",
}


class Exchange:
    """A request under way."""

    def __init__(self, due, address):
        self.due = due
        self.answer = b""
        self.is_sent = False
        self.outcome = None
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.sent = time.monotonic()
        self.error = self.socket.connect_ex(address)

    def go_on(self):
        """The next step that its socket is ready for; how it ended, if it did: kind and who answered."""
        try:
            if not self.is_sent:
                if error := self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return KINDS.get(error, errno.errorcode[error]), ""
                self.socket.send(REQUEST)
                self.is_sent = True
                return None
            if more := self.socket.recv(65536):
                self.answer += more
                return None
        except BlockingIOError:
            return None
        except OSError as error:
            return KINDS.get(error.errno, errno.errorcode[error.errno]), ""
        return verdict(self.answer)


def verdict(answer):
    """What a whole answer is worth, and who gave it."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return "cut", ""
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    who = fields.get("x-host", "")
    if status.split(" ")[1:2] != ["200"]:
        return "wrong " + " ".join(status.split(" ")[1:2]), who
    if len(body) != int(fields.get("content-length", len(body))):
        return "cut", who
    return ("good" if who and body else "wrong answer"), who


class Traffic:
    def __init__(self, address, rate, timeout):
        self.address, self.rate, self.timeout = address, rate, timeout
        # Of all selectors this one alone waits for less than a millisecond.
        self.selector = selectors.SelectSelector()
        self.under_way = collections.deque()
        self.outcomes = []

    def run(self, until):
        self.selector.register(until, selectors.EVENT_READ)
        begin = time.monotonic()
        count, is_asked_to_end = 0, False
        while not is_asked_to_end or self.under_way:
            now = time.monotonic()
            due = begin + count / self.rate
            if not is_asked_to_end and now >= due:
                self.start(due)
                count += 1
                continue
            self.give_up(now)
            wake = [self.under_way[0].due + self.timeout] if self.under_way else []
            wake += [] if is_asked_to_end else [due]
            for key, _ in self.selector.select(max(0, min(wake, default=now) - now)):
                if key.fileobj is until:
                    is_asked_to_end = True
                    self.selector.unregister(until)
                else:
                    self.go_on(key.data)
        return {"begin": begin, "rate": self.rate, "outcomes": sorted(self.outcomes)}

    def start(self, due):
        exchange = Exchange(due, self.address)
        if exchange.error not in (0, errno.EINPROGRESS):
            self.finish(exchange, (KINDS.get(exchange.error, errno.errorcode[exchange.error]), ""))
            return
        self.selector.register(exchange.socket, selectors.EVENT_WRITE, exchange)
        self.under_way.append(exchange)

    def go_on(self, exchange):
        outcome = exchange.go_on()
        if outcome:
            self.selector.unregister(exchange.socket)
            self.finish(exchange, outcome)
        elif exchange.is_sent:
            self.selector.modify(exchange.socket, selectors.EVENT_READ, exchange)

    def give_up(self, now):
        """They are in the order of their starts, so in that of their limits."""
        while self.under_way and (self.under_way[0].outcome or now >= self.under_way[0].due + self.timeout):
            exchange = self.under_way.popleft()
            if not exchange.outcome:
                self.selector.unregister(exchange.socket)
                self.finish(exchange, ("timeout", ""))

    def finish(self, exchange, outcome):
        exchange.outcome = outcome
        exchange.socket.close()
        self.outcomes.append((exchange.due, exchange.sent, time.monotonic(), *outcome))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--timeout", type=float, required=True, help="seconds from when it was due")
    options = parser.parse_args()
    name, port = options.address.split(":")
    realtime.begin()
    realtime.ready()
    json.dump(Traffic((name, int(port)), options.rate, options.timeout).run(sys.stdin), sys.stdout)


if __name__ == "__main__":
    main()
