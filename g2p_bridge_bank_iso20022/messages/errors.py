"""What a message can be refused for. No error carries an account number or a name."""


class MessageError(ValueError):
    """A message that cannot be written, or that is not what it should be.

    :param str message: a sentence for a person, without account numbers or names
    :param str code: machine-readable reason, an ISO 20022 status reason where one fits
    """

    def __init__(self, message, *, code):
        super().__init__(message)
        self.code = code


class PaymentError(MessageError):
    """One payment that cannot be written; the others of its order may be fine.

    :param str end_to_end_id: which
    """

    def __init__(self, message, *, code, end_to_end_id):
        super().__init__(f"Payment {end_to_end_id!r:.40}: {message}", code=code)
        self.end_to_end_id = end_to_end_id
