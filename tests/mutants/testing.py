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

    def __init__(self, programs, slowest, most):
        self.programs, self.slowest, self.most = programs, slowest, most
        self.seconds, self.waits, self.passed = {}, {}, {}

    def trace(self, jobs):
        """Runs each test by itself. What a program has shown is kept for an equal one."""
        todo, kept = [], {}
        for name, (path, _) in self.programs.items():
            kept[name] = os.path.join(WORK, f"trace-{hashlib.sha256(open(path, 'rb').read()).hexdigest()[:16]}")
            if os.path.exists(kept[name]):
                for known, new in zip((self.seconds, self.waits, self.passed), pickle.load(open(kept[name], "rb"))):
                    known.update(new)
            else:
                todo += [(name, test) for test in self.listed(name) - self.listed(name, "--ignored")]

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
        for name in {test[0] for test in todo}:
            of_program = [{test: value for test, value in known.items() if test[0] == name}
                          for known in (self.seconds, self.waits, self.passed)]
            with open(kept[name], "wb") as file:
                pickle.dump(of_program, file)

    def listed(self, program, *which):
        path, folder = self.programs[program]
        lines = subprocess.run([path, "--list", "--format", "terse", *which], cwd=folder, check=True,
                               stdout=subprocess.PIPE, env=environment()).stdout.decode().splitlines()
        return {line.removesuffix(": test") for line in lines if line.endswith(": test")}

    def groups(self, mutant):
        """The tests that pass the mutant, as they run together: of its module, quick ones, slow ones, those of the
        whole program, up to `most` seconds of these."""
        tests = [test for test, numbers in self.passed.items()
                 if mutant.number in numbers and self.seconds[test] < self.slowest]
        words = [word.removesuffix(".rs") for word in mutant.file.split("/")]
        module = next(word for word in words if word not in ("src", "proto"))
        is_far = lambda test: module not in test[1].split("::")
        cost = lambda test: max(self.seconds[test], self.waits[test] / 4)
        # Of the whole program, a test that passes few mutants is about one of them.
        order = lambda test: ((cost(test) > QUICK, is_far(test), cost(test)) if is_library(test)
                              else (2, is_far(test), len(self.passed[test])))
        groups, waited = [], 0
        for test in sorted(tests, key=order):
            waited += 0 if is_library(test) else self.waits[test]
            if waited > self.most:
                break
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
