"""The copy of the tree that has the mutants, and what is compiled of it.

Owns the copy, the compiler's errors and which mutants they are due to, and the test programs. Must not know which
tests run. Invariant: the copy has all mutants that were not given back.
"""

import collections
import functools
import hashlib
import json
import os
import pickle
import subprocess
import sys

import instrument
from state import ROOT

WORK = os.environ.get("MUTANTS_TARGET") or os.path.join(ROOT, "target", "mutants")
TREE = os.path.join(WORK, "tree")
CRATES = ("src/proto/lib.rs", "src/validate/lib.rs", "src/emulator/lib.rs", "src/main.rs", "src/lib.rs")
# How the tests are compiled: those of a library run often.
BUILD = {"CARGO_TARGET_DIR": os.path.join(WORK, "target"), "CARGO_PROFILE_DEV_OPT_LEVEL": "1",
         "CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "1"}
# Errors of a replaced value that has the wrong type, or a type that has no such value.
WRONG_VALUE = {"E0040", "E0061", "E0106", "E0107", "E0121", "E0223", "E0277", "E0282", "E0283", "E0308", "E0412",
               "E0423", "E0425", "E0433", "E0451", "E0515", "E0532", "E0574", "E0599", "E0603", "E0616", "E0624",
               "E0716", "E0782", "E0790"}
WRONG_OPERATOR = {"E0308", "E0369", "E0368", "E0600"}


def environment(**more):
    env = dict(os.environ, CARGO_TERM_COLOR="never", **BUILD, **more)
    env.pop("RUST_BACKTRACE", None)
    return env


def tracked_files():
    """The files of the checkout, with its changes."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                            stdout=subprocess.PIPE).stdout.decode()
    return [name for name in listed.split("\0") if name and os.path.isfile(os.path.join(ROOT, name))]


@functools.cache
def source_texts():
    """The files as they were at the start, so that a checkout that is edited meanwhile changes no outcome."""
    return {name: open(os.path.join(ROOT, name), "rb").read() for name in tracked_files()}


def write_tree(files):
    """Makes the copy have these files only; what is equal stays untouched."""
    for folder, _, names in os.walk(TREE):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.relpath(path, TREE) not in files:
                os.unlink(path)
    for name, text in files.items():
        write_file(name, text)


def write_file(name, text):
    path = os.path.join(TREE, name)
    if os.path.exists(path) and open(path, "rb").read() == text:
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(text)
    os.chmod(path, os.stat(os.path.join(ROOT, name)).st_mode & 0o777)


def adapt(name, text):
    """The text of a file in the copy: a crate has the switch, and the tests pass its setting on."""
    if name in CRATES:
        text = instrument.ALLOWED.encode() + text + instrument.SWITCH.encode()
    if name.startswith("tests/"):
        text = text.replace(b".env_clear()", b".env_clear().envs(std::env::vars_os().filter(|(name, _)| "
                                             b"name.to_string_lossy().starts_with(\"MUTANT_\")))")
    return text


def prepare(sources, mutants, packages):
    """Writes the copy with all mutants that compile together; gives those that do not, with the compiler's codes:
    number to set. What it found out for an equal tree is kept."""
    texts = source_texts()
    name = hashlib.sha256(repr([(m.number, m.key()) for m in mutants]).encode())
    for each in sorted(texts):
        if each.endswith((".rs", ".toml")):
            name.update(texts[each])
    kept = os.path.join(WORK, f"apart-{name.hexdigest()[:16]}")
    apart = pickle.load(open(kept, "rb")) if os.path.exists(kept) else {}
    while True:
        by_file = collections.defaultdict(list)
        for mutant in mutants:
            if mutant.number not in apart:
                by_file[mutant.file].append(mutant)
        rendered, files = {}, {}
        for name, text in texts.items():
            if name in by_file:
                edits, rest = instrument.edit_file(sources[name], by_file[name])
                for mutant in rest:
                    apart[mutant.number] = set()
                text, pieces, spans = edits.render()
                shift = len(instrument.ALLOWED) if name in CRATES else 0
                pieces = [(start + shift, end + shift, numbers) for start, end, numbers in pieces]
                rendered[name] = (edits, pieces, [(new + shift, *old) for new, *old in spans])
            files[name] = adapt(name, text)
        write_tree(files)
        errors = compiler_errors(packages)
        found = collections.defaultdict(set)
        for error in errors:
            for number in culprits(error, rendered):
                found[number].add(error["code"])
        if not errors:
            with open(kept, "wb") as file:
                pickle.dump(apart, file)
            return apart
        if not found:
            sys.exit("the copy does not compile:\n" + "\n".join(error["rendered"] for error in errors[:5]))
        print(f"{len(errors)} errors, {len(found)} mutants do not compile with the others", flush=True)
        apart.update(found)


def is_unviable(source, mutant, codes):
    """Whether the compiler's codes show that the mutant does not compile by itself either."""
    if instrument.is_let_chain(source, mutant):
        return True
    if mutant.genre == "BinaryOperator":
        # The error is in the form of this one operator.
        return bool(codes) and codes <= WRONG_OPERATOR
    return (mutant.genre == "FnValue" and bool(codes) and codes <= WRONG_VALUE
            and not instrument.returns_impl(source, mutant))


def compiler_errors(packages):
    run = subprocess.run(["cargo", "check", "--quiet", "--message-format=json", *packages], cwd=TREE,
                         env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    errors = []
    for line in run.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-message" and message["message"]["level"] == "error":
            body = message["message"]
            spans = [*body["spans"], *(span for child in body["children"] for span in child["spans"])]
            if spans:
                errors.append({"code": (body["code"] or {}).get("code", "-"), "spans": spans,
                               "rendered": body["rendered"]})
    if run.returncode and not errors:
        sys.exit(run.stderr.decode())
    return errors


def culprits(error, rendered):
    """The mutants whose inserted text an error points at; else the innermost around it."""
    spans = [span for span in error["spans"] if span["file_name"] in rendered]
    for primary in (True, False):
        numbers = set()
        for span in spans:
            if span["is_primary"] == primary:
                pieces = rendered[span["file_name"]][1]
                numbers.update(inserted_at(pieces, span["byte_start"], span["byte_end"]))
        if numbers:
            return numbers
    for span in spans:
        edits, _, copied = rendered[span["file_name"]]
        at = span["byte_start"]
        old = next((old + at - new for new, old, end in copied if new <= at <= new + end - old), None)
        if old is not None:
            numbers = arms_at(edits, old) if error["code"] == "E0004" else set()
            numbers = numbers or innermost_at(edits, old)
            if numbers:
                return numbers
    return set()


def inserted_at(pieces, start, end):
    end = max(end, start + 1)
    forms = [piece for piece in pieces if piece[0] <= start and end <= piece[1]]
    if forms:
        return min(forms, key=lambda piece: piece[1] - piece[0])[2]
    inner = [piece for piece in pieces if piece[0] < end and start < piece[1]]
    if len(inner) > 2:
        # The outermost of many.
        return min(inner, key=lambda piece: piece[0])[2]
    return [number for piece in inner for number in piece[2]]


def arms_at(edits, old):
    """Of a `match` that does not cover all values: an arm with a switch does not count."""
    whole = instrument.parent_of(edits.source, old, old + 1, ("match_expression",))
    return {number for number in edits.arms if whole is not None
            and whole.start_byte <= edits.ranges[number][0] and edits.ranges[number][1] <= whole.end_byte}


def innermost_at(edits, old):
    around = [(end - start, number) for number, (start, end) in edits.ranges.items() if start <= old <= end]
    return {number for size, number in around if size == min(around)[0]}


def build_tests(packages):
    """The test programs: name to path and folder."""
    run = subprocess.run(["cargo", "test", "--no-run", "--quiet", "--message-format=json", *packages], cwd=TREE,
                         env=environment(), stdout=subprocess.PIPE)
    programs, errors = {}, []
    for line in run.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message.get("executable"):
            if message["profile"]["test"]:
                target = message["target"]
                kind = "lib" if "lib" in target["kind"] else target["kind"][0]
                folder = os.path.dirname(message["manifest_path"])
                name = f"{os.path.relpath(folder, TREE)}:{kind}:{target['name']}"
                programs[name] = (message["executable"], folder)
        elif message.get("reason") == "compiler-message" and message["message"]["level"] == "error":
            errors.append(message["message"]["rendered"])
    if run.returncode:
        raise DoesNotCompile("\n".join(errors))
    return programs


class DoesNotCompile(Exception):
    pass
