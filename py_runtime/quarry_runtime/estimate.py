"""`python -m quarry_runtime estimate`: what a run over a part of the corpus says about all of it, as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from quarry_runtime.measuring.json_file import write_json
from quarry_runtime.measuring.subcorpus import Part, estimate


def main(argv: list[str]) -> int:
    """`estimate --run F --qrels F --unjudged N --sampled n --depth k --measures nDCG@10 --out F.json`."""
    parser = argparse.ArgumentParser(prog="quarry_runtime estimate", description=main.__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--qrels", type=Path, required=True)
    parser.add_argument("--unjudged", type=int, required=True)
    parser.add_argument("--sampled", type=int, required=True)
    parser.add_argument("--depth", type=int, required=True)
    parser.add_argument("--measures", nargs="+", required=True)
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    part = Part(args.unjudged, args.sampled, args.depth)
    found = estimate(args.run, args.qrels, args.measures, part, level=args.level, seed=args.seed)
    write_json(args.out, found)
    return 0
