#!/usr/bin/env python3
"""What an operator's script does when the primary is lost: the replica that has received most applies all of it and
becomes writable, the other one follows it. Both hosts run it; the second one finds the work done."""

import argparse
import fcntl
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from databases.mysql import PASSWORD, Connection, Refused


def reachable(address):
    try:
        return Connection(address, "admin", timeout=1)
    except (OSError, Refused):
        return None


def received(connection):
    """The last transaction that it has got from the primary, applied or not; MariaDB: domain-server-sequence."""
    return next((record["Gtid_IO_Pos"] for record in connection.records("SHOW SLAVE STATUS")), "")


def sequence(position):
    return max((int(part.rsplit("-", 1)[1]) for part in position.split(",") if part), default=0)


def promote(servers):
    """Who is writable now; none where somebody was."""
    found = {address: connection for address in servers if (connection := reachable(address))}
    if any(connection.query("SELECT @@read_only") == [("0",)] for connection in found.values()):
        return None
    best = max(found, key=lambda address: sequence(received(found[address])))
    chosen = found.pop(best)
    # What it has received is applied first: to throw it away would lose what was acknowledged.
    chosen.query("STOP SLAVE IO_THREAD")
    chosen.query(f"SELECT MASTER_GTID_WAIT('{received(chosen)}', 10)")
    chosen.query("STOP SLAVE")
    chosen.query("RESET SLAVE ALL")
    chosen.query("SET GLOBAL read_only = 0")
    for other in found.values():
        other.query("STOP SLAVE")
        other.query(
            f"CHANGE MASTER TO MASTER_HOST = '{best[0]}', MASTER_PORT = {best[1]}, MASTER_USER = 'repl', "
            f"MASTER_PASSWORD = '{PASSWORD}', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1"
        )
        other.query("START SLAVE")
    if found:
        chosen.query("SET GLOBAL rpl_semi_sync_master_enabled = 1")
    return f"{best[0]}:{best[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", required=True, help="ADDRESS:PORT,..")
    parser.add_argument("--log", required=True, type=pathlib.Path, help="where to write what was done when")
    options = parser.parse_args()
    servers = [(name, int(port)) for name, port in (server.split(":") for server in options.servers.split(","))]
    with open(options.log, "a+") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        begin = time.monotonic()
        done = {"promoted": promote(servers), "begin": begin, "end": time.monotonic()}
        print(json.dumps(done), file=log, flush=True)


if __name__ == "__main__":
    main()
