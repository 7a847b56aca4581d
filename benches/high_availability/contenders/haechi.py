"""haechi on both hosts."""

import json
import signal

from databases.mysql import PASSWORD
from fault import Fault

from . import READS, ROUTER, VIP, WRITES, Contender, first_line, run


class Haechi(Contender):
    name = "haechi"
    can = frozenset({"drain", "upgrade", "reload", "restart", "on_partition", "roles"})
    binary = None
    # What its log says, by event.
    unheard = "adverts do not arrive"
    refused = "refused: its password"
    errant = "has transactions that the primary has not"
    double = "more than one primary"

    @classmethod
    def version(cls):
        return first_line([cls.binary, "--version"])

    def start(self):
        self.write(self.settings)
        self.guard = self.spawn(self.binary, "run", "--config", self.path)

    def state(self):
        return self.instance().get("state", "")

    def instance(self):
        """What it says of its one instance of VRRP."""
        try:
            return json.loads(self.tell("status"))["vrrp"]["instances"][0]
        except (Fault, KeyError, IndexError):
            return {}

    def proxy(self):
        return json.loads(self.tell("status"))["worker"]["pid"]

    def stop(self):
        self.guard.process.send_signal(signal.SIGTERM)

    def drain(self):
        self.tell("drain")

    def upgrade(self):
        self.tell("upgrade")

    def reload(self, settings):
        self.settings = settings
        self.write(settings)
        self.tell("reload")

    def restart(self, settings):
        self.stop()
        self.guard.process.wait(40)
        self.settings = settings
        self.start()

    def tell(self, order):
        return run([self.binary, order, "--config", self.path])

    @property
    def path(self):
        return self.folder / "haechi.toml"

    def write(self, settings):
        servers = ", ".join(f'"{server}"' for server in settings.servers)
        handler = f'respond = {{ status = 200, body = "{self.name_of_host}" }}'
        if servers:
            handler = 'proxy = { upstream = "was" }'
        state = f'state = "{self.folder}/state"' if settings.databases else ""
        text = f"""\
[process]
workers = 1
{state}

[admin]
bind = "127.0.0.1:9900"

[log]
access = {{ format = "off" }}

[listener.http]
bind = ["{VIP}:80"]

[[site]]
hosts = ["*"]

[[site.route]]
path = "/"
response_headers = {{ set = {{ X-Host = "{self.name_of_host}" }} }}
{handler}

[vrrp.front]
interface = "eth0"
virtual_router_id = {ROUTER}
version = {settings.version}
priority = {settings.priority(self.name_of_host)}
preempt = {"true" if settings.preempt else "false"}
advert_interval = "{settings.interval_ms}ms"
addresses = ["{VIP}/24"]
on_partition = "{settings.on_partition}"
"""
        if settings.password:
            text += f'auth_pass = "{settings.password}"\n'
        if servers:
            text += f"""
[vrrp.front.track]
upstreams = {{ was = {{ healthy = 1, weight = 100 }} }}

[upstream.was]
servers = [{servers}]
health = {{ http = "/health", interval = "1s" }}
"""
        if settings.databases:
            text += databases(settings)
        self.path.write_text(text)


def databases(settings):
    """One address for writes, one for reads."""
    text = ""
    hook = f'hooks = {{ on_primary_lost = {{ command = {quoted(settings.promotion)}, timeout = "20s" }} }}'
    for name, port, role, more in (
        ("writer", WRITES, "primary", hook),
        ("reader", READS, "replica", ""),
    ):
        text += f"""
[listener.db-{name}]
bind = ["{VIP}:{port}"]
mode = "tcp"
upstream = "mysql-{name}"

[upstream.mysql-{name}]
servers = {quoted(settings.databases)}
{more}

[upstream.mysql-{name}.health]
mysql = {{ user = "haechi_check", password = "{PASSWORD}", role = "{role}" }}
interval = "{settings.check_ms}ms"
timeout = "200ms"
rise = 1
fall = 2
"""
    return text


def quoted(words):
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"
