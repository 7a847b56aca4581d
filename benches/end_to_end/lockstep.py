"""One client and one origin that take turns with what is between them: each request takes the same
instructions, whatever else runs on the machine."""

import contextlib
import os
import pathlib
import socket
import threading
import time

from contenders import Fault

PATIENCE = 30  # seconds, for any one step
LISTEN = "0A"

FIELDS = (
    "Host: h0.bench.test\r\nUser-Agent: load/1.0 (lockstep)\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\n"
    "Accept-Language: en\r\nCookie: JSESSIONID=4F1E1F7A2B3C4D5E6F708192A3B4C5D6\r\n"
)


class Lockstep:
    """A client with one connection, which asks as soon as it is answered."""

    def __init__(self, path, length):
        self.request = f"GET {path} HTTP/1.1\r\n{FIELDS}\r\n".encode()
        self.length = length
        self.stream = None
        self.seconds = 0  # that the last run took

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.stream:
            self.stream.close()

    def run(self, running, requests):
        if not self.stream:
            self.stream = socket.create_connection(listening(running), PATIENCE)
            self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.monotonic()
        for _ in range(requests):
            self.stream.sendall(self.request)
            answer = b""
            while (end := answer.find(b"\r\n\r\n")) < 0 or len(answer) < end + 4 + self.length:
                got = self.stream.recv(65536)
                if not got:
                    raise Fault(f"closed after {answer[:80]}")
                answer += got
            if not answer.startswith(b"HTTP/1.1 200 ") or len(answer) != end + 4 + self.length:
                raise Fault(f"a wrong answer: {answer[:80]}")
        self.seconds = time.monotonic() - begin
        return requests


def listening(running):
    """Where it listens on 127.0.0.1, by what the kernel says of its sockets."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if running.process.poll() is not None:
            raise Fault("it ended: " + running.last_words())
        process = pathlib.Path("/proc", str(running.process.pid))
        with contextlib.suppress(OSError):
            own = set()
            for name in os.listdir(process / "fd"):
                with contextlib.suppress(OSError):
                    own.add(os.readlink(process / "fd" / name))
            for line in (process / "net/tcp").read_text().splitlines()[1:]:
                local, _, state, *_, = (fields := line.split())[1:]
                address, port = local.split(":")
                if state == LISTEN and address == "0100007F" and f"socket:[{fields[9]}]" in own:
                    return "127.0.0.1", int(port, 16)
        time.sleep(0.02)
    raise Fault("it does not listen: " + running.last_words())


@contextlib.contextmanager
def origin(length):
    """Answers every request with so many bytes; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener, length), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        # A close alone would not wake the thread.
        listener.shutdown(socket.SHUT_RDWR)


def accept(listener, length):
    answer = f"HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n".encode()
    answer += b"x" * length
    with contextlib.suppress(OSError):
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=serve, args=(stream, answer), daemon=True).start()


def serve(stream, answer):
    with stream, contextlib.suppress(OSError):
        stream.settimeout(PATIENCE)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = b""
        while got := stream.recv(65536):
            request += got
            if request.endswith(b"\r\n\r\n"):
                request = b""
                stream.sendall(answer)
