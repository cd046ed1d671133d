"""`python -m quarry_runtime estimate`: what a run over a part of the corpus says about all of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quarry_runtime.measuring.json_file import write_json
from quarry_runtime.measuring.subcorpus import Part, estimate


def answer(argv: list[str]) -> dict[str, Any]:
    """`estimate --run F --qrels F --unjudged N --sampled n --depth k --measures nDCG@10`."""
    parser = argparse.ArgumentParser(prog="quarry_runtime estimate", description=answer.__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--qrels", type=Path, required=True)
    parser.add_argument("--unjudged", type=int, required=True)
    parser.add_argument("--sampled", type=int, required=True)
    parser.add_argument("--depth", type=int, required=True)
    parser.add_argument("--measures", nargs="+", required=True)
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", type=Path, help="a file that keeps the answer")
    args = parser.parse_args(argv)
    part = Part(args.unjudged, args.sampled, args.depth)
    found = estimate(args.run, args.qrels, args.measures, part, level=args.level, seed=args.seed)
    if args.out is not None:
        write_json(args.out, found)
    return found
