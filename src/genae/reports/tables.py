"""Tables of measurements: rows are what was measured, columns are metrics; unlike protocols are never mixed."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from genae.metrics import position
from genae.metrics.records import FRESH, REAL, SUBJECT, Record, differences

Records = Sequence[Record]


def newest(records: Records, weights: str = "") -> list[Record]:
    """What was measured of some weights, by their hash, and of fresh weights; the newest where repeated.

    Where nothing was measured of these weights, those that were measured last take their place, and of each prior those
    that were measured last. Recognition with other seeds is no repetition, if it took as many epochs as the newest.
    """
    kept: dict[tuple[object, ...], Record] = {}
    trained = [r["fingerprint"].get("weights") for r in records if r["fingerprint"].get("weights") != FRESH]
    shown = (FRESH, *([weights] if weights in trained else trained[-1:]))
    records = [record for record in records if record["fingerprint"].get("weights") in shown]
    last_of = {record["of"]: record["fingerprint"].get("prior_weights") for record in records}
    for record in records:
        fingerprint = record["fingerprint"]
        if fingerprint.get("prior_weights") != last_of[record["of"]]:
            continue  # of a prior of this name that was fitted anew since
        key = _what(record)
        same = [k for k, r in kept.items() if k[:-1] == key[:-1] and (k == key or _epochs(r) != _epochs(record))]
        for other in same:
            del kept[other]
        kept[key] = record
    return list(kept.values())


def _what(record: Record) -> tuple[object, ...]:
    fingerprint = record["fingerprint"]
    seed = fingerprint.get("seed") if "frozen" in fingerprint else None
    return _of(record), record["metric"], _where(fingerprint), seed


def _of(record: Record) -> str:
    """What was measured; of samples that were drawn with guidance, with it."""
    guidance = record["fingerprint"].get("guidance", 1)
    return str(record["of"]) if guidance == 1 else f"{record['of']}, guidance {guidance:g}"


def _where(fingerprint: Mapping[str, object]) -> str:
    """The data and the split; and where a probe's labels came from, if not from the same data's training images."""
    learnt = (
        f"; learnt from {fingerprint['train_data']}, {fingerprint['train_split']}"
        if "train_data" in fingerprint
        else ""
    )
    return f"{fingerprint['data']}, {fingerprint['split']}{learnt}"


def _epochs(record: Record) -> int | None:
    return record["fingerprint"].get("epochs")


def together(records: Records) -> list[Record]:
    """The records, with one for all seeds of a recognition: their mean, their deviation and their number."""
    groups: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(_what(record)[:-1], []).append(record)
    merged: list[Record] = []
    for group in groups.values():
        if "frozen" not in group[0]["fingerprint"]:
            merged += group
            continue
        values = [record["value"] for record in group]
        spread = {"deviation": statistics.pstdev(values), "seeds": len(group)} if len(group) > 1 else {}
        fingerprint = {key: value for key, value in group[0]["fingerprint"].items() if key != "seed"}
        merged.append({**group[0], "value": statistics.mean(values), **spread, "fingerprint": fingerprint})
    return merged


def subject(record: Record, records: Records) -> str:
    """What was measured; with data, split and a probe's teacher where the records are of several."""
    where = {_where(r["fingerprint"]) for r in records}
    return _of(record) if len(where) < 2 else f"{_of(record)} ({_where(record['fingerprint'])})"


def show(record: Record) -> str:
    """A value as people write it: four digits, large ones whole, and the deviation where there is one."""
    value = record["value"]
    text = f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    text += f" ± {record['deviation']:.2g}" if record.get("deviation") else ""
    return f"{text} ({record['seeds']} seeds)" if "seeds" in record else text


def table(records: Records) -> tuple[list[str], list[list[str]]]:
    """Header and rows of one evaluation: a row for every metric. A dash marks what was not measured."""
    records = together(records)
    metrics = sorted(dict.fromkeys(r["metric"] for r in records), key=position)
    real_last = sorted(records, key=lambda r: r["of"] == REAL)
    subjects = list(dict.fromkeys(subject(r, records) for r in real_last))
    cells = {(subject(r, records), r["metric"]): show(r) for r in records}
    return ["", *subjects], [[metric, *(cells.get((of, metric), "-") for of in subjects)] for metric in metrics]


def protocols(records: Records) -> dict[str, str]:
    """How the numbers of each subject were measured; where they differ, which metrics each way is of."""
    ways: dict[str, dict[str, dict[str, list[str]]]] = {}
    for record in together(records):
        of = ways.setdefault(subject(record, records), {})
        for key, value in record["fingerprint"].items():
            of.setdefault(key, {}).setdefault(str(value), []).append(record["metric"])
    return {
        name: ", ".join(f"{key.replace('_', ' ')} {_each(values)}" for key, values in values_of.items())
        for name, values_of in ways.items()
    }


def _each(values: Mapping[str, Sequence[str]]) -> str:
    """One value as it is; of several, each with the metrics that it is of."""
    if len(values) == 1:
        return next(iter(values))
    return " / ".join(f"{value} ({', '.join(dict.fromkeys(metrics))})" for value, metrics in values.items())


def cautions(records: Records) -> list[str]:
    """A sentence for everything that makes a number less than it seems: two sides of a comparison that were not treated
    alike, a solver that was stopped."""
    remarks = []
    for fingerprint in (r["fingerprint"] for r in records if "network" in r["fingerprint"] and r["of"] != REAL):
        for what in ("format", "resize", "size"):
            ours, theirs = fingerprint.get(f"images_{what}", fingerprint[what]), fingerprint[what]
            if ours != theirs:
                remarks.append(
                    f"the {what} of the images is {ours}, that of {fingerprint['data']} is {theirs}: "
                    "a distance between them also measures this difference"
                )
    remarks += [
        f"{r['metric']}: the solver stopped before it had converged; other features, or scaled ones, may do better"
        for r in records
        if r["fingerprint"].get("converged") is False
    ]
    return list(dict.fromkeys(remarks))


def compare(runs: Mapping[str, Records]) -> tuple[list[str], list[list[str]], list[str]]:
    """Header, rows (one per run and subject), and a sentence for every column whose numbers are not alike.

    Numbers are alike when their fingerprints agree in everything but the model's weights.
    """
    named = {name: together(newest(records)) for name, records in runs.items()}
    metrics = sorted(dict.fromkeys(r["metric"] for records in named.values() for r in records), key=position)
    rows, notes = [], []
    for name, records in named.items():
        for of in dict.fromkeys(subject(r, records) for r in records):
            cells = {r["metric"]: show(r) for r in records if subject(r, records) == of}
            rows.append([name, of, *(cells.get(metric, "-") for metric in metrics)])
    for metric in metrics:
        column = [(name, r) for name, records in named.items() for r in records if r["metric"] == metric]
        for name, record in column[1:]:
            first, fingerprint = column[0][1]["fingerprint"], record["fingerprint"]
            if unlike := differences(first, fingerprint, SUBJECT):
                pair = _told_apart((column[0], (name, record)), named)
                notes.append(f"{metric} of {' and '.join(pair)} are not comparable: {', '.join(unlike)}")
    return ["run", "of", *metrics], rows, list(dict.fromkeys(notes))


def _told_apart(pair: Sequence[tuple[str, Record]], runs: Mapping[str, Records]) -> list[str]:
    """What a note calls two numbers: their runs; where these do not tell them apart, their data; else what they are
    of."""

    def data(run: str, record: Record) -> str:
        return f"{run} ({_where(record['fingerprint'])})"

    several = any(len({_where(r["fingerprint"]) for r in records}) > 1 for records in runs.values())
    names = [data(*each) if several else each[0] for each in pair]
    return names if len(set(names)) > 1 else [f"{record['of']} of {run}" for run, record in pair]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def latex(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in LaTeX; needs no package."""
    lines = [" & ".join(map(_escaped, line)) + r" \\" for line in (header, *rows)]
    columns = "l" + "r" * (len(header) - 1)
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", lines[0], r"\hline", *lines[1:], r"\end{tabular}"])


def _escaped(text: str) -> str:
    words = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    return "".join(words.get(sign, f"\\{sign}" if sign in "&%$#_{}" else sign) for sign in text)


FORMATS: dict[str, Callable[[Sequence[str], Sequence[Sequence[str]]], str]] = {"markdown": markdown, "latex": latex}
