"""The plot: for each workload, how many times the time of nets the best peer takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROW, LEFT, WIDTH, RIGHT, TOP = 18, 190, 520, 150, 54

STYLE = """
  text { font: 12px sans-serif; fill: #24292f; }
  .small { font-size: 10.5px; fill: #57606a; }
  .ahead { fill: #2f81b7; } .behind { fill: #c4622d; }
  .line { stroke: #8c959f; stroke-width: 1; } .faint { stroke: #8c959f; stroke-opacity: 0.3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .small { fill: #9198a1; }
    .ahead { fill: #58a6d8; } .behind { fill: #e0854f; }
  }
"""


def write_svg(found: Mapping[str, Any], path: Path) -> None:
    """Draw the rows that have a ratio; bars to the right of 1 are where nets is ahead."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(found), encoding="utf-8")


def svg(found: Mapping[str, Any]) -> str:
    """The text of the plot."""
    rows = [row for row in found["rows"] if row["ratio"]]
    height = TOP + ROW * len(rows) + 30
    size = f"{LEFT + WIDTH + RIGHT} {height}"
    scale = _scale([row["ratio"] for row in rows])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img">',
        f"<style>{STYLE}</style>",
        _text(
            8, 18, "Time of the best peer ÷ time of nets (logarithmic; right of 1: nets is faster)"
        ),
        _text(8, 34, str(found["machine"]["cpu"]), "small"),
        *_grid(scale, height),
    ]
    for number, row in enumerate(rows):
        parts += _bar(row, TOP + ROW * number, scale)
    return "\n".join([*parts, "</svg>", ""])


def _scale(ratios: list[float]) -> tuple[float, float]:
    """The logarithms at both ends of the axis: whole powers of two, with 1 inside."""
    logs = [math.log2(ratio) for ratio in ratios] or [0.0]
    return float(math.floor(min(*logs, -1.0))), float(math.ceil(max(*logs, 1.0)))


def _x(ratio: float, scale: tuple[float, float]) -> float:
    low, high = scale
    return LEFT + WIDTH * (math.log2(ratio) - low) / (high - low)


def _grid(scale: tuple[float, float], height: int) -> Iterator[str]:
    for power in range(int(scale[0]), int(scale[1]) + 1):
        x = _x(2.0**power, scale)
        kind = "line" if power == 0 else "faint"
        yield f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 24}"/>'
        label = str(2**power) if power >= 0 else f"1/{2**-power}"
        yield _text(x, height - 10, label, "small", "middle")


def _bar(row: Mapping[str, Any], y: int, scale: tuple[float, float]) -> Iterator[str]:
    one, end = _x(1.0, scale), _x(row["ratio"], scale)
    kind = "ahead" if row["ratio"] >= 1 else "behind"
    left, width = min(one, end), abs(end - one)
    threads = f" ({row['threads']}T)" if row.get("threads") else ""
    yield _text(LEFT - 8, y + 12, row["workload"] + threads, "", "end")
    place = f'x="{left:.1f}" y="{y + 2}" width="{width:.1f}" height="{ROW - 6}"'
    yield f'<rect class="{kind}" {place}/>'
    label = f"{row['ratio']:.2f} against {row['best_peer']}"
    yield _text(max(one, end) + 5, y + 12, label, "small")


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
