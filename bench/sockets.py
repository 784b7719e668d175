#!/usr/bin/env python3
"""Memory of idle WebSockets on /ws/popularity of the whole system in one process.

Needs the reader: cargo build --release -p bench --bin fanout_readers
"""

import os
import resource
import subprocess
import time

import rig

COUNT = 8000
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
readers = os.path.join(os.path.dirname(rig.atelier()), "fanout_readers")
figures = []
for _ in range(3):
    system = rig.Atelier()
    time.sleep(2)
    before = rig.rss_kib(system.pid)
    url = system.url.replace("http", "ws") + "/ws/popularity"
    reader = subprocess.Popen(
        [readers, "--url", url, "--clients", str(COUNT), "--seconds", "8"], stdout=subprocess.DEVNULL)
    highest = before
    while reader.poll() is None:
        highest = max(highest, rig.rss_kib(system.pid))
        time.sleep(0.25)
    figures.append((highest - before) / COUNT)
    system.stop()
print(f"{COUNT} idle sockets: {rig.spread(figures, ' KiB')} each, everything counted")
