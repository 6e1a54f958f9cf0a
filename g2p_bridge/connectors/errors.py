"""What a call to a bank (or mapper) can end in, besides an answer.

The three classes differ in what is known of the outcome, for that alone decides
whether the same call may be made again.
"""


class BankError(Exception):
    """A call that brought no usable answer.

    :param str message: a sentence for a person, without account numbers or secrets
    :param str code: machine-readable reason (``ReadTimeout``, ``HTTP_503``, the bank's own code)
    """

    def __init__(self, message, *, code=""):
        super().__init__(message)
        self.code = code or type(self).__name__


class BankUnavailable(BankError):
    """The bank surely did not get it: the same call may be made again."""


class BankRejected(BankError):
    """The bank surely refused it: a person decides, a repeat would not help."""


class BankOutcomeUnknown(BankError):
    """It may have happened: inquire, or ask an officer; never send it again."""


class StatementInvalid(Exception):
    """The content is no statement that can be booked.

    :param str message: a sentence that says what is wrong and, where known, in which line
    """
