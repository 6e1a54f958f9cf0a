from odoo.exceptions import UserError

from ..const import ERROR_SENTENCES

#: rows that the text names; the list names them all
ROWS_IN_TEXT = 5


class RowErrors(list):
    """Row errors, which read as the sentence they belong to: Odoo makes its message of ``args``."""

    def __init__(self, rows, sentence):
        super().__init__(rows)
        self.sentence = sentence

    def __str__(self):
        if not self:
            return self.sentence
        first = "; ".join(
            f"row {row['index']}: {', '.join(row['response_error_codes'])}"
            for row in self[:ROWS_IN_TEXT]
        )
        rest = len(self) - ROWS_IN_TEXT
        return f"{self.sentence} ({first}{f' and {rest} more rows' if rest > 0 else ''})"


class BridgeError(UserError):
    """What the facade refuses, so that a program can act on it.

    ``args`` (``error.data.arguments`` for a JSON-RPC client) are the code and the list of row
    errors: ``{"index", "mis_reference_number" or "disbursement_id", "response_error_codes"}``.

    :param str code: one of :data:`~..const.ERROR_SENTENCES`
    :param values: fill the sentence
    :param list rows: row errors
    :param int retry_after_s: when the same call may be made again, where that is known
    """

    def __init__(self, code, *values, rows=(), retry_after_s=None):
        self.code = code
        self.retry_after_s = retry_after_s
        self.sentence = ERROR_SENTENCES[code] % values if values else ERROR_SENTENCES[code]
        super().__init__(self.sentence)
        self.args = (code, RowErrors(rows, self.sentence))

    def __str__(self):
        return f"{self.code}: {self.args[1]}"
