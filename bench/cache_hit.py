#!/usr/bin/env python3
"""A hit in the gateway's cache beside nginx answering the same bytes from memory and Varnish's hit.

Each server on core 0, wrk on core 1. Usage: cache_hit.py [ROUNDS] [SECONDS]
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.request

import rig

rounds, seconds = (int(a) for a in (sys.argv[1:] + ["7", "4"])[:2])
folder = tempfile.mkdtemp(prefix="atelier-bench-")
# The lists stay in the cache for the length of the run: no event drops them, nobody writes.
system = rig.Atelier(pin=0, config="""
[[gateway.route]]
path = "/popular"
service = "popularity"
methods = ["GET"]
cache = { ms = 600000 }
""")
servers = [system]
try:
    token = system.member("bench")
    for n in range(6):
        palette = system.palette(token, n)
        system.ask("POST", "/like", {"palette_id": palette}, token)
    time.sleep(3)
    with urllib.request.urlopen(system.url + "/popular") as answer:
        body = answer.read()
    print(f"{len(body)} bytes")

    origin, nginx, varnish = rig.free_port(), rig.free_port(), rig.free_port()
    text = body.decode().replace("'", "\\'")
    for name, port in (("origin", origin), ("nginx", nginx)):
        conf = os.path.join(folder, f"{name}.conf")
        open(conf, "w").write(f"""daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/{name}b; proxy_temp_path {folder}/{name}p; fastcgi_temp_path {folder}/{name}f;
  uwsgi_temp_path {folder}/{name}u; scgi_temp_path {folder}/{name}s;
  server {{ listen 127.0.0.1:{port}; default_type application/json;
    add_header Cache-Control "public, max-age=600"; location / {{ return 200 '{text}'; }} }} }}""")
        servers.append(rig.Server(["nginx", "-c", conf], pin=0))
    sides = {
        "nginx from memory": (f"http://127.0.0.1:{nginx}/popular", servers[-1].pid),
        "atelier hit": (system.url + "/popular", system.pid),
    }
    if subprocess.run(["which", "varnishd"], capture_output=True).returncode == 0:
        servers.append(rig.Server(
            ["varnishd", "-F", "-a", f"127.0.0.1:{varnish}", "-b", f"127.0.0.1:{origin}",
             "-n", os.path.join(folder, "varnish"), "-s", "malloc,32m"], pin=0))
        sides["varnish hit"] = (f"http://127.0.0.1:{varnish}/popular", servers[-1].pid)
    time.sleep(3)
    rig.table(rig.alternate(sides, rounds, seconds, pin=1), base="nginx from memory")
finally:
    for server in servers:
        server.stop()
    subprocess.run(["rm", "-rf", folder])
