"""Plots as SVG, written by hand: lines over two logarithmic axes."""

import math
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 860, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 250, 44, 56
#: told apart by people who see no red and green, too (Okabe and Ito)
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#888888")


def log_plot(title, x_name, y_name, lines):
    """Return a plot as the text of an SVG file.

    :param dict lines: name -> list of (x, y), all above zero
    """
    points = [point for values in lines.values() for point in values]
    x_axis = _Axis([x for x, _y in points], _LEFT, _WIDTH - _RIGHT)
    y_axis = _Axis([y for _x, y in points], _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 24, title, 'font-size="16" font-weight="bold"'),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, x_name, 'text-anchor="middle"'),
        _text(
            20,
            (_TOP + _HEIGHT - _BOTTOM) / 2,
            y_name,
            f'text-anchor="middle" transform="rotate(-90 20 {(_TOP + _HEIGHT - _BOTTOM) / 2})"',
        ),
    ]
    parts += _grid(x_axis, y_axis)
    for number, (name, values) in enumerate(lines.items()):
        parts += _line(number, name, values, x_axis, y_axis)
    return "\n".join([*parts, "</svg>", ""])


class _Axis:
    """A logarithmic axis over whole decades."""

    def __init__(self, values, begin, end):
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
        self._begin, self._end = begin, end

    def place(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self._begin + share * (self._end - self._begin), 1)

    def decades(self):
        return [10.0**power for power in range(self.low, self.high + 1)]


def _grid(x_axis, y_axis):
    parts = []
    top, bottom = y_axis.place(y_axis.decades()[-1]), y_axis.place(y_axis.decades()[0])
    left, right = x_axis.place(x_axis.decades()[0]), x_axis.place(x_axis.decades()[-1])
    for value in x_axis.decades():
        place = x_axis.place(value)
        parts.append(f'<path d="M{place} {top}V{bottom}" stroke="#ddd"/>')
        parts.append(_text(place, bottom + 18, _number(value), 'text-anchor="middle"'))
    for value in y_axis.decades():
        place = y_axis.place(value)
        parts.append(f'<path d="M{left} {place}H{right}" stroke="#ddd"/>')
        parts.append(_text(left - 8, place + 4, _number(value), 'text-anchor="end"'))
    return parts


def _line(number, name, values, x_axis, y_axis):
    colour = _COLOURS[number % len(_COLOURS)]
    dash = ' stroke-dasharray="6 3"' if number >= len(_COLOURS) else ""
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in sorted(values)]
    path = "L".join(f"{x} {y}" for x, y in places)
    legend = _TOP + 8 + 20 * number
    x = _WIDTH - _RIGHT + 16
    return [
        f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>',
        *(f'<circle cx="{cx}" cy="{cy}" r="3.5" fill="{colour}"/>' for cx, cy in places),
        f'<path d="M{x} {legend}h22" stroke="{colour}" stroke-width="2"{dash}/>',
        _text(x + 28, legend + 4, name),
    ]


def _text(x, y, text, more=""):
    return f'<text x="{x}" y="{y}" {more}>{escape(text)}</text>'


def _number(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
