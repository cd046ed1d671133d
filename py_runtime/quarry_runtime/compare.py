"""`python -m quarry_runtime compare`: compares runs over the same queries."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from quarry_runtime.measuring.comparison import Options, compare
from quarry_runtime.measuring.significance import SAMPLES


def answer(argv: list[str]) -> dict[str, Any]:
    """`compare --names '["a", "b"]' --runs a.trec b.trec --qrels F --measures nDCG@10`."""
    parser = argparse.ArgumentParser(prog="quarry_runtime compare", description=answer.__doc__)
    # As JSON: a name that begins with a dash would be taken for an option.
    parser.add_argument("--names", type=json.loads, required=True)
    parser.add_argument("--runs", nargs="+", type=Path, required=True)
    parser.add_argument("--qrels", type=Path)
    parser.add_argument("--measures", nargs="+", required=True)
    parser.add_argument("--level", type=int)
    parser.add_argument("--missing", choices=["zero", "skip"])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--all-pairs", action="store_true")
    args = parser.parse_args(argv)
    options = Options(
        measures=args.measures,
        level=args.level,
        missing=args.missing,
        seed=args.seed,
        samples=args.samples,
        top=args.top,
        is_all_pairs=args.all_pairs,
    )
    inputs = list(zip(args.names, args.runs, strict=True))
    return compare(inputs, args.qrels, options)
