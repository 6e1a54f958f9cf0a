"""Payments -> one pain.001 file on its way to the bank. No Odoo, no cursor."""

import base64
import hashlib
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

from odoo.addons.g2p_bridge.connectors import http, masking
from odoo.addons.g2p_bridge.connectors.dto import REJECTED, PaymentStatus
from odoo.addons.g2p_bridge.connectors.errors import BankError, BankRejected

from ..messages import pain001
from ..messages.errors import MessageError
from ..transport import HTTPS, TransportSettings, open_transport

#: of ``DebtorAccount.options``: what this addon put there
KEY = "iso20022"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedOrder:
    """What is laid down for the bank, and what cannot be."""

    message_id: str
    idempotency_key: str
    payable: tuple  # of Payment
    refused: tuple  # of PaymentStatus: no file can hold them
    message: pain001.PaymentOrder | None  # None where nothing is payable

    @property
    def file_name(self):
        """The same for the same batch, and made of characters that any system takes."""
        return f"{self.message_id}.xml"


def settings_of(options):
    """Return the settings (dict) of a bank of ours; empty for another."""
    return options.get(KEY) or {}


def transport_settings(account):
    """Return how the account's bank is reached.

    :param DebtorAccount account: with the options of its bank
    """
    return settings_for_transport(
        settings_of(account.options), secret=account.secret, timeout_s=account.timeout_s
    )


def settings_for_transport(settings, *, secret, timeout_s):
    """Return TransportSettings of a bank's settings (dict)."""
    return TransportSettings(
        kind=settings.get("transport") or "",
        **{
            name: settings.get(name) or ""
            for name in ("out_path", "in_path", "taken_path", "post_url", "fetch_url")
        },
        archive_folder=settings.get("archive_folder") or "archive",
        error_folder=settings.get("error_folder") or "error",
        host=settings.get("sftp_host") or "",
        port=settings.get("sftp_port") or 22,
        user=settings.get("sftp_user") or "",
        password=settings.get("sftp_password") or "",
        private_key=settings.get("sftp_private_key") or "",
        host_key=settings.get("sftp_host_key") or "",
        secret=secret,
        refuses_repeats=bool(settings.get("refuses_repeats")),
        timeout_s=timeout_s,
    )


def block_reference(idempotency_key):
    """Return our own reference for funds that no bank holds: the same for the same key."""
    digest = hashlib.sha256(idempotency_key.encode()).digest()[:10]
    return f"NOBLOCK{base64.b32encode(digest).decode('ascii')}"


def prepare(account, payments, idempotency_key):
    """Return the batch as a PreparedOrder; the same batch is cut in the same way each time.

    :raise BankRejected: the bank's form has a setting that no bank would take
    """
    message_id = pain001.message_id(idempotency_key)
    try:
        errors = {
            error.end_to_end_id: error
            for error in pain001.refused(_message(account, message_id, payments))
        }
        payable = tuple(each for each in payments if each.end_to_end_id not in errors)
        message = _message(account, message_id, payable) if payable else None
    except MessageError as error:
        raise BankRejected(str(error), code=error.code) from error
    return PreparedOrder(
        message_id=message_id,
        idempotency_key=idempotency_key,
        payable=payable,
        refused=tuple(
            PaymentStatus(end_to_end_id=name, status=REJECTED, reason_code=error.code)
            for name, error in errors.items()
        ),
        message=message,
    )


def _message(account, message_id, payments):
    settings = settings_of(account.options)
    now = datetime.now(timezone.utc)
    asked = [each.requested_date for each in payments if each.requested_date]
    batch_booking = {"yes": True, "no": False}.get(settings.get("batch_booking"))
    name = settings.get("initiating_party_name") or account.bank_code
    return pain001.PaymentOrder(
        message_id=message_id,
        created_at=now,
        # a day that has passed meanwhile is refused by some banks (DT01)
        requested_date=max([now.date(), *asked]),
        initiating_party_name=name,
        initiating_party_id=settings.get("initiating_party_id") or "",
        debtor_name=name,
        debtor_account=account.account_number,
        debtor_currency=account.currency,
        debtor_agent_bic=settings.get("agent_bic") or "",
        debtor_agent_member_id=settings.get("agent_member_id") or "",
        payments=payments,
        version=settings.get("message_version") or pain001.VERSIONS[0],
        charset=settings.get("charset") or "latin",
        batch_booking=batch_booking,
        charge_bearer=settings.get("charge_bearer") or "",
        service_level=settings.get("service_level") or "",
        local_instrument=settings.get("local_instrument") or "",
        category_purpose=settings.get("category_purpose") or "",
        creditor_agent_from=settings.get("creditor_agent_from") or "auto",
        clearing_system=settings.get("clearing_system") or "",
    )


def send(account, order):
    """Lay the file of an order down, and report it like any other call.

    :raise BankUnavailable: it surely does not lie there
    :raise BankRejected: it was surely refused
    :raise BankOutcomeUnknown: nobody can say
    """
    try:
        content = pain001.write(order.message)
    except MessageError as error:  # such as a total of too many digits
        raise BankRejected(str(error), code=error.code) from error
    settings = transport_settings(account)
    masked = masked_order(order, content) if http.is_recording() else ""
    if settings.kind == HTTPS:
        with open_transport(settings) as transport:
            transport.send(
                order.file_name, content, masked=masked, idempotency_key=order.idempotency_key
            )
        return
    with _reported("PUT", order.file_name, masked), open_transport(settings) as transport:
        transport.send(order.file_name, content)


def find(account, order):
    """Say what became of an order's file; see :meth:`FileTransport.find`."""
    settings = transport_settings(account)
    with _reported("LOOK", order.file_name, ""), open_transport(settings) as transport:
        return transport.find(order.file_name)


@contextmanager
def _reported(method, name, masked):
    """Have a step on files logged and recorded, whatever it ends in."""
    started, code = time.monotonic(), ""
    try:
        yield
    except BankError as error:
        code = error.code
        raise
    finally:
        http.report(
            http.Exchange(
                method=method,
                path=name,
                request_masked=masked,
                latency_ms=(time.monotonic() - started) * 1000,
                error=code,
            )
        )


def masked_order(order, content):
    """Return what may be kept of a payment file: its sums, and the first payments masked."""
    message = order.message
    data = {
        "file": order.file_name,
        "message": message.version,
        "message_id": order.message_id,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "debtor_account": message.debtor_account,
        "number_of_transactions": len(order.payable),
        "control_sum": str(sum(each.amount for each in order.payable)),
        # masking counts what it leaves out
        "payments": [_payment(each) for each in order.payable[: masking.MAX_ITEMS + 1]],
    }
    return json.dumps(masking.mask_json(data), ensure_ascii=False, indent=1)


def _payment(payment):
    address = payment.creditor_account
    return {
        "end_to_end_id": payment.end_to_end_id,
        "amount": str(payment.amount),
        "creditor_name": payment.creditor_name,
        "creditor_account": address.account_number if address else "",
        "mobile_number": address.mobile_number if address else "",
        "bank_code": address.bank_code if address else "",
    }
