from odoo import api, models

from odoo.addons.g2p_bridge.connectors.errors import BankOutcomeUnknown, BankRejected

from ..connectors import wire


class ExampleBankConnector(models.AbstractModel):
    """OpenG2P's example bank, with payment inquiry and release of funds.

    See docs/example-bank.md for the wire protocol. The bank knows a repeat by the
    Idempotency-Key, so blocking and paying may be sent again under the same key.
    """

    _name = "g2p.bank.connector.example"
    _inherit = "g2p.bank.connector"
    _description = "Connector to the example bank"

    supports_inquiry = True
    supports_release = True
    honours_idempotency_key = True

    @api.private
    def check_funds(self, account, amount):
        """Ask whether the account has the amount that nobody holds."""
        body = wire.funds_check_to_wire(account, amount)
        answer = self._send(account, "/check_funds", body, safe=True)
        return wire.availability_from_wire(answer, account)

    @api.private
    def test_connection(self, account, amount):
        """Ask whether the account has the smallest amount: the bank says, too, if it has none such.

        The bank has no call for a balance, and this one asks for the key like all others.
        """
        return self.check_funds(account, amount)

    @api.private
    def block_funds(self, account, amount, idempotency_key):
        """Hold the amount; the same key holds it once."""
        body = wire.block_to_wire(account, amount)
        answer = self._send_once(account, "/block_funds", body, idempotency_key)
        return wire.block_from_wire(answer)

    @api.private
    def release_funds(self, account, block_reference):
        """Free what no payment has drawn from the block; a repeat changes nothing."""
        body = wire.release_to_wire(account, block_reference)
        wire.check_release(self._send(account, "/release_funds", body, safe=True))

    @api.private
    def initiate_payment(self, account, block_reference, payments, idempotency_key):
        """Order the payments; the same key orders them once."""
        body = [wire.payment_to_wire(payment, account, block_reference) for payment in payments]
        answer = self._send_once(account, "/initiate_payment", body, idempotency_key)
        return wire.acknowledgement_from_wire(answer, payments)

    @api.private
    def inquire_payments(self, account, idempotency_key, payments):
        """What became of each payment, in their order; the bank knows them by reference."""
        body = wire.inquiry_to_wire(account, payments)
        answer = self._send(account, "/inquire_payments", body, safe=True)
        return wire.statuses_from_wire(answer, payments)

    @api.private
    def retrieve_beneficiary_name(self, entry):
        """Line 4 of :86:. This bank puts the beneficiary's id there, not the name."""
        return super().retrieve_beneficiary_name(entry) or wire.narrative(entry, 4)

    @api.private
    def retrieve_reversal_reason(self, entry):
        """Line 6 of :86:, which only a reversal has."""
        return entry.return_reason_code or wire.narrative(entry, 6)

    def _send_once(self, account, path, body, idempotency_key):
        """Send what the bank does once for each key.

        :raise BankOutcomeUnknown: besides the usual causes, the bank did something else under
            this key (HTTP 409), so this call was refused, but an earlier one was not
        """
        try:
            return self._send(account, path, body, idempotency_key=idempotency_key)
        except BankRejected as error:
            if error.code != "HTTP_409":
                raise
            raise BankOutcomeUnknown(
                "The bank had another request under this key.", code="KEY_REUSED"
            ) from error
