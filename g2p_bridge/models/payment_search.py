import contextlib

from psycopg2.errors import LockNotAvailable

from odoo import api, models
from odoo.tools import SQL

#: shorter texts would find too much
SHORTEST = 3
#: hits of one kind that are shown
SHOWN = 8
#: payments that are looked at, of one person or with one reference of a bank
MOST = 200
#: the end of a range of our ids, which are of ``[A-Z0-9]``
_LAST = "Z" * 16
#: (table, index) of each BRIN index
_SUMMARIZED = (
    ("g2p_disbursement", "g2p_disbursement_search_idx"),
    ("g2p_account_statement_line", "g2p_account_statement_line_envelope_idx"),
)


class Disbursement(models.Model):
    """Finding a payment by whatever somebody has of it, among millions, in a few milliseconds."""

    _inherit = "g2p.disbursement"

    #: who a payment is to and what a bank calls it, in a few bytes for each page: a B-tree on the
    #: person costs the intake 40% more. Each new version of a row writes the filters of its range
    #: anew, whole: ranges are small for that
    _search_idx = models.Index(
        "USING brin (beneficiary_id text_bloom_ops(n_distinct_per_range=128),"
        " bank_reference text_bloom_ops(n_distinct_per_range=128)) WITH (pages_per_range = 4)"
    )

    @api.model
    def _cron_summarize(self):
        """Have the BRIN indexes know the pages that came since the last time.

        A search reads all that they do not know yet. Autovacuum lets them know as well, but in a
        large table seldom; ``autosummarize`` asks for each range and logs a line where its short
        queue is full. If autovacuum has the table just now, this is left to it.
        """
        for table, index in _SUMMARIZED:
            lock = SQL("LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE NOWAIT", SQL.identifier(table))
            with contextlib.suppress(LockNotAvailable), self.env.cr.savepoint():
                self.env.cr.execute(lock, log_exceptions=False)
                self.env.cr.execute("SELECT brin_summarize_new_values(%s::regclass)", [index])

    @api.model
    def action_view_found(self, text=""):
        """Find what a text names: payments, and envelopes and batches by their ids.

        By the beginning of a disbursement or envelope id, and by whole MIS references, beneficiary
        ids, batch names and references of a bank. Only what the user may read is found.

        :param str text: what somebody typed
        :return: list of dicts of ``name``, ``detail``, ``model`` and ``id``, the likeliest first;
            the last may have ``ids`` instead: all payments that were found
        """
        self.check_access("read")
        text = text.strip() if isinstance(text, str) else ""
        if len(text) < SHORTEST:
            return []
        payments = self._find_by_id(text) or self._find_by_reference(text)
        envelopes = self._find_envelopes(text)
        batches = self._find_batches(text)
        if batches:  # whose reference all their payments bear
            payments = payments.browse()
        hits = [
            *(payment._hit() for payment in payments[:SHOWN]),
            *(self._hit_of(envelope, self.env._("Envelope")) for envelope in envelopes),
            *(self._hit_of(batch, self.env._("Batch")) for batch in batches),
        ]
        if len(payments) > SHOWN:
            name = self.env._("All %s payments that were found", len(payments))
            hits.append({"name": name, "detail": "", "model": self._name, "ids": payments.ids})
        return hits

    def _hit(self):
        """Return what tells the payment from others: whose, how much, what became of it."""
        states = dict(self._fields["state"]._description_selection(self.env))
        return {
            "name": f"{self.disbursement_id} · {self.beneficiary_name}",
            "detail": " · ".join(
                [
                    self.currency_id.format(self.amount),
                    states[self.state],
                    self.envelope_id.program_id.mnemonic,
                    self.envelope_id.cycle_code_mnemonic,
                ]
            ),
            "model": self._name,
            "id": self.id,
        }

    def _hit_of(self, record, kind):
        return {"name": record.display_name, "detail": kind, "model": record._name, "id": record.id}

    def _find_by_id(self, text):
        """Return payments whose disbursement id begins so, by its unique index."""
        begin = text.upper()
        if not (begin.isascii() and begin.isalnum()):
            return self.browse()
        domain = [("disbursement_id", ">=", begin), ("disbursement_id", "<=", begin + _LAST)]
        return self.search(domain, order="disbursement_id", limit=SHOWN)

    def _find_by_reference(self, text):
        """Return payments with that MIS reference, beneficiary id or reference of a bank."""
        ids = {*self._ids_of_mis_reference(text), *self._ids_of_name(text)}
        return self.search([("id", "in", list(ids))], order="id desc", limit=MOST)

    def _ids_of_mis_reference(self, text):
        """Return ids by the unique index of envelope and reference: a probe for each envelope."""
        envelopes = self.env["g2p.disbursement.envelope"]._search([])
        rows = self.env.execute_query(
            SQL(
                """
                SELECT found.id FROM (%s) e (id) CROSS JOIN LATERAL (
                    SELECT d.id FROM g2p_disbursement d
                     WHERE d.envelope_id = e.id AND d.mis_reference_number = %s LIMIT 1) found
                 LIMIT %s
                """,
                envelopes.select(),
                text,
                MOST,
            )
        )
        return [row_id for (row_id,) in rows]

    def _ids_of_name(self, text):
        """Return ids by the index of what payments are called.

        The planner takes such an index for one that reads the whole table, as it knows no order of
        the values; so for these two questions it may not choose.
        """
        self.env.flush_all()
        ways = ("enable_seqscan", "enable_indexscan", "enable_indexonlyscan")
        for way in ways:
            self.env.cr.execute(SQL("SET LOCAL %s = off", SQL.identifier(way)))
        ids = [
            row_id
            for query in self._queries_of_name(text)
            for (row_id,) in self.env.execute_query(query)
        ]
        for way in ways:
            self.env.cr.execute(SQL("SET LOCAL %s TO DEFAULT", SQL.identifier(way)))
        return ids

    def _queries_of_name(self, text):
        return [
            SQL(
                "SELECT id FROM g2p_disbursement WHERE %s = %s LIMIT %s",
                SQL.identifier(column),
                text,
                MOST,
            )
            for column in ("beneficiary_id", "bank_reference")
        ]

    def _find_envelopes(self, text):
        begin = text.upper()
        domain = [
            ("disbursement_envelope_id", ">=", begin),
            ("disbursement_envelope_id", "<=", begin + _LAST),
        ]
        return self.env["g2p.disbursement.envelope"].search(domain, limit=SHOWN)

    def _find_batches(self, text):
        domain = ["|", ("name", "=", text.upper()), ("bank_reference", "=", text)]
        return self.env["g2p.disbursement.batch"].search(domain, limit=SHOWN)
