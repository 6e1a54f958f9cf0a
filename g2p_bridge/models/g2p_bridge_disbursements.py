import io
import re
from decimal import Decimal
from typing import NamedTuple

from psycopg2 import IntegrityError

from odoo import api, fields, models
from odoo.tools import SQL

from ..const import MAX_CHANGES, MAX_COUNT, MAX_REFERENCE
from ..services import canonical
from ..services.api_answers import (
    brief_rows_answer,
    change_answer,
    error_recon_answer,
    recon_answer,
    rows_answer,
    timestamp,
)
from ..services.api_rows import checked_row, faultless_rows, id_error, row_error, usable_text
from ..services.disbursement_id import new_ids
from ..services.field_rules import is_left_out, is_text, to_count
from .g2p_bridge import PBMS_GROUP, ready_made
from .g2p_bridge_error import BridgeError
from .own_cursor import own_cursor

#: a whole number that PostgreSQL's bigint holds
_CURSOR_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_COPY_BYTES = 1024 * 1024
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


#: what a change says of the payment ``d``
CHANGE_COLUMNS = SQL(
    "d.id, d.changed_xid, d.disbursement_id, e.disbursement_envelope_id, d.mis_reference_number,"
    " d.state, d.reason_code, d.reason, d.state_since, o.disbursement_id AS reissue_of,"
    " n.disbursement_id AS reissued_as"
)
CHANGE_JOINS = SQL(
    "JOIN g2p_disbursement_envelope e ON e.id = d.envelope_id"
    " LEFT JOIN g2p_disbursement o ON o.id = d.reissue_of_id"
    " LEFT JOIN g2p_disbursement n ON n.reissue_of_id = d.id AND n.state <> 'cancelled'"
)


class Books(NamedTuple):
    """What an envelope declares and what its calls have brought, less what was withdrawn."""

    state: str
    declared_count: int
    declared_amount: Decimal
    count: int
    amount: Decimal
    content_hash: str | None  # booked under the key that was asked for
    is_reissue: bool  # filled by ourselves, with what did not arrive


class IntakeFacts(NamedTuple):
    """What a call has to know of its envelope before it looks at the rows."""

    envelope_id: str  # the disbursement_envelope_id
    decimal_places: int
    content_hash: str | None  # booked under the key of the call


class Bridge(models.AbstractModel):
    """The PBMS side of the API: disbursements."""

    _inherit = "g2p.bridge"

    @api.model
    def create_disbursements(
        self, disbursement_envelope_id=None, disbursements=None, idempotency_key=None, brief=False
    ):
        """Add disbursements to an envelope: all rows of the call, or none.

        Several callers may send parts of one envelope at the same time. The call that makes count
        and sum equal the declared ones completes the envelope, and its way to the bank begins.

        :param list disbursements: dicts of ``mis_reference_number``, ``beneficiary_id``,
            ``beneficiary_name``, ``disbursement_amount``, ``narrative``
        :param str idempotency_key: a repeat with the same key and content gets the first answer
        :param bool brief: answer references and ids only, which a call of 1,000 rows does in a
            fifth of the bytes
        :return: list of the rows with their ``disbursement_id``, in the order of the call
        """
        self = self._for_caller(PBMS_GROUP)
        self._check_idempotency_key(idempotency_key)
        if not is_left_out(brief) and brief is not True:
            raise BridgeError("INVALID_BRIEF")
        envelope, *facts = self._find_envelope_with(
            disbursement_envelope_id, _intake_facts(idempotency_key)
        )
        answer = brief_rows_answer if brief else rows_answer
        return self._take_disbursements(
            envelope, IntakeFacts(*facts), disbursements, idempotency_key, answer
        )

    @api.model
    def cancel_disbursements(self, disbursement_ids=None, reason=None):
        """Cancel disbursements of one envelope that no bank call can have taken along: all or none.

        While the envelope is receiving they leave room for replacements; later the rest is paid.

        :param list disbursement_ids: our ids
        :param str reason: shown to officers, at most 500 characters
        :return: list of dicts with ``disbursement_id`` and ``cancellation_status``
        """
        self = self._for_caller(PBMS_GROUP)
        reason = self._checked_reason(reason)
        found = self._find_disbursements(disbursement_ids)
        envelope = self._only_envelope(found)
        with self._alone_with(envelope) as alone:
            self._cancel(alone, disbursement_ids, reason)
        now = timestamp(fields.Datetime.now())
        return [
            {
                "disbursement_id": disbursement_id,
                "disbursement_envelope_id": envelope.disbursement_envelope_id,
                "cancellation_status": "Cancelled",
                "cancellation_time_stamp": now,
                "response_error_codes": [],
            }
            for disbursement_id in disbursement_ids
        ]

    @api.model
    def get_disbursement_status(self, disbursement_ids=None):
        """Say what became of disbursements, with what the bank's statements say of them.

        :param list disbursement_ids: our ids
        :return: list of dicts, in the order of the call; an id that is not the caller's has
            ``INVALID_DISBURSEMENT_ID`` in its ``response_error_codes``
        """
        self = self._for_caller(PBMS_GROUP)
        found = self._find_disbursements(disbursement_ids, strict=False)
        records = self._recon_records(found)
        return ready_made(
            [
                self._disbursement_answer(
                    item, found.get(item) if isinstance(item, str) else None, records
                )
                for item in disbursement_ids
            ]
        )

    @api.model
    def get_disbursement_changes(self, cursor=None, limit=1000):
        """Give what changed since the cursor, so that nobody has to poll all ids.

        Each disbursement appears once, as it stands now, after its latest change. Nothing is left
        out: changes of transactions that may still be under way wait for the next call.

        :param str cursor: of the last answer; None or empty from the beginning
        :param int limit: most changes, up to 10,000
        :return: dict of ``changes``, ``cursor`` for the next call, ``has_more``
        """
        self = self._for_caller(PBMS_GROUP)
        if to_count(limit, MAX_CHANGES) is None:
            raise BridgeError("INVALID_LIMIT")
        after = self._parse_cursor(cursor)
        programs = self._programs()
        rows = self.env.execute_query_dict(
            SQL(
                """
                SELECT %s FROM g2p_disbursement d %s
                 WHERE (d.changed_xid, d.id) > (%s, %s)
                   AND d.changed_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                   AND e.program_id = ANY(%s)
                 ORDER BY d.changed_xid, d.id LIMIT %s
                """,
                CHANGE_COLUMNS,
                CHANGE_JOINS,
                *after,
                programs.ids,
                int(limit),
            )
        )
        last = (rows[-1]["changed_xid"], rows[-1]["id"]) if rows else after
        return {
            "changes": ready_made([change_answer(row) for row in rows]),
            "cursor": f"{last[0]}-{last[1]}",
            "has_more": len(rows) == limit,
        }

    # -- intake ---------------------------------------------------------------------------------

    @api.private
    def _take_disbursements(
        self,
        envelope,
        facts,
        disbursements,
        idempotency_key,
        answer=brief_rows_answer,
        cause="create_disbursements",
    ):
        """Add rows to an envelope, all or none: the one way in, for the API and for files.

        They are stored, and booked, in a transaction of their own. A repeat under the same key
        stores nothing.

        :param IntakeFacts facts: read in this transaction
        :param answer: makes the answer, as :func:`.rows_answer` does
        :param str cause: what brought them, for the journal
        :return: as :meth:`create_disbursements`
        """
        rows = self._checked_rows(facts.envelope_id, facts.decimal_places, disbursements)
        digest = canonical.rows_hash(rows) if idempotency_key else None
        # what is booked from now on is seen by _book_intake, under the envelope's lock
        if self._is_same_content(facts.content_hash, digest):
            return self._known_rows_answer(envelope, rows, answer)
        received_at = fields.Datetime.now()
        ids = new_ids(len(rows))
        try:
            with self._beside(envelope) as beside:
                self._copy_disbursements(beside, ids, rows, received_at)
                self._book_intake(beside, rows, idempotency_key, digest, received_at, cause)
        except IntegrityError:
            with self._beside(envelope) as beside:
                known = self._books(beside, idempotency_key).content_hash
            if self._is_same_content(known, digest):
                return self._known_rows_answer(envelope, rows, answer)
            raise self._duplicates_error(envelope, rows) from None
        return ready_made(answer(facts.envelope_id, rows, ids, timestamp(received_at)))

    @api.private
    def _facts_of(self, envelope, idempotency_key):
        """Return the :class:`IntakeFacts` of an envelope."""
        query = SQL(
            "SELECT %s FROM g2p_disbursement_envelope e WHERE e.id = %s",
            _intake_facts(idempotency_key),
            envelope.id,
        )
        return IntakeFacts(*self.env.execute_query(query)[0])

    def _checked_rows(self, envelope_id, places, disbursements):
        """Return the rows as tuples of their five values, amounts as Decimal.

        :param str envelope_id: which rows may name, and no other
        :param int places: decimals of the currency
        :raise BridgeError: some are wrong; each is named with its index, reference and codes
        """
        if not isinstance(disbursements, list) or not disbursements:
            raise BridgeError("EMPTY_DISBURSEMENT_PAYLOAD")
        limit = self._parameter("rows_per_call")
        if len(disbursements) > limit:
            raise BridgeError("TOO_MANY_DISBURSEMENTS_IN_CALL", limit)
        rows = faultless_rows(disbursements, envelope_id, places)
        return rows or self._rows_one_by_one(envelope_id, places, disbursements)

    def _rows_one_by_one(self, envelope_id, places, disbursements):
        rows, errors, seen = [], [], set()
        for index, given in enumerate(disbursements):
            row, codes = checked_row(given, places, seen)
            rows.append(row)
            if codes:
                errors.append(row_error(index, given, codes))
            elif given.get("disbursement_envelope_id", envelope_id) != envelope_id:
                raise BridgeError("MULTIPLE_ENVELOPES_FOUND")
        if errors:
            raise BridgeError("INVALID_DISBURSEMENT_PAYLOAD", rows=errors)
        return rows

    def _is_same_content(self, known, digest):
        if known and known != digest:
            raise BridgeError("IDEMPOTENCY_KEY_REUSED")
        return bool(known)

    def _known_rows_answer(self, envelope, rows, answer):
        references = [row[0] for row in rows]
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT mis_reference_number, disbursement_id, received_at FROM g2p_disbursement"
                " WHERE envelope_id = %s AND mis_reference_number = ANY(%s)",
                [envelope.id, references],
            )
            known = {reference: (given_id, at) for reference, given_id, at in cr.fetchall()}
        received_at = timestamp(known[references[0]][1])
        ids = [known[reference][0] for reference in references]
        return ready_made(answer(envelope.disbursement_envelope_id, rows, ids, received_at))

    def _duplicates_error(self, envelope, rows):
        """Return the error that names the rows whose reference the envelope has already."""
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT mis_reference_number FROM g2p_disbursement"
                " WHERE envelope_id = %s AND mis_reference_number = ANY(%s)",
                [envelope.id, [row[0] for row in rows]],
            )
            known = {reference for (reference,) in cr.fetchall()}
        errors = [
            row_error(index, {"mis_reference_number": row[0]}, ["DUPLICATE_MIS_REFERENCE_NUMBER"])
            for index, row in enumerate(rows)
            if row[0] in known
        ]
        return BridgeError("INVALID_DISBURSEMENT_PAYLOAD", rows=errors)

    def _copy_disbursements(self, envelope, ids, rows, received_at):
        """Insert the rows with one COPY.

        :raise IntegrityError: one of the references stands in the envelope already
        """
        cr = envelope.env.cr
        cr.execute("SELECT pg_current_xact_id()::text")
        head = f"{envelope.id}\treceived\t{received_at}\t{received_at}\t{cr.fetchone()[0]}\t"
        references, persons, names, amounts, narratives = zip(*rows, strict=True)
        columns = (references, persons, names, narratives)
        lines = map("\t".join, zip(ids, map(str, amounts), *map(_escaped, columns), strict=True))
        text = head + f"\n{head}".join(lines) + "\n"
        cr.copy_expert(
            "COPY g2p_disbursement (envelope_id, state, received_at, state_since, changed_xid,"
            " disbursement_id, amount, mis_reference_number, beneficiary_id, beneficiary_name,"
            " narrative) FROM STDIN",
            io.BytesIO(text.encode()),
            size=_COPY_BYTES,
        )

    def _book_intake(self, envelope, rows, idempotency_key, digest, received_at, cause):
        """Count the call in, against the declared totals.

        Calls of one envelope pass here one by one, from the lock to their commit.

        :raise BridgeError: the envelope takes no more, or not so much
        """
        count, amount = len(rows), sum(row[3] for row in rows)
        envelope._lock_composition()
        books = self._books(envelope, idempotency_key)
        # other rows under the same key, booked while these were on their way
        self._is_same_content(books.content_hash, digest)
        self._check_receiving(books.state)
        if books.is_reissue:
            raise BridgeError("DISBURSEMENT_ENVELOPE_COMPLETE")
        if books.count + count > books.declared_count:
            raise BridgeError("NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED")
        if books.amount + amount > books.declared_amount:
            raise BridgeError("TOTAL_DISBURSEMENT_AMOUNT_EXCEEDS_DECLARED")
        envelope.env.cr.execute(
            SQL(
                """
                INSERT INTO g2p_disbursement_journal
                       (envelope_id, target, disbursement_count, amount, cause, user_id,
                        created_at, idempotency_key, content_hash)
                VALUES (%s, 'received', %s, %s, %s, %s, %s, %s, %s)
                """,
                envelope.id,
                count,
                amount,
                cause,
                self.env.uid,
                received_at,
                idempotency_key or None,
                digest,
            )
        )
        if (books.count + count, books.amount + amount) == (
            books.declared_count,
            books.declared_amount,
        ):
            self._wait_for_row(envelope)
            self._complete(envelope)

    def _check_receiving(self, state):
        if state == "cancelled":
            raise BridgeError("DISBURSEMENT_ENVELOPE_ALREADY_CANCELED")
        if state != "receiving":
            raise BridgeError("NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED")

    def _books(self, envelope, idempotency_key=None):
        """Return the :class:`Books` of an envelope, as all have committed them until now.

        :param envelope: in a transaction that is READ COMMITTED
        """
        [values] = envelope.env.execute_query(
            SQL(
                """
                SELECT e.state, e.number_of_disbursements, e.total_disbursement_amount::text,
                       booked.count, booked.amount::text, %s,
                       e.reissued_from_id IS NOT NULL
                  FROM g2p_disbursement_envelope e
                 CROSS JOIN LATERAL (
                       SELECT coalesce(sum(CASE WHEN is_withdrawal THEN -disbursement_count
                                                ELSE disbursement_count END), 0)::bigint
                              AS count,
                              coalesce(sum(CASE WHEN is_withdrawal THEN -amount
                                                ELSE amount END), 0) AS amount
                         FROM g2p_disbursement_journal
                        WHERE envelope_id = e.id AND (source IS NULL OR is_withdrawal)) booked
                 WHERE e.id = %s
                """,
                _booked_hash(idempotency_key),
                envelope.id,
            )
        )
        state, declared_count, declared, count, amount, *others = values
        return Books(state, declared_count, Decimal(declared), count, Decimal(amount), *others)

    # -- disbursements --------------------------------------------------------------------------

    def _cancel(self, envelope, disbursement_ids, reason):
        """Cancel payments of an envelope that nobody else changes meanwhile."""
        self._check_cancellable(disbursement_ids, envelope)
        moved = envelope.env["g2p.disbursement"]._bulk_transition(
            "cancelled",
            SQL("d.disbursement_id = ANY(%s)", list(disbursement_ids)),
            cause="cancel_disbursements",
            assign=SQL("reason = %s", reason or None),
            is_withdrawal=envelope.state == "receiving",
        )
        if sum(count for *_ids, count, _amount in moved) != len(set(disbursement_ids)):
            raise BridgeError("DISBURSEMENT_ENVELOPE_SCHEDULE_DATE_REACHED")
        envelope._enqueue_recheck_approval()
        envelope._enqueue_advance()

    def _find_disbursements(self, disbursement_ids, strict=True):
        """Return id -> record of what the caller may see.

        :raise BridgeError: INVALID_DISBURSEMENT_ID when none is known, INVALID_DISBURSEMENT_PAYLOAD
            when some are not (``strict``), EMPTY_DISBURSEMENT_PAYLOAD
        """
        if not isinstance(disbursement_ids, list) or not disbursement_ids:
            raise BridgeError("EMPTY_DISBURSEMENT_PAYLOAD")
        limit = self._parameter("rows_per_call")
        if len(disbursement_ids) > limit:
            raise BridgeError("TOO_MANY_DISBURSEMENTS_IN_CALL", limit)
        asked = [item for item in disbursement_ids if is_text(item, MAX_REFERENCE)]
        records = self.env["g2p.disbursement"].sudo().search([("disbursement_id", "in", asked)])
        programs = self._programs()
        found = {
            record.disbursement_id: record for record in records if record.program_id in programs
        }
        if strict:
            self._check_all_found(disbursement_ids, found)
        return found

    def _check_all_found(self, disbursement_ids, found):
        unknown = [
            id_error(index, item, "INVALID_DISBURSEMENT_ID")
            for index, item in enumerate(disbursement_ids)
            if not isinstance(item, str) or item not in found
        ]
        if unknown:
            code = "INVALID_DISBURSEMENT_PAYLOAD" if found else "INVALID_DISBURSEMENT_ID"
            raise BridgeError(code, rows=unknown)

    def _only_envelope(self, found):
        envelopes = {record.envelope_id for record in found.values()}
        if len(envelopes) > 1:
            raise BridgeError("MULTIPLE_ENVELOPES_FOUND")
        return envelopes.pop()

    def _check_cancellable(self, disbursement_ids, envelope):
        if envelope.state == "cancelled":
            raise BridgeError("DISBURSEMENT_ENVELOPE_ALREADY_CANCELED")
        states = dict(
            envelope.env.execute_query(
                SQL(
                    "SELECT disbursement_id, state FROM g2p_disbursement"
                    " WHERE disbursement_id = ANY(%s)",
                    list(disbursement_ids),
                )
            )
        )
        cancelled = [
            id_error(index, item, "DISBURSEMENT_ALREADY_CANCELED")
            for index, item in enumerate(disbursement_ids)
            if states[item] == "cancelled"
        ]
        if cancelled:
            raise BridgeError("INVALID_DISBURSEMENT_PAYLOAD", rows=cancelled)
        open_states = self.env["g2p.disbursement"]._TRANSITIONS["cancelled"]
        if any(states[item] not in open_states for item in disbursement_ids):
            raise BridgeError("DISBURSEMENT_ENVELOPE_SCHEDULE_DATE_REACHED")

    def _recon_records(self, found):
        """Return disbursement row id -> list of its statement entries, oldest first."""
        rows = self.env.execute_query_dict(
            SQL(
                """
                SELECT l.matched_disbursement_id, l.outcome, l.error_reason, l.entry_sequence,
                       l.entry_date, l.value_date, l.bank_reference, l.reversal_reason,
                       l.beneficiary_name_from_bank, l.disbursement_reference,
                       s.name, s.statement_number, s.sequence_number
                  FROM g2p_account_statement_line l
                  JOIN g2p_account_statement s ON s.id = l.statement_id
                 WHERE l.matched_disbursement_id = ANY(%s) ORDER BY l.id
                """,
                [record.id for record in found.values()],
            )
        )
        records = {}
        for row in rows:
            records.setdefault(row["matched_disbursement_id"], []).append(row)
        return records

    def _disbursement_answer(self, disbursement_id, record, records):
        entries = records.get(record.id, []) if record else []
        debit = next((row for row in entries if row["outcome"] == "reconciled"), None)
        credit = next((row for row in entries if row["outcome"] == "reversed"), None)
        return {
            "disbursement_id": usable_text(disbursement_id),
            "status": record.state if record else "",
            "iso_status": record.iso_status if record else "",
            "reason_code": record.reason_code or "" if record else "",
            "reason": record.reason or "" if record else "",
            "reissue_of_disbursement_id": record.reissue_of_id.disbursement_id or ""
            if record
            else "",
            "reissued_as_disbursement_id": record.reissue_id.disbursement_id or ""
            if record
            else "",
            "response_error_codes": [] if record else ["INVALID_DISBURSEMENT_ID"],
            "disbursement_recon_records": {
                "disbursement_recon_payloads": [recon_answer(record, debit, credit)]
                if debit
                else [],
                "disbursement_error_recon_payloads": [
                    error_recon_answer(record, row) for row in entries if row["outcome"] == "error"
                ],
            },
        }

    def _parse_cursor(self, cursor):
        """Return (transaction number, row id) after which the next page begins."""
        if is_left_out(cursor):
            return (0, 0)
        xid, _dash, row_id = cursor.partition("-") if isinstance(cursor, str) else ("", "", "")
        if not _CURSOR_NUMBER.fullmatch(xid) or not _CURSOR_NUMBER.fullmatch(row_id):
            raise BridgeError("INVALID_CURSOR")
        self.env.cr.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        # a number that no transaction here can have had: the database was restored elsewhere
        if int(xid) >= self.env.cr.fetchone()[0] or int(row_id) > MAX_COUNT:
            raise BridgeError("INVALID_CURSOR")
        return (int(xid), int(row_id))


def _intake_facts(idempotency_key):
    """Return the expressions for :class:`IntakeFacts`, on the envelope ``e``."""
    return SQL(
        "e.disbursement_envelope_id,"
        " (SELECT decimal_places FROM res_currency WHERE id = e.currency_id), %s",
        _booked_hash(idempotency_key),
    )


def _booked_hash(idempotency_key):
    """Return the expression for the content booked for the envelope ``e`` under a key."""
    return SQL(
        "(SELECT content_hash FROM g2p_disbursement_journal"
        " WHERE envelope_id = e.id AND idempotency_key = %s)",
        idempotency_key or None,
    )


def _escaped(texts):
    """Return a column of texts as COPY's text format takes it."""
    if any("\\" in text for text in texts):
        return [text.translate(_COPY_ESCAPES) for text in texts]
    return texts
