from decimal import Decimal

from odoo import api, models

from odoo.addons.g2p_bridge.connectors.dto import (
    ACCEPTED,
    NOT_FOUND,
    UNSEEN,
    Acknowledgement,
    Capabilities,
    FundsAvailability,
    FundsBlock,
    PaymentStatus,
)
from odoo.addons.g2p_bridge.connectors.errors import BankRejected

from ..connectors import orders
from ..transport import HTTPS, REACHED, UNSENT, open_transport

_FOUND = {REACHED: ACCEPTED, UNSENT: NOT_FOUND}


class Iso20022Connector(models.AbstractModel):
    """Any bank that takes pain.001 files.

    A file bank answers nothing at once: that a file lies where the bank takes it is all that an
    acknowledgement says. Its word on single payments comes as pain.002, its books as camt.
    """

    _name = "g2p.bank.connector.iso20022"
    _inherit = "g2p.bank.connector"
    _description = "Connector to banks that take ISO 20022 files"

    supports_release = True

    @api.private
    def capabilities(self, options):
        """A bank that refuses repeats may get a file again; else we can look where it lies."""
        settings = orders.settings_of(options)
        repeats = bool(settings.get("refuses_repeats"))
        return Capabilities(
            supports_inquiry=not repeats and settings.get("transport") != HTTPS,
            supports_release=True,
            honours_idempotency_key=repeats,
            honours_block_key=True,  # nothing leaves
        )

    @api.private
    def check_funds(self, account, amount):
        """Compare with the last statement, where the bank's form asks for it.

        Nothing is sent. By the other policy the bank alone knows, and says so in its status report.
        """
        settings = orders.settings_of(account.options)
        if settings.get("funds_policy") != "balance":
            return FundsAvailability(is_available=True)
        balance = settings.get("balance")
        if not balance:
            return FundsAvailability(
                is_available=False,
                reason=self.env._(
                    "No statement of the account has come yet. Wait for one, upload one, or have"
                    " the bank check when it executes (on the bank's form)."
                ),
            )
        if Decimal(balance["available"]) >= amount:
            return FundsAvailability(is_available=True)
        return FundsAvailability(
            is_available=False,
            reason=self.env._(
                "The statement of %(date)s, less what was ordered since, does not cover it.",
                date=balance["date"] or "?",
            ),
        )

    @api.private
    def block_funds(self, account, amount, idempotency_key):
        """Nothing is held at the bank: the reference is ours, and the same for the same key.

        What it stands for counts against the statement's balance until it is settled.

        :raise BankRejected: the balance does not cover it any more
        """
        answer = self.check_funds(account, amount)
        if not answer.is_available:
            raise BankRejected(answer.reason, code="INSUFFICIENT_FUNDS")
        return FundsBlock(reference=orders.block_reference(idempotency_key))

    @api.private
    def release_funds(self, account, block_reference):
        """Nothing was held at the bank, so there is nothing to ask it for."""

    @api.private
    def initiate_payment(self, account, block_reference, payments, idempotency_key):
        """Lay down one pain.001 for the batch, under a name and an id made of the key.

        A payment that no such file can hold (to a wallet, without account) is refused at once.
        """
        order = orders.prepare(account, payments, idempotency_key)
        if not order.payable:
            raise BankRejected(
                self.env._("None of the payments has an account that a bank file can name."),
                code=order.refused[0].reason_code,
            )
        orders.send(account, order)
        return Acknowledgement(reference=order.message_id, rejected=order.refused)

    @api.private
    def inquire_payments(self, account, idempotency_key, payments):
        """Look where the file lies; what nobody can see is UNSEEN, never NOT_FOUND."""
        if orders.transport_settings(account).kind == HTTPS:
            raise self._not_implemented("inquire_payments")
        order = orders.prepare(account, payments, idempotency_key)
        found = _FOUND.get(orders.find(account, order), UNSEEN)
        return [
            *order.refused,
            *(
                PaymentStatus(
                    end_to_end_id=payment.end_to_end_id,
                    status=found,
                    bank_reference=order.message_id if found == ACCEPTED else "",
                )
                for payment in order.payable
            ),
        ]

    @api.private
    def test_connection(self, account, amount):
        """Log in and look at the folders (or ask the address for nothing); then look at funds."""
        with open_transport(orders.transport_settings(account)) as transport:
            transport.check()
        return self.check_funds(account, amount)
