"""Figures into tables."""

import datetime

from figures import median, worst

BEGIN = "<!-- figures of high availability: written by `make bench-ha` -->"
END = "<!-- end of figures of high availability -->"

COLUMNS = {
    "gap_ms": "gap ms",
    "failed": "failed",
    "nowhere_ms": "address nowhere ms",
    "twice_ms": "on two hosts ms",
    "takeovers": "takeovers",
    "lost": "acknowledged and lost",
    "stray": "written elsewhere",
}
# The tables, by what is measured.
PAIR = "gap_ms", "failed", "nowhere_ms", "twice_ms", "takeovers"
DATABASE = "gap_ms", "failed", "lost", "stray", "takeovers"
TABLES = {PAIR: "", DATABASE: ", before a primary and two replicas"}
MORE = {
    "refused": "{} refused",
    "slowest_ms": "slowest good answer {} ms",
    "advert_gap_ms": "adverts up to {} ms apart",
    "named_ms": "named after {} ms",
    "failed_after": "{} failed after the repair",
    "twice_after_ms": "two active for {} ms after it",
    "promotion_ms": "promotion {} ms",
    "over_ms": "{} ms more",
    "out_ms": "out after {} ms",
    "back_ms": "back after {} ms",
}
# Of a figure that nobody has seen, or not in every round.
UNSEEN = "never", "not always"
NEVER = {"named_ms": "named", "promotion_ms": "promoted", "over_ms": "written again", "back_ms": "back"}
GOALS = {
    "gap_ms": "gap ≤ {} ms",
    "failed": "≤ {} failed",
    "refused": "≤ {} refused",
    "takeovers": "≤ {} takeovers",
    "twice_ms": "never on two hosts",
    "advert_gap_ms": "adverts ≤ {} ms apart",
    "named_ms": "named within {} ms",
    "failed_after": "≤ {} failed after the repair",
    "twice_after_ms": "one active within {} ms of it",
    "over_ms": "gap ≤ promotion + {} ms",
    "lost": "≤ {} lost",
    "stray": "≤ {} written elsewhere",
    "out_ms": "out within {} ms",
    "back_ms": "back within {} ms",
}


def spread(rounds, figure):
    """The median, and the lowest and highest round where they differ."""
    values = [found[figure] for found in rounds]
    if None in values:
        return UNSEEN[any(values)]
    low, middle, high = map(number, (min(values), median(rounds, figure), worst(rounds, figure)))
    return middle if low == high else f"{middle} ({low}–{high})"


def number(value):
    """A time below a tenth of a millisecond is the witness's own."""
    return f"{value:.1f}" if 0.05 <= value < 9.95 and value % 1 else f"{value:.0f}"


def more(rounds, figure):
    """A figure that has no column, in words."""
    text = spread(rounds, figure)
    return f"{text} {NEVER[figure]}" if text in UNSEEN else MORE[figure].format(text)


def goal(goals):
    return ", ".join(GOALS[goal.figure].format(f"{goal.most:.0f}") for goal in goals).replace("≤ 0 ", "0 ")


def missed(event, rounds):
    return [goal for goal in event.goals if not goal.is_reached(rounds)]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def results(cells, columns, judged):
    """One row an event; `judged`: with what was measured before, what may be, and whether it is reached."""
    rows = []
    for event, cell in cells:
        row = [event.text, event.adverts]
        if fault := cell.get("fault"):
            # Without the logs, which were shown when it happened.
            reason = " ".join(str(fault).partition(" [")[0].split()).replace("|", "/")
            row += [f"not measured: {reason[:200]}", *[""] * len(columns)]
        else:
            rounds = cell["rounds"]
            row += [spread(rounds, figure) for figure in columns]
            row.append("; ".join(more(rounds, figure) for figure in event.also))
        if judged:
            row += [event.today, goal(event.goals), verdict(event, cell)]
        rows.append(row)
    head = ["event", "adverts", *(COLUMNS[figure] for figure in columns), "also"]
    return table(head + ["today", "goal", ""] if judged else head, rows)


def verdict(event, cell):
    if cell.get("fault"):
        return "**not measured**"
    short = missed(event, cell["rounds"])
    return f"**missed: {goal(short)}**" if short else "reached"


def document(cells, versions, facts, rounds):
    """`cells`: by contender, (event, cell)."""
    measured = "; ".join(versions.values())
    text = f"{datetime.date.today()}: {measured}; {facts}; median of {rounds} rounds (lowest–highest).\n"
    for name, found in cells.items():
        for columns, what in TABLES.items():
            if of_these := [(event, cell) for event, cell in found if event.columns == columns]:
                text += f"\n{name}{what}:\n\n" + results(of_these, columns, judged=name == "haechi")
    return text


def write(path, text):
    """Replaces what stands between the two marker lines."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path}: the marker lines are gone")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
