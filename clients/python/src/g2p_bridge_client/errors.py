"""What can go wrong with a call, by what is known of its outcome."""

from dataclasses import dataclass

_ROWS_IN_TEXT = 5


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with one row of a call.

    :ivar index: place of the row in the call, the first is 0
    :ivar reference: its ``mis_reference_number`` or ``disbursement_id``, empty if unusable
    """

    index: int
    reference: str
    codes: tuple[str, ...]


class BridgeClientError(Exception):
    """The base of all errors of this package.

    :ivar after_unknown: an earlier attempt of the same call had no answer, so that one may have
        been carried out, whatever this error says
    """

    after_unknown: bool = False


class Refused(BridgeClientError):
    """The bridge refused the call, and changed nothing. A repeat would not help.

    :ivar code: such as ``DISBURSEMENT_ENVELOPE_NOT_FOUND``; a program acts on it
    :ivar sentence: for people
    :ivar rows: :class:`RowError` of each row to blame, all of them
    """

    def __init__(self, code: str, sentence: str, rows: tuple[RowError, ...] = ()) -> None:
        super().__init__(code, sentence, rows)
        self.code = code
        self.sentence = sentence
        self.rows = rows

    def __str__(self) -> str:
        first = "; ".join(
            f"row {row.index}: {', '.join(row.codes)}" for row in self.rows[:_ROWS_IN_TEXT]
        )
        more = len(self.rows) - _ROWS_IN_TEXT
        rest = f" and {more} more rows" if more > 0 else ""
        return f"{self.code}: {self.sentence}" + (f" ({first}{rest})" if first else "")


class AccessRefused(BridgeClientError):
    """The key is wrong (HTTP 401), or its user may not make this call (403)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        if self.status == 401:
            return "HTTP 401: the API key is not valid for this server and database."
        return f"HTTP {self.status}: the user of this API key may not make this call."


class CallInvalid(BridgeClientError):
    """No method of the bridge took the call: wrong address or database, another version."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(status, what)
        self.status = status
        self.what = what

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.what}"


class Unavailable(BridgeClientError):
    """The call surely did not reach the bridge, in all its attempts."""


class OutcomeUnknown(BridgeClientError):
    """The call may have been carried out or not; there was no usable answer.

    Creating calls, uploads and questions were repeated before this was raised, and may be made
    again at any time: the same arguments have the same idempotency key. After a cancellation or an
    amendment ask for the status first.

    :ivar method: of the API
    :ivar idempotency_key: that the call had, or empty
    """

    after_unknown = True

    def __init__(self, method: str, idempotency_key: str, reason: str) -> None:
        super().__init__(method, idempotency_key, reason)
        self.method = method
        self.idempotency_key = idempotency_key
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.method}: {self.reason}; the outcome is not known."


class UnexpectedAnswer(BridgeClientError):
    """The bridge answered something that does not belong to the call, or has another form."""


class TotalsDiffer(BridgeClientError):
    """Count or sum of payments are not what they should be.

    :ivar expected: text of count and sum
    :ivar found: likewise
    """

    def __init__(self, where: str, expected: str, found: str) -> None:
        super().__init__(where, expected, found)
        self.where = where
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, found {self.found}."
