from decimal import Decimal

from odoo import fields, models

from ..services.money import format_amount
from .pipeline_common import OPEN_STATES
from .roles import OFFICER, check_role


class DisbursementEnvelope(models.Model):
    """What keeps an envelope from being certified: all of it, with where to look."""

    _inherit = "g2p.disbursement.envelope"

    def _certificate_open_points(self):
        """Return what is open, as list of dict of ``code``, ``sentence``, ``count``, ``amount``.

        The numbers are those of the envelope's own screen.
        """
        self.ensure_one()
        if self.state == "cancelled":
            return [
                self._open_point(
                    "CANCELLED",
                    self.env._("The envelope was cancelled: nothing was paid."),
                    self.cancelled_count,
                    self.cancelled_amount,
                )
            ]
        points = [
            *self._points_of_payments(),
            *self._points_of_funds(),
            *self._points_of_statements(),
            *self._points_of_books(),
        ]
        if not points and self.state != "settled":
            sentence = self.env._("The last payment ended; the envelope is about to be settled.")
            points.append(self._open_point("NOT_SETTLED", sentence))
        return points

    def _open_point(self, code, sentence, count=0, amount=0.0):
        return {"code": code, "sentence": sentence, "count": count, "amount": amount}

    def _points_of_payments(self):
        sentences = {
            "received": self.env._("Payments whose account was not looked up yet"),
            "unresolved": self.env._("Payments to people without a known account"),
            "resolved": self.env._("Payments that wait for a batch"),
            "batched": self.env._("Payments in a batch that is not sent yet"),
            "sent": self.env._("Payments that no statement shows yet"),
            "unknown": self.env._("Payments of which the bank did not say what became"),
        }
        points = []
        if self.missing_count or self.missing_amount:
            points.append(
                self._open_point(
                    "MISSING",
                    self.env._("Payments that were declared and have not come in"),
                    self.missing_count,
                    self.missing_amount,
                )
            )
        for state in OPEN_STATES:
            if count := self[f"{state}_count"]:
                amount = self[f"{state}_amount"]
                points.append(self._open_point(state.upper(), sentences[state], count, amount))
        return points

    def _points_of_funds(self):
        if not self.funds_held_amount or not self.sudo().bank_id._releases_funds():
            return []
        sentence = self.env._("Money that the bank still holds for the envelope")
        return [self._open_point("FUNDS_HELD", sentence, 0, self.funds_held_amount)]

    def _points_of_statements(self):
        points = []
        entries = self.env["g2p.account.statement.line"]
        domain = self._open_entries_domain()
        if count := entries.search_count(domain):
            [(amount,)] = entries._read_group(domain, [], ["amount:sum"])
            sentence = self.env._("Entries of its payments on a statement that are to be looked at")
            points.append(self._open_point("ENTRIES", sentence, count, amount))
        ahead = [("envelope_id", "=", self.id), ("is_unconfirmed", "=", True)]
        if count := entries.search_count(ahead):
            [(amount,)] = entries._read_group(ahead, [], ["amount:sum"])
            sentence = self.env._(
                "Debits and returns that the bank told ahead, on no statement yet"
            )
            points.append(self._open_point("UNCONFIRMED", sentence, count, amount))
        statements = self._certified_statements()
        if waiting := self._statements_not_booked(statements):
            sentence = self.env._("Statements of the time that are not booked yet")
            points.append(self._open_point("STATEMENTS", sentence, len(waiting)))
        if gaps := self._statements_with_gap(statements):
            sentence = self.env._("Statements that do not follow on the one before them")
            points.append(self._open_point("GAPS", sentence, len(gaps)))
        return points

    def _open_entries_domain(self):
        return [
            ("envelope_id", "=", self.id),
            ("outcome", "=", "error"),
            ("is_handled", "=", False),
        ]

    def _certified_statements(self):
        """Return the booked statements from the first to the last one with a payment of ours."""
        lines = self.env["g2p.account.statement.line"].sudo()
        domain = [("envelope_id", "=", self.id), ("outcome", "in", ["reconciled", "reversed"])]
        ours = {statement.id for (statement,) in lines._read_group(domain, ["statement_id"])}
        chain = self.env["g2p.account.statement"].sudo()._in_chain_order(self.funding_account_id)
        places = [place for place, statement in enumerate(chain) if statement.id in ours]
        return chain[places[0] : places[-1] + 1] if places else chain[:0]

    def _statements_not_booked(self, statements):
        """Return those of the same time and account that wait for a decision or for their turn."""
        if not statements:
            return statements
        others = statements.search(
            [
                ("account_id", "=", self.funding_account_id.id),
                ("state", "in", ["received", "held"]),
            ]
        )
        first, last = _day(statements[0]), _day(statements[-1])
        return others.filtered(lambda statement: first <= _day(statement) <= last)

    def _statements_with_gap(self, statements):
        """Return those that do not follow; the first one follows on nothing of ours."""
        return statements[1:].filtered(lambda s: s.continuity_note and not s._accepted_because())

    def _points_of_books(self):
        if not self.ledger_difference_count:
            return []
        sentence = self.env._("Differences between our books")
        return [self._open_point("DIFFERENCES", sentence, self.ledger_difference_count)]

    def _action_of_point(self, code):
        """Return the action that shows what is open."""
        if code in {state.upper() for state in OPEN_STATES} | {"CANCELLED"}:
            envelope = self.with_context(disbursement_state=code.lower())
            return envelope.action_view_disbursements()
        actions = {
            "ENTRIES": ("g2p_account_statement_line_action", self._open_entries_domain()),
            "UNCONFIRMED": (
                "g2p_account_statement_line_action",
                [("envelope_id", "=", self.id), ("is_unconfirmed", "=", True)],
            ),
            "DIFFERENCES": (
                "g2p_ledger_difference_action",
                [("envelope_id", "=", self.id), ("is_gone", "=", False)],
            ),
        }
        statements = self._certified_statements()
        for name, found in (
            ("STATEMENTS", self._statements_not_booked(statements)),
            ("GAPS", self._statements_with_gap(statements)),
        ):
            actions[name] = ("g2p_account_statement_action", [("id", "in", found.ids)])
        if code not in actions:
            return self._get_records_action()
        name, domain = actions[code]
        action = self.env["ir.actions.act_window"]._for_xml_id(f"g2p_bridge.{name}")
        return {**action, "domain": domain, "context": {}}

    # -- numbers as texts -----------------------------------------------------------------------

    def _exact(self, amount):
        """Return an amount of the screen as text with the currency's decimals."""
        places = self.currency_id.decimal_places
        return format_amount(_decimal(amount, places), places)

    def _closed_loop(self):
        """Return how the declared total was used: {part: (count, amount as float)}.

        The numbers of the screen; what was withdrawn while the envelope came in is beside it, for
        it left room for replacements.
        """
        totals = self.env["g2p.disbursement.journal"]._totals_by_state(envelopes=self)[self.id]
        return {
            "declared": (self.number_of_disbursements, self.total_disbursement_amount),
            "paid": (self.reconciled_count, self.reconciled_amount),
            "reversed": (self.reversed_count, self.reversed_amount),
            "rejected": (self.rejected_count, self.rejected_amount),
            "unresolved": (self.unresolved_count, self.unresolved_amount),
            "cancelled": (self.cancelled_count, self.cancelled_amount),
            "withdrawn": totals.get("withdrawn", (0, 0.0)),
        }

    def _use_of_funds(self):
        """Return what became of the block: {part: amount as float}, the numbers of the screen."""
        held = self.funds_blocked_amount if self.funds_blocked_reference_number else 0.0
        rest = self.currency_id.round(held - self.funds_drawn_amount)
        return {
            "held": held,
            "drawn": self.funds_drawn_amount,
            "released": rest if self.funds_released_at else 0.0,
            "kept": 0.0 if self.funds_released_at else rest,
        }

    def _days_to_settle(self):
        """Return how many days after the schedule date it was settled, in the business' zone."""
        zone = self.with_context(tz=self._business_tz())
        settled_on = fields.Datetime.context_timestamp(zone, self.state_since).date()
        return (settled_on - self.disbursement_schedule_date).days

    def action_certificate(self):
        """Open the certificate; where there is none that holds now, the page that says why."""
        self.check_access("read")
        self.ensure_one()
        issued = self.env["g2p.certificate"].search(
            [("envelope_id", "=", self.id), ("state", "=", "issued")], limit=1
        )
        if issued and not issued.outdated_because:
            return issued._get_records_action()
        page = self.env["g2p.certificate.page"].create({"envelope_id": self.id})
        return page._reopened()

    def action_issue_certificate(self):
        """Issue a certificate: at once, or by a job where there are many payments.

        :raise AccessError: not an officer
        :raise UserError: something is open
        """
        check_role(self, OFFICER)
        self.ensure_one()
        return self.env["g2p.certificate"]._request(self)


def _day(statement):
    return statement.closing_date or statement.opening_date or statement.uploaded_at.date()


def _decimal(amount, places):
    """Return what a float of the screen stands for: sums have no more than 15 digits."""
    return Decimal(f"{amount:.{places}f}")
