"""When a bank's statement is due: the one answer that every screen, list and notice reads."""

from collections import defaultdict
from datetime import date, timedelta
from typing import NamedTuple

from odoo import api, fields, models
from odoo.tools import SQL

#: states of envelopes that may have payments which no statement shows yet
SENDING = ("disbursing", "disbursed", "needs_attention")


class StatementDue(NamedTuple):
    """What is known of the next statement of an account, or for an envelope."""

    #: the day by which it should be here; False where none is awaited
    due_on: date | bool = False
    #: days that have gone by since that day; 0 where it is not late
    days_late: int = 0


NOT_AWAITED = StatementDue()


class FundingAccount(models.Model):
    _inherit = "g2p.funding.account"

    @api.private
    def _statement_due(self):
        """Say by when the next statement of each account should be here, and how late it is.

        One is awaited as long as payments are with the bank that no statement can show yet, for
        the last one is of a day before their debit. It is due ``disbursement_sla_days`` after the
        schedule date, or after the day of sending where that is later, and never before the day of
        the debit (``float_days``). Payments that a statement should show and does not are no
        statement's lateness.

        One query, whatever the number of accounts. The caller has checked who may see them.

        :return: dict of account id -> :class:`StatementDue`
        """
        earliest = {}
        for row in self._awaited_statements(SQL("a.id = ANY(%s)", self.ids)):
            kept = earliest.get(row["account_id"])
            if kept is None or row["due"].due_on < kept.due_on:
                earliest[row["account_id"]] = row["due"]
        return {account_id: earliest.get(account_id, NOT_AWAITED) for account_id in self.ids}

    @api.private
    def _awaited_statements(self, where):
        """Return a row for each envelope with payments that wait for a statement to come.

        :param SQL where: condition on the account ``a`` or the envelope ``e``
        :return: list of dict of ``account_id``, ``envelope_id``, ``due`` (:class:`StatementDue`)
        """
        self.env.flush_all()
        rows = self.env.execute_query_dict(
            SQL(
                """
                SELECT e.funding_account_id AS account_id, e.id AS envelope_id,
                       e.disbursement_schedule_date AS schedule_date,
                       p.disbursement_sla_days AS sla_days, b.float_days,
                       (%(now)s AT TIME ZONE 'UTC' AT TIME ZONE %(zone)s)::date AS today,
                       moves.day AS sent_on, moves.count, last.day AS statement_day
                  FROM g2p_disbursement_envelope e
                  JOIN g2p_funding_account a ON a.id = e.funding_account_id
                  JOIN g2p_sponsor_bank b ON b.id = a.bank_id
                  JOIN g2p_benefit_program p ON p.id = e.program_id
                  JOIN res_company c ON c.id = p.company_id
                  JOIN res_partner cp ON cp.id = c.partner_id
                 CROSS JOIN LATERAL (
                       SELECT CASE WHEN j.target = 'sent' THEN
                                   (j.created_at AT TIME ZONE 'UTC' AT TIME ZONE %(zone)s)::date
                              END AS day,
                              sum(CASE WHEN j.target = 'sent' THEN j.disbursement_count
                                       ELSE -j.disbursement_count END) AS count
                         FROM g2p_disbursement_journal j
                        WHERE j.envelope_id = e.id AND (j.target = 'sent' OR j.source = 'sent')
                        GROUP BY 1) moves
                  LEFT JOIN LATERAL (
                       SELECT max(coalesce(s.closing_date, s.opening_date, s.uploaded_at::date))
                              AS day
                         FROM g2p_account_statement s
                        WHERE s.account_id = a.id AND s.kind = 'statement'
                          AND s.state <> 'dismissed') last ON TRUE
                 WHERE e.state = ANY(%(states)s) AND %(where)s
                """,
                now=fields.Datetime.now(),
                zone=SQL("coalesce(cp.tz, 'UTC')"),
                states=list(SENDING),
                where=where,
            )
        )
        of_envelope = defaultdict(list)
        for row in rows:
            of_envelope[row["envelope_id"]].append(row)
        return [
            {"account_id": parts[0]["account_id"], "envelope_id": envelope_id, "due": due}
            for envelope_id, parts in of_envelope.items()
            if (due := _due_of_envelope(parts)).due_on
        ]


class DisbursementEnvelope(models.Model):
    _inherit = "g2p.disbursement.envelope"

    @api.private
    def _statement_due(self):
        """Say by when the statement for each envelope should be here; see the funding account.

        :return: dict of envelope id -> :class:`StatementDue`
        """
        rows = self.env["g2p.funding.account"]._awaited_statements(SQL("e.id = ANY(%s)", self.ids))
        due = {row["envelope_id"]: row["due"] for row in rows}
        return {envelope_id: due.get(envelope_id, NOT_AWAITED) for envelope_id in self.ids}


def _due_of_envelope(parts):
    """Return what is due for payments that were sent on some days; ``count`` sums to who waits."""
    if sum(part["count"] for part in parts) <= 0:
        return NOT_AWAITED
    days = [_due_of_day(part) for part in parts if part["sent_on"] and not _is_covered(part)]
    return min(days, default=NOT_AWAITED)


def _due_of_day(part):
    promised = max(part["sent_on"], part["schedule_date"]) + timedelta(days=part["sla_days"])
    due_on = max(promised, _debit_day(part))
    return StatementDue(due_on, max((part["today"] - due_on).days, 0))


def _is_covered(part):
    return bool(part["statement_day"]) and part["statement_day"] >= _debit_day(part)


def _debit_day(part):
    return _after_business_days(part["sent_on"], part["float_days"])


def _after_business_days(day, count):
    """Return the day so many days from Monday to Friday later."""
    while count > 0:
        day += timedelta(days=1)
        count -= day.weekday() < 5
    return day
