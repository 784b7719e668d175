#!/usr/bin/env python3
"""One process against split: CPU time of all the system's processes per request, same requests.

Usage: shapes.py [ROUNDS] [SECONDS]
"""

import sys

import rig

rounds, seconds = (int(a) for a in (sys.argv[1:] + ["5", "4"])[:2])
# Neither the gateway nor the services may answer /popular from their caches.
UNCACHED = "[gateway]\ncache_bytes = 0\n"
systems = {"one process": rig.Atelier(config=UNCACHED), "split": rig.Atelier("--split", config=UNCACHED)}
try:
    paths = {"one process": {}, "split": {}}
    for name, system in systems.items():
        token = system.member("bench")
        ids = [system.palette(token, n) for n in range(50)]
        for n, palette in enumerate(ids[:20]):
            system.ask("POST", "/like", {"palette_id": palette}, token)
        paths[name] = {"GET /palettes/{id}": f"/palettes/{ids[0]}", "GET /popular": "/popular"}
    for what in paths["split"]:
        print(what)
        sides = {name: (s.url + paths[name][what], s.pid) for name, s in systems.items()}
        rig.table(rig.alternate(sides, rounds, seconds), base="one process")
finally:
    for system in systems.values():
        system.stop()
