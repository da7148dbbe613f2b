"""The mutants and their outcomes.

Owns the list that cargo-mutants makes, and state.tsv. Must not know how a mutant is compiled or tested.
Invariant: a row holds for one text of a function; a function that changes has no rows until it is done again.
"""

import collections
import json
import os
import random
import re
import subprocess
import tempfile

import instrument
from instrument import Source

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
STATE = os.environ.get("MUTANTS_STATE") or os.path.join(HERE, "state.tsv")
COLUMNS = ("file", "function", "digest", "span", "genre", "replacement", "outcome", "by")
SEED, COUNT = 17, 500

CORE = ("src/proto/upload/", "src/proto/retry/", "src/proto/part_plan/", "src/proto/part_layout.rs",
        "src/proto/digest/", "src/proto/object_digest/", "src/proto/sign/", "src/proto/token/",
        "src/proto/token_lifecycle/")


class Mutant:
    """One change, by the file and the bytes in it."""

    def __init__(self, file, function, digest, item_start, start, end, genre, replacement):
        self.file, self.function, self.digest, self.genre = file, function, digest, genre
        self.replacement, self.start, self.end = replacement, start, end
        self.span = f"{start - item_start}-{end - item_start}"
        self.number, self.outcome, self.by = 0, None, None

    def key(self):
        return (self.file, self.function, self.digest, self.span, self.genre, escape(self.replacement))

    def is_core(self):
        return is_core(self.file)


def is_core(file):
    return file.startswith(CORE)


def escape(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def unescape(text):
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found.group(1), found.group(1)), text)


def read_state():
    """Key to [outcome, by]."""
    state = {}
    if os.path.exists(STATE):
        for line in open(STATE):
            if line.strip() and not line.startswith("#"):
                fields = line.rstrip("\n").split("\t")
                state[tuple(fields[:6])] = fields[6:8]
    return state


def write_state(state):
    order = lambda key: (key[0], key[1], key[2], int(key[3].split("-")[0]), key)
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(STATE), delete=False) as file:
        file.write("# " + "\t".join(COLUMNS) + "\n")
        for key in sorted(state, key=order):
            file.write("\t".join((*key, *state[key])) + "\n")
    os.chmod(file.name, 0o644)
    os.replace(file.name, STATE)


def list_mutants():
    """All mutants of the tree, by cargo-mutants; and the files that have them."""
    command = ["cargo", "mutants", "--list", "--json", "--workspace"]
    listed = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    sources, mutants = {}, []
    for each in listed:
        file = each["file"]
        if file not in sources:
            sources[file] = Source(open(os.path.join(ROOT, file), "rb").read())
        source, span = sources[file], each["span"]
        start = source.offset(span["start"]["line"], span["start"]["column"])
        end = source.offset(span["end"]["line"], span["end"]["column"])
        item = source.item_of(start, end)
        function = (each["function"] or {}).get("function_name", "-")
        digest, item_start = (instrument.digest_of(item), item.start_byte) if item else ("-", 0)
        mutants.append(Mutant(file, function, digest, item_start, start, end, each["genre"], each["replacement"]))
    return sources, mutants


def recorded(state):
    """The mutants of the state whose function has not changed, the files that have them, and the number of rows
    that are out of date; without cargo-mutants."""
    sources, items, mutants, stale = {}, {}, [], 0
    for key, (outcome, by) in state.items():
        file, function, digest, span, genre, replacement = key
        if file not in items:
            path = os.path.join(ROOT, file)
            if os.path.exists(path):
                sources[file] = Source(open(path, "rb").read())
            items[file] = sources[file].items() if file in sources else {}
        found = items[file].get(digest)
        if not found:
            stale += 1
            continue
        begin, end = map(int, span.split("-"))
        at = found[0].start_byte
        mutant = Mutant(file, function, digest, at, at + begin, at + end, genre, unescape(replacement))
        mutant.outcome, mutant.by = outcome, by
        mutants.append(mutant)
    return sources, mutants, stale


def chosen(kind, mutants, seed, count):
    """The mutants of the core, or as many of the rest by a seed."""
    if kind == "core":
        return [mutant for mutant in mutants if mutant.is_core()]
    # A draw for each mutant, so that a change of one function changes no other choice.
    draw = lambda mutant: random.Random(f"{seed} {mutant.key()}").random()
    return sorted((mutant for mutant in mutants if not mutant.is_core()), key=draw)[:count]


def table(state):
    """The outcomes by folder, as a table in Markdown."""
    rows = collections.defaultdict(collections.Counter)
    for key, (outcome, _) in state.items():
        depth = 3 if key[0].startswith("src/proto/") else 2
        rows["`" + "/".join(key[0].split("/")[:depth]) + "`"][outcome] += 1
        rows["The core" if is_core(key[0]) else "Of 500 of the rest"][outcome] += 1
    names = ("killed", "timeout", "survived", "unviable")
    lines = ["| Where | Killed by a test | No end in time | Survived, with the reason | Does not compile |",
             "|---|---|---|---|---|"]
    for name, counts in sorted(rows.items(), key=lambda row: (row[0].startswith("`"), row[0] != "The core", row[0])):
        lines.append(f"| {name} | " + " | ".join(str(counts[outcome]) for outcome in names) + " |")
    return "\n".join(lines) + "\n"
