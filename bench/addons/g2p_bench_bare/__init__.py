"""Intake without the bridge: what a call costs that does nothing with its rows but store them.

Loaded by the servers of ``bench/run --bare``, and installed nowhere. Odoo reads the request and
answers it, the rows are stored by one COPY in a transaction of its own, and that is all: no check,
no idempotency, no totals. So it is the most that any intake through Odoo's doors can reach.
"""

from operator import itemgetter

from odoo import fields

from odoo.addons.g2p_bridge.models import g2p_bridge_disbursements as bridge

_VALUES = itemgetter(
    "mis_reference_number",
    "beneficiary_id",
    "beneficiary_name",
    "disbursement_amount",
    "narrative",
)


def _take_disbursements(
    self,
    envelope,
    facts,
    disbursements,
    _key,
    answer=bridge.brief_rows_answer,
    _cause="",
):
    rows = list(map(_VALUES, disbursements))
    received_at, ids = fields.Datetime.now(), bridge.new_ids(len(rows))
    with self._beside(envelope) as beside:
        self._copy_disbursements(beside, ids, rows, received_at)
    answered_at = bridge.timestamp(received_at)
    return bridge.ready_made(answer(facts.envelope_id, rows, ids, answered_at))


bridge.Bridge._take_disbursements = _take_disbursements
