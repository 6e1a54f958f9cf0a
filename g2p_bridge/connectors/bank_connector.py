import requests

from odoo import api, models

from ..services import disbursement_id, statement_file
from . import http, signing
from .dto import Capabilities
from .errors import BankOutcomeUnknown, BankUnavailable


class BankConnector(models.AbstractModel):
    """What the bridge asks of a bank; each bank addon has one that inherits this.

    ``_name = "g2p.bank.connector.<code>"``, ``_inherit = "g2p.bank.connector"``: the pipeline looks
    it up by the code that the bank's form holds. Arguments and results are the frozen values of
    ``connectors/dto.py``. A method ends in a result or in one of the three classes of
    ``connectors/errors.py``; anything else that it raises is a bug of the addon. A connector keeps
    no state and opens no cursor.
    """

    _name = "g2p.bank.connector"
    _description = "Bank connector"

    #: :meth:`inquire_payments` works
    supports_inquiry = False
    #: :meth:`release_funds` works
    supports_release = False
    #: a block or payment call repeated under its key is answered as before, and not done again
    honours_idempotency_key = False

    @api.private
    def capabilities(self, options):
        """Say what a bank with these settings can do: by default what the flags say.

        The pipeline asks this, never the flags. Override it where banks of one connector differ.

        :param dict options: as ``DebtorAccount.options``, without what is an account's own
        :return: Capabilities
        """
        return Capabilities(
            supports_inquiry=self.supports_inquiry,
            supports_release=self.supports_release,
            honours_idempotency_key=self.honours_idempotency_key,
            honours_block_key=self.honours_idempotency_key,
        )

    # -- calls to the bank ----------------------------------------------------------------------

    @api.private
    def check_funds(self, account, amount):
        """Ask whether the account holds so much; moves no money.

        :param DebtorAccount account: the funding account
        :param Decimal amount: in the account's currency
        :return: FundsAvailability
        :raise BankUnavailable: no usable answer
        :raise BankRejected: the bank does not take the question (unknown account)
        """
        raise self._not_implemented("check_funds")

    @api.private
    def block_funds(self, account, amount, idempotency_key):
        """Have the bank hold so much for the payments to come.

        :param str idempotency_key: the same for each repeat of this call
        :return: FundsBlock
        :raise BankUnavailable: surely nothing is held
        :raise BankRejected: surely nothing is held, nor will it be
        :raise BankOutcomeUnknown: perhaps it is held
        """
        raise self._not_implemented("block_funds")

    @api.private
    def release_funds(self, account, block_reference):
        """Give back what is left of a block; a repeat is harmless.

        Called only where :attr:`supports_release` says so.

        :param str block_reference: as :meth:`block_funds` returned it
        :raise BankUnavailable: no usable answer
        :raise BankRejected: the bank does not know the block
        """
        raise self._not_implemented("release_funds")

    @api.private
    def initiate_payment(self, account, block_reference, payments, idempotency_key):
        """Order a batch of payments, all or none but for those that the answer names.

        :param str block_reference: the funds they draw on
        :param list payments: Payment
        :param str idempotency_key: the same for each repeat of this batch
        :return: Acknowledgement
        :raise BankUnavailable: surely none was taken
        :raise BankRejected: surely none was taken, nor will be
        :raise BankOutcomeUnknown: perhaps they were taken
        """
        raise self._not_implemented("initiate_payment")

    @api.private
    def inquire_payments(self, account, idempotency_key, payments):
        """Ask what became of a batch whose order had no answer; moves no money.

        Called only where :attr:`supports_inquiry` says so.

        :param str idempotency_key: the key of the order
        :return: list of PaymentStatus, one for each payment
        :raise BankUnavailable: no usable answer
        """
        raise self._not_implemented("inquire_payments")

    @api.private
    def test_connection(self, account, amount):
        """Make one harmless call that shows whether address, key and account are right.

        Behind the button *Test connection*. It must move, hold and order nothing, whatever its
        outcome. By default it is a funds check of the smallest amount; a bank that has something
        better (a balance, an echo that asks for the key) overrides it.

        :param Decimal amount: the smallest amount of the account's currency
        :return: FundsAvailability; its ``reason`` is shown where nothing is available
        :raise BankUnavailable: no usable answer
        :raise BankRejected: the bank does not take the call: wrong key, unknown account
        """
        return self.check_funds(account, amount)

    # -- statements -----------------------------------------------------------------------------

    @api.private
    def parse_statement(self, content):
        """Read a file of statements: MT940 or ISO 20022 camt, which its bytes tell apart.

        A bank addon that knows another format overrides it, and calls this for the others.

        :param bytes content: the file as uploaded
        :return: list of Statement
        :raise StatementInvalid: it cannot be booked as it is
        """
        return statement_file.parse(content)

    @api.private
    def retrieve_disbursement_id(self, entry):
        """Return the disbursement id in a statement entry, or an empty string.

        The customer reference (:61: subfield 7, EndToEndId) as a whole, in capitals or not: a
        longer reference that begins like one of ours is somebody else's. Where that is no valid id
        (NONREF), the one id that is a word of its own in subfields 8 and 9 and in :86:; of two ids,
        neither.

        :param StatementEntry entry: the entry
        """
        reference = entry.customer_reference.strip()
        # the upper case of some other letters is A to Z as well
        if reference.isascii() and disbursement_id.is_valid(reference.upper()):
            return reference.upper()
        return disbursement_id.find_only(
            (entry.bank_reference, entry.supplementary_details, *entry.narrative)
        )

    @api.private
    def retrieve_beneficiary_name(self, entry):
        """Return whom the bank names in a statement entry, or an empty string.

        ISO 20022 has a field for it. MT940 has none; a bank addon reads its bank's :86: lines.

        :param StatementEntry entry: the entry
        """
        return entry.counterparty_name

    @api.private
    def retrieve_reversal_reason(self, entry):
        """Return why a payment came back: the code of ISO 20022 (RtrInf), where there is one.

        Else the last line of :86: that is not empty.

        :param StatementEntry entry: an entry that brings money back
        """
        return entry.return_reason_code or next(
            (line.strip() for line in reversed(entry.narrative) if line.strip()), ""
        )

    # -- hooks for bank addons ------------------------------------------------------------------

    @api.private
    def _authenticate(self, request, account):
        """Make the request one of ours: a bearer token, where the bank has a secret.

        Called when all else is there, so a bank addon may sign the bytes of ``request.body``. Our
        own signature, where the bank's form asks for it, follows.

        :param requests.PreparedRequest request: changed in place
        :param DebtorAccount account: holds the secret
        """
        if account.secret:
            request.headers["Authorization"] = f"Bearer {account.secret}"

    @api.private
    def _headers(self, account, idempotency_key):
        """Return the headers of a request, less those of :meth:`_authenticate`."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        return headers

    @api.private
    def _send(self, account, path, body, *, idempotency_key=None, safe=False):
        """POST JSON to the bank and return the JSON of its answer.

        :param DebtorAccount account: says where, with which secret and time-outs
        :param str path: below the bank's base URL, with a slash in front
        :param body: dict or list; amounts by ``services.money.to_json_number``
        :param str idempotency_key: sent as ``Idempotency-Key``
        :param bool safe: it moves no money, so a repeat does no harm
        :return: dict or list; numbers with a fraction are ``Decimal``
        :raise BankUnavailable: see :func:`..connectors.http.send`
        :raise BankRejected: likewise
        :raise BankOutcomeUnknown: likewise
        """
        with requests.Session() as session:
            request = self._prepare_request(session, account, path, body, idempotency_key)
            answer = http.send(session, request, timeout_s=account.timeout_s, safe=safe)
        if not isinstance(answer, dict | list):
            unclear = BankUnavailable if safe else BankOutcomeUnknown
            raise unclear("Its answer is neither object nor list.", code="GARBAGE")
        return answer

    def _prepare_request(self, session, account, path, body, idempotency_key):
        request = http.prepare(
            session,
            account.base_url.rstrip("/") + path,
            body,
            self._headers(account, idempotency_key),
        )
        self._authenticate(request, account)
        if account.sign_requests:
            signing.sign(request)
        return request

    def _not_implemented(self, method):
        return NotImplementedError(f"{self._name} has no {method}")
