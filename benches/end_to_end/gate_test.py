"""Which commit the gate compares with, and what it lets pass. Run by `make test`."""

import pathlib
import subprocess
import tempfile
import unittest

import base
import gate


class Repository:
    """Some commits, of which each has a record or none."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder)
        self.git("init", "-q", "-b", "main")

    def git(self, *words):
        who = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"]
        command = ["git", *who, "-C", self.root, *words]
        done = subprocess.run(command, env=base.environment(), capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, record=None):
        if record is not None:
            path = self.root / base.RECORD
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# why\n\n{record}\n")
            self.git("add", ".")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "HEAD")

    def main_is_here(self):
        self.git("update-ref", f"refs/remotes/{base.MAIN}", "HEAD")


class Choice(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.repository = Repository(folder.name)
        self.root = self.repository.root

    def test_what_is_asked_for_comes_first(self):
        first = self.repository.commit()
        self.repository.commit(record=first)
        chosen = base.choose(self.root, "HEAD")
        self.assertEqual((chosen.commit, chosen.reason), (self.repository.git("rev-parse", "HEAD"), "asked for"))

    def test_what_is_asked_for_must_be_there(self):
        self.repository.commit()
        with self.assertRaises(SystemExit):
            base.choose(self.root, "nowhere")

    def test_a_branch_is_compared_with_where_it_left_main(self):
        first = self.repository.commit()
        fork = self.repository.commit(record=first)
        self.repository.main_is_here()
        self.repository.commit()
        self.assertEqual(base.choose(self.root).commit, fork)

    def test_a_branch_that_moves_the_record_is_compared_with_that(self):
        first = self.repository.commit()
        self.repository.commit(record=first)
        self.repository.main_is_here()
        dear = self.repository.commit()
        self.repository.commit(record=dear)
        self.assertEqual(base.choose(self.root).commit, dear)

    def test_main_itself_is_compared_with_the_record(self):
        first = self.repository.commit()
        self.repository.commit(record=first)
        self.repository.main_is_here()
        chosen = base.choose(self.root)
        self.assertEqual((chosen.commit, chosen.warning), (first, ""))

    def test_a_lost_record_leaves_the_parent_and_is_told(self):
        parent = self.repository.commit()
        self.repository.commit(record="1" * 40)
        chosen = base.choose(self.root)
        self.assertEqual(chosen.commit, parent)
        self.assertIn("PARENT ALONE", chosen.warning)

    def test_a_clone_of_one_commit_is_told_that_nothing_is_compared(self):
        first = self.repository.commit()
        self.repository.commit(record=first)
        with tempfile.TemporaryDirectory() as shallow:
            command = ["git", "clone", "-q", "--depth=1", self.root.as_uri(), shallow]
            subprocess.run(command, env=base.environment(), check=True)
            chosen = base.choose(shallow)
        self.assertIsNone(chosen.commit)
        self.assertIn("NOTHING TO COMPARE WITH", chosen.warning)

    def test_files_without_git_are_told_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertIsNone(base.choose(folder).commit)

    def test_an_export_has_the_files_of_its_commit(self):
        first = self.repository.commit(record="old")
        self.repository.commit(record="new")
        base.export(self.root, first, self.root / "out")
        self.assertEqual(base.recorded((self.root / "out" / base.RECORD).read_text()), "old")


def counts(proxy, static, functions=None):
    both = {"proxy": (proxy, functions or {}), "static": (static, {})}
    return {path: {"instructions": count, "functions": found} for path, (count, found) in both.items()}


class Verdict(unittest.TestCase):
    def test_up_to_three_percent_pass(self):
        self.assertEqual(gate.verdict(counts(1000, 1000), counts(1030, 900))[1], [])

    def test_more_does_not_on_either_path(self):
        self.assertEqual(gate.verdict(counts(1000, 1000), counts(1031, 1000))[1], ["proxy"])
        self.assertEqual(gate.verdict(counts(1000, 1000), counts(1000, 1031))[1], ["static"])

    def test_a_gain_is_to_be_held(self):
        self.assertIn(base.RECORD, gate.verdict(counts(1000, 1000), counts(900, 1000))[0])

    def test_the_advice_names_what_grew_the_most_first(self):
        before = counts(1000, 1000, {"parse": 500, "send": 400, "gone": 100})
        after = counts(1100, 1000, {"parse": 510, "send": 405, "new": 185})
        text = gate.advice(["proxy"], before, after)
        self.assertLess(text.index("new"), text.index("parse"))
        self.assertLess(text.index("parse"), text.index("send"))
        self.assertNotIn("gone", text)


if __name__ == "__main__":
    unittest.main()
