"""`python -m quarry_runtime compare`: compares runs over the same queries, or suites of them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from quarry_runtime.measuring.comparison import Options, compare
from quarry_runtime.measuring.significance import SAMPLES
from quarry_runtime.measuring.suites import DataSet, compare_suites
from quarry_runtime.measuring.told import Silent, Told


def answer(argv: list[str]) -> dict[str, Any]:
    """`compare --names '["a", "b"]' --runs a.trec b.trec --qrels F --measures nDCG@10`, of suites `--sets F`."""
    parser = argparse.ArgumentParser(prog="quarry_runtime compare", description=answer.__doc__)
    # As JSON: a name that begins with a dash would be taken for an option.
    parser.add_argument("--names", type=json.loads, required=True)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--runs", nargs="+", type=Path)
    # As a file: the paths of many data sets are longer than an argument may be, and stdin is the tie to the parent.
    given.add_argument("--sets", type=Path, help="JSON: name, runs, qrels and measures of each")
    parser.add_argument("--qrels", type=Path)
    parser.add_argument("--measures", nargs="+", default=[])
    parser.add_argument("--level", type=int)
    parser.add_argument("--missing", choices=["zero", "skip"])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--all-pairs", action="store_true")
    parser.add_argument("--progress", action="store_true")
    args = parser.parse_args(argv)
    options = Options(
        measures=args.measures,
        level=args.level,
        missing=args.missing,
        seed=args.seed,
        samples=args.samples,
        top=args.top,
        is_all_pairs=args.all_pairs,
        told=Told() if args.progress else Silent(),
    )
    if args.sets is not None:
        return compare_suites(args.names, _sets(args.sets), options)
    inputs = list(zip(args.names, args.runs, strict=True))
    return compare(inputs, args.qrels, options)


def _sets(path: Path) -> list[DataSet]:
    return [
        DataSet(
            name=each["name"],
            runs=[Path(run) for run in each["runs"]],
            qrels=None if each["qrels"] is None else Path(each["qrels"]),
            measures=each["measures"],
        )
        for each in json.loads(path.read_text("utf-8"))
    ]
