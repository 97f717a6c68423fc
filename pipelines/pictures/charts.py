"""Charts as SVG text: histogram, bars, heat map, lines.

Belongs here: from labelled figures to a picture that reads alone: title, axes, units, a legend where there are two series.
Does not belong here: choosing the figures. Geometry is in binary fractions; what is written beside it is the figure as it was given.

Text is drawn in ``currentColor``, so that a page decides for light or dark; ``as_image`` gives the picture a panel of its own,
because an image in a page knows nothing of the page's colours.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape

Number = int | Decimal | float

WIDTH = 640
COLOURS = ("#2f6db3", "#d9822b", "#3f8f6b", "#a34d8c", "#7a6a3a", "#5b6abf")
"""Each stands out from white and from the UI's dark ground (contrast above 3 to 1)."""
_TOP, _LEFT, _RIGHT, _BOTTOM = 44, 64, 16, 56
_LONGEST_LABEL = 31
_JOINED = 3
"""Months without a figure over which a line goes on: a meter may be read every second month, or every fourth."""


def shown(value: Number) -> str:
    """A figure with its thousands apart and no zeros that say nothing."""
    if isinstance(value, float):
        value = Decimal(repr(round(value, 3)))
    text = f"{value:,f}" if isinstance(value, Decimal) else f"{value:,}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_unit(value: Number, unit: str) -> str:
    """A figure and its unit as they are written; money has its cents."""
    if unit == "$":
        return f"-${-value:,.2f}" if value < 0 else f"${value:,.2f}"
    return f"{shown(value)} {unit}".strip()


def _text(x: float, y: float, text: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _rectangle(x: float, y: float, width: float, height: float, colour: str, more: str = "", told: str = "") -> str:
    title = f"<title>{escape(told)}</title>" if told else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{colour}"{more}>{title}</rect>'


def _line(x1: float, y1: float, x2: float, y2: float, more: str = ' stroke-opacity="0.2"') -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor"{more}/>'


def _svg(title: str, height: float, parts: Iterable[str]) -> str:
    head = _text(8, 20, title, more=' font-size="14" font-weight="600"')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title, quote=True)}" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">'
        f"<title>{escape(title)}</title>{head}{''.join(parts)}</svg>"
    )


def _legend(names: Sequence[str]) -> list[str]:
    parts, x = [], 8.0
    for name, colour in zip(names, COLOURS, strict=False):
        parts += [_rectangle(x, 28, 10, 10, colour), _text(x + 14, 37, name)]
        x += 26 + 6.6 * len(name)
    return parts


def _ticks(most: float, wanted: int = 4) -> list[float]:
    """Round figures from zero up to ``most`` or just above it."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    return [step * n for n in range(math.ceil(most / step - 1e-9) + 1)]


def _scale_up(ticks: Sequence[float], height: float, unit: str) -> list[str]:
    """Lines and figures of a scale that goes up, with its unit on top."""
    bottom = height - _BOTTOM
    parts = [_text(WIDTH - _RIGHT, 37, unit, "end", ' font-size="11" fill-opacity="0.75"')] if unit else []
    for tick in ticks:
        y = bottom - (bottom - _TOP - 10) * tick / ticks[-1]
        parts += [_line(_LEFT, y, WIDTH - _RIGHT, y), _text(_LEFT - 6, y + 4, shown(tick), "end")]
    return parts


def histogram(
    title: str,
    unit: str,
    series: Mapping[str, Sequence[tuple[Number, Number, int]]],
    counted: str = "services",
    note: str = "",
) -> str:
    """Bars side by side for each stretch (from, to, how many) of one or two series. ``unit``: of the stretches; ``note``: what they leave out."""
    height = 300.0
    stretches = sorted({(float(a), float(b)): (a, b) for rows in series.values() for a, b, _ in rows}.items())
    place = {key: n for n, (key, _) in enumerate(stretches)}
    ticks = _ticks(max((count for rows in series.values() for *_, count in rows), default=0))
    bottom = height - _BOTTOM
    each = (WIDTH - _LEFT - _RIGHT) / max(len(stretches), 1)
    wide = each * 0.84 / max(len(series), 1)
    parts = [*(_legend(list(series)) if len(series) > 1 else []), *_scale_up(ticks, height, counted)]
    for number, (name, rows) in enumerate(series.items()):
        for begin, end, count in rows:
            tall = (bottom - _TOP - 10) * count / ticks[-1]
            x = _LEFT + each * place[float(begin), float(end)] + each * 0.08 + wide * number
            told = f"{name}: {shown(count)} {counted} from {shown(begin)} to {shown(end)} {unit}"
            parts.append(_rectangle(x, bottom - tall, wide, tall, COLOURS[number], told=told))
    every = max(1, math.ceil(len(stretches) / 14))
    for n, (_, (begin, _)) in enumerate(stretches):
        if n % every == 0:
            parts.append(_text(_LEFT + each * n, bottom + 16, shown(begin), "middle"))
    if stretches:
        parts.append(_text(_LEFT + each * len(stretches), bottom + 16, shown(stretches[-1][1][1]), "middle"))
    parts += [
        _line(_LEFT, bottom, WIDTH - _RIGHT, bottom, ""),
        _text((WIDTH + _LEFT) / 2, height - 14, f"{unit}; {note}" if note else unit, "middle"),
    ]
    return _svg(title, height, parts)


def bars(
    title: str,
    unit: str,
    rows: Sequence[tuple[str, Number]],
    before: Mapping[str, Number] | None = None,
    names: tuple[str, str] = ("now", "before"),
) -> str:
    """A bar for each row, the figure beside it; below it, thinner, what it was before."""
    tall = 34.0 if before is not None else 24.0
    top = _TOP if before is not None else 30
    height = top + tall * max(len(rows), 1) + 12
    left, right = 226.0, 110.0
    most = max([abs(float(v)) for _, v in rows] + [abs(float(v)) for v in (before or {}).values()], default=0.0) or 1.0
    parts = _legend(names) if before is not None else []
    for n, (label, value) in enumerate(rows):
        y = top + tall * n
        width = (WIDTH - left - right) * abs(float(value)) / most
        parts += [
            _text(
                left - 8, y + 15, label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…", "end"
            ),
            _rectangle(left, y + 4, width, 14, COLOURS[0], told=f"{label}: {with_unit(value, unit)}"),
            _text(left + width + 6, y + 15, with_unit(value, unit)),
        ]
        if before is not None and label in before:
            was = before[label]
            thin = (WIDTH - left - right) * abs(float(was)) / most
            parts += [
                _rectangle(left, y + 20, thin, 6, COLOURS[1], told=f"{label}, {names[1]}: {with_unit(was, unit)}"),
                _text(
                    left + thin + 6,
                    y + 27,
                    with_unit(was, unit),
                    more=' font-size="10" fill-opacity="0.75"',
                ),
            ]
    return _svg(title, height, parts)


def heat_map(
    title: str,
    unit: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Mapping[tuple[str, str], Number],
    missing: str = "nothing",
) -> str:
    """A cell for each row and column, the darker the more; a cell without a value is empty and says ``missing``.

    Each row has a scale of its own: a small district is read as well as a large one.
    """
    tall, left, top = 22.0, 170.0, 44.0
    each = (WIDTH - left - 70) / max(len(columns), 1)
    height = top + tall * len(rows) + 70
    parts = []
    for n, row in enumerate(rows):
        y = top + tall * n
        most = max((abs(float(values[row, c])) for c in columns if (row, c) in values), default=0.0) or 1.0
        parts.append(_text(left - 8, y + 15, row if len(row) <= 26 else row[:25] + "…", "end"))
        for m, column in enumerate(columns):
            x = left + each * m
            value = values.get((row, column))
            if value is None:
                more = ' stroke="currentColor" stroke-opacity="0.35" stroke-dasharray="2 2"'
                parts.append(_rectangle(x + 1, y + 1, each - 2, tall - 2, "none", more, f"{row}, {column}: {missing}"))
            else:
                more = f' fill-opacity="{0.08 + 0.92 * abs(float(value)) / most:.2f}"'
                parts.append(
                    _rectangle(
                        x + 1, y + 1, each - 2, tall - 2, COLOURS[0], more, f"{row}, {column}: {with_unit(value, unit)}"
                    )
                )
        parts.append(_text(WIDTH - 64, y + 15, shown(round(most) if most >= 100 else most), more=' font-size="10"'))
    bottom = top + tall * len(rows)
    parts.append(_text(WIDTH - 64, top - 8, f"most, {unit}", more=' font-size="10" fill-opacity="0.75"'))
    for m, column in enumerate(columns):
        x = left + each * (m + 0.5)
        parts.append(
            _text(x, bottom + 12, column, "end", f' transform="rotate(-45 {x:.1f} {bottom + 12:.1f})" font-size="11"')
        )
    return _svg(title, height, parts)


def lines(title: str, unit: str, months: Sequence[str], series: Mapping[str, Sequence[Number | None]]) -> str:
    """A line for each series over the months; a point for each month that has a figure, and the highest written beside it."""
    height = 280.0
    bottom = height - _BOTTOM
    known = [float(v) for values in series.values() for v in values if v is not None]
    ticks = _ticks(max(known, default=0.0))
    each = (WIDTH - _LEFT - _RIGHT) / max(len(months), 1)
    parts = [*(_legend(list(series)) if len(series) > 1 else []), *_scale_up(ticks, height, unit)]

    def at(n: int, value: Number) -> tuple[float, float]:
        return _LEFT + each * (n + 0.5), bottom - (bottom - _TOP - 10) * max(float(value), 0.0) / ticks[-1]

    for colour, (name, values) in zip(COLOURS, series.items(), strict=False):
        before: tuple[float, float] | None = None
        missing = 0
        for n, value in enumerate(values):
            if value is None:
                missing += 1
                continue
            x, y = at(n, value)
            if before is not None and missing <= _JOINED:
                parts.append(
                    f'<line x1="{before[0]:.1f}" y1="{before[1]:.1f}" x2="{x:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-width="2"/>'
                )
            told = escape(f"{name}, {months[n]}: {with_unit(value, unit)}")
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{told}</title></circle>')
            before, missing = (x, y), 0
    first = next(iter(series.values()), [])
    highest = max(
        (n for n, value in enumerate(first) if value is not None), key=lambda n: float(first[n] or 0), default=None
    )
    if highest is not None:
        x, y = at(highest, first[highest] or 0)
        on_left = highest > len(months) // 2
        parts.append(
            _text(
                x + (-7 if on_left else 7),
                y + 4,
                shown(first[highest] or 0),
                "end" if on_left else "start",
                ' font-weight="600"',
            )
        )
    every = max(1, math.ceil(len(months) / 13))
    for n, month in enumerate(months):
        if n % every == 0:
            x = _LEFT + each * (n + 0.5)
            parts.append(
                _text(
                    x, bottom + 14, month, "end", f' transform="rotate(-35 {x:.1f} {bottom + 14:.1f})" font-size="11"'
                )
            )
    parts.append(_line(_LEFT, bottom, WIDTH - _RIGHT, bottom, ""))
    return _svg(title, height, parts)


def as_image(svg: str) -> str:
    """The chart as a markdown image on a light panel, whole in itself."""
    opening, rest = svg.split(">", 1)
    panel = f'{opening} style="color:#1c2733"><rect width="100%" height="100%" rx="6" fill="#f7f8fa"/>{rest}'
    title = svg.split("<title>", 1)[1].split("</title>", 1)[0]
    return f"![{title}](data:image/svg+xml;base64,{base64.b64encode(panel.encode()).decode()})"
