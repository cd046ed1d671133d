"""`python -m quarry_runtime measure`: scores a run file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quarry_runtime.measuring.json_file import write_json
from quarry_runtime.measuring.names import table
from quarry_runtime.measuring.scores import measure
from quarry_runtime.measuring.told import Told

__all__ = ["answer", "measure"]


def answer(argv: list[str]) -> dict[str, Any]:
    """`measure --run F --qrels F --measures nDCG@10 R@100`; `measure --table` lists the measures."""
    parser = argparse.ArgumentParser(prog="quarry_runtime measure", description=answer.__doc__)
    if argv == ["--table"]:
        return table()
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--qrels", type=Path, required=True)
    parser.add_argument("--measures", nargs="+", required=True)
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--missing", choices=["zero", "skip"], default="zero")
    parser.add_argument("--depth", type=int)
    parser.add_argument("--intervals-seed", type=int)
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--out", type=Path, help="a file that keeps the answer")
    args = parser.parse_args(argv)
    result = measure(
        args.run,
        args.qrels,
        args.measures,
        level=args.level,
        missing=args.missing,
        depth=args.depth,
        intervals_seed=args.intervals_seed,
        hear=Told().reading("reading the run", args.run) if args.progress else None,
    )
    if args.out is not None:
        write_json(args.out, result)
    return result
