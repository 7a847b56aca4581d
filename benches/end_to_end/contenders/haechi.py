from . import Contender, first_line


class Haechi(Contender):
    name = "haechi"

    def __init__(self, binary, name="haechi", workers=1, access="off", cpus=None):
        self.binary = binary
        self.name = name
        self.workers = workers
        self.access = access  # the format of its access log
        self.cpus = cpus

    def version(self):
        return first_line([self.binary, "--version"])

    def command(self, task, folder):
        (folder / "haechi.toml").write_text(self.configuration(task, folder))
        return [self.binary, "run", "--config", folder / "haechi.toml"]

    def configuration(self, task, folder):
        text = f"""\
[process]
workers = {self.workers}

[admin]
bind = "127.0.0.2:0"

[log]
level = "warn"
access = {{ format = "{self.access}", to = "{folder}/access.log" }}

[listener.plain]
bind = ["{task.plain}"]
timeouts = {{ idle = "300s" }}
"""
        if task.passes_on:
            text += 'mode = "tcp"\nupstream = "origin"\n'
        if task.tls:
            pairs = ", ".join(
                f'{{ cert = "{task.certificates}/h{k}.crt", key = "{task.certificates}/h{k}.key" }}'
                for k in range(task.hosts)
            )
            text += f"""
[listener.secure]
bind = ["{task.secure}"]
protocols = ["h2", "http/1.1"]
timeouts = {{ idle = "300s" }}

[listener.secure.tls]
certificates = [{pairs}]
"""
        handler = f'files = {{ root = "{task.documents}" }}' if task.static else 'proxy = { upstream = "origin" }'
        if not task.passes_on:
            text += f"""
[[site]]
hosts = ["*"]

[[site.route]]
path = "/"
{handler}
"""
        if not task.static:
            servers = ", ".join(f'"{origin}"' for origin in task.origins)
            text += f"""
[upstream.origin]
balance = "{"ip_hash" if task.by_address else "round_robin"}"
servers = [{servers}]
timeouts = {{ idle = "300s" }}
"""
        return text
