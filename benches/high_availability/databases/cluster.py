"""A MariaDB primary and two replicas, semi-synchronous and by GTID, in one namespace."""

import contextlib
import shutil
import signal
import subprocess
import time

from fault import Fault

from .mysql import PASSWORD, Connection, Refused

PORTS = {1: 3306, 2: 3307, 3: 3308}
USERS = f"""
CREATE DATABASE bench;
DELETE FROM mysql.global_priv WHERE User = '';
FLUSH PRIVILEGES;
CREATE USER admin@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;
CREATE USER app@'%' IDENTIFIED BY '{PASSWORD}';
GRANT SELECT, INSERT ON bench.* TO app@'%';
CREATE USER repl@'%' IDENTIFIED BY '{PASSWORD}';
GRANT REPLICATION SLAVE ON *.* TO repl@'%';
CREATE USER haechi_check@'%' IDENTIFIED BY '{PASSWORD}';
GRANT SLAVE MONITOR, BINLOG MONITOR ON *.* TO haechi_check@'%';
CREATE TABLE bench.writes (
    writer INT, number INT, server INT, PRIMARY KEY (writer, number)
) ENGINE = InnoDB;
"""
SETTINGS = (
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--log-slave-updates",
    "--gtid-strict-mode=1",
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
    "--rpl-semi-sync-slave-enabled=1",
    "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
    "--performance-schema=0",
)


class Cluster:
    def __init__(self, host, address, folder):
        self.host, self.address, self.folder = host, address, folder
        self.processes = {}

    def begin(self, template):
        for number in PORTS:
            shutil.copytree(template, self.data(number))
            self.start(number)
        self.tell(1, "SET GLOBAL read_only = 0")
        for number in (2, 3):
            self.follow(number, 1)
        self.wait(lambda: all(self.replicates(number) for number in (2, 3)), "replicas follow")
        # Of the primary alone: a replica that has none would wait before it applies anything.
        self.tell(1, "SET GLOBAL rpl_semi_sync_master_enabled = 1")

    def start(self, number, writable=False):
        """It is read-only until somebody says otherwise."""
        words = [
            "mariadbd",
            "--no-defaults",
            "--user=mysql",
            f"--datadir={self.data(number)}",
            f"--socket={self.folder}/{number}.sock",
            f"--pid-file={self.folder}/{number}.pid",
            f"--bind-address={self.address}",
            f"--port={PORTS[number]}",
            f"--server-id={number}",
            f"--read-only={0 if writable else 1}",
            *SETTINGS,
        ]
        own(self.folder)
        with open(self.folder / f"{number}.log", "ab") as log:
            self.processes[number] = subprocess.Popen(
                self.host.command(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.wait(lambda: self.answers(number), f"server {number} answers")

    def kill(self, number):
        self.processes[number].send_signal(signal.SIGKILL)
        self.processes[number].wait()

    def follow(self, number, primary):
        self.tell(number, "STOP SLAVE")
        self.tell(
            number,
            f"CHANGE MASTER TO MASTER_HOST = '{self.address}', MASTER_PORT = {PORTS[primary]}, MASTER_USER = 'repl', "
            f"MASTER_PASSWORD = '{PASSWORD}', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1",
        )
        self.tell(number, "START SLAVE")

    def tell(self, number, text):
        """By the way of an administrator: past every proxy."""
        with contextlib.closing(Connection(self.folder / f"{number}.sock", "admin")) as connection:
            return connection.records(text)

    def rows(self, number):
        """Who wrote what where: (writer, number) to the server that took it."""
        found = self.tell(number, "SELECT writer, number, server FROM bench.writes")
        return {(int(row["writer"]), int(row["number"])): int(row["server"]) for row in found}

    def is_up(self, number):
        return self.processes[number].poll() is None

    def replicates(self, number):
        with contextlib.suppress(Refused, OSError):
            found = self.tell(number, "SHOW SLAVE STATUS")
            return bool(found) and found[0]["Slave_IO_Running"] == found[0]["Slave_SQL_Running"] == "Yes"
        return False

    def answers(self, number):
        if self.processes[number].poll() is not None:
            raise Fault(f"server {number} ended: " + (self.folder / f"{number}.log").read_text()[-300:])
        with contextlib.suppress(Refused, OSError):
            return bool(self.tell(number, "SELECT 1"))
        return False

    def wait(self, condition, what, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Fault(f"not within {seconds} s: {what}")
            time.sleep(0.02)

    def data(self, number):
        return self.folder / str(number)

    def reap(self):
        for process in self.processes.values():
            process.wait(10)


def template(folder):
    """A data folder to copy: tables of the system, users and an empty table; no binary log yet."""
    data = folder / "template"
    data.mkdir()
    own(folder, data)
    made = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=mysql", "--skip-test-db"]
    done = subprocess.run(made, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Fault(f"mariadb-install-db: {(done.stderr or done.stdout)[-300:]}")
    bootstrap = ["mariadbd", "--no-defaults", "--user=mysql", f"--datadir={data}", "--bootstrap"]
    done = subprocess.run(bootstrap, input=one_line_each(USERS), capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Fault(f"mariadbd --bootstrap: {done.stderr[-300:]}")
    return data


def one_line_each(text):
    """Bootstrap takes a statement a line."""
    return "".join(" ".join(statement.split()) + ";\n" for statement in text.split(";") if statement.strip())


def own(*folders):
    for folder in folders:
        subprocess.run(["chown", "-R", "mysql:", str(folder)], check=True)
