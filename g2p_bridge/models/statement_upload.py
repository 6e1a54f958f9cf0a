"""Statements that an officer drops into the browser, and what came of them."""

import hashlib

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from .g2p_bridge_error import BridgeError
from .roles import OFFICER


class AccountStatement(models.Model):
    """What an officer sees of a file at once: stored, or refused and why; then what it matched."""

    _inherit = "g2p.account.statement"

    pending_count = fields.Integer(
        string="Still to be matched", compute="_compute_outcome_counts", compute_sudo=True
    )
    reconciled_count = fields.Integer(
        string="Debits matched", compute="_compute_outcome_counts", compute_sudo=True
    )
    reversed_count = fields.Integer(
        string="Returns matched", compute="_compute_outcome_counts", compute_sudo=True
    )
    duplicate_count = fields.Integer(
        string="Came before", compute="_compute_outcome_counts", compute_sudo=True
    )

    @api.depends("line_ids.outcome", "line_ids.error_reason")
    def _compute_outcome_counts(self):
        rows = self.env["g2p.account.statement.line"]._read_group(
            [("statement_id", "in", self.ids)],
            ["statement_id", "outcome", "error_reason"],
            ["__count"],
        )
        counts = {}
        for statement, outcome, reason, count in rows:
            key = (statement.id, reason if outcome == "error" else outcome)
            counts[key] = counts.get(key, 0) + count
        for statement in self:
            statement.pending_count = counts.get((statement.id, "pending"), 0)
            statement.reconciled_count = counts.get((statement.id, "reconciled"), 0)
            statement.reversed_count = counts.get((statement.id, "reversed"), 0)
            statement.duplicate_count = counts.get((statement.id, "DUPLICATE_DISBURSEMENT"), 0)

    @api.private
    def _take_file(self, content, filename):
        """Store the statements of a file that an officer has.

        :param bytes content: the file
        :return: (statements, whether the file was uploaded before)
        :raise AccessError: not an officer
        :raise UserError: there is no bank yet
        :raise BridgeError: the file is no statement of the user's banks; nothing was changed
        """
        if not self.env.user.has_group(OFFICER):
            raise AccessError(self.env._("Your role does not allow this step."))
        banks = self.env["g2p.sponsor.bank"].search([("company_id", "in", self.env.companies.ids)])
        if not banks:
            raise UserError(self.env._("Set up a sponsor bank and its funding account first."))
        statements = self.sudo()  # nobody may create them directly
        known = statements._find_uploaded(hashlib.sha256(content).hexdigest())
        found = statements._upload(content, filename or "", banks)
        return found.sudo(False), found <= known

    @api.private
    def _take_dropped_file(self, content, filename):
        """Store a file, and say what came of it.

        :return: dict of ``status`` (stored, known, refused), ``statement_ids``, and where it is
            refused ``error`` and ``hint``: what was wrong, and what to do
        """
        try:
            with self.env.cr.savepoint():
                found, is_known = self._take_file(content, filename)
        except BridgeError as error:
            hint = self._upload_hint(error.code)
            return {"status": "refused", "error": error.sentence, "hint": hint, "statement_ids": []}
        except (AccessError, UserError) as error:
            return {"status": "refused", "error": str(error), "hint": "", "statement_ids": []}
        return {"status": "known" if is_known else "stored", "statement_ids": found.ids}

    def _upload_hint(self, code):
        hints = {
            "INVALID_STATEMENT": self.env._(
                "Check that it is the bank's MT940 file or camt.053; if it is, have the bank send "
                "it again."
            ),
            "STATEMENT_TOO_LARGE": self.env._("Have the bank send it in parts."),
            "STATEMENT_TOO_MANY_ENTRIES": self.env._("Have the bank send it in parts."),
            "UNKNOWN_ACCOUNT": self.env._(
                "Compare the account number on the funding account with the one in the file."
            ),
            "STATEMENT_CURRENCY_MISMATCH": self.env._(
                "Correct the currency of the funding account, or take the right file."
            ),
        }
        return hints.get(code, "")
