#!/usr/bin/env python3
"""Likes a second, acknowledged and on disk, with 64 connections, beside Express on PostgreSQL.

Every like is a new one: USERS accounts like PALETTES palettes, each pair once. The load generator
shares the two cores. Express answers a like with two statements, as one would write it: an INSERT
that ignores a repeat, and an UPDATE of the count. Usage: likes.py [ROUNDS] [SECONDS]
"""

import glob
import json
import os
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import rig

rounds, seconds = (int(a) for a in (sys.argv[1:] + ["5", "5"])[:2])
USERS, PALETTES = 100, 5000

LUA = """
local tokens, first, palettes, round, rounds = {}, %d, %d, %d, %d
for line in io.lines("%s") do tokens[#tokens + 1] = line end
local n = 0
request = function()
  local user = tokens[n %% #tokens + 1]
  local palette = first + math.floor(n / #tokens) * rounds + round
  n = n + 1
  return wrk.format("POST", "/like", {["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. user},
    '{"palette_id":"' .. palette .. '"}')
end
"""


def script(folder, name, tokens, first, round_):
    """A load in which no pair repeats, in this round or another."""
    listed = os.path.join(folder, f"{name}.tokens")
    open(listed, "w").write("\n".join(tokens))
    file = os.path.join(folder, f"{name}-{round_}.lua")
    open(file, "w").write(LUA % (first, PALETTES, round_, rounds + 1, listed))
    return file


def load(name, url, pid, folder, tokens, first, round_):
    before = rig.cpu(pid)
    requests, rate, p99, failed = rig.wrk(url, seconds, script=script(folder, name, tokens, first, round_))
    cost = (rig.cpu(pid) - before) / max(requests, 1) * 1e6
    print(f"  {name:10} {rate:9.0f} likes/s  {cost:6.1f} µs CPU/like  p99 {p99}  failed {failed}", flush=True)
    return rate, cost


class Express:
    """The comparison: Express 5, pg, PostgreSQL 15 with its defaults, one process each."""

    def __init__(self, folder):
        tool = lambda name: sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))[-1]
        user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        run = dict(user=user.pw_uid, group=user.pw_gid) if user else {}
        self.port, self.pg = rig.free_port(), rig.free_port()
        data = os.path.join(folder, "pg")
        os.mkdir(data)
        os.chmod(folder, 0o755)
        if user:
            os.chown(data, user.pw_uid, user.pw_gid)
        subprocess.run([tool("initdb"), "-D", data, "-A", "trust", "-U", "bench"], check=True,
                       stdout=subprocess.DEVNULL, **run)
        self.postgres = subprocess.Popen(
            [tool("postgres"), "-D", data, "-p", str(self.pg), "-k", data, "-h", "127.0.0.1"],
            stderr=subprocess.DEVNULL, **run)
        source = os.path.join(rig.ROOT, "bench", "express")
        app = os.path.join(folder, "express")
        shutil.copytree(source, app)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=app, check=True)
        env = {"PORT": str(self.port), "PALETTES": str(PALETTES * 2), "NODE_ENV": "production",
               "DATABASE_URL": f"postgres://bench@127.0.0.1:{self.pg}/postgres"}
        time.sleep(2)
        self.server = rig.Server(["node", "server.js"], env=env, cwd=app)
        self.server.line()
        self.url = f"http://127.0.0.1:{self.port}/like"

    def cpu(self):
        return rig.cpu(self.server.pid) + rig.cpu(self.postgres.pid)

    def stop(self):
        self.server.stop()
        self.postgres.terminate()
        self.postgres.wait()


folder = tempfile.mkdtemp(prefix="atelier-bench-")
system = rig.Atelier()
express = Express(folder)
try:
    tokens = [system.member(f"bench{n}") for n in range(USERS)]
    first = int(system.palette(tokens[0]))
    for n in range(1, PALETTES):
        system.palette(tokens[0], n)
    ours, theirs = [], []
    for round_ in range(rounds + 1):
        one = load("atelier", system.url, system.pid, folder, tokens, first, round_)
        before = express.cpu()
        requests, rate, p99, failed = rig.wrk(
            express.url, seconds, script=script(folder, "express", [str(n) for n in range(USERS)], 1, round_))
        two = rate, (express.cpu() - before) / max(requests, 1) * 1e6
        print(f"  express    {two[0]:9.0f} likes/s  {two[1]:6.1f} µs CPU/like  p99 {p99}  failed {failed}", flush=True)
        if round_:
            ours.append(one)
            theirs.append(two)
    rig.table({"atelier": ours, "express + postgres": theirs})
    ratio = [a / b for (a, _), (b, _) in zip(ours, theirs)]
    print(f"throughput: {statistics.median(ratio):.1f} × express ({min(ratio):.1f} to {max(ratio):.1f})")
finally:
    express.stop()
    system.stop()
    shutil.rmtree(folder, ignore_errors=True)
