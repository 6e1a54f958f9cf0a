"""The paper certificate: what the signed file says, for a wall and for a person with a pen."""

from decimal import Decimal

from reportlab.lib.units import mm

from .pdf import (
    ACCENT,
    BAD,
    BOLD,
    GOOD,
    GREY,
    HEIGHT,
    INK,
    LINE,
    MARGIN,
    MONO,
    PALE,
    QUIET,
    WARN,
    WIDTH,
    Column,
    Paper,
    left_to_right,
)

_COLORS = {
    "paid": GOOD,
    "reversed": WARN,
    "rejected": BAD,
    "unresolved": GREY,
    "cancelled": LINE,
}
_NOTHING = "\u2013"
#: statements that the paper lists; the signed file has all
MOST_STATEMENTS = 60


def render(document, digest, fonts, env):
    """Return the paper (PDF, bytes).

    :param dict document: the signed file
    :param str digest: SHA-256 of what is signed
    :param Fonts fonts: see there
    :param env: translates a text (``env._``), and says into which language (``env.lang``)
    """
    return _Certificate(document, digest, fonts, env).render()


def qr_text(certificate, digest, key_id):
    """Return what the code on the paper holds: which certificate, its digest, whose key."""
    return f"{certificate['format']} {certificate['certificate_id']} {digest} {key_id}"


def grouped(number):
    """Return a count with thousands separators."""
    return f"{number:,}"


def money(amount, currency):
    """Return an amount (text of a decimal) with thousands separators, and its currency."""
    return f"{currency}\u00a0{plain(amount)}"


def plain(amount):
    """Return an amount (text of a decimal) with thousands separators."""
    places = len(amount.partition(".")[2])
    return f"{Decimal(amount):,.{places}f}"


class _Certificate:
    def __init__(self, document, digest, fonts, env):
        self.env = env
        self.certificate = document["certificate"]
        self.signature = document["signature"]
        self.digest = digest
        self.currency = self.certificate["envelope"]["currency"]
        self.paper = Paper(
            fonts,
            title=self.env._("Certificate %s", self.certificate["certificate_id"]),
            language=env.lang or "en_US",
            footer=self.env._(
                "Certificate %(id)s · page %(page)s of %(pages)s",
                id=self.certificate["certificate_id"],
                page="{page}",
                pages="{pages}",
            ),
        )

    def render(self):
        self._frame()
        self._head()
        self._sentence()
        self._loop()
        self._money_and_time()
        self._evidence()
        self._signature()
        self.paper.on_new_page = self._frame
        self.paper.new_page()
        self._statements()
        self._how_to_check()
        return self.paper.finish()

    def _amount(self, part):
        return money(part["amount"], self.currency)

    def _frame(self):
        canvas = self.paper.canvas
        canvas.setStrokeColor(ACCENT)
        canvas.setLineWidth(1.1)
        canvas.rect(MARGIN / 2, MARGIN / 2, WIDTH - MARGIN, HEIGHT - MARGIN)
        canvas.setLineWidth(0.3)
        inner = MARGIN / 2 + 1.2 * mm
        canvas.rect(inner, inner, WIDTH - 2 * inner, HEIGHT - 2 * inner)

    def _head(self):
        paper, envelope = self.paper, self.certificate["envelope"]
        size = 31 * mm
        paper.qr(
            qr_text(self.certificate, self.digest, self.signature["key_id"]),
            paper.right - size,
            HEIGHT - MARGIN - size,
            size,
        )
        width = paper.right - paper.left - size - 8 * mm
        paper.y -= 5 * mm
        paper.text(paper.left, paper.y, self.certificate["institution"], size=10, color=QUIET)
        paper.y -= 10.5 * mm
        paper.text(
            paper.left,
            paper.y,
            self.env._("Certificate of settlement"),
            font=BOLD,
            size=22,
            color=ACCENT,
        )
        paper.y -= 9 * mm
        title = f"{envelope['program_name']} · {envelope['cycle']}"
        paper.text(paper.left, paper.y, paper.fitted(title, width, BOLD, 13), font=BOLD, size=13)
        paper.y -= 6 * mm
        paper.text(
            paper.left,
            paper.y,
            self.env._(
                "Envelope %(envelope)s, certificate %(certificate)s",
                envelope=envelope["id"],
                certificate=self.certificate["certificate_id"],
            ),
            size=9,
            color=QUIET,
        )
        paper.y = HEIGHT - MARGIN - size - 3 * mm

    def _sentence(self):
        paper, totals = self.paper, self.certificate["totals"]
        paper.y -= 3 * mm
        paper.paragraph(
            self.env._(
                "Of %(declared)s payments over %(declared_amount)s that were declared, %(paid)s"
                " over %(paid_amount)s were paid. What became of each of the others is known. The"
                " loop is closed to the cent.",
                declared=grouped(totals["declared"]["count"]),
                declared_amount=self._amount(totals["declared"]),
                paid=grouped(totals["paid"]["count"]),
                paid_amount=self._amount(totals["paid"]),
            ),
            size=11.5,
        )
        paper.y -= 4 * mm
        declared = Decimal(totals["declared"]["amount"]) or 1
        paper.bar(
            [
                (float(Decimal(totals[name]["amount"]) / declared), color)
                for name, color in _COLORS.items()
            ]
        )

    def _loop(self):
        paper, totals = self.paper, self.certificate["totals"]
        labels = {
            "paid": self.env._("Paid"),
            "reversed": self.env._("Reversed: paid, and came back"),
            "rejected": self.env._("Rejected by the bank"),
            "unresolved": self.env._("Unresolved: no account known"),
            "cancelled": self.env._("Cancelled before they were sent"),
        }
        paper.y -= 2 * mm
        for name, label in labels.items():
            paper.y -= 6.8 * mm
            paper.box(paper.left, paper.y - 0.3 * mm, 3 * mm, 3 * mm, _COLORS[name], radius=0.6)
            self._row(label, totals[name], paper.left + 5.5 * mm)
        paper.y -= 2.4 * mm
        paper.rule(color=INK)
        paper.y -= 5.6 * mm
        paper.tick(paper.left, paper.y - 0.2 * mm)
        self._row(
            self.env._("Declared = the sum of these"),
            totals["declared"],
            paper.left + 5.5 * mm,
            BOLD,
        )
        if totals["withdrawn"]["count"]:
            paper.y -= 5 * mm
            paper.text(
                paper.left + 5.5 * mm,
                paper.y,
                self.env._(
                    "Beside it: %(count)s payments, %(amount)s, were withdrawn and replaced before"
                    " the envelope was complete.",
                    count=grouped(totals["withdrawn"]["count"]),
                    amount=self._amount(totals["withdrawn"]),
                ),
                size=8,
                color=QUIET,
            )

    def _row(self, label, part, place, font=None):
        paper = self.paper
        style = {"font": font or "G2P", "size": 10}
        paper.text(place, paper.y, label, **style)
        paper.text(paper.right - 52 * mm, paper.y, grouped(part["count"]), align="end", **style)
        paper.text(paper.right, paper.y, self._amount(part), align="end", **style)

    def _money_and_time(self):
        paper = self.paper
        funds, envelope = self.certificate["funds"], self.certificate["envelope"]
        half = (paper.right - paper.left - 8 * mm) / 2
        top = paper.y
        kept = [(self.env._("Kept by the bank"), money(funds["kept"], self.currency))]
        self._column(
            paper.left,
            half,
            self.env._("The money at the bank"),
            [
                (self.env._("Held"), money(funds["held"], self.currency)),
                (self.env._("Drawn by payments"), money(funds["drawn"], self.currency)),
                (self.env._("Released"), money(funds["released"], self.currency)),
                *(kept if Decimal(funds["kept"]) else []),
            ],
            self.env._("Held = drawn + released"),
        )
        bottom, paper.y = paper.y, top
        self._column(
            paper.left + half + 8 * mm,
            half,
            self.env._("The time"),
            [
                (self.env._("Scheduled for"), envelope["schedule_date"]),
                (self.env._("Settled on"), envelope["settled_at"][:10]),
                (self.env._("Days from schedule to settled"), str(envelope["days_to_settle"])),
            ],
            self.env._("No payment is open"),
        )
        paper.y = min(bottom, paper.y)

    def _column(self, place, width, title, rows, conclusion):
        paper = self.paper
        paper.y -= 10 * mm
        paper.text(place, paper.y, title, font=BOLD, size=11, color=ACCENT)
        paper.y -= 2 * mm
        paper.rule(start=place, end=place + width)
        for label, value in rows:
            paper.y -= 5.4 * mm
            paper.text(place, paper.y, label)
            paper.text(place + width, paper.y, value, align="end")
        paper.y -= 5.8 * mm
        paper.tick(place, paper.y - 0.2 * mm, 2.6 * mm)
        paper.text(place + 5 * mm, paper.y, conclusion, font=BOLD)

    def _evidence(self):
        paper, statements = self.paper, self.certificate["statements"]
        account = self.certificate["account"]
        paper.heading(self.env._("What it rests on"))
        lines = []
        named = {
            "count": grouped(len(statements)),
            "account": left_to_right(account["account"]),
            "bank": account["bank"],
        }
        if len(statements) == 1:
            lines.append(
                self.env._(
                    "Statement %(number)s of account %(account)s at %(bank)s: every payment that"
                    " was debited or came back is one entry on it.",
                    number=left_to_right(label_of(statements[0])),
                    account=named["account"],
                    bank=named["bank"],
                )
            )
        elif statements:
            lines.append(
                self.env._(
                    "%(count)s statements of account %(account)s at %(bank)s, from %(first)s to"
                    " %(last)s: each continues the one before it, and every payment that was"
                    " debited or came back is one entry on one of them.",
                    first=left_to_right(label_of(statements[0])),
                    last=left_to_right(label_of(statements[-1])),
                    **named,
                )
            )
        lines.append(self._approval())
        lines.append(
            self.env._(
                "A register with one line for each of %(count)s payments, without names and account"
                " numbers, is part of this certificate.",
                count=grouped(self.certificate["register"]["payments"]),
            )
        )
        for line in lines:
            paper.y -= 1.6 * mm
            paper.tick(paper.left, paper.y - 4.1 * mm, 2.6 * mm)
            paper.paragraph(line, place=paper.left + 5.5 * mm)

    def _approval(self):
        approval = self.certificate["approval"]
        if not approval:
            return self.env._("The program does not ask for the approval of a second person.")
        return self.env._(
            "Released by %(user)s on %(day)s at %(time)s (UTC), with exactly these payments"
            " (content hash %(hash)s).",
            user=approval["approved_by"],
            day=approval["approved_at"][:10],
            time=approval["approved_at"][11:16],
            hash=approval["content_hash"],
        )

    def _signature(self):
        paper = self.paper
        paper.heading(self.env._("Signature"))
        rows = [
            (
                self.env._("Issued"),
                self.env._(
                    "%(day)s at %(time)s (UTC), by %(user)s, with G2P Bridge %(version)s",
                    day=self.certificate["issued_at"][:10],
                    time=self.certificate["issued_at"][11:16],
                    user=self.certificate["issued_by"],
                    version=self.certificate["tool"]["version"],
                ),
                "G2P",
            ),
            (self.env._("Digest"), in_groups(self.digest), MONO),
            (self.env._("Key"), in_groups(self.signature["key_id"]), MONO),
        ]
        if replaced := self.certificate["supersedes"]:
            because = replaced["because"]
            rows.append(
                (
                    self.env._("Replaces"),
                    " ".join(filter(None, (replaced["certificate_id"], because))),
                    "G2P",
                )
            )
        for label, value, font in rows:
            paper.y -= 5.2 * mm
            paper.text(paper.left, paper.y, label, color=QUIET, size=8.5)
            size = 7.6 if font == MONO else 8.5
            room = paper.right - paper.left - 22 * mm
            shown = paper.fitted(value, room, font, size)
            paper.text(paper.left + 22 * mm, paper.y, shown, font=font, size=size)

        paper.signatures([self.env._("Finance officer, date"), self.env._("Auditor, date")])

    def _statements(self):
        paper, statements = self.paper, self.certificate["statements"]
        if not statements:
            return
        paper.heading(self.env._("Statements (amounts in %s)", self.currency))
        columns = [
            Column(22 * mm, self.env._("Statement")),
            Column(19 * mm, self.env._("Closed on")),
            Column(30 * mm, self.env._("Opening balance"), "end"),
            Column(30 * mm, self.env._("Closing balance"), "end"),
            Column(38 * mm, self.env._("Debits of ours"), "end"),
            Column(35 * mm, self.env._("Returns of ours"), "end"),
        ]
        rows = [self._statement_row(statement) for statement in statements[:MOST_STATEMENTS]]
        paper.table(columns, rows, size=8)
        paper.y -= 2 * mm
        if (left_off := len(statements) - MOST_STATEMENTS) > 0:
            paper.paragraph(self.env._("And %s more, in the signed file.", left_off), size=8)
        for statement in statements:
            if statement["accepted_because"]:
                paper.paragraph(
                    self.env._(
                        "Statement %(number)s was accepted by a person: %(reason)s",
                        number=label_of(statement),
                        reason=statement["accepted_because"],
                    ),
                    size=8,
                    color=BAD,
                )

    def _statement_row(self, statement):
        def pair(part):
            if not part["count"]:
                return _NOTHING
            return f"{grouped(part['count'])} · {plain(part['amount'])}"

        return [
            label_of(statement),
            statement["closing_date"] or _NOTHING,
            plain(statement["opening_balance"]),
            plain(statement["closing_balance"]),
            pair(statement["debits"]),
            pair(statement["returns"]),
        ]

    def _how_to_check(self):
        paper, name = self.paper, self.certificate["certificate_id"]
        paper.heading(self.env._("How to check it"))
        steps = [
            self.env._(
                "Take the signed file, the register, and the institution's public key, which it"
                " publishes by another way. Python is all that is needed: no server, no network."
            ),
            self.env._("The digest that the program computes must be the one on this paper."),
        ]
        for step in steps:
            paper.y -= 1 * mm
            paper.paragraph(step)
        command = [
            f"bin/verify-certificate certificate-{name}.json \\",
            f"    --register register-{name}.csv.gz --public-key certificate-key.pem \\",
            f"    --digest {self.digest}",
        ]
        paper.y -= 3 * mm
        paper.box(
            paper.left, paper.y - 17.5 * mm, paper.right - paper.left, 17.5 * mm, PALE, radius=3
        )
        for line in command:
            paper.y -= 5 * mm
            paper.canvas.setFillColor(INK)
            paper.canvas.setFont(MONO, 7.2)
            paper.canvas.drawString(MARGIN + 3 * mm, paper.y, line)  # from the left in any language
        paper.y -= 4 * mm
        self._what_it_proves()

    def _what_it_proves(self):
        paper = self.paper
        paper.heading(self.env._("What it proves, and what it does not"))
        for holds, text in (
            (
                True,
                self.env._(
                    "That the institution's bridge signed these sums and this register, that the"
                    " sums follow from the register, and that nothing was changed since."
                ),
            ),
            (
                True,
                self.env._(
                    "That each debit and return rests on an entry of the bank's statements, whose"
                    " files are named by their hashes."
                ),
            ),
            (
                False,
                self.env._(
                    "Not that a person holds the money in hand: it proves that the bank debited the"
                    " funding account for her payment, and that it did not come back until then."
                ),
            ),
            (
                False,
                self.env._(
                    "Not that the bank's statements are true: compare their files with the bank's."
                ),
            ),
        ):
            paper.y -= 1.4 * mm
            if holds:
                paper.tick(paper.left, paper.y - 4.1 * mm, 2.6 * mm)
            else:
                paper.text(
                    paper.left + 0.6 * mm, paper.y - 4 * mm, _NOTHING, font=BOLD, color=QUIET
                )
            paper.paragraph(text, place=paper.left + 5.5 * mm)


def label_of(statement):
    """Return how a statement is called: number and page, or its id."""
    number = "/".join(filter(None, (statement["number"], statement["last_page"])))
    return number or statement["id"]


def in_groups(digest):
    """Return hexadecimal digits in groups of eight, which a person can compare."""
    return " ".join(digest[place : place + 8] for place in range(0, len(digest), 8))
