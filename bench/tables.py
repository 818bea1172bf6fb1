"""Results as tables: tasks down, participants across."""

LIBCTM = ["libctm frame", "libctm store"]
START, END = "<!-- figures -->", "<!-- end of figures -->"


def seconds(value):
    """Three digits, as seconds."""
    if value is None:
        return "–"
    digits = next((d for bound, d in ((0.001, 6), (0.01, 5), (0.1, 4), (1, 3), (10, 2)) if value < bound), 1)
    return f"{value:.{digits}f}"


def megabytes(value):
    return "–" if value is None else f"{value / 1e6:.0f} MB"


def ratio(fastest, ours):
    return "–" if fastest is None or ours is None else f"{fastest / ours:.2g}×" if fastest < 100 * ours else "> 100×"


def grid(lines):
    """Rows of texts, the header first."""
    names = list(dict.fromkeys(line["participant"] for line in lines if "participant" in line))
    versions = {line["participant"]: line["version"] for line in lines if "version" in line}
    best = {(line["task"], line["participant"]): line["best"] for line in lines if "task" in line}
    first = {(line["task"], line["participant"]): line["first"] for line in lines if "task" in line}
    sizes = {line["participant"]: line for line in lines if "peak" in line}
    titles = [f"{name} (warm)" if name == "libctm store" else versions.get(name, name) for name in names]
    for i, name in enumerate(names):
        if name == "libctm frame":
            titles[i] = name
    cold = "libctm store" in names
    header = ["seconds", *titles, *(["libctm store (first)"] if cold else []), "peer/frame", "peer/store"]
    rows = [header]
    for task in sorted(dict.fromkeys(task for task, _ in best), key=lambda task: ("load" not in task, "open" not in task)):
        times = [best.get((task, name)) for name in names]
        peers = [best[task, name] for name in names if name not in LIBCTM and (task, name) in best]
        fastest = min(peers, default=None)
        extra = [seconds(first.get((task, "libctm store")))] if cold else []
        ratios = [ratio(fastest, best.get((task, name))) for name in LIBCTM]
        rows.append([task, *map(seconds, times), *extra, *ratios])
    blank = [""] * (len(header) - 1 - len(names))
    for title, key in (("on disk or in memory", "size"), ("peak after loading", "after_loading"), ("peak", "peak")):
        rows.append([title, *(megabytes(sizes.get(name, {}).get(key)) for name in names), *blank])
    return rows


def verdict(lines):
    tasks = [line for line in lines if "equal" in line]
    alone = {t["task"] for t in tasks} - {t["task"] for t in tasks if t["compared_with"] != t["participant"]}
    bad = sum(not line["equal"] for line in tasks)
    answer = f"{bad} of {len(tasks)} answers differ." if bad else f"All {len(tasks)} answers agree, row by row."
    return answer + (f" With nothing to compare: {', '.join(sorted(alone))}." if alone else "")


def about(lines):
    """What was measured where."""
    run = lines[0]
    machine = run["machine"]
    return (
        f"{run['customers']:,} customers, {run['interactions']:,} interactions; {run['threads']} threads, the fastest "
        f"of {run['runs']} warm runs; {machine['processor']}, {machine['processors']} processors, "
        f"{machine['memory'] / 2**30:.0f} GB, load {machine['load']}; {run['date']}."
    )


def plain(lines):
    rows = grid(lines)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    text = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
            for row in rows]  # fmt: skip
    return "\n".join([about(lines), "", *text, "", verdict(lines)])


def markdown(lines):
    header, *rows = grid(lines)
    text = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join([about(lines), "", *(f"| {' | '.join(row)} |" for row in text), "", verdict(lines)])


def into(path, text):
    """Replace what stands between the marks."""
    before, rest = path.read_text().split(START)
    after = rest.split(END)[1]
    path.write_text(f"{before}{START}\n{text}\n{END}{after}")
