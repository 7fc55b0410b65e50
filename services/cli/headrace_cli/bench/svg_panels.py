"""Values over time as SVG: panels of one time axis, each with a scale of its own."""

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _LEFT, _RIGHT = 880, 70, 20
_PANEL, _GAP, _TOP, _BOTTOM = 110, 34, 44, 36
_COLOURS = ("#3b6ea5", "#d1784b", "#5a9367")
_TEXT = 'font-family="sans-serif" font-size="12" fill="#222222"'

Panel = tuple[str, Mapping[str, Sequence[float]]]
"""A heading, and lines by name: a value for each moment."""


def panels(title: str, seconds: Sequence[float], shown: Sequence[Panel]) -> str:
    """Each value holds until the next moment. `seconds` rise, and there are at least two."""
    height = _TOP + len(shown) * (_PANEL + _GAP) + _BOTTOM - _GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="26" {_TEXT} font-weight="bold">{escape(title)}</text>',
    ]
    span = seconds[-1] - seconds[0]
    across = [_LEFT + (at - seconds[0]) / span * (_WIDTH - _LEFT - _RIGHT) for at in seconds]
    for place, (heading, values) in enumerate(shown):
        lines += _panel(_TOP + place * (_PANEL + _GAP), heading, values, across)
    y = height - 12
    lines.append(f'<text x="{_LEFT}" y="{y}" {_TEXT}>0 s</text>')
    lines.append(f'<text x="{_WIDTH - _RIGHT}" y="{y}" {_TEXT} text-anchor="end">{span:,.0f} s</text>')
    return "\n".join([*lines, "</svg>", ""])


def _panel(
    top: int, heading: str, values: Mapping[str, Sequence[float]], across: Sequence[float]
) -> list[str]:
    most = max((value for line in values.values() for value in line), default=0.0) or 1.0
    bottom, right = top + _PANEL, _WIDTH - _RIGHT
    lines = [
        f'<line x1="{_LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="#999999"/>',
        f'<line x1="{_LEFT}" y1="{top}" x2="{right}" y2="{top}" stroke="#dddddd"/>',
        f'<text x="{_LEFT - 8}" y="{top + 5}" {_TEXT} text-anchor="end">{most:,.4g}</text>',
        f'<text x="{_LEFT - 8}" y="{bottom + 4}" {_TEXT} text-anchor="end">0</text>',
        f'<text x="{_LEFT}" y="{top - 6}" {_TEXT}>{escape(heading)}</text>',
    ]
    x = right
    for number, (name, line) in reversed(list(enumerate(values.items()))):
        colour = _COLOURS[number % len(_COLOURS)]
        heights = [bottom - value / most * _PANEL for value in line]
        path = f"M{across[0]:.1f} {heights[0]:.1f}" + "".join(
            f"H{at:.1f}V{high:.1f}" for at, high in zip(across[1:], heights[1:], strict=True)
        )
        lines.append(
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"><title>{escape(name)}</title></path>'
        )
        if len(values) > 1:
            lines.append(
                f'<text x="{x}" y="{top - 6}" {_TEXT} style="fill:{colour}" text-anchor="end">{escape(name)}</text>'
            )
            x -= 8 * len(name) + 16
    return lines
