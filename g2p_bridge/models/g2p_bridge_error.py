from odoo.exceptions import UserError

from ..const import ERROR_SENTENCES


class BridgeError(UserError):
    """What the facade refuses, so that a program can act on it.

    ``args`` (``error.data.arguments`` for a JSON-RPC client) are the code and the list of row
    errors: ``{"index", "mis_reference_number" or "disbursement_id", "response_error_codes"}``.

    :param env: for the language of the sentence
    :param str code: one of :data:`~..const.ERROR_SENTENCES`
    :param values: fill the sentence
    :param list rows: row errors
    """

    def __init__(self, env, code, *values, rows=()):
        self.code = code
        self.sentence = ERROR_SENTENCES[code] % values if values else ERROR_SENTENCES[code]
        super().__init__(self.sentence)
        self.args = (code, list(rows))

    def __str__(self):
        text = f"{self.code}: {self.sentence}"
        rows = self.args[1]
        if not rows:
            return text
        first = "; ".join(
            f"row {row['index']}: {', '.join(row['response_error_codes'])}" for row in rows[:5]
        )
        more = f" and {len(rows) - 5} more rows" if len(rows) > 5 else ""
        return f"{text} ({first}{more})"
