"""Tables of measurements: rows are what was measured, columns are metrics; unlike protocols are never mixed."""

from collections.abc import Mapping, Sequence
from typing import Any

Records = Sequence[Mapping[str, Any]]


def newest(records: Records) -> list[Mapping[str, Any]]:
    """The measurements of the weights that were measured last; an evaluation repeated replaces the earlier one."""
    kept: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for record in records:
        fingerprint = record["fingerprint"]
        if fingerprint["weights"] != records[-1]["fingerprint"]["weights"]:
            continue
        key = (record["of"], record["metric"], fingerprint["data"], fingerprint["split"])
        kept.pop(key, None)
        kept[key] = record
    return list(kept.values())


def subject(record: Mapping[str, Any], records: Records) -> str:
    """What was measured; with data and split where the records are of several."""
    where = {(r["fingerprint"]["data"], r["fingerprint"]["split"]) for r in records}
    fingerprint = record["fingerprint"]
    return record["of"] if len(where) < 2 else f"{record['of']} ({fingerprint['data']}, {fingerprint['split']})"


def show(record: Mapping[str, Any]) -> str:
    """A value as people write it: four digits, and the deviation where there is one."""
    text = f"{record['value']:.4g}"
    return f"{text} ± {record['deviation']:.2g}" if record.get("deviation") else text


def table(records: Records) -> tuple[list[str], list[list[str]]]:
    """Header and rows of one run's measurements. A dash marks what was not measured."""
    metrics = list(dict.fromkeys(r["metric"] for r in records))
    subjects = list(dict.fromkeys(subject(r, records) for r in records))
    cells = {(subject(r, records), r["metric"]): show(r) for r in records}
    rows = [[of, *(cells.get((of, metric), "-") for metric in metrics)] for of in subjects]
    return ["", *metrics], rows


def compare(runs: Mapping[str, Records]) -> tuple[list[str], list[list[str]], list[str]]:
    """Header, rows (one per run and subject), and a sentence for every column whose numbers are not alike.

    Numbers are alike when their fingerprints agree in everything but the model's weights.
    """
    named = {name: newest(records) for name, records in runs.items()}
    metrics = list(dict.fromkeys(r["metric"] for records in named.values() for r in records))
    rows, notes = [], []
    for name, records in named.items():
        for of in dict.fromkeys(subject(r, records) for r in records):
            cells = {r["metric"]: show(r) for r in records if subject(r, records) == of}
            rows.append([name, of, *(cells.get(metric, "-") for metric in metrics)])
    for metric in metrics:
        column = [(name, r["fingerprint"]) for name, records in named.items() for r in records if r["metric"] == metric]
        for name, fingerprint in column[1:]:
            unlike = [
                f"{key} {column[0][1].get(key)} / {fingerprint.get(key)}"
                for key in sorted({*column[0][1], *fingerprint} - {"weights", "kind"})
                if column[0][1].get(key) != fingerprint.get(key)
            ]
            if unlike:
                notes.append(f"{metric} of {column[0][0]} and {name} are not comparable: {', '.join(unlike)}")
    return ["run", "of", *metrics], rows, list(dict.fromkeys(notes))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
