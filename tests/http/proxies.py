"""Real reverse proxies on loopback, as operators set them up: WebSockets let through, connections to us kept."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import free_port

PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; user root;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream outworker {{ server 127.0.0.1:{upstream}; keepalive 1; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://outworker;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host {host};
            proxy_request_buffering {buffering}; proxy_buffering off; client_max_body_size 100m;
        }}
    }}
}}
"""

HAPROXY = """
global
    stats socket {folder}/stats.sock
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    option http-keep-alive
    http-reuse always
frontend in
    bind 127.0.0.1:{port}
    http-request set-header Host {host}
    default_backend out
backend out
    {check}
    server outworker 127.0.0.1:{upstream} {probe}
"""

CADDY = """
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    reverse_proxy 127.0.0.1:{upstream} {{
        header_up Host {host}
        flush_interval -1
        transport http {{
            keepalive_idle_conns_per_host 1
        }}
    }}
}}
"""


@contextmanager
def nginx(folder: Path, upstream: int, host: str = "localhost", buffering: str = "on") -> Iterator[int]:
    """The port that it listens on. `host` is the Host header that it sends; `buffering`: of bodies."""
    config = folder / "nginx.conf"
    command = ["nginx", "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(config)]
    values = {"folder": folder, "upstream": upstream, "host": host, "buffering": buffering}
    with _running(command, config, NGINX, **values) as port:
        yield port


@contextmanager
def nginx_unbuffered(folder: Path, upstream: int) -> Iterator[int]:
    with nginx(folder, upstream, buffering="off") as port:
        yield port


@contextmanager
def haproxy(folder: Path, upstream: int, host: str = "localhost", check: str = "") -> Iterator[int]:
    """`check` has the lines of a health check; without one the server always counts as up."""
    config = folder / "haproxy.cfg"
    probe = "check inter 100ms fall 1 rise 1" if check else ""
    values = {"folder": folder, "upstream": upstream, "host": host, "check": check, "probe": probe}
    with _running(["haproxy", "-q", "-db", "-f", str(config)], config, HAPROXY, **values) as port:
        yield port


@contextmanager
def caddy(folder: Path, upstream: int, host: str = "localhost") -> Iterator[int]:
    config = folder / "Caddyfile"
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
    with _running(command, config, CADDY, folder=folder, upstream=upstream, host=host) as port:
        yield port


def haproxy_state(folder: Path) -> str:
    """What HAProxy's own check says of our server: UP, DOWN, ..."""
    with socket.socket(socket.AF_UNIX) as stats:
        stats.connect(f"{folder}/stats.sock")
        stats.sendall(b"show stat\n")
        table = b"".join(iter(lambda: stats.recv(65536), b"")).decode().splitlines()
    names = table[0].removeprefix("# ").split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in table[1:] if line]
    return next(row["status"] for row in rows if row["svname"] == "outworker")


@contextmanager
def _running(command: list[str], config: Path, template: str, **values: object) -> Iterator[int]:
    port = free_port()
    config.write_text(template.format(port=port, **values))
    environment = {
        **os.environ,
        "PATH": PATH,
        "HOME": str(config.parent),
        "XDG_DATA_HOME": str(config.parent),
    }
    with (config.parent / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)
