from . import Contender, first_line

MODULES = "/usr/lib/nginx/modules"


class Nginx(Contender):
    name = "nginx"

    def version(self):
        return first_line(["nginx", "-v"]).removeprefix("nginx version: ")

    def command(self, task, folder):
        (folder / "nginx.conf").write_text(self.configuration(task, folder))
        return ["nginx", "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"]

    def configuration(self, task, folder):
        if task.passes_on:
            return self.stream(task, folder)
        if task.static:
            location = f"root {task.documents};"
            upstream = ""
        else:
            location = (
                'proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; '
                "proxy_set_header Host $host;"
            )
            servers = " ".join(f"server {origin};" for origin in task.origins)
            hashing = "ip_hash;" if task.by_address else ""
            upstream = (
                f"upstream origin {{ {hashing} {servers} keepalive 1024; "
                "keepalive_requests 1000000000; keepalive_timeout 300s; }"
            )
        servers = f"server {{ listen {task.plain} backlog=4096 default_server; location / {{ {location} }} }}\n"
        for k in range(task.hosts if task.tls else 0):
            default = " backlog=4096 default_server" if k == 0 else ""
            servers += (
                f"server {{ listen {task.secure} ssl http2{default}; server_name {task.host(k)}; "
                f"ssl_certificate {task.certificates}/h{k}.crt; ssl_certificate_key {task.certificates}/h{k}.key; "
                f"location / {{ {location} }} }}\n"
            )
        return f"""\
user root;
daemon off;
worker_processes 1;
error_log {folder}/error.log crit;
pid {folder}/nginx.pid;
events {{ worker_connections 19000; multi_accept on; }}
http {{
    access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
    keepalive_timeout 300s; keepalive_requests 1000000000; http2_max_concurrent_streams 256;
    open_file_cache max=1000 inactive=300s; open_file_cache_valid 300s;
    server_names_hash_max_size 32768; server_names_hash_bucket_size 128;
    proxy_buffers 8 64k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0; proxy_read_timeout 300s;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:sessions:20m; ssl_session_timeout 1h;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {upstream}
    {servers}
}}
"""

    def stream(self, task, folder):
        """Connections passed on; the module is a package of its own in Debian. What one side has ended
        the other may still answer, as with the others."""
        servers = " ".join(f"server {origin};" for origin in task.origins)
        return f"""\
load_module {MODULES}/ngx_stream_module.so;
user root;
daemon off;
worker_processes 1;
error_log {folder}/error.log crit;
pid {folder}/nginx.pid;
events {{ worker_connections 19000; multi_accept on; }}
stream {{
    access_log off; tcp_nodelay on; proxy_half_close on;
    proxy_timeout 300s; proxy_connect_timeout 300s; {"proxy_buffer_size 64k;" if task.large else ""}
    upstream origin {{ {servers} }}
    server {{ listen {task.plain} backlog=4096; proxy_pass origin; }}
}}
"""
