"""What a file from a bank is, by its first bytes; whether it is well made is for its reader."""

import re

#: bytes that are looked at
_HEAD = 8192
_NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:([a-z]{4}\.[0-9]{3}\.[0-9]{3}\.[0-9]{2})")
_MESSAGE_ID = re.compile(r"<(?:\w+:)?MsgId>\s*([^<]{1,35}?)\s*</")
_MT940 = re.compile(r"(?:^|\n|\{4:\s*):20:", re.ASCII)
_READ = ("pain.002", "camt.052", "camt.053", "camt.054")
_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


def sniff(content):
    """Return (kind, message type, message id) of a file; empty texts for what it does not say.

    :param bytes content: as received
    :return: kind is ``pain.002``, ``camt.052`` to ``camt.054``, ``mt940``, ``other`` for another
        ISO 20022 message, ``unreadable`` for anything else
    """
    head = _text_of(content[:_HEAD])
    found = _NAMESPACE.search(head)
    if found:
        message_type = found[1]
        kind = message_type[:8] if message_type.startswith(_READ) else "other"
        message_id = _MESSAGE_ID.search(head)
        return kind, message_type, message_id[1] if message_id else ""
    return ("mt940", "", "") if _MT940.search(head) else ("unreadable", "", "")


def _text_of(head):
    encoding = next((name for mark, name in _BOMS if head.startswith(mark)), "utf-8")
    return head.decode(encoding, "replace")
