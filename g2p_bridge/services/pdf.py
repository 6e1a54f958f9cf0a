"""Paper: text, tables and bars on A4 pages, written from left to right or from right to left.

Places are told from the side where a line of the language starts, so a page needs to be laid out
once. Arabic letters are joined and ordered before they are drawn, for PDF knows shapes only.
"""

import io
import re
from dataclasses import dataclass

import arabic_reshaper
import qrcode
from bidi import get_display
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

WIDTH, HEIGHT = A4
MARGIN = 18 * mm
INK, QUIET, LINE, ACCENT = (
    HexColor("#1f2733"),
    HexColor("#5b6573"),
    HexColor("#d5dae1"),
    HexColor("#0f4c5c"),
)
GOOD, WARN, BAD, GREY, PALE = (
    HexColor("#1a7f4b"),
    HexColor("#d98b1f"),
    HexColor("#b3382c"),
    HexColor("#8a93a0"),
    HexColor("#f3f6f8"),
)
REGULAR, BOLD, MONO = "G2P", "G2P-Bold", "G2P-Mono"
_OF_ARABIC = {REGULAR: "G2P-Arabic", BOLD: "G2P-Arabic-Bold", MONO: "G2P-Arabic"}
_ARABIC = re.compile("[\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff]+")
#: letters that are written from right to left, of whatever script
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
#: what tells direction and is not drawn
_MARKS = re.compile("[\u200e\u200f\u2066-\u2069]")
#: a letter by itself is drawn by its own code, for few fonts have it as a form
_shaper = arabic_reshaper.ArabicReshaper({"use_unshaped_instead_of_isolated": True})
RIGHT_TO_LEFT_LANGUAGES = ("ar", "fa", "he", "ur", "ckb", "ps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fonts:
    """Paths of TrueType files."""

    regular: str
    bold: str
    mono: str
    arabic: str
    arabic_bold: str

    def register(self):
        """Make the fonts known to reportlab; a repeat is harmless."""
        for name, path in (
            (REGULAR, self.regular),
            (BOLD, self.bold),
            (MONO, self.mono),
            (_OF_ARABIC[REGULAR], self.arabic),
            (_OF_ARABIC[BOLD], self.arabic_bold),
        ):
            pdfmetrics.registerFont(TTFont(name, path))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its width in points, its heading, and where its texts stand."""

    width: float
    label: str
    align: str = "start"
    font: str = REGULAR


class Paper:
    """A document under way.

    :param Fonts fonts: see there
    :param str title: for the reader's window
    :param str language: decides on which side a line starts
    :param footer: text at the foot of each page, with ``{page}`` and ``{pages}``
    """

    def __init__(self, fonts, *, title, language="en", footer=""):
        fonts.register()
        self._buffer = io.BytesIO()
        self.canvas = _CountedCanvas(self._buffer, pagesize=A4)
        self.canvas.setTitle(title)
        self.canvas.setAuthor("G2P Bridge")
        self.is_right_to_left = language.split("_")[0] in RIGHT_TO_LEFT_LANGUAGES
        self.canvas.draw_footer = lambda page, pages: self._draw_footer(
            footer.format(page=page, pages=pages)
        )
        self.y = HEIGHT - MARGIN
        self.left, self.right = MARGIN, WIDTH - MARGIN
        self.on_new_page = None

    def finish(self):
        """Return the file (bytes)."""
        self.canvas.showPage()
        self.canvas.save()
        return self._buffer.getvalue()

    def new_page(self):
        """Go on at the top of another page."""
        self.canvas.showPage()
        self.y = HEIGHT - MARGIN
        if self.on_new_page:
            self.on_new_page()

    def need(self, height):
        """Go to another page if there is not as much room on this one."""
        if self.y - height < MARGIN + 8 * mm:
            self.new_page()

    # -- marks ----------------------------------------------------------------------------------

    def x(self, place, width=0):
        """Return the left edge of what starts at a place and is so wide."""
        return WIDTH - place - width if self.is_right_to_left else place

    def text(self, place, y, text, *, font=REGULAR, size=9, color=INK, align="start"):
        """Draw one line; ``align`` says which point of it the place is: start, end or center."""
        runs = _runs(text, font, self.is_right_to_left)
        width = _width_of(runs, size)
        at_left = (align == "start") != self.is_right_to_left
        x = WIDTH - place if self.is_right_to_left else place
        if align == "center":
            x -= width / 2
        elif not at_left:
            x -= width
        self.canvas.setFillColor(color)
        for run_font, run in runs:
            self.canvas.setFont(run_font, size)
            self.canvas.drawString(x, y, run)
            x += pdfmetrics.stringWidth(run, run_font, size)
        return width

    def width(self, text, font=REGULAR, size=9):
        """Return how wide a text is."""
        return _width_of(_runs(text, font, self.is_right_to_left), size)

    def wrapped(self, text, width, font=REGULAR, size=9):
        """Return the lines of a text that is to be no wider than that."""
        lines, line = [], ""
        for word in text.split(" "):  # not at spaces that must not break
            longer = f"{line} {word}" if line else word
            if line and self.width(longer, font, size) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        return [*lines, line] if line else lines

    def paragraph(self, text, *, place=None, width=None, size=9, font=REGULAR, color=INK):
        """Write a text from here downwards."""
        place = self.left if place is None else place
        width = self.right - place if width is None else width
        for line in self.wrapped(text, width, font, size):
            self.need(size * 1.45)
            self.y -= size * 1.45
            self.text(place, self.y, line, size=size, font=font, color=color)

    def fitted(self, text, width, font=REGULAR, size=9):
        """Return a text cut with an ellipsis so that it is no wider than that."""
        if self.width(text, font, size) <= width:
            return text
        while text and self.width(f"{text}…", font, size) > width:
            text = text[:-1]
        return f"{text}…"

    def heading(self, text):
        """Write the heading of a part, with a rule below."""
        self.need(22 * mm)
        self.y -= 9 * mm
        self.text(self.left, self.y, text, font=BOLD, size=11, color=ACCENT)
        self.y -= 2.2 * mm
        self.rule()

    def rule(self, color=LINE, width=0.6, start=None, end=None):
        """Draw a line across the page, or between two places."""
        start, end = start or self.left, end or self.right
        self.canvas.setStrokeColor(color)
        self.canvas.setLineWidth(width)
        left = self.x(start, end - start)
        self.canvas.line(left, self.y, left + end - start, self.y)

    def box(self, place, y, width, height, color, radius=0):
        """Fill a rectangle."""
        self.canvas.setFillColor(color)
        self.canvas.roundRect(self.x(place, width), y, width, height, radius, stroke=0, fill=1)

    def tick(self, place, y, size=3 * mm, color=GOOD):
        """Draw a check mark."""
        x = self.x(place, size)
        self.canvas.setStrokeColor(color)
        self.canvas.setLineWidth(size / 5)
        self.canvas.setLineCap(1)
        self.canvas.lines(
            [
                (x, y + size * 0.4, x + size * 0.35, y + size * 0.05),
                (x + size * 0.35, y + size * 0.05, x + size, y + size * 0.8),
            ]
        )
        self.canvas.setLineCap(0)

    def bar(self, parts, height=4 * mm):
        """Draw one bar of parts that add up: list of (share of one, color)."""
        place, width = self.left, self.right - self.left
        self.y -= height
        for share, color in parts:
            if share:
                self.box(place, self.y, max(width * share, 0.6), height, color)
                place += width * share

    def qr(self, text, place, y, size):
        """Draw a QR code."""
        code = qrcode.QRCode(border=0, error_correction=qrcode.constants.ERROR_CORRECT_M)
        code.add_data(text)
        rows = code.get_matrix()
        unit = size / len(rows)
        left = self.x(place, size)
        self.canvas.setFillColor(INK)
        for row, cells in enumerate(rows):
            for column, is_dark in enumerate(cells):
                if is_dark:
                    self.canvas.rect(
                        left + column * unit,
                        y + size - (row + 1) * unit,
                        unit * 1.02,
                        unit * 1.02,
                        stroke=0,
                        fill=1,
                    )

    # -- tables ---------------------------------------------------------------------------------

    def table(self, columns, rows, *, size=8.5, bold_last=False):
        """Write a table; its heading comes again on each page.

        :param columns: list of :class:`Column`
        :param rows: list of lists of texts
        """
        step = size * 1.9
        self.need(step * 3)
        self._table_heading(columns, size)
        for number, row in enumerate(rows):
            if self.y - step < MARGIN + 8 * mm:
                self.new_page()
                self._table_heading(columns, size)
            self.y -= step
            is_bold = bold_last and number == len(rows) - 1
            self._table_row(columns, row, size, BOLD if is_bold else None)
            self.y -= size * 0.55
            self.rule()
            self.y += size * 0.55

    def _table_heading(self, columns, size):
        self.y -= size * 1.9
        self.box(
            self.left,
            self.y - size * 0.55,
            sum(column.width for column in columns),
            size * 1.8,
            PALE,
        )
        labels = [column.label for column in columns]
        self._table_row(columns, labels, size * 0.92, BOLD, QUIET)

    def _table_row(self, columns, row, size, font=None, color=INK):
        place, inset = self.left, 1.2 * mm
        for column, text in zip(columns, row, strict=True):
            used, room = font or column.font, column.width - 2 * inset
            if column.align == "end":  # a number is written smaller, never cut
                used_size = min(size, size * room / max(self.width(text, used, size), 1))
                at = place + column.width - inset
            else:
                text, used_size, at = self.fitted(text, room, used, size), size, place + inset
            self.text(at, self.y, text, font=used, size=used_size, color=color, align=column.align)
            place += column.width

    def signatures(self, labels):
        """Draw a line for each who signs by hand, with what they are."""
        self.need(26 * mm)
        self.y -= 19 * mm
        gap = 8 * mm
        width = (self.right - self.left - gap * (len(labels) - 1)) / len(labels)
        for number, label in enumerate(labels):
            place = self.left + number * (width + gap)
            self.rule(color=QUIET, start=place, end=place + width)
            self.text(place, self.y - 4 * mm, label, size=8, color=QUIET)
        self.y -= 6 * mm

    def _draw_footer(self, text):
        self.text(self.left, MARGIN * 0.78, text, size=7.5, color=QUIET)


class _CountedCanvas(Canvas):
    """A canvas whose pages get their feet when it is known how many there are."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._pages = []
        self.draw_footer = None

    def showPage(self):
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self):
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self.draw_footer(number, len(self._pages))
            Canvas.showPage(self)
        return Canvas.save(self)


def left_to_right(text):
    """Return a text that is read from the left in any sentence: ``****6789``."""
    return f"\u200e{text}\u200e"


def _runs(text, font, is_right_to_left):
    """Return [(font, text)] in the order in which they are drawn, from the left."""
    text = str(text)
    if _RIGHT_TO_LEFT.search(text):
        base = "R" if is_right_to_left else "L"
        text = get_display(_shaper.reshape(text), base_dir=base)
    text = _MARKS.sub("", text)
    runs, end = [], 0
    for found in _ARABIC.finditer(text):
        runs += [(font, text[end : found.start()]), (_OF_ARABIC[font], found[0])]
        end = found.end()
    return [run for run in [*runs, (font, text[end:])] if run[1]]


def _width_of(runs, size):
    return sum(pdfmetrics.stringWidth(text, font, size) for font, text in runs)
