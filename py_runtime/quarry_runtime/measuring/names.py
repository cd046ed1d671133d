"""The measures: how each is written, and what trec_eval calls it; src/experiment/measures.ts holds the same table.

Names are those of ir_measures; what it has no name for keeps trec_eval's own (`gm_map`, `11pt_avg`).
Not covered: relstring and runid, which are texts, and parameters of utility.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from quarry_runtime.errors import ConfigError

Mean = Literal["mean", "sum", "geometric"]

# What stands for a query without any relevant passage in a geometric mean, as in trec_eval.
GEOMETRIC_FLOOR = 1e-5
# trec_eval keeps an array over all levels: larger ones cost it minutes, then its life.
MAX_GRADE = 10_000


@dataclass(frozen=True)
class Kind:
    """A measure in trec_eval's words: without cut-off, with one, or both; what may stand in brackets."""

    plain: str | None
    cut: str | None = None
    #: A passage rank, or a share (of recall, of R) with at most two decimals.
    cut_type: Literal["rank", "recall", "share"] = "rank"
    options: tuple[str, ...] = ("rel", "judged_only")
    mean: Mean = "mean"


MEASURES: dict[str, Kind] = {
    "nDCG": Kind("ndcg", "ndcg_cut", options=("dcg", "judged_only")),
    "AP": Kind("map", "map_cut"),
    "P": Kind(None, "P"),
    "R": Kind(None, "recall"),
    "Success": Kind(None, "success"),
    # trec_eval's recip_rank has no cut-off: the ranking is cut instead.
    "RR": Kind("recip_rank", "recip_rank"),
    "Rprec": Kind("Rprec"),
    "Bpref": Kind("bpref", options=("rel",)),
    "infAP": Kind("infAP", options=("rel",)),
    "IPrec": Kind(None, "iprec_at_recall", cut_type="recall"),
    "Judged": Kind(None, "", options=()),
    "SetP": Kind("set_P", options=("rel", "relative", "judged_only")),
    "SetR": Kind("set_recall"),
    "SetF": Kind("set_F", options=("rel", "beta", "judged_only")),
    "SetAP": Kind("set_map"),
    "NumQ": Kind("num_q", options=(), mean="sum"),
    "NumRet": Kind("num_ret", options=("rel",), mean="sum"),
    "NumRel": Kind("num_rel", options=("rel",), mean="sum"),
    "NumRelRet": Kind("num_rel_ret", options=("rel",), mean="sum"),
    "num_nonrel_judged_ret": Kind("num_nonrel_judged_ret", options=("rel",), mean="sum"),
    "gm_map": Kind("gm_map", mean="geometric"),
    "gm_bpref": Kind("gm_bpref", options=("rel",), mean="geometric"),
    "11pt_avg": Kind("11pt_avg"),
    "ndcg_rel": Kind("ndcg_rel", options=("judged_only",)),
    "Rndcg": Kind("Rndcg", options=("judged_only",)),
    "relative_P": Kind(None, "relative_P"),
    "Rprec_mult": Kind(None, "Rprec_mult", cut_type="share"),
    "utility": Kind("utility", options=("rel",)),
    "G": Kind("G", options=("judged_only",)),
    "binG": Kind("binG"),
}
_NAMES = {name.lower(): name for name in MEASURES} | {"map": "AP", "mrr": "RR", "recall": "R"}
_NAMES |= {"precision": "P", "hit": "Success"}
_FORM = re.compile(r"([A-Za-z0-9_]+?)(?:\(([^()]*)\))?(?:@([0-9.]+))?")
_CUTS = {
    "rank": r"[1-9][0-9]{0,8}",
    "recall": r"0|1|[01]\.0{1,2}|0\.[0-9]{1,2}",
    "share": r"[0-9]{1,2}|[0-9]{1,2}\.[0-9]{1,2}",
}
_OPTIONS = {
    "rel": r"[1-9][0-9]{0,3}",
    "judged_only": r"True|False",
    "relative": r"True|False",
    "dcg": r"'(?:log2|exp-log2)'",
    "beta": r"[0-9]{1,6}(?:\.[0-9]{1,6})?",
}


@dataclass(frozen=True)
class Measure:
    """One measure as it was asked for.

    Attributes:
        text: How it is written.
        name: Its name alone.
        kind: What trec_eval knows of it.
        cutoff: Rank, or share as written; None for none.
        options: What stands in brackets.
    """

    text: str
    name: str
    kind: Kind
    cutoff: str | None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> int | None:
        """The rank at which the ranking itself is cut."""
        return int(self.cutoff) if self.name == "RR" and self.cutoff is not None else None

    @property
    def gains(self) -> str:
        """How grades become gains: as they are (`log2`), or 2^grade − 1 (`exp-log2`)."""
        return self.options.get("dcg", "'log2'").strip("'")

    @property
    def is_judged_only(self) -> bool:
        """Whether passages without judgement leave the ranking first."""
        return self.options.get("judged_only") == "True"

    def level(self, default: int) -> int:
        """The lowest grade that counts as relevant."""
        return int(self.options.get("rel", default))

    @property
    def request(self) -> str:
        """What trec_eval takes, e.g. `ndcg_cut.10`."""
        if self.options.get("relative") == "True":
            return "set_relative_P"
        if self.name == "NumRet" and "rel" in self.options:
            return "num_rel_ret"
        if "beta" in self.options:
            return f"set_F.{self.options['beta']}"
        if self.cutoff is None or self.rank is not None:
            return self.kind.plain or ""
        return f"{self.kind.cut}.{self.cutoff}"

    @property
    def answer(self) -> str:
        """What trec_eval answers under, e.g. `ndcg_cut_10`."""
        if "beta" in self.options:
            return "set_F"
        if self.cutoff is None or self.rank is not None or self.kind.cut_type == "rank":
            return self.request.replace(".", "_")
        return f"{self.kind.cut}_{float(self.cutoff):.2f}"


def parse_measure(text: str) -> Measure:
    """Reads a measure as ir_measures writes it.

    Raises:
        ConfigError: for a name, cut-off or option that does not exist.

    Example:
        >>> parse_measure("P(rel=2)@5").request
        'P.5'
    """
    match = _FORM.fullmatch(text)
    name = _NAMES.get(match.group(1).lower()) if match else None
    if match is None or name is None:
        known = ", ".join(f"{n}@k" if kind.plain is None else n for n, kind in MEASURES.items())
        raise ConfigError(f"Unknown measure {text!r}.", hint=f"Known measures: {known}.")
    kind = MEASURES[name]
    cutoff = match.group(3)
    if cutoff is None and kind.plain is None:
        example = "10" if kind.cut_type == "rank" else "0.1"
        raise ConfigError(f"{name} needs a cut-off.", hint=f"Write {name}@{example}, for example.")
    if cutoff is not None and kind.cut is None:
        raise ConfigError(f"{name} takes no cut-off.", hint=f"Write {name}.")
    if cutoff is not None and not re.fullmatch(_CUTS[kind.cut_type], cutoff):
        what = "a rank from 1 on" if kind.cut_type == "rank" else "a share with up to two decimals"
        raise ConfigError(f"{text!r}: the cut-off of {name} is {what}.")
    options = _parse_options(text, name, kind, match.group(2))
    inside = ",".join(f"{key}={value}" for key, value in options.items())
    written = f"{name}({inside})" if inside else name
    written = written if cutoff is None else f"{written}@{cutoff}"
    return Measure(text=written, name=name, kind=kind, cutoff=cutoff, options=options)


def _parse_options(text: str, name: str, kind: Kind, inside: str | None) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in (inside or "").split(",") if inside else []:
        key, _, value = (piece.strip() for piece in part.partition("="))
        value = value.replace('"', "'")
        if key not in kind.options or not re.fullmatch(_OPTIONS[key], value):
            takes = ", ".join(kind.options) or "none"
            raise ConfigError(
                f"{text!r}: {name} takes no option {part.strip()!r}.",
                hint=f"Its options are {takes}; written as P(rel=2)@5.",
            )
        options[key] = value
    return {key: options[key] for key in kind.options if key in options}


def table() -> dict[str, Any]:
    """The table as data, for the test that compares it with the one that scripts are checked against."""
    return {
        name: {
            "isPlain": kind.plain is not None,
            "cutoff": kind.cut_type if kind.cut is not None else None,
            "options": list(kind.options),
            "mean": kind.mean,
        }
        for name, kind in MEASURES.items()
    }
