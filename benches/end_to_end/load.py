"""The load side: the load tool, h2load, and one careful request."""

import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

from contenders import Fault
from machine import LOAD_CPU

TOOL = None  # the path of the load tool
HOST = "h0.bench.test"


def start(command, **options):
    return subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}),
        **options,
    )


def finish(process, seconds):
    try:
        output, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Fault("the load ran past its time") from None
    if process.returncode:
        raise Fault(f"the load ended with {process.returncode}: {error.strip()[-200:]}")
    return output


def words(**options):
    """Command line options: `None` and `False` are left out."""
    for key, value in options.items():
        if value is True:
            yield f"--{key.replace('_', '-')}"
        elif value not in (None, False):
            yield f"--{key.replace('_', '-')}={value}"


@contextlib.contextmanager
def origin(addresses):
    process = start([TOOL, "origin", *words(listen=",".join(addresses))])
    try:
        if process.stdout.readline() != "ready\n":
            raise Fault("the origin did not start: " + finish(process, 5))
        yield
    finally:
        process.kill()
        process.communicate()


def certificates(folder, count):
    finish(start([TOOL, "certificates", *words(directory=folder, count=count)]), 120)


def http1_command(milliseconds, **options):
    return [TOOL, "http", *words(milliseconds=milliseconds, **options)]


def http1(milliseconds, **options):
    """Counts of a run of the load tool; any fault fails it."""
    seconds = milliseconds / 1000 + 15
    counts = json.loads(finish(start(http1_command(milliseconds, **options)), seconds))
    check(counts)
    return counts


class Paced:
    """A load that asks in slices, on the connections of before."""

    def __init__(self, milliseconds, **options):
        self.patience = milliseconds / 1000 + 15
        self.process = start(http1_command(milliseconds, paced=True, **options), stdin=subprocess.PIPE)

    def slice(self):
        """Counts of one; any fault fails it."""
        overdue = threading.Timer(self.patience, self.process.kill)
        overdue.start()
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        finally:
            overdue.cancel()
        if not line:
            raise Fault("the load ended: " + self.process.communicate()[1].strip()[-200:])
        counts = json.loads(line)
        check(counts)
        return counts

    def stop(self):
        self.process.kill()
        self.process.communicate()


def check(counts):
    faults = {key: counts[key] for key in counts if counts[key] and (key.endswith("_errors") or key in FAULTS)}
    if faults:
        raise Fault(f"of {counts['done']} answers: {faults}")
    if not counts["done"]:
        raise Fault("nothing was answered")


FAULTS = ("broken", "stale", "hung")


def h2_command(requests, address, path):
    """16 connections with 32 streams each."""
    url = f"https://{HOST}:{address.split(':')[1]}{path}"
    options = ["-t1", f"-n{requests}", "-c16", "-m32", "--tls13-ciphers=TLS_AES_128_GCM_SHA256"]
    return ["h2load", *options, f"--connect-to={address}", url]


def h2(requests, address, path, expect):
    """Counts of a run of h2load."""
    output = finish(start(h2_command(requests, address, path)), 120)
    succeeded = re.search(r"status codes: (\d+) 2xx", output)
    body = re.search(r"headers \(space savings [^)]*\), \S+ \((\d+)\) data", output)
    seconds = re.search(r"finished in ([\d.]+)(us|ms|s),", output)
    if not (succeeded and body and seconds and "Application protocol: h2" in output):
        raise Fault("h2load: " + output[-200:])
    if int(succeeded[1]) != requests or int(body[1]) != requests * expect:
        raise Fault(f"h2load: {succeeded[1]} of {requests} requests, {body[1]} bytes")
    unit = {"s": 1, "ms": 1e3, "us": 1e6}[seconds[2]]
    return {"done": requests, "body_bytes": int(body[1]), "seconds": float(seconds[1]) / unit}


class H2Paced:
    """The same by h2load, which connects anew for each slice."""

    def __init__(self, *options):
        self.options = options

    def slice(self):
        return h2(*self.options)

    def stop(self):
        pass


def fetch(address, path, tls=False, host=HOST):
    """Status, body, certificate and TLS version of one request."""
    name, port = address.split(":")
    certificate = version = None
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(socket.create_connection((name, int(port)), 10))
        if tls:
            client = ssl.create_default_context()
            client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
            stream = stack.enter_context(client.wrap_socket(stream, server_hostname=host))
            certificate = ssl.DER_cert_to_PEM_cert(stream.getpeercert(True))
            version = stream.version()
        connection = http.client.HTTPConnection(host)
        connection.sock = stream
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(), certificate, version


def wait_until_listening(running, address, seconds=60):
    name, port = address.split(":")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if running.process.poll() is not None:
            raise Fault("it ended: " + running.last_words())
        try:
            socket.create_connection((name, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise Fault("it does not listen: " + running.last_words())
