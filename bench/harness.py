"""Shared by the scripts of the benchmark: building, the sink, running one client, statistics.

A run counts only if the sink received every byte and, in every part, the requested checksum. The cost
of a client is the user and system time of its own process (wait4); the feeder, the sink and this script
only share the cores with it.
"""

import json
import os
import queue
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from dataclasses import dataclass, field

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
README = os.path.join(ROOT, "README.md")
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
RELEASE = os.path.join(TARGET, "release")
# OCIPIPE_BIN names another build of ocipipe, to compare two builds.
OCIPIPE = os.environ.get("OCIPIPE_BIN", os.path.join(RELEASE, "ocipipe"))
MIB = 1 << 20
GIB = 1 << 30
LIMIT = 1800


def build():
    """Builds ocipipe and the programs of this folder, optimised."""
    environment = dict(os.environ, CARGO_TARGET_DIR=TARGET)
    for folder in (ROOT, BENCH):
        command = ["cargo", "build", "--release", "--quiet"]
        subprocess.run(command, cwd=folder, env=environment, check=True)


def program(name):
    return os.path.join(RELEASE, name)


def size_of(text):
    match = re.fullmatch(r"([0-9.]+)\s*(B|K|KiB|M|MiB|G|GiB)?", text)
    if not match:
        sys.exit(f"not a size: {text}")
    unit = {"B": 1, "K": 1 << 10, "M": MIB, "G": GIB}[(match[2] or "B")[0]]
    return int(float(match[1]) * unit)


def warm_memory(size):
    """Touches and frees memory. On a virtual machine the first touch of pages that were returned to the
    host is expensive, and a client must not pay for it. Uses a process of its own, because the kernel
    counts the peak memory of this one for its children too."""
    script = ("import mmap\n"
              f"memory = mmap.mmap(-1, {size})\n"
              "memory.madvise(mmap.MADV_HUGEPAGE)\n"
              f"for _ in range({size // MIB}): memory.write(b'1' * {MIB})\n")
    subprocess.run([sys.executable, "-c", script], check=True)


class Sink:
    """The sink as a process that reports on stdout what has arrived."""

    def __init__(self, *options):
        self.dir = tempfile.mkdtemp(prefix="ocipipe-bench-")
        self.process = subprocess.Popen(
            [program("sink"), "--dir", self.dir, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]
        self.ca = os.path.join(self.dir, "ca.pem")
        self.reports = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.reports.put(json.loads(line))

    def report(self, name):
        """The sink's report of an object; None if it was not completed."""
        while True:
            try:
                report = self.reports.get(timeout=2)
            except queue.Empty:
                return None
            if report["object"] == name:
                return report

    def curve(self):
        """Of a paced line since the last call: seconds since 1970, bytes of the line by then, requests
        in flight."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.report("curve")["curve"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def passed(curve, at):
    """The bytes that the line had carried at a time, interpolated between two points of the curve."""
    before = curve[0]
    for point in curve:
        if point[0] >= at:
            span = (point[0] - before[0]) or 1
            return before[1] + (point[1] - before[1]) * (at - before[0]) / span
        before = point
    return curve[-1][1]


@dataclass
class Client:
    """One way to upload. `command` is a function of the sink and the object's name."""

    name: str
    checksum: str
    claim: str | None  # the header that every part must carry
    command: object
    environment: dict = field(default_factory=dict)


@dataclass
class Run:
    size: int
    wall: float
    user: float
    system: float
    rss: int  # bytes
    report: dict
    problem: str | None
    output: str = ""  # stdout and stderr
    fed: float = 0.0  # when the feeder had written its last byte, seconds since 1970

    @property
    def cpu(self):
        """Seconds per GiB."""
        return (self.user + self.system) * GIB / self.size

    @property
    def speed(self):
        """Gigabytes (1e9) per second."""
        return self.size / self.wall / 1e9


COUNT = [0]


def run(client, sink, size, rate=None, quiet=True, watch=None):
    """Pipes `size` bytes through a client into the sink and measures the cost."""
    COUNT[0] += 1
    name = f"run-{os.getpid()}-{COUNT[0]}"
    feed = [program("feed"), "--size", str(size)] + (["--rate", rate] if rate else [])
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    # The clients must trust the sink's authority and not this machine's.
    for bundle in ("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        environment[bundle] = sink.ca
    environment.update(client.environment)
    # A file and not a pipe, which would block a client with much output.
    errors = tempfile.TemporaryFile()
    command = client.command(sink, name)
    feeder = subprocess.Popen(feed, stdout=subprocess.PIPE)
    started_at = time.monotonic()
    process = subprocess.Popen(command, stdin=feeder.stdout, stdout=errors, stderr=errors,
                               env=environment)
    feeder.stdout.close()
    timer = threading.Timer(LIMIT, process.kill)
    timer.start()
    fed = []
    waiter = threading.Thread(target=lambda: (feeder.wait(), fed.append(time.time())))
    waiter.start()
    if watch:
        threading.Thread(target=watch, args=(process.pid,), daemon=True).start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started_at
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    waiter.join()
    report = sink.report(name) if process.returncode == 0 else None
    problem = None
    if process.returncode != 0:
        problem = f"exit {process.returncode}"
    elif report is None:
        problem = "the sink saw no object"
    elif report["bytes"] != size:
        problem = f"the sink saw {report['bytes']} of {size} bytes"
    elif client.claim and report["checksums"].get(client.claim) != report["parts"]:
        problem = f"not every part carried {client.claim}: {report['checksums']}"
    errors.seek(0)
    output = errors.read().decode(errors="replace").strip()
    if problem:
        print(f"  {client.name}: not counted: {problem}\n{output[-600:]}", file=sys.stderr)
    return Run(size, wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024, report, problem,
               output, fed[0])


def fetch(client, sink, size, checksum, hash_it=False):
    """Runs a downloading client with a pipe as stdout, whose reader discards what it gets."""
    name = f"stored-{size}-{checksum}"
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    for bundle in ("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        environment[bundle] = sink.ca
    environment.update(client.environment)
    errors = tempfile.TemporaryFile()
    command = client.command(sink, name)
    started_at = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=errors, env=environment)
    drain = subprocess.Popen([program("drain")] + ["--hash"] * hash_it, stdin=process.stdout,
                             stdout=subprocess.PIPE, text=True)
    process.stdout.close()
    timer = threading.Timer(LIMIT, process.kill)
    timer.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started_at
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    words = drain.communicate()[0].split()
    problem = None
    if process.returncode != 0:
        problem = f"exit {process.returncode}"
    elif not words or int(words[0]) != size:
        problem = f"the reader got {words[:1]} of {size} bytes"
    errors.seek(0)
    output = errors.read().decode(errors="replace").strip()
    if problem:
        print(f"  {client.name}: not counted: {problem}\n{output[-600:]}", file=sys.stderr)
    return Run(size, wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024,
               {"crc32c": words[1] if len(words) > 1 else ""}, problem, output)


def identity(folder):
    """A throw-away API key and a config file in the format of the OCI CLI."""
    key = os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", key, "2048"], check=True,
                   stderr=subprocess.DEVNULL)
    os.chmod(key, 0o600)
    public = subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-outform", "DER"],
                            check=True, capture_output=True).stdout
    import hashlib
    digest = hashlib.md5(public).hexdigest()
    fingerprint = ":".join(digest[i:i + 2] for i in range(0, 32, 2))
    config = os.path.join(folder, "config")
    with open(config, "w", encoding="ascii") as file:
        file.write("[DEFAULT]\nuser=ocid1.user.oc1..bench\ntenancy=ocid1.tenancy.oc1..bench\n"
                   f"fingerprint={fingerprint}\nkey_file={key}\nregion=us-ashburn-1\n")
    os.chmod(config, 0o600)
    return config


def ocipipe(config, checksum, *more, name=None, binary=None, says="--quiet"):
    claim = {"sha256": "opc-content-sha256", "crc32c": "opc-content-crc32c",
             "md5": "content-md5", "none": None}[checksum]

    def command(sink, object_name):
        return [binary or OCIPIPE, "put", f"oci://bench@benchns/{object_name}",
                "--config-file", config, "--endpoint", f"https://127.0.0.1:{sink.port}",
                "--cert-bundle", sink.ca, "--checksum", checksum, says, *more]

    return Client(name or f"ocipipe {checksum}", checksum, claim, command)


def floor(checksum, connections=4, *more):
    claim = {"sha256": "opc-content-sha256", "crc32c": "opc-content-crc32c", "none": None}[checksum]

    def command(sink, object_name):
        return [program("floor"), "--port", str(sink.port), "--ca", sink.ca, "--object",
                object_name, "--checksum", checksum, "--connections", str(connections), *more]

    return Client(f"floor {checksum}", checksum, claim, command)


def ocipipe_get(config, checksum, *more, name=None, binary=None):
    """`ocipipe get`; the service holds a digest by `checksum`, which is compared."""
    def command(sink, object_name):
        return [binary or OCIPIPE, "get", f"oci://bench@benchns/{object_name}",
                "--config-file", config, "--endpoint", f"https://127.0.0.1:{sink.port}",
                "--cert-bundle", sink.ca, "--progress", "none", *more]

    return Client(name or f"ocipipe get {checksum}", checksum, None, command)


def floor_get(checksum, connections=4):
    def command(sink, object_name):
        return [program("floor"), "--download", "--port", str(sink.port), "--ca", sink.ca,
                "--object", object_name, "--checksum", checksum, "--connections",
                str(connections)]

    return Client(f"floor get {checksum}", checksum, None, command)


def rung(config, name, checksum, *more):
    """The library's pipeline up to a rung that sends: `http` or `tls`."""
    def command(sink, object_name):
        return [program("ladder"), "--rung", name, "--checksum", checksum, "--config", config,
                "--port", str(sink.port), "--ca", sink.ca, "--object", object_name, *more]

    return Client(name, checksum, ocipipe(config, checksum).claim, command)


def into_readme(script, words, rows, picture=None):
    """Writes what a script has measured between its two marks in the README."""
    begin, end = f"<!-- made by {script} --readme -->\n", "<!-- end -->"
    with open(README, encoding="utf-8") as file:
        before, rest = file.read().split(begin)
    after = rest[rest.index(end):]
    shown = f"![The same as a plot]({picture})\n\n" if picture else ""
    with open(README, "w", encoding="utf-8") as file:
        file.write(f"{before}{begin}{textwrap.fill(words, 100)}\n\n{shown}{rows}\n{after}")


def median(values):
    return statistics.median(values) if values else float("nan")


def least(values):
    return min(values) if values else float("nan")


def most(values):
    return max(values) if values else float("nan")


def read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "?"


def machine():
    cpu = next((line.split(":")[1].strip() for line in read("/proc/cpuinfo").splitlines()
                if line.startswith("model name")), "?")
    return f"{os.cpu_count()} cores ({cpu})"


def conditions():
    """The conditions of a measurement, as text."""
    control = read("/proc/sys/net/ipv4/tcp_congestion_control")
    return (f"{machine()}, Linux {os.uname().release}, congestion control "
            f"{control}, load {os.getloadavg()[0]:.1f} at the start")
