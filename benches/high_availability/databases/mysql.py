"""As much of MySQL's protocol as a client needs that writes, reads and counts."""

import hashlib
import socket

LONG_PASSWORD, PROTOCOL_41, TRANSACTIONS, SECURE, PLUGIN = 0x1, 0x200, 0x2000, 0x8000, 0x80000
QUIT, QUERY = b"\x01", b"\x03"
OK, END, ERROR = 0x00, 0xFE, 0xFF
PASSWORD = "bench-password"


class Refused(Exception):
    """The server said no: its number and words."""


class Connection:
    def __init__(self, address, user, password=PASSWORD, timeout=5):
        """`address`: host and port, or the path of a socket."""
        if isinstance(address, tuple):
            self.stream = socket.create_connection(address, timeout)
            self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.stream = socket.socket(socket.AF_UNIX)
            self.stream.settimeout(timeout)
            self.stream.connect(str(address))
        self.read_ahead = b""
        try:
            self.greet(user, password.encode())
        except BaseException:
            self.stream.close()
            raise

    def greet(self, user, password):
        greeting = self.packet()
        if greeting[0] == ERROR:
            raise refusal(greeting)
        rest = greeting[greeting.index(b"\0", 1) + 1 :]
        salt = rest[4:12] + rest[31:43]
        flags = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE | PLUGIN
        proof = native(password, salt)
        answer = flags.to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + bytes([45]) + bytes(23)
        answer += user.encode() + b"\0" + bytes([len(proof)]) + proof + b"mysql_native_password\0"
        self.send(answer)
        said = self.packet()
        if said[0] == END:
            name, salt = said[1:].split(b"\0", 1)
            if name != b"mysql_native_password":
                raise Refused(f"it asks for {name.decode()}")
            self.send(native(password, salt[:20]))
            said = self.packet()
        if said[0] != OK:
            raise refusal(said)

    def query(self, text):
        """Rows of text; none where it answers with none."""
        return self.ask(text)[1]

    def records(self, text):
        """The same, each value by the name of its column."""
        names, rows = self.ask(text)
        return [dict(zip(names, values)) for values in rows]

    def ask(self, text):
        self.number = 0
        self.send(QUERY + text.encode())
        said = self.packet()
        if said[0] == ERROR:
            raise refusal(said)
        if said[0] == OK:
            return [], []
        # Of a column: catalogue, schema, table, table as it is called, name.
        names = [row(packet, 5)[4] for packet in self.until_end()]
        return names, [row(packet) for packet in self.until_end()]

    def close(self):
        try:
            self.number = 0
            self.send(QUIT)
        except OSError:
            pass
        self.stream.close()

    def until_end(self):
        found = []
        while not ((packet := self.packet())[0] == END and len(packet) < 9):
            if packet[0] == ERROR:
                raise refusal(packet)
            found.append(packet)
        return found

    def packet(self):
        head = self.take(4)
        self.number = (head[3] + 1) & 0xFF
        return self.take(int.from_bytes(head[:3], "little"))

    def take(self, length):
        while len(self.read_ahead) < length:
            if not (more := self.stream.recv(65536)):
                raise ConnectionResetError("closed by the server")
            self.read_ahead += more
        taken, self.read_ahead = self.read_ahead[:length], self.read_ahead[length:]
        return taken

    def send(self, payload):
        self.stream.sendall(len(payload).to_bytes(3, "little") + bytes([self.number]) + payload)


def native(password, salt):
    """mysql_native_password: SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))."""
    once = hashlib.sha1(password).digest()
    mask = hashlib.sha1(salt + hashlib.sha1(once).digest()).digest()
    return bytes(a ^ b for a, b in zip(once, mask))


def refusal(packet):
    # After the number stands a state: a # and five letters.
    return Refused(f"{int.from_bytes(packet[1:3], 'little')} {packet[9:].decode('utf-8', 'replace')}")


def row(packet, most=None):
    """Its values, or the first of them: each behind its length, which has one byte or more."""
    fields = []
    while packet and len(fields) != most:
        first = packet[0]
        if first == 0xFB:
            fields.append(None)
            packet = packet[1:]
            continue
        head = {0xFC: 3, 0xFD: 4, 0xFE: 9}.get(first, 1)
        size = first if head == 1 else int.from_bytes(packet[1:head], "little")
        fields.append(packet[head : head + size].decode("utf-8", "replace"))
        packet = packet[head + size :]
    return tuple(fields)
