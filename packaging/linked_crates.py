"""The crates that are linked into the program for one target, read from `cargo metadata`.

Owns the selection: what only builds or tests the program is left out. Knows nothing of the files that
are made from it. Invariant: the same Cargo.lock gives the same list in the same order.
"""

import json
import os
import subprocess
import tomllib

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


class LinkedCrates:
    """`program` is the id of the program, `packages` maps ids to what Cargo.toml has."""

    def __init__(self, triple):
        metadata = json.loads(subprocess.check_output(
            ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", triple],
            cwd=ROOT))
        with open(os.path.join(ROOT, "Cargo.lock"), "rb") as file:
            self._checksums = {(p["name"], p["version"]): p.get("checksum")
                               for p in tomllib.load(file)["package"]}
        packages = {package["id"]: package for package in metadata["packages"]}
        nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}

        def linked(package):
            return [dep["pkg"] for dep in nodes[package]["deps"]
                    if any(kind["kind"] is None for kind in dep["dep_kinds"])
                    and not runs_at_build(packages[dep["pkg"]])]

        self.program = next(i for i, p in packages.items() if p["name"] == "ocipipe")
        reached, waiting = {self.program}, [self.program]
        while waiting:
            for package in linked(waiting.pop()):
                if package not in reached:
                    reached.add(package)
                    waiting.append(package)
        self.packages = {package: packages[package] for package in sorted(reached, key=(
            lambda i: (packages[i]["name"], packages[i]["version"])))}
        self.linked = {package: linked(package) for package in self.packages}

    def checksum(self, package):
        """The SHA-256 of the crate's archive; None for a crate of this repository."""
        found = self.packages[package]
        return self._checksums.get((found["name"], found["version"]))

    def licence(self, package):
        """The licence as an SPDX expression. Old crates write A/B for A OR B."""
        return " ".join(self.packages[package]["license"].replace("/", " OR ").split())


def runs_at_build(package):
    return any("proc-macro" in target["kind"] for target in package["targets"])
