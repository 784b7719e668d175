#!/usr/bin/env python3
"""One slow instance among eight: how many requests are answered within a second, by how an instance
is chosen, beside HAProxy's leastconn on the same backends.

Usage: one_slow.py [ROUNDS] [SECONDS] [REQUESTS A SECOND]
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import rig

rounds, seconds, rate = (int(a) for a in (sys.argv[1:] + ["3", "20", "500"][len(sys.argv) - 1:]))
release = os.path.dirname(rig.atelier())
folder = tempfile.mkdtemp(prefix="atelier-bench-")
servers, sides = [], {}
try:
    servers.append(rig.Server([os.path.join(release, "one_slow"), "backends"]))
    backends = servers[-1].line().split()
    for policy in ("peak-ewma", "least-connections", "round-robin"):
        port = rig.free_port()
        command = [os.path.join(release, "gateway_alone"), "--listen", f"127.0.0.1:{port}", "--policy", policy]
        for backend in backends:
            command += ["--backend", backend]
        servers.append(rig.Server(command))
        servers[-1].line()
        sides[policy] = f"http://127.0.0.1:{port}/"
    if shutil.which("haproxy"):
        port = rig.free_port()
        conf = os.path.join(folder, "haproxy.cfg")
        lines = "\n".join(f"  server s{n} {backend}" for n, backend in enumerate(backends))
        open(conf, "w").write(f"""global
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
  balance leastconn
{lines}
""")
        servers.append(rig.Server(["haproxy", "-db", "-f", conf]))
        sides["HAProxy leastconn"] = f"http://127.0.0.1:{port}/"
    time.sleep(2)
    told = {name: [] for name in sides}
    for _ in range(rounds):
        for name, url in sides.items():
            out = subprocess.run(
                [os.path.join(release, "one_slow"), "load", url, "--per-second", str(rate), "--seconds", str(seconds)],
                capture_output=True, text=True, check=True).stdout
            told[name].append(json.loads(out))
    print(f"{len(backends)} backends, one takes 2 s and the others 5 ms; {rate} requests a second")
    for name, runs in told.items():
        share = [100 * run["in_time"] for run in runs]
        print(f"{name:20} {statistics.median(share):7.3f} % within a second ({min(share):.3f} to {max(share):.3f})"
              f"   p99 {statistics.median(run['p99_ms'] for run in runs):7.1f} ms"
              f"   p99.9 {statistics.median(run['p999_ms'] for run in runs):7.1f} ms")
finally:
    for server in servers:
        server.stop()
    shutil.rmtree(folder, ignore_errors=True)
