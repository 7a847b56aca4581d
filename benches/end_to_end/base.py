"""Which earlier commit the head is compared with."""

import dataclasses
import os
import pathlib
import subprocess

RECORD = "benches/end_to_end/gate.base"
MAIN = "origin/main"


@dataclasses.dataclass(frozen=True)
class Base:
    """A commit and why it is that one; a warning where it is not the one it should be."""

    commit: str | None
    reason: str = ""
    warning: str = ""


def choose(root, asked=None):
    """The commit asked for; else where this branch left main; else the recorded one; else the parent.
    A branch that moves the record compares with that: so a growth is let in on purpose."""
    if asked:
        commit = commit_of(root, asked)
        if not commit:
            raise SystemExit(f"instruction gate: there is no commit {asked} in this clone")
        return Base(commit, "asked for")
    head = commit_of(root, "HEAD")
    if not head:
        return Base(None, warning="this is no git checkout, there is NOTHING TO COMPARE WITH")
    text = pathlib.Path(root, RECORD)
    record = recorded(text.read_text()) if text.exists() else ""
    fork = git(root, "merge-base", "HEAD", MAIN) if commit_of(root, MAIN) else None
    if fork and fork != head and record == recorded(git(root, "show", f"{fork}:{RECORD}") or ""):
        return Base(fork, f"where this branch left {MAIN}")
    if record and (commit := commit_of(root, record)):
        return Base(commit, f"recorded in {RECORD}")
    lost = f"the commit recorded in {RECORD}, {record or 'none'}, is not in this clone"
    parent = commit_of(root, "HEAD^1")
    if not parent:
        return Base(None, warning=f"{lost}, nor is a parent of this one: there is NOTHING TO COMPARE WITH")
    return Base(parent, "this commit's parent", f"{lost}: compares with this commit's PARENT ALONE")


def recorded(text):
    """The first line that is no comment."""
    return next((line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")), "")


def commit_of(root, name):
    return git(root, "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}")


def export(root, commit, folder):
    """Writes the files of a commit below a folder, as new as they are."""
    folder.mkdir(parents=True)
    archive = subprocess.Popen(command(root, "archive", commit), env=environment(), stdout=subprocess.PIPE)
    # Their times are those of now: cargo judges by them what is to be built anew.
    subprocess.run(["tar", "-xm", "-C", str(folder)], stdin=archive.stdout, check=True)
    archive.stdout.close()
    if archive.wait():
        raise subprocess.SubprocessError(f"git cannot give the files of {commit}")


def git(root, *words):
    """What git says, or none where it fails."""
    found = subprocess.run(command(root, *words), env=environment(), capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


def command(root, *words):
    # A checkout in a container may belong to somebody else.
    return ["git", "-c", "safe.directory=*", "-C", str(root), *words]


def environment():
    """Without what a hook of git sets: it would lead to the repository of the hook."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
