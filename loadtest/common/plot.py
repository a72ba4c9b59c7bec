"""A line over time as SVG, without a library for it."""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 36, 40


def svg(title: str, unit: str, step: float, values: Sequence[float]) -> str:
    """``values`` one for each ``step`` seconds, as steps; ``unit`` names the upright axis."""
    top = _round_up(max([*values, 1.0]))
    across = (WIDTH - _LEFT - _RIGHT) / max(1, len(values))
    up = (HEIGHT - _TOP - _BOTTOM) / top
    floor = HEIGHT - _BOTTOM
    points = [f"{_LEFT},{floor}"]
    for at, value in enumerate(values):
        y = floor - value * up
        points += [
            f"{_LEFT + at * across:.1f},{y:.1f}",
            f"{_LEFT + (at + 1) * across:.1f},{y:.1f}",
        ]
    points.append(f"{_LEFT + len(values) * across:.1f},{floor}")
    marks = []
    for part in range(5):
        value = top * part / 4
        y = floor - value * up
        marks.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,.0f}</text>'
        )
    seconds = len(values) * step
    for part in range(5):
        x = _LEFT + (WIDTH - _LEFT - _RIGHT) * part / 4
        marks.append(
            f'<text x="{x:.1f}" y="{floor + 18}" text-anchor="middle">'
            f"{seconds * part / 4:.1f} s</text>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="#333" role="img">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>'
        f'<text x="{WIDTH - _RIGHT}" y="18" text-anchor="end">{escape(unit)}</text>'
        f"{''.join(marks)}"
        f'<polygon points="{" ".join(points)}" fill="#3b82f6" fill-opacity="0.35" '
        f'stroke="#1d4ed8" stroke-width="1"/></svg>\n'
    )


def _round_up(value: float) -> float:
    """The next number that is easy to read."""
    power = 1.0
    while power * 10 < value:
        power *= 10
    return next(power * step for step in (1, 2, 4, 5, 8, 10) if power * step >= value)
