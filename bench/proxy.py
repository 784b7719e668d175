#!/usr/bin/env python3
"""The gateway in front of two plain HTTP backends beside nginx and HAProxy: CPU per request.

The gateway runs alone (gateway_alone) with token check, metrics, EWMA and breaker on, and every
request carries a token. Each proxy on core 0, wrk and the backends on core 1.
`cached` compares a hit in the gateway's cache with nginx answering the same bytes from memory.
Usage: proxy.py [ROUNDS] [SECONDS] [CONNECTIONS]
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

import rig

rounds, seconds, connections = (int(a) for a in (sys.argv[1:] + ["7", "4", "64"][len(sys.argv) - 1:]))
folder = tempfile.mkdtemp(prefix="atelier-bench-")
binary = os.environ.get("GATEWAY_ALONE", os.path.join(os.path.dirname(rig.atelier()), "gateway_alone"))
body = "[" + ",".join(
    '{"palette_id":"%d","color_codes":["#112233","#445566","#778899","#AABBCC"],"likes":%d}' % (n, n * 3)
    for n in range(12)) + "]"


def nginx(name, pin, server, upstream=""):
    conf = os.path.join(folder, f"{name}.conf")
    temporary = "".join(f"{kind}_temp_path {folder}/{name}-{kind};" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    open(conf, "w").write(f"""daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; {temporary}
  {upstream} server {{ {server} }} }}""")
    return rig.Server(["nginx", "-c", conf], pin=pin)


servers = []
try:
    backends = [rig.free_port(), rig.free_port()]
    for port in backends:
        answer = f"listen 127.0.0.1:{port}; default_type application/json; location / {{ return 200 '{body}'; }}"
        servers.append(nginx(f"backend{port}", 1, answer))
    sides, cached = {}, {}

    port = rig.free_port()
    peers = " ".join(f"server 127.0.0.1:{backend};" for backend in backends)
    servers.append(nginx(
        "nginx", 0,
        f"""listen 127.0.0.1:{port}; location / {{ proxy_pass http://be; proxy_http_version 1.1;
            proxy_set_header Connection ""; }}
            location /cached {{ default_type application/json; return 200 '{body}'; }}""",
        f"upstream be {{ {peers} keepalive 128; keepalive_requests 1000000000; }}"))
    sides["nginx"] = (f"http://127.0.0.1:{port}/", servers[-1].pid)
    cached["nginx from memory"] = (f"http://127.0.0.1:{port}/cached", servers[-1].pid)

    if shutil.which("haproxy"):
        port = rig.free_port()
        conf = os.path.join(folder, "haproxy.cfg")
        lines = "\n".join(f"  server s{backend} 127.0.0.1:{backend}" for backend in backends)
        open(conf, "w").write(f"""global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  balance roundrobin
{lines}
""")
        servers.append(rig.Server(["haproxy", "-db", "-f", conf], pin=0))
        sides["haproxy"] = (f"http://127.0.0.1:{port}/", servers[-1].pid)

    port = rig.free_port()
    command = [binary, "--listen", f"127.0.0.1:{port}"]
    for backend in backends:
        command += ["--backend", f"127.0.0.1:{backend}"]
    servers.append(rig.Server(command, pin=0))
    token = servers[-1].line().rsplit(" ", 1)[1]
    sides["gateway"] = (f"http://127.0.0.1:{port}/", servers[-1].pid)
    cached["gateway hit"] = (f"http://127.0.0.1:{port}/cached", servers[-1].pid)

    if shutil.which("varnishd"):
        port = rig.free_port()
        servers.append(rig.Server(
            ["varnishd", "-F", "-a", f"127.0.0.1:{port}", "-b", f"127.0.0.1:{backends[0]}", "-t", "3600",
             "-n", os.path.join(folder, "varnish"), "-s", "malloc,32m"], pin=0))
        cached["varnish hit"] = (f"http://127.0.0.1:{port}/cached", servers[-1].pid)
    time.sleep(3)
    load = dict(pin=1, connections=connections)
    print(f"proxied, {len(body)} bytes, {connections} connections, with a token")
    rig.table(rig.alternate(sides, rounds, seconds, headers=(f"Authorization: Bearer {token}",), **load), "nginx")
    print("the same without a token")
    rig.table(rig.alternate(sides, rounds, seconds, **load), "nginx")
    print("from the cache, without a token (Varnish passes what carries one)")
    rig.table(rig.alternate(cached, rounds, seconds, **load), "nginx from memory")
finally:
    for server in servers:
        server.stop()
    subprocess.run(["rm", "-rf", folder])
