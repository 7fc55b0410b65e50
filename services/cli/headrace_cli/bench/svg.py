"""Bar charts as SVG, small enough to be read as text."""

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _LABELS, _VALUES = 880, 340, 90
_BAR, _GAP, _TOP, _LEGEND = 18, 8, 44, 26
_COLOURS = ("#3b6ea5", "#d1784b", "#5a9367", "#a05195", "#c2a83e", "#5f6f7d", "#b85450", "#7ba7bc")
_TEXT = 'font-family="sans-serif" font-size="12" fill="#222222"'

Row = tuple[str, Mapping[str, float]]
"""A bar's label, and its parts from left to right by name."""


def bars(title: str, rows: Sequence[Row], unit: str) -> str:
    """Horizontal bars of one scale from zero, each with its sum in `unit` behind it; parts of one name have one colour,
    and a legend names them where there are several."""
    parts = list(dict.fromkeys(name for _, values in rows for name in values))
    legend = _LEGEND if len(parts) > 1 else 0
    height = _TOP + legend + len(rows) * (_BAR + _GAP) + _GAP
    most = max((sum(values.values()) for _, values in rows), default=0.0) or 1.0
    scale = (_WIDTH - _LABELS - _VALUES) / most
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="26" {_TEXT} font-weight="bold">{escape(title)}</text>',
    ]
    if legend:
        lines += _legend(parts)
    for place, (label, values) in enumerate(rows):
        y = _TOP + legend + place * (_BAR + _GAP)
        middle = y + _BAR - 5
        lines.append(f'<text x="{_LABELS - 8}" y="{middle}" {_TEXT} text-anchor="end">{escape(label)}</text>')
        x = float(_LABELS)
        for name, value in values.items():
            width = value * scale
            colour = _COLOURS[parts.index(name) % len(_COLOURS)]
            lines.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}">'
                f"<title>{escape(name)}: {value:,.6g}</title></rect>"
            )
            x += width
        total = sum(values.values())
        lines.append(f'<text x="{x + 6:.1f}" y="{middle}" {_TEXT}>{total:,.4g} {escape(unit)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _legend(parts: Sequence[str]) -> list[str]:
    lines, x, step = [], 10.0, (_WIDTH - 20) / len(parts)
    for place, name in enumerate(parts):
        colour = _COLOURS[place % len(_COLOURS)]
        lines.append(f'<rect x="{x:.1f}" y="{_TOP - 6}" width="12" height="12" fill="{colour}"/>')
        lines.append(f'<text x="{x + 17:.1f}" y="{_TOP + 5}" {_TEXT}>{escape(name)}</text>')
        x += step
    return lines
