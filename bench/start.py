#!/usr/bin/env python3
"""Time until the system can serve, from a fresh folder and again, and memory when idle."""

import subprocess
import time

import rig

fresh, again, memory = [], [], []
for _ in range(7):
    system = rig.Atelier()
    fresh.append(system.ready_ms)
    time.sleep(2)
    memory.append(rig.rss_kib(system.pid) / 1024)
    data = system.folder + "/data"
    rig.Server.stop(system)
    started = time.monotonic()
    second = rig.Server(
        [rig.atelier(), "--listen", f"127.0.0.1:{rig.free_port()}", "--data", data],
        env={"ATELIER__DISCOVERY__LISTEN": f"127.0.0.1:{rig.free_port()}"},
    )
    second.line()
    again.append((time.monotonic() - started) * 1000)
    second.stop()
    subprocess.run(["rm", "-rf", system.folder])
print("ready, fresh folder ", rig.spread(fresh, " ms"))
print("ready, used folder  ", rig.spread(again, " ms"))
print("resident when idle  ", rig.spread(memory, " MiB"))
