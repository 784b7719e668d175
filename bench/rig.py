"""What every measurement here stands on: a system under test, its CPU time, load, alternation.

CPU time is user + system of a process and all its children, from /proc. Both sides of a comparison
alternate within one run, so that a drift of the machine meets both. Figures are medians with range.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def atelier():
    """The release binary; ATELIER_BINARY names another."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    binary = os.environ.get("ATELIER_BINARY", os.path.join(target, "release", "atelier"))
    if not os.path.exists(binary):
        sys.exit(f"build it first: cargo build --release (looked for {binary})")
    return binary


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tree(pid):
    """The process and all its children."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()
                children.setdefault(int(stat[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu(pid):
    """Seconds of CPU time of a process tree."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            stat = open(f"/proc/{one}/stat").read().rsplit(")", 1)[1].split()
            total += int(stat[11]) + int(stat[12])
    return total / TICKS


def rss_kib(pid):
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            total += int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{one}/status").read()).group(1))
    return total


class Server:
    """A process that serves, ended with its folder when the measurement ends."""

    def __init__(self, command, pin=None, env=None, cwd=None, quiet=True):
        self.command = (["taskset", "-c", str(pin)] if pin is not None else []) + command
        self.how = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.DEVNULL if quiet else None,
            "env": {**os.environ, **(env or {})},
            "cwd": cwd,
            "text": True,
            "start_new_session": True,
        }
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, **self.how)
        self.pid = self.process.pid

    def line(self):
        return self.process.stdout.readline().strip()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)


class Atelier(Server):
    """The system in one of its shapes, on free ports and in a folder of its own."""

    def __init__(self, *arguments, pin=None, config=None, env=None):
        self.folder = tempfile.mkdtemp(prefix="atelier-bench-")
        extra = []
        if config:
            file = os.path.join(self.folder, "atelier.toml")
            open(file, "w").write(config)
            extra = ["--config", file]
        self.ended = False
        self.started = time.monotonic()
        super().__init__(
            [atelier(), "up", *arguments, "--listen", f"127.0.0.1:{free_port()}",
             "--data", os.path.join(self.folder, "data"), *extra],
            pin=pin,
            env={"ATELIER__DISCOVERY__LISTEN": f"127.0.0.1:{free_port()}", **(env or {})},
        )
        line = self.line()
        self.ready_ms = (time.monotonic() - self.started) * 1000
        if " at " not in line:
            sys.exit(f"the system did not start: {line}")
        self.url = line.rsplit(" at ", 1)[1]

    def again_once_dead(self):
        """Waits until the process has been killed and starts it again, on its folder and ports."""
        self.process.wait()
        if not self.ended:
            self.start()

    def child(self, service):
        """The process of a service of a system that is split."""
        for pid in tree(self.pid):
            words = open(f"/proc/{pid}/cmdline").read().split("\0")
            if words[1:3] == ["serve", service]:
                return pid
        sys.exit(f"{service} has no process of its own")

    def stop(self):
        self.ended = True
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, method, path, body=None, token=None):
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, json.dumps(body).encode() if body is not None else None) as r:
            text = r.read()
        return json.loads(text) if text else None

    def member(self, name):
        who = {"username": name, "password": "correct horse"}
        self.ask("POST", "/users/register", who)
        return self.ask("POST", "/users/login", who)["token"]

    def palette(self, token, number=0):
        body = {"color_codes": [f"#{number % 0xFFFFFF:06X}", "#112233", "#445566"], "category": "bench"}
        return self.ask("POST", "/palettes", body, token)["palette_id"]


def wrk(url, seconds, connections=64, script=None, pin=None, headers=()):
    """One run of wrk with one thread: (requests, per second, p99, not 2xx)."""
    command = ["taskset", "-c", str(pin)] if pin is not None else []
    command += ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency"]
    for header in headers:
        command += ["-H", header]
    if script:
        command += ["-s", script]
    out = subprocess.run(command + [url], capture_output=True, text=True).stdout
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    p99 = re.search(r"99%\s+(\S+)", out).group(1)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    failed = (int(bad.group(1)) if bad else 0) + (sum(map(int, errors.groups())) if errors else 0)
    return requests, rate, p99, failed


def spread(values, unit=""):
    """`median (least to most)`."""
    return f"{statistics.median(values):.1f}{unit} ({min(values):.1f} to {max(values):.1f})"


def alternate(sides, rounds, seconds, **load):
    """Loads each side in turn. `sides` is {name: (url, pid)}; tells {name: [(rate, µs CPU/request)]}."""
    results = {name: [] for name in sides}
    for _ in range(rounds):
        for name, (url, pid) in sides.items():
            wrk(url, 1, **load)
            before = cpu(pid)
            requests, rate, _, failed = wrk(url, seconds, **load)
            spent = cpu(pid) - before
            if failed:
                print(f"  {name}: {failed} of {requests} requests failed")
            results[name].append((rate, spent / max(requests, 1) * 1e6))
    return results


def table(results, base=None):
    for name, runs in results.items():
        rates, costs = [r for r, _ in runs], [c for _, c in runs]
        line = f"{name:24} {spread(rates):>34} req/s {spread(costs, ' µs'):>30} CPU/request"
        if base and base in results:
            ratio = [c / b for (_, c), (_, b) in zip(runs, results[base])]
            line += f"   {statistics.median(ratio):.2f} × {base} ({min(ratio):.2f} to {max(ratio):.2f})"
        print(line, flush=True)
