"""Figures into tables."""

import datetime
import statistics

BEGIN = "<!-- figures: written by `make bench` -->"
END = "<!-- end of figures -->"


def best_peer(cells, figure, subject):
    """The peer with the lowest median; `None` where no peer has one."""
    peers = [name for name in cells if name != subject and cells[name]["rounds"]]
    return min(peers, key=lambda name: median(cells[name], figure), default=None)


def median(cell, figure):
    return statistics.median(found[figure] for found in cell["rounds"])


def ratios(cells, figure, subject, peer):
    """The subject's figure over the peer's, round by round."""
    pairs = zip(cells[subject]["rounds"], cells[peer]["rounds"])
    return [ours[figure] / theirs[figure] for ours, theirs in pairs if theirs[figure]]


def number(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def comparison(results, names):
    """One row a scenario: everybody's median, and haechi against the better peer."""
    rows = []
    for scenario, cells in results:
        if scenario.promises:
            continue
        figure = scenario.figure
        row = [scenario.name, scenario.unit]
        for name in names:
            cell = cells.get(name)
            row.append("" if cell is None else number(median(cell, figure)) if cell["rounds"] else "failed")
        peer = best_peer(cells, figure, "haechi")
        found = ratios(cells, figure, "haechi", peer) if peer and "haechi" in cells else []
        if found:
            row += [f"**{statistics.median(found):.2f}**", f"{min(found):.2f} to {max(found):.2f}"]
        else:
            row += ["", ""]
        rows.append([*row, f"{scenario.goal:.2f}" if scenario.goal else ""])
    return table(["scenario", "figure", *names, "ratio", "its rounds", "goal"], rows)


def promises(results, names):
    """One row a promise: everybody's figure, and what haechi's may be."""
    rows = []
    for scenario, cells in results:
        for promise in scenario.promises:
            row = [scenario.name, promise.text]
            for name in names:
                row.append("" if name not in cells and name != "haechi" else shown(scenario, cells, name, promise))
            rows.append([*row, f"{promise.goal:g}"])
    return table(["scenario", "figure", *names, "goal"], rows)


def shown(scenario, cells, name, promise):
    if scenario.variant:
        if name != "haechi":
            return ""
        found = ratios(cells, promise.figure, scenario.name, name)
    else:
        found = [round[promise.figure] for round in cells[name]["rounds"]]
    text = number(statistics.median(found)) if found else "failed"
    return f"**{text}**" if name == "haechi" else text


DETAILS = {
    "cpu_us": "CPU µs",
    "user_us": "of it in user space",
    "syscalls": "system calls",
    "requests_per_second": "requests/s",
    "kib_per_connection": "KiB/connection",
    "memory_mib": "MiB",
    "start_seconds": "start s",
    "memory_growth": "memory over before",
    "failed": "failed",
    "stale": "stale",
    "cpu_share": "share of its CPU",
    "others": "share of others",
}


def details(results):
    """One row a cell."""
    found = {key for _, cells in results for cell in cells.values() for round in cell["rounds"] for key in round}
    keys = [key for key in DETAILS if key in found]
    rows = []
    for scenario, cells in results:
        for name, cell in cells.items():
            if not cell["rounds"]:
                rows.append([scenario.name, name, cell["fault"], *[""] * (len(keys) - 1)])
                continue
            values = []
            for key in keys:
                known = [round[key] for round in cell["rounds"] if round.get(key) is not None]
                values.append(number(statistics.median(known)) if known else "")
            rows.append([scenario.name, name, *values])
    return table(["scenario", "", *(DETAILS[key] for key in keys)], rows)


def counted(instructions, names):
    rows = [
        [scenario, *("" if name not in counts else f"{counts[name]:,.0f}" for name in names)]
        for scenario, counts in instructions.items()
    ]
    return table(["scenario", *names], rows)


def document(results, instructions, versions, facts, settings):
    names = list(versions)
    measured = ", ".join(versions.values())
    rounds = [round for _, cells in results for cell in cells.values() for round in cell["rounds"]]
    others = statistics.median([round.get("others", 0) for round in rounds] or [0])
    noise = f"others took {others:.0%} of the contender's CPU"
    text = f"{datetime.date.today()}: {measured}; {facts}; {settings}; {noise}.\n"
    if any(not scenario.promises for scenario, _ in results):
        text += "\n" + comparison(results, names)
    if any(scenario.promises for scenario, _ in results):
        text += "\nOther promises:\n\n" + promises(results, names)
    if instructions:
        text += "\nInstructions in user space per request, by callgrind:\n\n" + counted(instructions, names)
    return text + "\nPer request, medians:\n\n" + details(results)


def write(path, text):
    """Replaces what stands between the two marker lines."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path}: the marker lines are gone")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
