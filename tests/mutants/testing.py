"""Which tests pass a mutant, and whether one of them fails.

Owns the trace of each test, the order of the tests, and the limits of a process. Must not know how a mutant is
compiled. Invariant: `killed` means that a test failed that does not fail without the mutant.
"""

import collections
import hashlib
import os
import pickle
import re
import resource
import signal
import subprocess
import tempfile
import threading
import time

from tree import WORK, environment

# A test below this many processor seconds runs with others in one process.
QUICK = 0.2


def is_library(test):
    return ":lib:" in test[0]


class Tests:
    """The tests of the programs: how long each takes, and which mutants each passes."""

    def __init__(self, programs, slowest):
        self.programs, self.slowest = programs, slowest
        self.seconds, self.waits, self.passed = {}, {}, {}

    def trace(self, jobs):
        """Runs each test by itself. The result is kept for equal programs."""
        digest = hashlib.sha256()
        for name in sorted(self.programs):
            digest.update(open(self.programs[name][0], "rb").read())
        kept = os.path.join(WORK, f"trace-{digest.hexdigest()[:16]}")
        if os.path.exists(kept):
            self.seconds, self.waits, self.passed = pickle.load(open(kept, "rb"))
            return
        todo = [(program, test) for program in self.programs
                for test in self.listed(program) - self.listed(program, "--ignored")]

        def one(test):
            with tempfile.NamedTemporaryFile(dir=WORK) as trace:
                began = time.monotonic()
                result, self.seconds[test] = run_tests(self.programs[test[0]], [test[1]], 0, 600, 600, trace.name)
                self.waits[test] = time.monotonic() - began
                if result == "passed":
                    self.passed[test] = {int(line) for line in trace.read().split()}
                else:
                    print(f"left out, since it fails without a mutant: {test[1]}", flush=True)

        in_parallel(sorted(todo), one, jobs)
        with open(kept, "wb") as file:
            pickle.dump((self.seconds, self.waits, self.passed), file)

    def listed(self, program, *which):
        path, folder = self.programs[program]
        lines = subprocess.run([path, "--list", "--format", "terse", *which], cwd=folder, check=True,
                               stdout=subprocess.PIPE, env=environment()).stdout.decode().splitlines()
        return {line.removesuffix(": test") for line in lines if line.endswith(": test")}

    def groups(self, mutant):
        """The tests that pass the mutant, as they run together: of its module, quick ones, slow ones."""
        tests = [test for test, numbers in self.passed.items()
                 if mutant.number in numbers and self.seconds[test] < self.slowest]
        words = [word.removesuffix(".rs") for word in mutant.file.split("/")]
        module = next(word for word in words if word not in ("src", "proto"))
        is_far = lambda test: module not in test[1].split("::")
        cost = lambda test: max(self.seconds[test], self.waits[test] / 4)
        groups = []
        for test in sorted(tests, key=lambda test: (cost(test) > QUICK, is_far(test), cost(test))):
            last = groups[-1] if groups else []
            together = last and last[0][0] == test[0] and len(last) < 60 and is_library(test)
            if together and cost(test) < QUICK and sum(map(cost, last)) < 3 * QUICK:
                last.append(test)
            else:
                groups.append([test])
        return groups

    def try_mutant(self, mutant):
        """Its outcome, and the test."""
        groups = self.groups(mutant)
        for group in groups:
            program = self.programs[group[0][0]]
            limits = (1 + 4 * sum(self.seconds[test] for test in group),
                      60 + 4 * sum(self.waits[test] for test in group))
            result, _ = run_tests(program, [test[1] for test in group], mutant.number, *limits)
            if result in ("died", "timeout"):
                # Of several in one process; and a test of several processes may fail on a busy machine.
                for test in group:
                    result, _ = run_tests(program, [test[1]], mutant.number, *limits)
                    if result != "passed":
                        group = [test]
                        break
            elif result != "passed" and not is_library(group[0]):
                result, _ = run_tests(program, [group[0][1]], mutant.number, *limits)
            if result != "passed":
                outcome = "timeout" if result == "timeout" else "killed"
                name = result.removeprefix("failed ") if result.startswith("failed ") else group[0][1]
                return outcome, f"{group[0][0]} {name}"
        return "survived", "?" if groups else "? no test passes it"


def run_tests(program, names, number, cpu, wall, trace=None):
    """Runs tests of one program with a switch on: passed, failed NAME, died or timeout; and the processor seconds.
    Without names all of them run."""
    path, folder = program

    def limits():
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 2))
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    env = environment(MUTANT_ACTIVE=str(number), RUST_BACKTRACE="0", PROPTEST_RNG_SEED="17",
                      PROPTEST_DISABLE_FAILURE_PERSISTENCE="1")
    if trace:
        env["MUTANT_TRACE"] = trace
    # A group and no session: the terminal that a test opens would become that of the session, and its end a SIGHUP.
    child = subprocess.Popen([path, "--exact", "--test-threads", "1", *names], cwd=folder, env=env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             process_group=0, preexec_fn=limits)
    late = threading.Event()

    def end():
        late.set()
        kill(child)

    timer = threading.Timer(wall, end)
    timer.start()
    result = "passed"
    for line in child.stdout:
        failed = re.match(rb"test (\S+).* \.\.\. FAILED", line)
        if failed:
            result = "failed " + failed.group(1).decode()
            kill(child)
            break
    child.stdout.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = code = os.waitstatus_to_exitcode(status)
    timer.cancel()
    # What a test has started ends with it.
    kill(child)
    if result == "passed" and code != 0:
        result = "timeout" if late.is_set() or -code in (signal.SIGXCPU, signal.SIGKILL) else "died"
    return result, usage.ru_utime + usage.ru_stime


def kill(child):
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def in_parallel(todo, work, jobs):
    queue, faults = collections.deque(todo), []

    def loop():
        while not faults:
            try:
                each = queue.popleft()
            except IndexError:
                return
            try:
                work(each)
            except BaseException as fault:
                faults.append(fault)

    threads = [threading.Thread(target=loop, daemon=True) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.5)
    if faults:
        raise faults[0]
