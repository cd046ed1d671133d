"""`python -m quarry_runtime compare`: compares runs over the same queries and writes the outcome as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from quarry_runtime.measuring.comparison import Options, compare
from quarry_runtime.measuring.json_file import write_json
from quarry_runtime.measuring.significance import SAMPLES


def main(argv: list[str]) -> int:
    """`compare --names a b --runs a.trec b.trec --qrels F --measures nDCG@10 --out F.json`."""
    parser = argparse.ArgumentParser(prog="quarry_runtime compare", description=main.__doc__)
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--runs", nargs="+", type=Path, required=True)
    parser.add_argument("--qrels", type=Path)
    parser.add_argument("--measures", nargs="+", required=True)
    parser.add_argument("--level", type=int)
    parser.add_argument("--missing", choices=["zero", "skip"])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--all-pairs", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
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
    write_json(args.out, compare(inputs, args.qrels, options))
    return 0
