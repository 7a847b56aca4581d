"""The arithmetic of the figures, and what is not taken for one. Run by `make test`."""

import unittest

import databases.figures as databases
import report
import traffic
import witness
from databases import mysql
from fault import Fault
from figures import Goal, Record, addresses, check, figures, gap

RATE = 100
EVENT = 2.0
ONE = [(0.5, "one", True)]


def record(**changes):
    """Three seconds of requests that are answered after 1 ms, by host one."""
    outcomes = [(1 + n / RATE, 1 + n / RATE, 1 + n / RATE + 0.001, "good", "one") for n in range(3 * RATE)]
    fields = {"begin": 1.0, "rate": RATE, "held": ONE, "adverts": [], "marks": {"event": EVENT}, "end": 4.0}
    return Record(outcomes=outcomes, **{**fields, **changes})


def lose(record, begin, end, kind="timeout"):
    """Those that are due in this time fail."""
    for number, (due, sent, ended, _, _) in enumerate(record.outcomes):
        if begin <= due < end:
            record.outcomes[number] = (due, sent, ended + 0.5, kind, "")
    return record


class Soundness(unittest.TestCase):
    def refuses(self, record, words):
        with self.assertRaisesRegex(Fault, words):
            check(record)

    def test_a_quiet_round_is_sound(self):
        check(record())

    def test_a_lost_request_is_seen(self):
        short = record()
        del short.outcomes[150]
        self.refuses(short, "missing")

    def test_requests_go_on_until_the_end(self):
        self.refuses(record(end=5.0), "until the end")

    def test_a_late_client_measures_itself(self):
        late = record()
        due, _, _, kind, who = late.outcomes[250]
        late.outcomes[250] = (due, due + 0.02, due + 0.021, kind, who)
        self.refuses(late, "20 ms late")

    def test_what_fails_before_the_event_is_no_result(self):
        broken = record()
        broken.outcomes[80] = (*broken.outcomes[80][:3], "refused", "")
        self.refuses(broken, "refused before the event")

    def test_who_answers_has_the_address(self):
        self.refuses(record(held=[(0.5, "two", True)]), "one answers and two has")
        self.refuses(record(held=[]), "nobody has")

    def test_without_answers_there_is_no_event(self):
        self.refuses(record(marks={"event": 1.2}), "only 20 answers")


class Costs(unittest.TestCase):
    def test_nothing_happened(self):
        found = figures(record())
        self.assertAlmostEqual(found["gap_ms"], 10)
        self.assertEqual((found["failed"], found["nowhere_ms"], found["twice_ms"], found["takeovers"]), (0, 0, 0, 0))
        self.assertAlmostEqual(found["slowest_ms"], 1)

    def test_a_gap_is_from_the_last_good_answer_to_the_next(self):
        found = figures(lose(record(), 2.0, 2.3))
        self.assertAlmostEqual(found["gap_ms"], 310)
        self.assertEqual((found["failed"], found["refused"], found["kinds"]), (30, 0, {"timeout": 30}))

    def test_a_hole_without_an_end_lasts_until_the_end(self):
        self.assertAlmostEqual(gap(lose(record(), 2.0, 9).outcomes, EVENT, 4.0), 4.0 - 1.991)

    def test_what_was_over_before_does_not_count(self):
        early = lose(record(), 1.0, 1.2, "refused")
        self.assertEqual(figures(early)["failed"], 0)

    def test_after_the_heal_is_counted_by_itself(self):
        held = [*ONE, (2.2, "two", True), (3.05, "two", False)]
        healed = lose(record(held=held, marks={"event": EVENT, "heal": 3.0}), 2.0, 2.1)
        found = figures(healed)
        self.assertEqual((found["failed"], found["failed_after"], found["takeovers"]), (10, 0, 1))
        self.assertAlmostEqual(found["twice_ms"], 850)
        self.assertAlmostEqual(found["twice_after_ms"], 50)

    def test_an_address_nowhere_and_on_two_hosts(self):
        held = [*ONE, (2.5, "one", False), (2.75, "two", True), (3.0, "one", True)]
        found = addresses(held, EVENT, 4.0)
        self.assertAlmostEqual(found["nowhere_ms"], 250)
        self.assertAlmostEqual(found["twice_ms"], 1000)
        self.assertEqual(found["takeovers"], 2)

    def test_adverts(self):
        adverts = [(1.9 + n / 10, "a", 3, 150) for n in range(5)]
        self.assertAlmostEqual(figures(record(adverts=adverts, end=4.0))["advert_gap_ms"], 1700)
        self.assertAlmostEqual(figures(record(adverts=adverts, end=2.35))["advert_gap_ms"], 100)


class Goals(unittest.TestCase):
    rounds = [{"gap_ms": 10, "failed": 0}, {"gap_ms": 15, "failed": 0}, {"gap_ms": 90, "failed": 2}]

    def test_times_by_their_median_and_counts_in_every_round(self):
        self.assertTrue(Goal("gap_ms", 20).is_reached(self.rounds))
        self.assertFalse(Goal("gap_ms", 14).is_reached(self.rounds))
        self.assertFalse(Goal("failed", 1).is_reached(self.rounds))
        self.assertTrue(Goal("failed", 2).is_reached(self.rounds))

    def test_never_is_never(self):
        self.assertFalse(Goal("twice_ms", 0).is_reached([{"twice_ms": 0}, {"twice_ms": 0}, {"twice_ms": 3.0}]))

    def test_what_was_not_seen_is_not_reached(self):
        self.assertFalse(Goal("named_ms", 100).is_reached([{"named_ms": 3}, {"named_ms": None}]))
        self.assertFalse(Goal("gap_ms", 20).is_reached([]))

    def test_the_range_stands_beside_the_median(self):
        self.assertEqual(report.spread(self.rounds, "gap_ms"), "15 (10–90)")
        self.assertEqual(report.spread([{"failed": 0}] * 3, "failed"), "0")
        short = [{"twice_ms": 0.3}, {"twice_ms": 0.0}, {"twice_ms": 12.7}]
        self.assertEqual(report.spread(short, "twice_ms"), "0.3 (0–13)")
        self.assertEqual(report.more([{"named_ms": None}], "named_ms"), "never named")
        self.assertEqual(report.more([{"back_ms": 8.0}, {"back_ms": None}], "back_ms"), "not always back")


class Databases(unittest.TestCase):
    """Two writers, a write of each every 20 ms for three seconds; the event after two."""

    def setUp(self):
        self.tries = [
            databases.Try(1 + n / 100, 1 + n / 100 + 0.002, n % 2, n // 2, "acked") for n in range(300)
        ]
        self.rows = {(one.writer, one.number): 1 for one in self.tries}

    def test_a_quiet_round(self):
        databases.check(self.tries, EVENT, RATE)
        self.assertAlmostEqual(databases.gap(self.tries, EVENT, 4.0), 0.010)
        self.assertEqual(databases.lost(self.tries, self.rows), 0)

    def test_what_failed_before_the_event_is_no_result(self):
        self.tries[90] = self.tries[90]._replace(outcome="Refused 1290")
        with self.assertRaisesRegex(Fault, "1290 before the event"):
            databases.check(self.tries, EVENT, RATE)

    def test_a_stop_of_writes(self):
        self.tries = [
            one._replace(outcome="reset") if 2.0 <= one.due < 2.3 else one for one in self.tries
        ]
        self.assertAlmostEqual(databases.gap(self.tries, EVENT, 4.0), 0.310)
        self.assertEqual(databases.failed(self.tries, EVENT), 30)

    def test_lost_is_acknowledged_and_not_there(self):
        del self.rows[(0, 3)], self.rows[(1, 7)]
        self.tries[6] = self.tries[6]._replace(outcome="reset")
        self.assertEqual(databases.lost(self.tries, self.rows), 1)

    def test_stray_is_written_after_the_event_by_the_wrong_server(self):
        tables = {1: self.rows, 2: {(0, 10): 2, (0, 120): 2, (1, 140): 1, (99, 1): 2}}
        self.assertEqual(databases.stray(self.tries, EVENT, tables, 2), 1)

    def test_out_and_back(self):
        reads = [(2 + n / 100, 3 if n < 5 or n >= 120 else 2) for n in range(200)]
        out, back = databases.out_and_back(reads, 3, 2.0, 3.0)
        self.assertAlmostEqual(out, 0.04)
        self.assertAlmostEqual(back, 0.2)
        self.assertEqual(databases.out_and_back(reads[:100], 3, 2.0, 2.5)[1], None)


class Parsers(unittest.TestCase):
    def test_answers(self):
        head = b"HTTP/1.1 200 OK\r\nX-Host: one\r\nContent-Length: 3\r\n\r\n"
        self.assertEqual(traffic.verdict(head + b"one"), ("good", "one"))
        self.assertEqual(traffic.verdict(head + b"on"), ("cut", "one"))
        self.assertEqual(traffic.verdict(head[:20]), ("cut", ""))
        self.assertEqual(traffic.verdict(b""), ("cut", ""))
        self.assertEqual(traffic.verdict(head.replace(b"200 OK", b"502 Bad") + b"one"), ("wrong 502", "one"))
        self.assertEqual(traffic.verdict(b"HTTP/1.1 200 OK\r\n\r\nfrom somebody"), ("wrong answer", ""))

    def test_address_changes(self):
        def message(kind, address):
            body = bytes([2, 24, 0, 0, 2, 0, 0, 0]) + (8).to_bytes(2, "little") + (2).to_bytes(2, "little") + address
            return (16 + len(body)).to_bytes(4, "little") + kind.to_bytes(2, "little") + bytes(10) + body

        vip, other = bytes([192, 168, 0, 100]), bytes([192, 168, 0, 11])
        both = message(20, other) + message(20, vip) + message(21, vip) + message(3, b"")
        self.assertEqual(witness.changes(both, "192.168.0.100"), [True, False])

    def test_rows(self):
        self.assertEqual(mysql.row(b"\x01a\xfb\x00\xfc\x02\x00bc"), ("a", None, "", "bc"))
        self.assertEqual(mysql.row(b"\x03def\x00\x00\x00\x02id\xff\xff", 5)[4], "id")

    def test_adverts(self):
        packet = bytes([0x45] + [0] * 11 + [192, 168, 0, 11, 224, 0, 0, 18, 0x31, 51, 150, 1])
        self.assertEqual(witness.advert(packet), ("192.168.0.11", 3, 150))


if __name__ == "__main__":
    unittest.main()
