"""The break-even of the crossover part as a drawing: hand-made SVG, both axes logarithmic."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 78, 90, 48, 56
INK, QUIET, PAPER = "#1f2933", "#8a94a0", "#ffffff"
COLOURS = ("#0b6e99", "#c2571a", "#5b8c2a")


@dataclasses.dataclass(frozen=True)
class Curve:
    """Points of a law, and those that were measured, as (passages, queries)."""

    name: str
    law: Sequence[tuple[float, float]]
    measured: Sequence[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Scale:
    """From a value to a coordinate, over whole decades."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - math.log10(self.low)) / (
            math.log10(self.high) - math.log10(self.low)
        )
        return self.start + share * (self.end - self.start)

    def decades(self) -> list[float]:
        """The powers of ten on the axis."""
        first, last = round(math.log10(self.low)), round(math.log10(self.high))
        return [10.0**power for power in range(first, last + 1)]


def draw(curves: Sequence[Curve], levels: Sequence[tuple[float, str]], title: str) -> str:
    """The drawing; `levels` are numbers of queries that get a line with a name."""
    points = [point for curve in curves for point in (*curve.law, *curve.measured)]
    finite = [y for _, y in points if math.isfinite(y)] + [level for level, _ in levels]
    xs = Scale(
        _floor(min(x for x, _ in points)), _ceil(max(x for x, _ in points)), LEFT, WIDTH - RIGHT
    )
    ys = Scale(_floor(min(finite)), _ceil(max(finite)), HEIGHT - BOTTOM, TOP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        '  font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>',
        _text(LEFT, 26, title, size=15, weight="bold"),
    ]
    for x in xs.decades():
        out.append(_line(xs(x), TOP, xs(x), HEIGHT - BOTTOM, "#e6e9ed"))
        out.append(_text(xs(x), HEIGHT - BOTTOM + 18, _words(x), anchor="middle"))
    for y in ys.decades():
        out.append(_line(LEFT, ys(y), WIDTH - RIGHT, ys(y), "#e6e9ed"))
        out.append(_text(LEFT - 8, ys(y) + 4, _words(y), anchor="end"))
    out.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "passages", anchor="middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(
        f'<text x="18" y="{middle:.0f}" fill="{INK}" text-anchor="middle"'
        f' transform="rotate(-90 18 {middle:.0f})">queries from which on the index is faster</text>'
    )
    for level, name in levels:
        out.append(_line(LEFT, ys(level), WIDTH - RIGHT, ys(level), QUIET, dash="2 4"))
        out.append(
            _text(WIDTH - RIGHT - 6, ys(level) - 6, name, anchor="end", colour=QUIET, size=11)
        )
    for curve, colour in zip(curves, COLOURS, strict=False):
        out += _curve(curve, colour, xs, ys)
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _curve(curve: Curve, colour: str, xs: Scale, ys: Scale) -> list[str]:
    shown = [(xs(x), ys(y)) for x, y in curve.law if math.isfinite(y)]
    out = []
    if shown:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in shown)
        out.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"'
            ' stroke-dasharray="6 4"/>'
        )
        x, y = shown[-1]
        out.append(_text(x + 8, y + 4, curve.name, colour=colour, weight="bold"))
    for x, y in curve.measured:
        if math.isfinite(y):
            out.append(f'<circle cx="{xs(x):.1f}" cy="{ys(y):.1f}" r="4.5" fill="{colour}"/>')
    return out


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    colour: str = INK,
    size: int = 12,
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" font-weight="{weight}"'
        f' text-anchor="{anchor}" stroke="{PAPER}" stroke-width="3" paint-order="stroke">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}"{dashed}/>'


def _floor(value: float) -> float:
    return 10.0 ** math.floor(math.log10(value))


def _ceil(value: float) -> float:
    return 10.0 ** math.ceil(math.log10(value))


def _words(value: float) -> str:
    if value >= 1e9:
        return f"{value / 1e9:g} G"
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"
