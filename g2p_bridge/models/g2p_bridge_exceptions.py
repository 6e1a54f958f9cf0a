from odoo import api, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..const import MAX_CHANGES, MAX_COUNT
from ..services import canonical
from ..services.api_answers import correction_answer, exception_answer
from ..services.api_rows import CORRECTABLE_TEXTS, checked_correction, id_error
from ..services.field_rules import is_left_out, to_count, to_date
from ..services.iso_reasons import iso_reason
from .g2p_bridge import PBMS_GROUP, ready_made
from .g2p_bridge_error import BridgeError
from .payment_correction import JOIN_REISSUE, not_correctable
from .reason_words import WORDS

#: states of payments whose person has not got the money and will not get it by itself, each with
#: the further condition on ``d``
EXCEPTION_STATES = {
    "unresolved": SQL("TRUE"),
    "rejected": SQL("TRUE"),
    "reversed": SQL("TRUE"),
    "cancelled": SQL("d.reason_code = 'LEFT_OUT'"),
}


class Bridge(models.AbstractModel):
    """The PBMS side of the API: who could not be paid, and their correction."""

    _inherit = "g2p.bridge"

    @api.model
    def get_disbursement_exceptions(
        self, disbursement_envelope_id=None, only_open=False, cursor=None, limit=1000
    ):
        """Say who could not be paid and why, as it stands now, page by page.

        :param str disbursement_envelope_id: of one envelope; None or empty: of all of the caller
        :param bool only_open: leave out what was reissued or left to the program
        :param str cursor: of the page before; None or empty from the beginning
        :param int limit: most payments, up to 10,000
        :return: dict of ``exceptions``, ``cursor`` for the next page, ``has_more``
        """
        self = self._for_caller(PBMS_GROUP)
        if to_count(limit, MAX_CHANGES) is None:
            raise BridgeError("INVALID_LIMIT")
        if not is_left_out(only_open) and only_open is not True:
            raise BridgeError("INVALID_ONLY_OPEN")
        after = self._parse_place(cursor)
        envelopes = SQL("e.program_id = ANY(%s)", self._programs().ids)
        if not is_left_out(disbursement_envelope_id):
            envelopes = SQL("e.id = %s", self._find_envelope(disbursement_envelope_id).id)
        rows = self._find_exceptions(envelopes, bool(only_open), after, int(limit))
        last = (rows[-1]["envelope_id"], rows[-1]["id"]) if rows else after
        return {
            "exceptions": ready_made([self._exception_answer(row) for row in rows]),
            "cursor": f"{last[0]}-{last[1]}",
            "has_more": len(rows) == limit,
        }

    @api.model
    def correct_disbursements(
        self,
        disbursements=None,
        disbursement_schedule_date=None,
        reason=None,
        idempotency_key=None,
    ):
        """Have payments of one envelope that reached nobody paid anew, as corrected: all or none.

        What was refused, came back or was left out is paid by a new envelope, as by an officer's
        reissue: once, approved by a second person where the program asks for that, and not while
        the bank shows money out for the original. What only lacks an account is looked up again;
        where its person is corrected it is left out and paid by the new envelope, too.

        :param list disbursements: dicts of ``disbursement_id`` and, as far as they are corrected,
            ``beneficiary_id``, ``beneficiary_name``, ``narrative``
        :param str disbursement_schedule_date: ``YYYY-MM-DD``, today or later; by default today
        :param str reason: shown to officers, at most 500 characters
        :param str idempotency_key: a repeat with the same key and content gets the first answer
        :return: list of dicts in the order of the call, with what became of each
        """
        self = self._for_caller(PBMS_GROUP)
        self._check_idempotency_key(idempotency_key)
        reason = self._checked_reason(reason)
        day = disbursement_schedule_date
        if not is_left_out(day) and to_date(day) is None:
            raise BridgeError("INVALID_DISBURSEMENT_SCHEDULE_DATE")
        corrections = self._checked_corrections(disbursements)
        envelope = self._only_envelope(self._find_disbursements(list(corrections)))
        digest = canonical.content_hash([disbursements, reason, day or ""])
        with self._alone_with(envelope) as alone:
            known = self._books(alone, idempotency_key).content_hash
            if self._is_same_content(known, digest):
                new = alone._find_corrected(idempotency_key)
            else:
                new, again = self._correct(
                    alone, corrections, to_date(day), reason, idempotency_key
                )
                alone._book_correction(again, idempotency_key, digest)
            return self._correction_answer(alone, list(corrections), new)

    # -- exceptions -----------------------------------------------------------------------------

    def _find_exceptions(self, envelopes, only_open, after, limit):
        """Return the next payments that reached nobody, in the order of envelopes and payments.

        Of each envelope the partial indexes give, for each state, no more than a page.

        :param SQL envelopes: condition on ``e``
        :param tuple after: (envelope's, payment's database id) of the last one before
        """
        is_open = SQL("d.followed_up_at IS NULL") if only_open else SQL("TRUE")
        of_states = SQL(" UNION ALL ").join(
            SQL(
                "(SELECT d.id FROM g2p_disbursement d WHERE d.envelope_id = e.id AND d.state = %s"
                " AND %s AND %s AND d.id > CASE WHEN e.id = %s THEN %s ELSE 0 END"
                " ORDER BY d.id LIMIT %s)",
                state,
                condition,
                is_open,
                *after,
                limit,
            )
            for state, condition in EXCEPTION_STATES.items()
        )
        return self.env.execute_query_dict(
            SQL(
                """
                WITH page AS MATERIALIZED (
                    SELECT e.id AS envelope_id, e.disbursement_envelope_id, e.currency_id, x.id
                      FROM g2p_disbursement_envelope e
                     CROSS JOIN LATERAL (SELECT id FROM (%s) found ORDER BY id LIMIT %s) x
                     WHERE %s AND e.id >= %s AND e.state NOT IN ('receiving', 'cancelled')
                     ORDER BY e.id, x.id LIMIT %s)
                SELECT page.envelope_id, page.id, page.disbursement_envelope_id,
                       d.disbursement_id, d.mis_reference_number, d.beneficiary_id, d.amount,
                       d.state, d.reason_code, d.reason, d.state_since, c.name AS currency,
                       n.disbursement_id AS reissued_as, %s AS problem
                  FROM page JOIN g2p_disbursement d ON d.id = page.id
                  JOIN res_currency c ON c.id = page.currency_id
                  %s
                 ORDER BY page.envelope_id, page.id
                """,
                of_states,
                limit,
                envelopes,
                after[0],
                limit,
                not_correctable(),
                JOIN_REISSUE,
            )
        )

    def _exception_answer(self, row):
        iso = iso_reason(row["reason_code"], row["reason"], WORDS)
        return exception_answer(row, iso, self.env._(WORDS[iso]))

    def _parse_place(self, cursor):
        """Return (envelope's, payment's database id) after which the next page begins."""
        if is_left_out(cursor):
            return (0, 0)
        first, _dash, second = cursor.partition("-") if isinstance(cursor, str) else ("", "", "")
        if not (_is_number(first) and _is_number(second)):
            raise BridgeError("INVALID_CURSOR")
        return (int(first), int(second))

    # -- corrections ----------------------------------------------------------------------------

    def _checked_corrections(self, disbursements):
        """Return disbursement_id -> the three texts of a correction, None for what stays.

        :raise BridgeError: some rows are wrong; each is named with its codes
        """
        if not isinstance(disbursements, list) or not disbursements:
            raise BridgeError("EMPTY_DISBURSEMENT_PAYLOAD")
        limit = self._parameter("rows_per_call")
        if len(disbursements) > limit:
            raise BridgeError("TOO_MANY_DISBURSEMENTS_IN_CALL", limit)
        corrections, errors = {}, []
        for index, row in enumerate(disbursements):
            if codes := checked_correction(row, corrections):
                given = row.get("disbursement_id") if isinstance(row, dict) else None
                errors.append({**id_error(index, given, ""), "response_error_codes": codes})
                continue
            corrections[row["disbursement_id"]] = tuple(
                row.get(name) or None for name in CORRECTABLE_TEXTS
            )
        if errors:
            raise BridgeError("INVALID_DISBURSEMENT_PAYLOAD", rows=errors)
        return corrections

    def _correct(self, envelope, corrections, day, reason, idempotency_key):
        """Return what :meth:`_correct` of an envelope does, once all of it may be corrected."""
        day = self._correction_day(envelope, day)
        self._check_correctable_envelope(envelope)
        payments = envelope._find_correctable(corrections)
        errors = [
            id_error(index, item, payments[item]["problem"])
            for index, item in enumerate(corrections)
            if payments[item]["problem"]
        ]
        if errors:
            raise BridgeError("INVALID_DISBURSEMENT_PAYLOAD", rows=errors)
        try:
            done = envelope._correct(
                [payments[item] for item in corrections],
                list(corrections.values()),
                day,
                reason or self.env._("corrected by the program system"),
                {"idempotency_key": idempotency_key} if idempotency_key else {},
            )
        except UserError as error:
            raise BridgeError("CORRECTION_CONFLICT") from error
        if done is None:
            raise BridgeError("CORRECTION_CONFLICT")
        return done

    def _correction_day(self, envelope, day):
        today = self._today(envelope.company_id)
        if day and day < today:
            raise BridgeError("INVALID_DISBURSEMENT_SCHEDULE_DATE")
        return day or today

    def _check_correctable_envelope(self, envelope):
        if envelope.state == "cancelled":
            raise BridgeError("DISBURSEMENT_ENVELOPE_ALREADY_CANCELED")
        if envelope.state == "receiving":
            raise BridgeError("DISBURSEMENT_NOT_CORRECTABLE")
        if envelope._find_reissue_under_way():
            raise BridgeError("REISSUE_UNDER_WAY")
        if envelope.program_id.currency_id != envelope.currency_id:
            raise BridgeError("INVALID_DISBURSEMENT_CURRENCY_CODE")

    def _correction_answer(self, envelope, disbursement_ids, new):
        """Return the rows of the answer; what ``new`` does not pay again is looked up again."""
        rows = (
            self.env["g2p.disbursement"].with_env(envelope.env)._replaced_by(disbursement_ids, new)
        )
        return [correction_answer(rows[item]) for item in disbursement_ids]


def _is_number(text):
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_COUNT
