"""What bin/screenshots takes pictures of."""

from collections.abc import Callable
from dataclasses import dataclass, field

_WIDE = (1440, 900)
_PHONE = (390, 844)


def _nothing(_page):
    """Take the page as it opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture.

    :ivar name: of the file, without .png
    :ivar action: XML id of the action that opens it
    :ivar model: of the record whose form it shows, with ``domain`` and ``order`` that find it
    :ivar user: login, and password, in the demo data
    :ivar wait: selector that is there once the page is
    :ivar steps: what is done then, with Playwright's page
    """

    name: str
    action: str
    model: str = ""
    domain: list = field(default_factory=list)
    order: str = "id"
    user: str = "officer"
    size: tuple = _WIDE
    wait: str = ".o_view_controller, .o_action"
    steps: Callable = _nothing


_ENVELOPE = {
    "action": "g2p_bridge.g2p_disbursement_envelope_action",
    "model": "g2p.disbursement.envelope",
}

SHOTS = [
    Shot(name="envelopes", action="g2p_bridge.g2p_disbursement_envelope_action"),
    Shot(
        name="envelope",
        **_ENVELOPE,
        domain=[["state", "=", "disbursed"], ["program_id.mnemonic", "=", "PENSION"]],
    ),
    Shot(
        name="envelope-phone",
        **_ENVELOPE,
        domain=[["state", "=", "disbursed"], ["program_id.mnemonic", "=", "PENSION"]],
        size=_PHONE,
    ),
]


def prepare(stack):
    """Give the demo's database what the pictures need beside its data."""
