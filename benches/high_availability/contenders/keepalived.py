"""keepalived beside HAProxy on both hosts, as it is mostly set up."""

import signal

from . import ROUTER, VIP, Contender, first_line


class Keepalived(Contender):
    name = "keepalived"
    can = frozenset({"restart"})  # it reloads, but goes on with the old password
    # It has no words for adverts that are lost.
    unheard = None
    refused = "invalid passwd"

    @classmethod
    def version(cls):
        keepalived = first_line(["keepalived", "--version"]).split(" (")[0]
        return f"{keepalived}, " + first_line(["haproxy", "-v"]).split(" - ")[0]

    def start(self):
        (self.folder / "haproxy.cfg").write_text(self.haproxy())
        # It binds an address that is not there yet.
        self.spawn("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind").process.wait()
        self.balancer = self.spawn("haproxy", "-db", "-f", self.folder / "haproxy.cfg")
        (self.folder / "balancer.pid").write_text(str(self.balancer.pid))
        self.direct()

    def direct(self):
        self.write(self.settings)
        pids = ["--pid", self.folder / "pid", "--vrrp_pid", self.folder / "vrrp.pid"]
        options = ["--dont-fork", "--log-console", "--vrrp", "--use-file", self.folder / "keepalived.conf"]
        self.director = self.spawn("keepalived", *options, *pids)

    def state(self):
        words = {"Entering MASTER STATE": "active", "Entering BACKUP STATE": "backup", "Entering FAULT STATE": "fault"}
        state = ""
        for _, line in list(self.director.lines):
            state = next((word for words_of_log, word in words.items() if words_of_log in line), state)
        return state

    def proxy(self):
        return self.balancer.pid

    def stop(self):
        self.director.process.send_signal(signal.SIGTERM)

    def restart(self, settings):
        self.stop()
        self.director.process.wait(30)
        self.settings = settings
        self.direct()

    def write(self, settings):
        password = settings.password and f"""
    authentication {{
        auth_type PASS
        auth_pass {settings.password}
    }}"""
        text = f"""\
global_defs {{
    vrrp_version {settings.version}
    enable_script_security
    script_user root
}}
vrrp_script balancer {{
    script "/bin/sh -c 'kill -0 $(cat {self.folder}/balancer.pid)'"
    interval 2
    fall 1
    rise 1
}}
vrrp_instance front {{
    state BACKUP
    interface eth0
    virtual_router_id {ROUTER}
    priority {settings.priority(self.name_of_host)}
    advert_int {settings.interval_ms / 1000:g}
    {"" if settings.preempt else "nopreempt"}
    {password}
    virtual_ipaddress {{
        {VIP}/24
    }}
    track_script {{
        balancer
    }}
}}
"""
        (self.folder / "keepalived.conf").write_text(text)

    def haproxy(self):
        if self.settings.servers:
            servers = "\n".join(
                f"    server s{number} {server} check inter 1s fall 2 rise 2"
                for number, server in enumerate(self.settings.servers)
            )
            answer = f"option httpchk GET /health\n    balance roundrobin\n{servers}"
        else:
            answer = f'http-request return status 200 content-type text/plain string "{self.name_of_host}"'
        return f"""\
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
listen front
    bind {VIP}:80
    http-after-response set-header X-Host {self.name_of_host}
    {answer}
"""
