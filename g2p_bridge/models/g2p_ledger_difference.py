import logging

from odoo import SUPERUSER_ID, api, fields, models

from .bulk_fields import BulkMany2one
from .ledger_rules import RULES, query
from .own_cursor import lock_for_transaction
from .roles import OFFICER, check_role

_logger = logging.getLogger(__name__)

#: what a difference is about; with the rule's code its identity
_SUBJECT = ("envelope_id", "batch_id", "account_id", "statement_id", "subject")
_COLUMNS = ("company_id", *_SUBJECT, "expected", "found")
#: system parameter: when all books were checked last, UTC
LAST_CHECK = "g2p_bridge.ledger_checked_at"


class LedgerDifference(models.Model):
    """Something that must hold between our books, and does not.

    Found by a nightly check of all books, or by an officer's; gone by itself with the check that
    finds it mended.
    """

    _name = "g2p.ledger.difference"
    _description = "Ledger difference"
    _order = "id desc"
    _log_access = False

    rule = fields.Selection([(rule.code, rule.label) for rule in RULES], readonly=True)
    company_id = fields.Many2one("res.company", readonly=True)
    envelope_id = BulkMany2one("g2p.disbursement.envelope", readonly=True, index=True)
    batch_id = BulkMany2one("g2p.disbursement.batch", readonly=True)
    account_id = BulkMany2one("g2p.funding.account", readonly=True)
    statement_id = BulkMany2one("g2p.account.statement", readonly=True)
    subject = fields.Char(string="What", readonly=True)
    expected = fields.Char(readonly=True)
    found = fields.Char(readonly=True)
    first_seen_at = fields.Datetime(readonly=True)
    last_seen_at = fields.Datetime(readonly=True)
    is_gone = fields.Boolean(string="Mended", readonly=True)

    @api.depends("rule", "envelope_id")
    def _compute_display_name(self):
        labels = dict(self._fields["rule"]._description_selection(self.env))
        for difference in self:
            difference.display_name = labels.get(difference.rule, difference.rule)

    @api.model
    def _cron_check_ledger(self):
        """Have all books checked by a job."""
        self._enqueue_check()

    def _enqueue_check(self):
        self.with_user(SUPERUSER_ID).with_delay(
            description=self.env._("Check the ledger"), identity_key="check_ledger"
        )._check()

    @api.private
    @api.model
    def _check(self, envelopes=None):
        """Check all rules in one view of the books, and keep what breaks them (queue job).

        :param recordset envelopes: only these; by default all, and the statements as well
        :return: the differences (recordset) that there are
        """
        lock_for_transaction(self.env.cr, "g2p.ledger.difference")
        self.env.flush_all()
        releasing = self.env["g2p.sponsor.bank"]._find_releasing().ids
        ids = None if envelopes is None else envelopes.ids
        found = {}
        for rule in RULES:
            for row in self.env.execute_query(query(rule, ids, releasing)):
                values = dict(zip(_COLUMNS, row, strict=True))
                found[(rule.code, *(values[name] or False for name in _SUBJECT))] = values
        differences = self._store(found, envelopes)
        if envelopes is None:
            now = fields.Datetime.to_string(fields.Datetime.now())
            self.env["ir.config_parameter"].sudo().set_param(LAST_CHECK, now)
        if differences:
            _logger.warning(
                "The ledger check found %s differences: %s",
                len(differences),
                ", ".join(sorted(set(differences.mapped("rule")))),
            )
        return differences

    def _store(self, found, envelopes):
        """Keep new differences, date those that were seen before, and close those that are gone."""
        now = fields.Datetime.now()
        open_domain = [("is_gone", "=", False)]
        if envelopes is not None:
            open_domain.append(("envelope_id", "in", envelopes.ids))
        known = {}
        for record in self.search(open_domain):
            key = (record.rule, *(record[name] or False for name in _SUBJECT))
            known[tuple(part.id if hasattr(part, "ids") else part for part in key)] = record
        gone = self.browse(record.id for key, record in known.items() if key not in found)
        gone.write({"is_gone": True, "last_seen_at": now})
        differences = self.browse()
        for key, values in found.items():
            if record := known.get(key):
                record.write(
                    {
                        "expected": values["expected"],
                        "found": values["found"],
                        "last_seen_at": now,
                    }
                )
            else:
                record = self.create(
                    {**values, "rule": key[0], "first_seen_at": now, "last_seen_at": now}
                )
            differences += record
        return differences

    def action_check_all(self):
        """Have all books checked now (job).

        :raise AccessError: not an officer
        """
        check_role(self, OFFICER)
        self.sudo()._enqueue_check()  # a job runs as OdooBot
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "info",
                "message": self.env._("All books are checked now; look again in a minute."),
            },
        }


class DisbursementEnvelope(models.Model):
    """The ledger check of single envelopes."""

    _inherit = "g2p.disbursement.envelope"

    ledger_difference_count = fields.Integer(
        string="Differences", compute="_compute_ledger_difference_count", compute_sudo=True
    )

    def _compute_ledger_difference_count(self):
        counts = dict(
            self.env["g2p.ledger.difference"]._read_group(
                [("envelope_id", "in", self.ids), ("is_gone", "=", False)],
                ["envelope_id"],
                ["__count"],
            )
        )
        for envelope in self:
            envelope.ledger_difference_count = counts.get(envelope, 0)

    def action_check_ledger(self):
        """Check the books of the envelopes now, and show what differs.

        :return: action: a notification where all ties, the differences otherwise
        :raise AccessError: not an officer
        """
        check_role(self, OFFICER)
        # the rules read all books, and nobody may write differences directly
        differences = self.env["g2p.ledger.difference"].sudo()._check(self)
        if differences:
            return self._action_ledger_differences()
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self.env._("Every book agrees: payments, batches, calls, statements."),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def action_view_ledger_differences(self):
        """Open the differences of the envelope."""
        self.check_access("read")
        return self._action_ledger_differences()

    def _action_ledger_differences(self):
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "g2p_bridge.g2p_ledger_difference_action"
        )
        return {**action, "domain": [("envelope_id", "in", self.ids), ("is_gone", "=", False)]}
