"""An officer, for banks that cannot say what became of a call: the bank's ledger is looked at."""

import contextlib
import time
from decimal import Decimal

import requests

from bridge_stack.rpc import RpcError

#: longer than the slowest call: what the bank has not got by then it will not get
PATIENCE_S = 8


class Officer:
    """Decides about batches and blocks of one world whose outcome nobody knows.

    :param approver: the :class:`~bridge_stack.rpc.JsonRpc` of the second person who confirms what
        becomes of a batch
    """

    def __init__(self, world, approver):
        self.world, self._approver = world, approver
        self._since = {}

    def look(self, ledger):
        """Decide what has waited long enough; what fails is decided at the next look.

        :param dict ledger: the bank's books of the account, read after all calls had their time
        """
        # the server may be down, or a job may hold the record in this very second
        with contextlib.suppress(requests.RequestException, RpcError):
            unknown = [("state", "=", "unknown")]
            for batch in self._find("g2p.disbursement.batch", unknown, ["proposed_decision"]):
                if self._is_ripe("batch", batch["id"]):
                    if not batch["proposed_decision"]:
                        self._decide_batch(batch["id"], ledger)
                    self._approver.execute(
                        "g2p.disbursement.batch", "action_confirm_decision", [batch["id"]]
                    )
            domain = [("state", "=", "needs_attention"), ("next_attempt_at", "=", False)]
            for envelope in self._find("g2p.disbursement.envelope", domain):
                if self._is_ripe("envelope", envelope["id"]):
                    self._decide_block(envelope["id"], ledger)

    def _find(self, model, domain, fields=("id",)):
        mine = [("bank_id", "=", self.world.bank_id)]
        return self.world.admin.execute(model, "search_read", [*mine, *domain], list(fields))

    def _is_ripe(self, kind, record_id):
        since = self._since.setdefault((kind, record_id), time.monotonic())
        return time.monotonic() - since > PATIENCE_S

    def _decide_batch(self, batch_id, ledger):
        rows = self.world.admin.execute(
            "g2p.disbursement", "search_read", [("batch_id", "=", batch_id)], ["disbursement_id"]
        )
        ours = {row["disbursement_id"] for row in rows}
        ordered = {payment["reference"] for payment in ledger["payments"]}
        self._decide(
            "g2p.decide.batch",
            batch_id=batch_id,
            decision="paid" if ours <= ordered else "not_paid",
        )

    def _decide_block(self, envelope_id, ledger):
        calls = self._find(
            "g2p.bank.call",
            [
                ("envelope_id", "=", envelope_id),
                ("operation", "=", "block_funds"),
                ("state", "in", ["started", "unknown"]),
            ],
            ["intent"],
        )
        if not calls:
            return
        amount = Decimal(calls[0]["intent"]["amount"])
        found = [
            block["reference"]
            for block in ledger["blocks"]
            if block["reference"] not in self._used_blocks() and Decimal(block["amount"]) == amount
        ]
        if found:
            decision = {"decision": "blocked", "reference": found[-1]}
        else:
            decision = {"decision": "not_blocked"}
        self._decide("g2p.decide.block", envelope_id=envelope_id, **decision)

    def _used_blocks(self):
        fields = ["funds_blocked_reference_number"]
        return {row[fields[0]] for row in self._find("g2p.disbursement.envelope", [], fields)}

    def _decide(self, model, **values):
        wizard = self.world.create(model, note="the bank's ledger says so", **values)
        self.world.admin.execute(model, "action_decide", [wizard])
