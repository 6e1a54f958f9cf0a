"""Statements spoilt on purpose: seeded, so that a number names each of them again."""

import random

from odoo.addons.g2p_bridge.services.disbursement_id import new_ids

_CHARS = "0123456789ABCDEFXYZabc,.:-/+?{}\n\r\t \x00\x01\ufeff\u0661\u0131\u017f\u00e9\u00df\u2028"
_LINES = (
    ":20:AGAIN",
    ":25:TEST0001",
    ":28C:1/2",
    ":60F:C261123USD1000,00",
    ":60M:C261123USD1000,00",
    ":61:2611231123D100,00NTRFNONREF//X",
    ":61:2602300301RD1,NMSC",
    ":86:",
    ":86:166?00PAYMENT?20EREF+",
    ":62F:C261123USD0,",
    ":62M:C261123USD0,",
    ":64:C261123USD0,",
    ":34F:USD0,",
    "-",
    "-}",
    "{1:F01X}{2:O940}{4:",
    "",
)
_ENDS = ("\r\n", "\r", "\r\r\n", "\n\n")
_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1", "cp852")


class StatementMutator:
    """Draws spoilt statements out of good ones.

    :param list seeds: texts of good statements
    :param list ids: the ids that stand in them
    :param seed: of the random numbers
    """

    def __init__(self, seeds, ids, seed):
        self._seeds, self._ids, self._random = seeds, ids, random.Random(seed)

    def draw(self):
        """Return the next spoilt statement, as bytes."""
        text = self._random.choice(self._seeds)
        for _step in range(self._random.choice((1, 1, 2, 3, 5))):
            text = self._random.choice(_MUTATIONS)(self, text)
        encoding = self._random.choice(_ENCODINGS) if self._happens(0.2) else "utf-8"
        content = text.encode(encoding, "replace")
        return self._flip(content) if self._happens(0.1) else content

    def _happens(self, share):
        return self._random.random() < share

    def _place(self, text):
        return self._random.randrange(len(text) + 1)

    def _flip(self, content):
        if not content:
            return content
        changed = bytearray(content)
        changed[self._random.randrange(len(content))] = self._random.randrange(256)
        return bytes(changed)

    def _insert(self, text):
        place = self._place(text)
        return text[:place] + self._random.choice(_CHARS) + text[place:]

    def _delete(self, text):
        place = self._place(text)
        return text[:place] + text[place + self._random.randint(1, 4) :]

    def _replace(self, text):
        place = self._place(text)
        return text[:place] + self._random.choice(_CHARS) + text[place + 1 :]

    def _cut(self, text):
        return text[: self._place(text)] if self._happens(0.5) else text[self._place(text) :]

    def _change_line(self, text):
        """Drop, double, swap, move or add a line."""
        lines = text.split("\n")
        here, there = (self._random.randrange(len(lines)) for _end in range(2))
        kind = self._random.randrange(5)
        if kind == 0:
            del lines[here]
        elif kind == 1:
            lines.insert(there, lines[here])
        elif kind == 2:
            lines[here], lines[there] = lines[there], lines[here]
        elif kind == 3:
            lines.insert(there, lines.pop(here))
        else:
            lines.insert(here, self._random.choice(_LINES))
        return "\n".join(lines)

    def _change_id(self, text):
        """Make one of the ids longer, shorter, another one, lower case; or put one somewhere."""
        given = self._random.choice(self._ids)
        other = self._random.choice([*self._ids, *new_ids(1)])
        made = self._random.choice(
            (
                given + self._random.choice(_CHARS),
                self._random.choice(_CHARS) + given,
                given[:-1],
                given[:8] + "\n" + given[8:],
                given.lower(),
                given.replace("S", "\u017f").replace("I", "\u0131"),
                other,
                f"{given} {other}",
                f"{given}/{other}",
                f"{given}-1",
                "NONREF",
            )
        )
        if self._happens(0.3):
            place = self._place(text)
            return text[:place] + made + text[place:]
        return text.replace(given, made, self._random.choice((1, -1)))

    def _change_mark(self, text):
        entry = self._random.choice(("D1", "D9", "C1", "RD1"))
        return text.replace(
            entry, self._random.choice(("D", "C", "RD", "RC", "X", "")) + entry[-1], 1
        )

    def _change_amount(self, text):
        old = self._random.choice((",00", ",", "101", "102", "0"))
        new = self._random.choice((".00", ",0000", ",001", "", "999999999999999", "-1", "1.0", "0"))
        return text.replace(old, new, self._random.choice((1, 2, -1)))

    def _change_ends(self, text):
        return text.replace("\n", self._random.choice(_ENDS))

    def _splice(self, text):
        other = self._random.choice(self._seeds)
        return text[: self._place(text)] + other[self._place(other) :]

    def _append(self, text):
        return text + self._random.choice(self._seeds)


_MUTATIONS = (
    StatementMutator._insert,
    StatementMutator._delete,
    StatementMutator._replace,
    StatementMutator._cut,
    StatementMutator._change_line,
    StatementMutator._change_line,
    StatementMutator._change_id,
    StatementMutator._change_id,
    StatementMutator._change_mark,
    StatementMutator._change_amount,
    StatementMutator._change_ends,
    StatementMutator._splice,
    StatementMutator._append,
)
