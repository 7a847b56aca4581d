#!/usr/bin/env python3
"""Fails where a keep-alive request takes more instructions than at an earlier commit built by the
same toolchain. How it counts and what it compares with: benches/README.md."""

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import base
import machine
import meter
from contenders import Fault, Task
from contenders.haechi import Haechi
from lockstep import Lockstep, listening, origin

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))
FOLDER = TARGET / "gate"

MOST = 0.03  # what a request may grow by
LENGTH = 1024
FILE = "1k.bin"
REST = 3  # seconds for which it is watched doing nothing
PATHS = {"proxy": f"/b/{LENGTH}", "static": f"/{FILE}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", metavar="COMMIT", default=os.environ.get("GATE_BASE"), help="what to compare with")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="count the head N times: how much does it vary?")
    options = parser.parse_args()
    # What was started is ended before this is.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    chosen = base.choose(ROOT, options.base)
    if chosen.warning:
        print(f"\n!!! instruction gate: {chosen.warning}\n", file=sys.stderr, flush=True)
    if not chosen.commit:
        return
    try:
        try:
            before = counts_of_base(chosen.commit)
        except Fault as fault:
            raise Fault(f"{chosen.commit} cannot be counted, compare with another (GATE_BASE): {fault}") from None
        binary = build(ROOT)
        after = [count(binary) for _ in range(options.repeat)]
    except (Fault, OSError, subprocess.SubprocessError) as fault:
        raise SystemExit(f"instruction gate: {fault}") from None
    print(f"\nInstructions of a keep-alive request, base {chosen.commit[:12]} ({chosen.reason}):")
    for found in after:
        text, grown = verdict(before, found)
        print(text)
    if grown:
        raise SystemExit(advice(grown, before, after[-1]))


def verdict(before, after):
    """A line for each path, and the paths that grew too much."""
    lines, grown = [], []
    for path in PATHS:
        was, now = before[path]["instructions"], after[path]["instructions"]
        mark = ""
        if now > was * (1 + MOST):
            grown.append(path)
            mark = "  <-- too much"
        elif now < was * (1 - MOST):
            mark = f"  (hold it: move {base.RECORD})"
        lines.append(f"  {path:8}{was:9,.0f} -> {now:9,.0f}  {now / was - 1:+7.2%}  (at most +{MOST:.0%}){mark}")
    return "\n".join(lines), grown


def growth(before, after, most=12):
    """Functions by how much more of a request they take, what was inlined into them included."""
    names = before.keys() | after.keys()
    changes = {name: after.get(name, 0) - before.get(name, 0) for name in names}
    top = sorted(names, key=lambda name: (-changes[name], name))[:most]
    return [(changes[name], before.get(name, 0), after.get(name, 0), name) for name in top if changes[name] >= 0.5]


def advice(grown, before, after):
    text = f"\ninstruction gate: {' and '.join(grown)} grew by more than {MOST:.0%}. What grew, instructions a request:\n"
    for path in grown:
        text += f"\n  {path}:\n"
        for change, was, now, name in growth(before[path]["functions"], after[path]["functions"]):
            text += f"  {change:+9,.0f}  {was:8,.0f} -> {now:8,.0f}  {name}\n"
    return text + (
        f"\nMake it cheaper. Where it is worth its price, commit it, write that commit into {base.RECORD}, and commit\n"
        "that with the reason and the figures above."
    )


def counts_of_base(commit):
    """Counts of an earlier commit, kept for the next time."""
    kept = FOLDER / f"{commit}-{toolchain()}.json"
    with contextlib.suppress(OSError, ValueError):
        return json.loads(kept.read_text())
    # The binary lies away from where everybody looks for the head's.
    source, binary = FOLDER / "base", FOLDER / "haechi-base"
    shutil.rmtree(source, ignore_errors=True)
    base.export(ROOT, commit, source)
    try:
        shutil.move(build(source), binary)
        counts = count(binary)
    finally:
        shutil.rmtree(source, ignore_errors=True)
        binary.unlink(missing_ok=True)
    kept.write_text(json.dumps(counts))
    return counts


def toolchain():
    """What counts depend on apart from the commit: compiler, valgrind, CPU, and how it is counted."""
    found = hashlib.sha256()
    for command in (["rustc", "-vV"], ["valgrind", "--version"]):
        found.update(subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout)
    flags = [line for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("flags", "model name"))]
    found.update("\n".join(sorted(set(flags))).encode())
    found.update(os.environ.get("RUSTFLAGS", "").encode())
    here = pathlib.Path(__file__).parent
    for name in ("gate.py", "lockstep.py", "meter.py"):
        found.update((here / name).read_bytes())
    return found.hexdigest()[:16]


def build(source):
    """The release binary of a source tree. Run from the checkout, so that its toolchain builds both."""
    command = [os.environ.get("CARGO", "cargo"), "build", "--release", "--locked", "--bin", "haechi"]
    command += ["--manifest-path", source / "Cargo.toml", "--target-dir", TARGET]
    print(f"instruction gate: builds {'the head' if source == ROOT else 'the base'}", file=sys.stderr, flush=True)
    if subprocess.run(list(map(str, command)), cwd=ROOT).returncode:
        raise Fault(f"{source} does not build")
    return TARGET / "release" / "haechi"


def count(binary):
    """Instructions of a request on each path, and the functions that they are spent in."""
    counts = {}
    by_second = at_rest(binary)
    for path, target in PATHS.items():
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gate-")))
            documents = folder / "documents"
            documents.mkdir()
            (documents / FILE).write_bytes(b"s" * LENGTH)
            behind = stack.enter_context(origin(LENGTH))
            task = Task(static=path == "static", plain="127.0.0.1:0", origins=(behind,), documents=documents)
            load = stack.enter_context(Lockstep(target, LENGTH))
            done = {}

            def run_load(running, requests):
                done["done"] = load.run(running, requests)
                return done

            per_request = meter.instructions(Haechi(binary), task, folder, machine.PROXY_CPU, run_load)
            # What is done by the clock is more of it the busier the machine is.
            per_request -= by_second * load.seconds / done["done"]
            functions = {name: found / done["done"] for name, found in meter.by_function(folder)}
            counts[path] = {"instructions": per_request, "functions": functions}
    return counts


def at_rest(binary):
    """Instructions of a second in which nobody asks."""

    def rest(running, _):
        listening(running)
        time.sleep(REST)
        return {"done": REST}

    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        folder = pathlib.Path(folder)
        task = Task(static=True, plain="127.0.0.1:0", documents=folder)
        return meter.instructions(Haechi(binary), task, folder, machine.PROXY_CPU, rest)


if __name__ == "__main__":
    main()
