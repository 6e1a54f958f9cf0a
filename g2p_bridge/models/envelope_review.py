from odoo import models
from odoo.tools import SQL

from ..services.canonical import content_hash
from .roles import OFFICER, check_role
from .words import day_text, moment_text, money_text, number_text, payments_text

#: what an amendment may change, and is tracked
AMENDABLE = (
    "number_of_disbursements",
    "total_disbursement_amount",
    "disbursement_schedule_date",
)


class DisbursementEnvelope(models.Model):
    """What an approver looks at before money moves: content, changes, and the last cycle."""

    _inherit = "g2p.disbursement.envelope"

    def review_for_approval(self):
        """Say what an approval would release now, what changed, and how the last cycle compares.

        Reads every payment of two envelopes, so it is asked for by a button and not by the form.
        It changes nothing.

        :return: dict of ``mark`` (of the form that shows the same), ``released`` (``text``,
            ``content_hash``), ``changes`` (sentences),
            ``last`` (``title``, or False) and ``rows`` (``label``, ``now``, ``before``, ``change``)
        :raise AccessError: not an officer
        """
        check_role(self, OFFICER)
        self.ensure_one()
        envelope = self.sudo()  # reads what the approval is made of, account numbers hashed
        last = envelope._find_last_cycle()
        slices = envelope._approval_slices()
        return {
            "mark": envelope.approval_mark,
            "released": {
                "text": self.env._(
                    "%(payments)s, %(money)s",
                    payments=payments_text(self.env, sum(part["count"] for part in slices)),
                    money=envelope._money(envelope._payable_amount()),
                ),
                "content_hash": content_hash(
                    {**envelope._approval_totals(), "slices": slices},
                ),
            },
            "changes": envelope._changes_since_received(),
            "last": {"id": last.id, "title": last.display_name} if last else False,
            "rows": envelope._compare_with(last) if last else [],
        }

    def _find_last_cycle(self):
        """Return the envelope of the program that was scheduled before this one, if any."""
        return self.search(
            [
                ("program_id", "=", self.program_id.id),
                ("state", "not in", ["receiving", "cancelled"]),
                ("id", "!=", self.id),
                "|",
                ("disbursement_schedule_date", "<", self.disbursement_schedule_date),
                "&",
                ("disbursement_schedule_date", "=", self.disbursement_schedule_date),
                ("id", "<", self.id),
            ],
            order="disbursement_schedule_date desc, id desc",
            limit=1,
        )

    def _compare_with(self, last):
        """Return rows that put this envelope beside the last one, payment list against list."""
        [numbers] = self.env.execute_query_dict(
            SQL(
                """
                WITH now AS (%(now)s), before AS (%(before)s)
                SELECT coalesce(sum(now.n), 0)::bigint AS now_count,
                       coalesce(sum(now.amount), 0) AS now_amount,
                       count(now.beneficiary_id) AS now_people,
                       coalesce(sum(before.n), 0)::bigint AS before_count,
                       coalesce(sum(before.amount), 0) AS before_amount,
                       count(before.beneficiary_id) AS before_people,
                       count(*) FILTER (WHERE before.beneficiary_id IS NULL) AS new_people,
                       coalesce(sum(now.amount) FILTER (WHERE before.beneficiary_id IS NULL), 0)
                           AS new_amount,
                       count(*) FILTER (WHERE now.beneficiary_id IS NULL) AS gone_people,
                       coalesce(sum(before.amount) FILTER (WHERE now.beneficiary_id IS NULL), 0)
                           AS gone_amount,
                       count(*) FILTER (WHERE now.amount <> before.amount) AS other_amount_people
                  FROM now FULL JOIN before USING (beneficiary_id)
                """,
                now=_per_beneficiary(self.id),
                before=_per_beneficiary(last.id),
            )
        )
        return self._comparison_rows(numbers, last.currency_id)

    def _comparison_rows(self, numbers, last_currency):
        def whole(label, name):
            now, before = numbers[f"now_{name}"], numbers[f"before_{name}"]
            return self._comparison_row(
                label, number_text(self.env, now), number_text(self.env, before), now, before
            )

        def people(name, currency):
            return self.env._(
                "%(people)s people, %(money)s",
                people=number_text(self.env, numbers[f"{name}_people"]),
                money=money_text(self.env, numbers[f"{name}_amount"], currency),
            )

        return [
            whole(self.env._("Payments"), "count"),
            self._comparison_row(
                self.env._("Amount"),
                self._money(numbers["now_amount"]),
                money_text(self.env, numbers["before_amount"], last_currency),
                numbers["now_amount"],
                numbers["before_amount"],
            ),
            whole(self.env._("Beneficiaries"), "people"),
            self._comparison_row(self.env._("New beneficiaries"), people("new", self.currency_id)),
            self._comparison_row(self.env._("No longer paid"), people("gone", last_currency)),
            self._comparison_row(
                self.env._("Paid another amount than before"),
                self.env._("%s people", number_text(self.env, numbers["other_amount_people"])),
            ),
        ]

    def _comparison_row(self, label, now, before="", value=0, last_value=0):
        change = (
            round(100 * (float(value) - float(last_value)) / float(last_value), 1)
            if (last_value)
            else 0.0
        )
        return {
            "label": label,
            "now": now,
            "before": before,
            "change": f"{change:+.1f} %" if change else "",
            "is_big": abs(change) >= 10,
        }

    def _changes_since_received(self):
        """Return sentences about what was amended, cancelled or approved since it came in."""
        return [
            *self._amendment_sentences(),
            *self._cancellation_sentences(),
            *self._void_approval_sentences(),
        ]

    def _amendment_sentences(self):
        values = self.env["mail.tracking.value"].search(
            [
                ("mail_message_id.model", "=", self._name),
                ("mail_message_id.res_id", "=", self.id),
                ("field_id.name", "in", AMENDABLE),
            ],
            order="id",
        )
        return [
            self.env._(
                "%(field)s was changed from %(old)s to %(new)s, %(moment)s.",
                field=self._fields[value.field_id.name]._description_string(self.env),
                old=self._amended_value(value, "old"),
                new=self._amended_value(value, "new"),
                moment=moment_text(self.env, value.create_date),
            )
            for value in values
        ]

    def _amended_value(self, value, which):
        kind = value.field_id.ttype
        if kind == "monetary":
            return self._money(value[f"{which}_value_float"])
        if kind == "date":
            return day_text(self.env, value[f"{which}_value_datetime"].date())
        return number_text(self.env, value[f"{which}_value_integer"])

    def _cancellation_sentences(self):
        rows = self.env.execute_query(
            SQL(
                """
                SELECT user_id, max(created_at), sum(disbursement_count)::bigint, sum(amount)
                  FROM g2p_disbursement_journal
                 WHERE envelope_id = %s AND target = 'cancelled' GROUP BY user_id ORDER BY 2
                """,
                self.id,
            )
        )
        return [
            self.env._(
                "%(payments)s, %(money)s, cancelled by %(user)s, last %(moment)s.",
                payments=payments_text(self.env, count),
                money=self._money(amount),
                user=self.env["res.users"].browse(user_id).name,
                moment=moment_text(self.env, moment),
            )
            for user_id, moment, count, amount in rows
        ]

    def _void_approval_sentences(self):
        return [
            self.env._(
                "%(user)s approved %(payments)s, %(money)s, %(moment)s; it was changed after that.",
                user=approval.user_id.name,
                payments=payments_text(self.env, approval.disbursement_count),
                money=self._money(approval.amount),
                moment=moment_text(self.env, approval.approved_at),
            )
            for approval in self.approval_ids.sorted("id")
            if approval.voided_at
        ]


def _per_beneficiary(envelope_id):
    return SQL(
        "SELECT beneficiary_id, count(*) AS n, sum(amount) AS amount FROM g2p_disbursement"
        " WHERE envelope_id = %s AND state <> 'cancelled' GROUP BY beneficiary_id",
        envelope_id,
    )
