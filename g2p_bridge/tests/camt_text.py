"""camt.052, camt.053 and camt.054 as a bank writes them, by hand."""

from decimal import Decimal
from xml.sax.saxutils import escape

#: message -> (the element that holds it, the element of a statement, its pages)
_MESSAGES = {
    "053": ("BkToCstmrStmt", "Stmt", "StmtPgntn"),
    "054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn", "NtfctnPgntn"),
    "052": ("BkToCstmrAcctRpt", "Rpt", "RptPgntn"),
}


def tag(name, *parts, **attributes):
    """Return an element of these parts, or nothing where all of them are empty."""
    content = "".join(part for part in parts if part)
    if not content:
        return ""
    written = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f"<{name}{written}>{content}</{name}>"


def reference(end_to_end_id, account_reference="", instruction_id=""):
    return tag(
        "Refs",
        tag("AcctSvcrRef", account_reference),
        tag("InstrId", instruction_id),
        tag("EndToEndId", escape(end_to_end_id)),
    )


def transaction(
    end_to_end_id,
    amount="",
    indicator="DBIT",
    *,
    account_reference="",
    instruction_id="",
    currency="USD",
    creditor="",
    texts=(),
    reason="",
    reason_texts=(),
    proprietary_reason="",
    additional="",
    version="08",
):
    """Return a TxDtls in the spelling of the version."""
    is_old, is_named = version == "02", version >= "07"
    money = tag("Amt", amount, Ccy=currency)
    name = tag("Nm", escape(creditor))
    return tag(
        "TxDtls",
        reference(end_to_end_id, account_reference, instruction_id),
        tag("AmtDtls", tag("TxAmt", money))
        if is_old
        else money + tag("CdtDbtInd", money and indicator),
        tag("RltdPties", tag("Cdtr", tag("Pty", name) if is_named else name)),
        tag("RmtInf", *(tag("Ustrd", escape(text)) for text in texts)),
        tag(
            "RtrInf",
            tag("Rsn", tag("Cd", reason) or tag("Prtry", proprietary_reason)),
            *(tag("AddtlInf", escape(text)) for text in reason_texts),
        ),
        tag("AddtlTxInf", escape(additional)),
    )


def entry(
    amount,
    indicator="DBIT",
    *details,
    status="BOOK",
    is_reversal=None,
    account_reference="",
    entry_reference="",
    batch_count="",
    booked_on="<Dt>2026-11-23</Dt>",
    valued_on="<Dt>2026-11-23</Dt>",
    additional="",
    currency="USD",
    version="08",
):
    """Return an Ntry with the TxDtls of ``details``, in the spelling of the version."""
    return tag(
        "Ntry",
        tag("NtryRef", entry_reference),
        tag("Amt", amount, Ccy=currency),
        tag("CdtDbtInd", indicator),
        "" if is_reversal is None else tag("RvslInd", str(is_reversal).lower()),
        tag("Sts", status if version < "07" else tag("Cd", status)),
        tag("BookgDt", booked_on),
        tag("ValDt", valued_on),
        tag("AcctSvcrRef", account_reference),
        "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>",
        tag("NtryDtls", tag("Btch", tag("NbOfTxs", batch_count)), *details),
        tag("AddtlNtryInf", escape(additional)),
    )


def debit(end_to_end_id, amount="100.00", account_reference="", **values):
    """Return an entry that debits a payment."""
    details = transaction(end_to_end_id, amount, account_reference=account_reference, **values)
    return entry(amount, "DBIT", details)


def credit(end_to_end_id, amount="100.00", account_reference="", **values):
    """Return an entry by which a payment comes back."""
    details = transaction(
        end_to_end_id, amount, "CRDT", account_reference=account_reference, **values
    )
    return entry(amount, "CRDT", details)


def balance(code, amount, currency="USD", day="2026-11-23"):
    """Return a Bal; a negative amount is a debit balance."""
    amount = Decimal(amount)
    return tag(
        "Bal",
        tag("Tp", tag("CdOrPrtry", tag("Cd", code))),
        tag("Amt", f"{abs(amount):.2f}", Ccy=currency),
        tag("CdtDbtInd", "DBIT" if amount < 0 else "CRDT"),
        tag("Dt", tag("Dt", day)),
    )


def account(number="TEST0001", currency="USD"):
    """Return an Acct; an IBAN is known by its form."""
    is_iban = number[:2].isalpha() and number[2:4].isdigit()
    inner = tag("IBAN", number) if is_iban else tag("Othr", tag("Id", number))
    return tag("Acct", tag("Id", inner), tag("Ccy", currency))


def page(
    *entries,
    message="053",
    identification="S1",
    number="1",
    legal_number="",
    pages="",
    to_account=None,
    balances=None,
    summary="",
    version="08",
):
    """Return a Stmt, Ntfctn or Rpt; balances from 1000.00 on unless they are given."""
    _holder, name, pagination = _MESSAGES[message]
    if balances is None:
        balances = ties(entries) if message == "053" else ""
    return tag(
        name,
        tag("Id", identification),
        tag(pagination, pages) if version >= "08" else "",
        tag("ElctrncSeqNb", number),
        tag("LglSeqNb", legal_number),
        tag("CreDtTm", "2026-11-23T20:00:00Z"),
        account() if to_account is None else to_account,
        balances,
        summary,
        "".join(entries),
    )


def ties(entries, opening="1000.00"):
    """Return the balances of a statement of booked entries."""
    closing = Decimal(opening) + sum(map(moved, entries))
    return balance("OPBD", opening) + balance("CLBD", closing)


def moved(text):
    """Return what an Ntry adds to the account, read off its first lines."""
    amount = Decimal(text.partition('">')[2].partition("<")[0])
    return amount if "<CdtDbtInd>CRDT" in text.partition("NtryDtls")[0] else -amount


def document(*statements, message="053", version="08", encoding="UTF-8"):
    """Return the message as text."""
    holder = _MESSAGES[message][0]
    namespace = f"urn:iso:std:iso:20022:tech:xsd:camt.{message}.001.{version}"
    head = "<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-11-23T20:00:00Z</CreDtTm></GrpHdr>"
    body = tag(holder, head, *statements)
    return (
        f'<?xml version="1.0" encoding="{encoding}"?>\n<Document xmlns="{namespace}">'
        + body.replace("<Ntry>", "\n<Ntry>").replace("<Bal>", "\n<Bal>")
        + "</Document>\n"
    )


def camt_text(*entries, message="053", version="08", **values):
    """Return a message of one statement of these entries."""
    made = page(*entries, message=message, version=version, **values)
    return document(made, message=message, version=version)
