import os
import signal

from . import Contender, first_line


class Haproxy(Contender):
    name = "haproxy"
    serves_files = False

    def version(self):
        return first_line(["haproxy", "-v"]).split(" - ")[0]

    def command(self, task, folder):
        (folder / "haproxy.cfg").write_text(self.configuration(task, folder))
        return ["haproxy", "-W", "-db", "-q", "-f", folder / "haproxy.cfg"]

    def configuration(self, task, folder):
        secure = ""
        if task.tls:
            certificates = folder / "certificates.list"
            lines = (f"{task.certificates}/h{k}.pem {task.host(k)}\n" for k in range(task.hosts))
            certificates.write_text("".join(lines))
            secure = f"bind {task.secure} backlog 4096 ssl crt-list {certificates} alpn h2,http/1.1"
        only_http = "" if task.passes_on else "timeout http-keep-alive 300s\n    timeout http-request 300s\n    http-reuse always"
        servers = "\n".join(
            f"    server s{k} {origin} pool-max-conn -1 pool-purge-delay 300s"
            for k, origin in enumerate(task.origins)
        )
        return f"""\
global
    nbthread 1
    maxconn {4500 if task.large else 9000}
    ssl-default-bind-options ssl-min-ver TLSv1.2
    {"tune.bufsize 65536" if task.large else ""}
defaults
    mode {"tcp" if task.passes_on else "http"}
    timeout connect 300s
    timeout client 300s
    timeout server 300s
    {only_http}
    {"option splice-auto" if task.large else ""}
frontend clients
    bind {task.plain} backlog 4096
    {secure}
    default_backend origin
backend origin
    balance {"source" if task.by_address else "roundrobin"}
{servers}
"""

    def reload(self, running):
        os.kill(running.process.pid, signal.SIGUSR2)
