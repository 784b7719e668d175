#!/usr/bin/env python3
"""WebSocket fan-out: deliveries per CPU-second beside bare writes and `ws` on Node; idle sockets.

Usage: fanout.py WS_FOLDER [ROUNDS] [SECONDS]
WS_FOLDER is a copy of bench/ws in which `npm install` has run, so that nothing is installed here.
"""

import json
import os
import resource
import statistics
import subprocess
import sys

import rig

ws, *rest = sys.argv[1:]
rounds, seconds = (int(a) for a in (rest + ["5", "5"])[:2])
READERS = 1000
IDLE = 8000
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def binary(name):
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(rig.ROOT, "target"))
    return os.path.join(target, "release", name)


def hub(rate, *more):
    return [binary("fanout_hub"), "--rate", str(rate), *more]


def limit(rate):
    return [binary("fanout_limit"), "--rate", str(rate), "--clients", str(READERS)]


def node(rate):
    return ["node", os.path.join(ws, "server.js"), str(rate), "120", str(READERS)]


def run(command, clients, length, relayed=False):
    """Counts what `clients` readers of a server get; where relayed, at the relay's cost."""
    server = upstream = rig.Server(command)
    try:
        address = server.line().rsplit(" at ", 1)[1]
        if relayed:
            server = rig.Server([binary("fanout_relay"), "--upstream", address])
            address = server.line().rsplit(" at ", 1)[1]
        readers = [binary("fanout_readers"), "--url", f"ws://{address}/", "--clients", str(clients)]
        readers += ["--seconds", str(length), "--pid", str(server.pid)]
        report = json.loads(subprocess.run(readers, capture_output=True, text=True, check=True).stdout)
    finally:
        for one in {server, upstream}:
            one.stop()
    if report["open"] != clients or report["lost"]:
        print(f"  {command[0]}: {report['open']} of {clients} opened, {report['lost']} lost")
    return report


def compare(title, sides, base):
    print(title)
    results = {name: [] for name in sides}
    arrived = {name: [] for name in sides}
    for _ in range(rounds):
        for name, command in sides.items():
            report = run(command, READERS, seconds)
            results[name].append(report["messages"] / report["cpu_seconds"])
            arrived[name].append(report["per_second"])
    for name, figures in results.items():
        ratios = [f / b for f, b in zip(figures, results[base])]
        print(
            f"  {name:28} {statistics.median(figures):9,.0f} ({min(figures):,.0f} to {max(figures):,.0f})"
            f" deliveries per CPU-second, {statistics.median(arrived[name]):9,.0f} a second,"
            f" {statistics.median(ratios):.2f} × {base} ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


compare(
    f"120 bytes to {READERS} readers, 80 frames a second: one frame a write",
    {"bare writes": limit(80), "hub": hub(80), "ws": node(80)},
    "bare writes",
)
compare(
    f"120 bytes to {READERS} readers, 500 frames a second: more than one write each allows",
    {"ws": node(500), "hub": hub(500), "hub, 10 ms a write": hub(500, "--pace", "10")},
    "ws",
)
print(f"{IDLE} idle sockets")
for name, (command, relayed) in {
    "hub": (hub(0), False),
    "relay in front of it": (hub(0), True),
    "ws": (node(0), False),
}.items():
    figures = [run(command, IDLE, 1, relayed)["kib_per_socket"] for _ in range(3)]
    print(f"  {name:28} {rig.spread(figures, ' KiB')} a socket", flush=True)
