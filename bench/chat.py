#!/usr/bin/env python3
"""Rooms of 10, 1,000 and 10,000: deliveries per CPU-second and latency beside socket.io and ejabberd.

Usage: chat.py SOCKETIO_FOLDER [ROUNDS] [SECONDS] [SIDE…]
SOCKETIO_FOLDER is a copy of bench/socketio in which `npm install` has run, so that nothing is installed
here. Without a SIDE all take turns: bare writes, atelier, socket.io, ejabberd.
Needs: cargo build --release && cargo build --release -p bench --bin chat_load --bin fanout_limit
"""

import contextlib
import glob
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import rig

folder, *rest = sys.argv[1:]
numbers = [int(a) for a in rest if a.isdigit()]
rounds, seconds = (numbers + [3, 5][len(numbers):])[:2]
SIDES = [a for a in rest if not a.isdigit()] or ["bare writes", "atelier", "socket.io", "ejabberd"]
IDLE = (8, 1000)
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

# Rooms, members of each, senders in all; messages a second that all sides keep up with; messages each
# sender has under way under load.
ROOMS = [(100, 10, 100, 1000, 4), (1, 1000, 8, 20, 8), (1, 10000, 8, 2, 2)]

# Ten thousand accounts would cost ten thousand Argon2 hashes: a few have many sockets each, which these
# settings allow (0 is off).
UNLIMITED = {
    "ATELIER__CHAT__SOCKETS_PER_ACCOUNT": "0",
    "ATELIER__CHAT__MESSAGES_PER_MINUTE": "0",
    "ATELIER__LIMITS__REQUESTS_PER_SECOND_PER_ADDRESS": "0",
    "ATELIER__LIMITS__REQUESTS_PER_SECOND_PER_ACCOUNT": "0",
    "ATELIER__LIMITS__SIGN_UPS_PER_HOUR_PER_ADDRESS": "0",
}

# Rooms with nothing that costs: no history, no presences, no limits, no database, no TLS; and schedulers
# that sleep when they have nothing to do, for what they spin would count as theirs.
SLEEP = ["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
EJABBERD = """
hosts: [localhost]
loglevel: error
auth_method: anonymous
anonymous_protocol: sasl_anon
listen:
  - {port: %d, ip: 127.0.0.1, module: ejabberd_c2s, access: all, shaper: none, backlog: 4096}
modules:
  mod_muc:
    access: all
    history_size: 0
    max_users: 20000
    max_users_presence: 0
    user_message_shaper: none
    default_room_options: {persistent: false, mam: false, max_users: 20000, presence_broadcast: []}
"""


def binary(name):
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(rig.ROOT, "target"))
    return os.path.join(target, "release", name)


def listening(server):
    """The server and what it prints its address as."""
    return server, server.line().rsplit(" at ", 1)[1]


class Ejabberd(rig.Server):
    """One node that is not distributed, on a free port and in a folder of its own."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="ejabberd-bench-")
        port = rig.free_port()
        self.address = f"127.0.0.1:{port}"
        config = os.path.join(self.folder, "ejabberd.yml")
        open(config, "w").write(EJABBERD % port)
        libraries = glob.glob("/usr/lib/*/ejabberd-*") + glob.glob("/usr/lib/ejabberd-*")
        super().__init__(
            ["erl", "+K", "true", "+P", "250000", "+Q", "65536", *SLEEP, "-noinput",
             "-mnesia", "dir", json.dumps(self.folder), "-s", "ejabberd"],
            env={"EJABBERD_CONFIG_PATH": config, "EJABBERD_LOG_PATH": os.path.join(self.folder, "log"),
                 "ERL_LIBS": os.path.dirname(libraries[0]), "ERL_CRASH_DUMP_BYTES": "0"})
        while self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return
            time.sleep(0.1)
        sys.exit("ejabberd did not start")

    def stop(self):
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def atelier(*arguments):
    system = rig.Atelier(*arguments, env=UNLIMITED)
    return system, system.url.rsplit("/", 1)[1]


def start(side, sockets, rate):
    """A fresh server of a side: itself, its address, its dialect."""
    if side == "bare writes":
        limit = [binary("fanout_limit"), "--clients", str(sockets), "--rate", str(rate)]
        return *listening(rig.Server(limit)), "bare"
    if side == "socket.io":
        node = rig.Server(["node", os.path.join(folder, "server.js")], env={"NODE_ENV": "production"})
        return *listening(node), "socketio"
    if side == "ejabberd":
        server = Ejabberd()
        return server, server.address, "ejabberd"
    return *atelier(), "atelier"


def load(address, dialect, rooms, members, senders, pid, *work):
    command = [binary("chat_load"), "--dialect", dialect, "--address", address, "--pid", str(pid)]
    command += ["--rooms", str(rooms), "--members", str(members), "--senders", str(senders)]
    done = subprocess.run(command + [str(a) for a in work], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def measure(side, rooms, members, senders, *work, rate=0):
    server, address, dialect = start(side, rooms * members, rate)
    try:
        report = load(address, dialect, rooms, members, senders, server.pid, *work)
    finally:
        server.stop()
    wrong = {k: report[k] for k in ("lost", "again", "disordered", "gaps") if report.get(k)}
    if report["open"] != rooms * members or wrong:
        print(f"  {side}: {report['open']} of {rooms * members} open at the end, {wrong}", flush=True)
    return report


def compare(title, sides, base, run):
    print(title)
    results = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            results[side].append(run(side))
    for side, reports in results.items():
        costs = [r["per_cpu_second"] for r in reports]
        line = (
            f"  {side:12} {statistics.median(costs):9,.0f} ({min(costs):,.0f} to {max(costs):,.0f})"
            f" deliveries per CPU-second, {statistics.median(r['per_second'] for r in reports):9,.0f} a second"
        )
        if base in results:
            ratios = [c / b["per_cpu_second"] for c, b in zip(costs, results[base])]
            line += f", {statistics.median(ratios):.2f} × {base} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line)
        latency = [statistics.median(r["latency_ms"][k] for r in reports) for k in ("p50", "p99", "p999")]
        cores = [statistics.median(r[k] for r in reports) for k in ("cores_used", "cores_used_by_generator")]
        timed = "" if side == "bare writes" else "p50 {:.1f} ms, p99 {:.1f}, p99.9 {:.1f}; ".format(*latency)
        print(f"  {'':12} {timed}{cores[0]:.2f} cores, the generator {cores[1]:.2f}", flush=True)


def resume(title, members, *arguments, victim=None):
    """A process is killed under its members; where nobody else does, it is started again here."""
    print(title)
    reports = []
    for _ in range(rounds):
        system, address = atelier(*arguments)
        pid = system.child(victim) if victim else system.pid
        if not victim:
            threading.Thread(target=system.again_once_dead, daemon=True).start()
        try:
            reports.append(load(address, "atelier", 1, members, 8, pid, "resume", "--kill", pid))
        finally:
            system.stop()
    for name, unit in {"complete_seconds": " s", "served_again_seconds": " s"}.items():
        print(f"  {name:24} {rig.spread([r[name] for r in reports], unit)}")
    for name in ("unacknowledged_when_killed", "missing_when_back", "lost", "doubled", "disordered", "gaps"):
        print(f"  {name:24} {[r[name] for r in reports]}", flush=True)


for rooms, members, senders, rate, window in ROOMS:
    size = f"{rooms} rooms of {members:,}" if rooms > 1 else f"a room of {members:,}"
    compare(
        f"{size}, {rate} messages of 120 bytes a second: one a write",
        SIDES,
        "bare writes",
        lambda side: measure(
            side, rooms, members, senders, "paced", "--rate", rate, "--seconds", seconds, rate=rate // rooms),
    )
    compare(
        f"{size}, {senders} senders with {window} messages under way each",
        [side for side in SIDES if side != "bare writes"],
        "socket.io",
        lambda side: measure(side, rooms, members, senders, "load", "--window", window, "--seconds", seconds),
    )
rooms, members = IDLE
print(f"{rooms * members:,} idle sockets in {rooms} rooms")
for side in (side for side in SIDES if side != "bare writes"):
    figures = [measure(side, rooms, members, 0, "idle")["kib_per_socket"] for _ in range(rounds)]
    print(f"  {side:12} {rig.spread(figures, ' KiB')} a socket", flush=True)
if "atelier" in SIDES:
    resume("10,000 members, the one process killed", 10000)
    # Split, the gateway has two connections for each.
    resume("9,000 members, split, the gateway killed", 9000, "--split", victim="gateway")
