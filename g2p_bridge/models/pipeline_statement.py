import hashlib
import re
from io import StringIO
from itertools import chain, islice

from psycopg2.errors import DeadlockDetected, SerializationFailure

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import ConcurrencyError, UserError
from odoo.tools import SQL

from odoo.addons.queue_job.exception import RetryableJobError

from .. import log_context
from ..connectors import masking
from ..connectors.dto import STATEMENT
from ..connectors.entries import most_decimals
from ..connectors.errors import StatementInvalid
from ..services import statement_file
from ..services.disbursement_id import new_ids
from .g2p_bridge_error import BridgeError
from .own_cursor import lock_for_transaction, own_cursor, try_lock_for_transaction
from .planner import count_if_misjudged
from .roles import OFFICER, check_role

#: marks that take money out of the account, and that bring it back (MT940 :61: subfield 3)
PASSES = {"debits": ("D", "RC"), "credits": ("C", "RD")}

#: entries that one COPY stores
_COPY_SIZE = 2000
#: COPY's text format
_NULL = "\\N"
_COPY_SPECIAL = re.compile(r"[\\\t\n\r]")
_COPY_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


class AccountStatement(models.Model):
    """Statements in: checked, stored, matched slice by slice."""

    _inherit = "g2p.account.statement"

    # -- upload ---------------------------------------------------------------------------------

    @api.private
    def _upload(self, content, filename, banks):
        """Store the statements of a file, and have them matched.

        One bad file changes nothing. A file that was uploaded before is answered with the
        statements of the first time.

        :param bytes content: the file
        :param str filename: its name, may be empty
        :param recordset banks: the banks that the caller may speak for
        :return: statements
        :raise BridgeError: INVALID_STATEMENT, STATEMENT_TOO_LARGE, STATEMENT_TOO_MANY_ENTRIES,
            UNKNOWN_ACCOUNT, STATEMENT_CURRENCY_MISMATCH
        """
        limit = self.env["g2p.bridge"]._parameter("statement_max_bytes")
        if len(content) > limit:
            raise BridgeError("STATEMENT_TOO_LARGE", limit)
        digest = hashlib.sha256(content).hexdigest()
        known = self._find_uploaded(digest)
        if known and known.bank_id <= banks:
            return known
        parsed = self._parse(content, banks)
        numbers, taken = self._lock_numbers(parsed)
        attachment = self.env["ir.attachment"].create(
            # not yet as a text, whose words Odoo would take into its search index: account numbers
            # among them, and the file once more in memory
            {
                "name": filename or statement_file.default_name(content),
                "raw": content,
                "mimetype": "application/x-g2p-statement",
            }
        )
        statements = self.browse()
        for position, ((account, statement), number) in enumerate(
            zip(parsed, numbers, strict=True), start=1
        ):
            statements += self._store_statement(
                account,
                statement,
                number,
                taken,
                {
                    "content_sha256": digest,
                    "position": position,
                    "filename": filename or False,
                    "attachment_id": attachment.id,
                },
            )
        # the field makes Odoo ask for its group before it hands out the file; as a text, XML too:
        # no browser may take it for a page
        attachment.write(
            {
                "mimetype": "text/plain",
                "res_model": self._name,
                "res_field": "attachment_id",
                "res_id": statements[0].id,
            }
        )
        self.invalidate_model(["continuity_note"])
        statements._enqueue_process()
        return statements

    def _find_uploaded(self, digest):
        """Return the statements of a file that was uploaded before; uploads of it pass one by one.

        :raise ConcurrencyError: it was committed since our snapshot; Odoo runs the request again
        """
        lock_for_transaction(self.env.cr, f"g2p.account.statement:{digest}")
        known = self.search([("content_sha256", "=", digest)], order="position")
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT count(*) FROM g2p_account_statement WHERE content_sha256 = %s", [digest]
            )
            [committed] = cr.fetchone()
        if committed > len(known):
            raise ConcurrencyError("the same file was uploaded meanwhile")
        return known

    def _parse(self, content, banks):
        """Return [(funding account, statement)] by the connector of one of the banks."""
        problem = None
        for connector in self._connectors_of(banks):
            try:
                statements = connector.parse_statement(content)
            except StatementInvalid as error:
                problem = problem or error
                continue
            self._check_entry_count(statements)
            return [(self._account_of(statement, banks), statement) for statement in statements]
        raise BridgeError("INVALID_STATEMENT", problem)

    def _check_entry_count(self, statements):
        limit = self.env["g2p.bridge"]._parameter("statement_max_entries")
        if sum(len(statement.entries) for statement in statements) > limit:
            raise BridgeError("STATEMENT_TOO_MANY_ENTRIES", limit)

    def _connectors_of(self, banks):
        names = {bank.connector: bank for bank in banks if bank.connector}
        connectors = [bank._get_connector() for bank in names.values()]
        return connectors or [self.env["g2p.bank.connector"].sudo()]

    def _account_of(self, statement, banks):
        """Return the funding account that the statement names (MT940 :25:, camt Acct)."""
        accounts = self.env["g2p.funding.account"].search([("bank_id", "in", banks.ids)])
        for number in _account_spellings(statement):
            found = accounts.filtered(lambda a, n=number: _normalized(a.account_number) == n)
            if found:
                break
        if len(found) != 1:
            masked = self.env["g2p.bridge"]._mask(statement.account_number)
            raise BridgeError("UNKNOWN_ACCOUNT", masked)
        # a notification without an entry may name none
        if statement.currency not in ("", found.currency_id.name):
            raise BridgeError(
                "STATEMENT_CURRENCY_MISMATCH", statement.currency, found.currency_id.name
            )
        _check_decimals(statement, found.currency_id.decimal_places)
        return found

    def _store_statement(self, account, statement, number, taken, values):
        difference = statement.difference
        is_statement = statement.kind == STATEMENT
        # others have no number that follows on another's: their entries tell what came before
        judged = self._judge(account, difference, number, taken) if is_statement else None
        state, hold_reason = judged or ("received", False)
        record = self.create(
            {
                **values,
                "name": new_ids(1)[0],
                "account_id": account.id,
                "kind": statement.kind,
                "left_out_count": statement.left_out_count,
                "reference": statement.reference,
                "statement_number": statement.number,
                "first_sequence_number": statement.first_sequence or statement.sequence,
                "sequence_number": statement.sequence,
                "opening_date": statement.opening_date,
                "opening_balance": float(statement.opening_balance),
                "closing_date": statement.closing_date,
                "closing_balance": float(statement.closing_balance),
                "difference": float(difference),
                "is_tied": not difference,
                "uploaded_by_id": self.env.uid,
                "statement_sha256": number.digest,
                "state": state,
                "hold_reason": hold_reason,
            }
        )
        log_context.note(**record._log_ids())
        record._store_lines(statement)
        if is_statement:
            taken.append(number.stored_as(state))
        return record

    def _judge(self, account, difference, number, taken):
        """Return (state, hold reason or False) of a new statement."""
        if number.find_repeated(taken):
            return "dismissed", self.env._(
                "Statement %s came before and says the same: nothing is booked again.",
                number.label,
            )
        reasons = []
        if difference and account.bank_id.untied_statement_policy == "hold":
            reasons.append(
                self.env._(
                    "Opening balance and entries differ from the closing balance by %s.",
                    difference,
                )
            )
        if number.find_contradicted(taken):
            reasons.append(
                self.env._(
                    "Statement %s was booked before with other content: this one is corrected, or "
                    "forged. If the bank does not number its statements, say so on the bank.",
                    number.label,
                )
            )
        return ("held", " ".join(reasons)) if reasons else ("received", False)

    def _store_lines(self, statement):
        """Insert the entries by COPY, some at a time: a file may have half a million of them."""
        connector = self.bank_id._get_connector() if self.bank_id.connector else None
        hooks = connector if connector is not None else self.env["g2p.bank.connector"].sudo()
        if not statement.entries:
            return
        self.env.flush_all()
        entries = iter(statement.entries)
        while part := list(islice(entries, _COPY_SIZE)):
            # read before COPY begins: an error of a hook in it would look like one of PostgreSQL
            rows = "".join(_copy_row(self.id, entry, hooks) for entry in part)
            self.env.cr.copy_expert(
                "COPY g2p_account_statement_line (statement_id, outcome, is_handled,"
                " entry_sequence, mark, amount, value_date, entry_date, customer_reference,"
                " bank_reference, narrative, disbursement_reference, beneficiary_name_from_bank,"
                " reversal_reason, reversal_details, batch_reference, transaction_count)"
                " FROM STDIN",
                StringIO(rows),
            )
        self.env.invalidate_all()

    # -- matching -------------------------------------------------------------------------------

    def action_process_statement(self):
        """Match the entries that have no outcome yet (job)."""
        self._check_officer()
        self.filtered(lambda statement: statement.state == "received")._enqueue_matching()

    def _enqueue_process(self):
        """Have statements matched; each account's one after the other, in the order they came.

        Where an earlier one is still to be matched, its last job enqueues the next.
        """
        self.env.flush_all()
        due = self.filtered(lambda statement: statement.state == "received").sorted("id")
        for account, statements in sorted(due.grouped("account_id").items(), key=_id_of_first):
            # whatever is received below the first: this upload's own are not committed yet
            if not self._find_received(account, SQL("id < %s", statements[0].id)):
                statements[0]._enqueue_matching()

    def _enqueue_next(self):
        """Have the next statement of the account matched."""
        self.env.flush_all()
        if next_id := self._find_received(self.account_id, SQL("id <> %s", self.id)):
            # it may have come after our snapshot: nothing of it is read here
            self.browse(next_id)._delayed(self.bank_id, self.account_id)._process_statement()

    def _find_received(self, account, condition):
        """Return the id of the account's first statement that is to be matched, or None.

        Of an upload and a last job at the same time, the second to commit sees the other: each
        holds an advisory lock from here to its commit, and asks past its own snapshot.
        """
        lock_for_transaction(self.env.cr, f"g2p.account.statement.next:{account.id}")
        with own_cursor(self.env) as cr:
            cr.execute(
                SQL(
                    "SELECT min(id) FROM g2p_account_statement"
                    " WHERE account_id = %s AND state = 'received' AND %s",
                    account.id,
                    condition,
                )
            )
            [found] = cr.fetchone()
        return found

    def _enqueue_matching(self, step="debits", after=0, up_to=None):
        for statement in self:
            statement._delayed(
                statement.bank_id, statement, f"{step}:{after}:{up_to}"
            )._process_statement(step, after, up_to)

    def _delayed(self, bank, subject, part="debits:0:None"):
        """Return the statement as a delayable; jobs run as OdooBot, whoever called."""
        return self.with_user(SUPERUSER_ID).with_delay(
            identity_key=f"process_statement:{self.id}:{part}",
            channel=bank._job_channel(),
            description=self.env._("Match statement %s", subject.display_name),
            max_retries=self.env["g2p.bridge"]._parameter("max_attempts"),
        )

    @api.model
    def _enqueue_unprocessed(self, limit):
        """Enqueue statements that stand without outcome, the oldest of each account."""
        ids = self.env.execute_query(
            SQL(
                """
                SELECT min(id) FROM g2p_account_statement WHERE state = 'received'
                 GROUP BY account_id ORDER BY min(id) LIMIT %s
                """,
                limit,
            )
        )
        self.browse(row[0] for row in ids)._enqueue_matching()

    @api.private
    def _process_statement(self, step="debits", after=0, up_to=None):
        """Match a part of the statement's entries (queue job).

        Debits first, then what brings money back, so that a return in the same statement finds
        its debit. Without ``up_to`` the debits are shared out: slices for jobs of their own, which
        may run at the same time; the last of them to end has the rest matched. One slice is done
        at once. May run any number of times: only entries without outcome are taken.

        :param str step: ``debits`` or ``credits``
        :param int after: entries up to this place in the statement (1-based) are none of ours
        :param int up_to: of debits: the last place of the slice
        """
        self.ensure_one()
        is_slice = up_to is not None
        self._lock_for_job("the statement is being matched", seconds=5, is_shared=is_slice)
        if self.state != "received":
            return f"not due ({self.state})"
        if self._has_earlier_unprocessed():
            raise RetryableJobError(
                "an earlier statement comes first", seconds=2, ignore_retry=True
            )
        if step == "credits":
            return self._match_credits(after)
        if is_slice:
            return self._match_slice(after, up_to)
        slices = self._pending_slices()
        if len(slices) > 1:
            for slice_ in slices:
                self._enqueue_matching("debits", *slice_)
            return f"{len(slices)} slices"
        for slice_ in slices:
            self._match("debits", *slice_)
        return self._match_credits(0)

    def _has_earlier_unprocessed(self):
        return bool(
            self.search_count(
                [
                    ("account_id", "=", self.account_id.id),
                    ("state", "=", "received"),
                    ("id", "<", self.id),
                ],
                limit=1,
            )
        )

    def _pending_slices(self):
        """Return (after, up to) of the slices in which debits have no outcome yet."""
        size = self.env["g2p.bridge"]._parameter("match_size")
        return self.env.execute_query(
            SQL(
                """
                SELECT part * %(size)s, (part + 1) * %(size)s
                  FROM (SELECT DISTINCT (l.entry_sequence - 1) / %(size)s AS part
                          FROM g2p_account_statement_line l WHERE %(pending)s) parts
                 ORDER BY part
                """,
                size=size,
                pending=self._pending("debits"),
            )
        )

    def _pending(self, step=None):
        """Return the condition on entries, as ``l``, that have no outcome yet."""
        marks = SQL("AND l.mark = ANY(%s)", list(PASSES[step])) if step else SQL()
        return SQL("l.statement_id = %s AND l.outcome = 'pending' %s", self.id, marks)

    def _has_pending(self, cr, condition):
        """Say whether an entry is left. Slices end in about their order: the last ones tell.

        They are looked at from the end by the index of places. A new table has no statistics, and
        by these a planner would read and sort all that are left, once for each slice.
        """
        cr.execute("SET LOCAL enable_sort = off")
        cr.execute(
            SQL(
                "SELECT 1 FROM g2p_account_statement_line l WHERE %s"
                " ORDER BY l.entry_sequence DESC LIMIT 1",
                condition,
            )
        )
        found = bool(cr.fetchone())
        cr.execute("SET LOCAL enable_sort TO DEFAULT")
        return found

    def _match_slice(self, after, up_to):
        """Match a slice of debits, beside others; the last one to end has the rest matched."""
        name = f"g2p.account.statement.slice:{self.id}:{after}"
        if not try_lock_for_transaction(self.env.cr, name):
            raise RetryableJobError("the slice is being matched", seconds=5, ignore_retry=True)
        try:
            self._match("debits", after, up_to)
        except (SerializationFailure, DeadlockDetected) as error:
            # another slice has a debit of the same payment: the first to commit is the one
            raise RetryableJobError("it changed", seconds=1, ignore_retry=True) from error
        lock_for_transaction(self.env.cr, f"g2p.account.statement.slices:{self.id}")
        others = SQL(
            "%s AND NOT l.entry_sequence BETWEEN %s AND %s",
            self._pending("debits"),
            after + 1,
            up_to,
        )
        with own_cursor(self.env) as cr:
            is_last = not self._has_pending(cr, others)
        if is_last:
            self._enqueue_matching("credits")
        return f"debits up to {up_to}"

    def _match_credits(self, after):
        """Match a slice of what brings money back; the last one ends the statement."""
        size = self.env["g2p.bridge"]._parameter("match_size")
        [(count, last, has_debits)] = self.env.execute_query(
            SQL(
                """
                SELECT count(*), max(entry_sequence), bool_or(mark = ANY(%s))
                  FROM (SELECT l.entry_sequence, l.mark FROM g2p_account_statement_line l
                         WHERE %s AND l.entry_sequence > %s
                         ORDER BY l.entry_sequence LIMIT %s) part
                """,
                list(PASSES["debits"]),
                self._pending(),
                after,
                size,
            )
        )
        if last and not has_debits:
            self._match("credits", after, last)
        if count == size and not has_debits:
            self._enqueue_matching("credits", last)
        elif has_debits or (after and self._has_pending(self.env.cr, self._pending())):
            self._enqueue_matching()  # a job of an earlier version, which counted otherwise
        else:
            self._take_batches_apart()
            self._set_processed()
            self._enqueue_envelopes()
            self._enqueue_next()
        return f"credits up to {last}"

    def _match(self, step, after, up_to):
        count_if_misjudged(self.env, "g2p_account_statement_line")
        place = SQL("l.entry_sequence BETWEEN %s AND %s", after + 1, up_to)
        lines = SQL("%s AND %s", self._pending(step), place)
        if step == "debits":
            self._book(lines, mark="D", target="reconciled", reasons=DEBIT_REASONS)
            self._book_early_returns(SQL("l.statement_id = %s AND %s", self.id, place))
        else:
            self._book(lines, mark=None, target="reversed", reasons=CREDIT_REASONS)
        self._settle_same_bookings(SQL("l.statement_id = %s AND %s", self.id, place))

    def _book_early_returns(self, debits):
        """Book the returns that came in before the debits of their payments.

        They wait in the worklist as INVALID_REVERSAL; so the order in which statements come in
        makes no difference to what counts as paid.

        :param SQL debits: condition on the entries, as ``l``, that may have reconciled a payment
        """
        rows = self.env.execute_query(
            SQL(
                """
                SELECT early.id
                  FROM g2p_account_statement_line early
                  JOIN g2p_disbursement d ON d.id = early.matched_disbursement_id
                  JOIN g2p_account_statement_line l ON l.id = d.last_line_id
                 WHERE early.error_reason = 'INVALID_REVERSAL' AND NOT early.is_handled
                   AND early.outcome = 'error' AND d.state = 'reconciled' AND %s
                """,
                debits,
            )
        )
        if rows:
            lines = SQL("l.id = ANY(%s) AND l.outcome = 'error'", [row[0] for row in rows])
            self._book(lines, mark=None, target="reversed", reasons=CREDIT_REASONS)

    def _book(self, lines, *, mark, target, reasons):
        """Move the payments that the entries are of, and give every entry its outcome."""
        wanted = SQL("l.mark = %s", mark) if mark else SQL("TRUE")
        claims = SQL(
            """
            (SELECT DISTINCT ON (c.id) c.id AS payment_id, c.state AS source, l.id AS line_id,
                    l.bank_reference, l.reversal_reason, l.reversal_details
               FROM g2p_account_statement_line l
               JOIN g2p_disbursement c ON c.disbursement_id = l.disbursement_reference
               JOIN g2p_disbursement_envelope e ON e.id = c.envelope_id
              WHERE %s AND %s AND e.funding_account_id = %s AND c.amount = l.amount
              ORDER BY c.id, l.statement_id, l.entry_sequence) AS claim
            """,
            lines,
            wanted,
            self.account_id.id,
        )
        assign = (
            SQL(
                "reason_code = claim.reversal_reason,"
                " reason = coalesce(claim.reversal_details, d.reason)"
            )
            if target == "reversed"
            else SQL("bank_reference = coalesce(claim.bank_reference, d.bank_reference)")
        )
        self.env["g2p.disbursement"]._bulk_transition(
            target,
            SQL("d.id = claim.payment_id AND %s", WAS_SENT),
            cause=self._cause(),
            assign=SQL("%s, last_line_id = claim.line_id", assign),
            from_clause=claims,
            source=SQL("claim.source"),
            then=SQL(
                """
                booked AS (
                    UPDATE g2p_account_statement_line l
                       SET outcome = %s, matched_disbursement_id = moved.id,
                           envelope_id = moved.envelope_id, error_reason = NULL
                      FROM moved WHERE l.id = moved.last_line_id)
                """,
                target,
            ),
        )
        self.env.cr.execute(
            SQL(
                """
                UPDATE g2p_account_statement_line l
                   SET outcome = 'error', error_reason = why.reason,
                       matched_disbursement_id = why.payment_id, envelope_id = why.envelope_id
                  FROM (SELECT l.id, d.id AS payment_id, d.envelope_id, %(reasons)s AS reason
                          FROM g2p_account_statement_line l
                          LEFT JOIN g2p_disbursement d
                                 ON d.disbursement_id = l.disbursement_reference
                          LEFT JOIN g2p_disbursement_envelope e ON e.id = d.envelope_id
                         WHERE %(lines)s) why
                 WHERE l.id = why.id
                """,
                reasons=SQL(reasons, self.account_id.id),
                lines=lines,
            ),
            log_exceptions=False,  # two jobs at once: one starts over, which is no error
        )
        self.env.invalidate_all()

    def _cause(self):
        number = "/".join(filter(None, (self.statement_number, self.sequence_number)))
        return f"{self.kind} {number or self.name}"

    def _enqueue_envelopes(self):
        """Have the envelopes of the statement's payments looked at: they may be settled now."""
        ids = self.env.execute_query(
            SQL(
                "SELECT DISTINCT envelope_id FROM g2p_account_statement_line"
                " WHERE statement_id = %s AND envelope_id IS NOT NULL",
                self.id,
            )
        )
        self.env["g2p.disbursement.envelope"].browse(row[0] for row in ids)._enqueue_advance()

    @api.private
    def _on_process_failed(self, exc_message=None, **_values):
        """Tell an officer that the matching of a statement was given up."""
        for statement in self:
            statement.message_post(
                body=self.env._("Matching failed and is tried again: %s", (exc_message or "")[:500])
            )

    # -- decisions ------------------------------------------------------------------------------

    @api.private
    def _decide(self, is_accepted, note):
        """Take or dismiss a held statement; or take one that was dismissed by mistake.

        :raise UserError: it is not held
        """
        self.ensure_one()
        self._check_officer()
        if self.state not in (("held", "dismissed") if is_accepted else ("held",)):
            raise UserError(self.env._("Only a held statement can be decided."))
        statement = self.sudo()  # nobody may write statements but their transitions
        if is_accepted:
            statement._set_received(note)
            statement._enqueue_process()
        else:
            statement._set_dismissed(note)

    def _check_officer(self):
        check_role(self, OFFICER)


class AccountStatementLine(models.Model):
    """What an officer does with an entry that did not match by itself."""

    _inherit = "g2p.account.statement.line"

    @api.private
    def _dismiss(self, note):
        """Say what an entry is that is none of our payments (a charge, a transfer)."""
        self._check_worklist()
        self.sudo().write(self._prepare_handled_vals(note))  # nobody may write lines directly

    @api.private
    def _match_by_hand(self, disbursement, note):
        """Book an entry on the payment that an officer names.

        The payment moves as if the bank had given its reference; amount and account must agree.

        :raise UserError: they do not, or the payment's state does not allow it
        """
        self.ensure_one()
        self._check_worklist()
        target = "reconciled" if self.mark == "D" else "reversed"
        if self.mark == "RC":
            raise UserError(self.env._("A reversed credit cannot be booked on a payment."))
        if self.statement_kind != STATEMENT:
            raise UserError(
                self.env._(
                    "The statement will show it as well: match its entry, or dismiss this one."
                )
            )
        envelope = disbursement.envelope_id
        if self.currency_id.compare_amounts(self.amount, disbursement.amount):
            raise UserError(self.env._("The amounts of entry and payment differ."))
        if envelope.funding_account_id != self.account_id:
            raise UserError(self.env._("The payment was ordered from another account."))
        line = self.sudo()  # nobody may write lines and payments directly
        moved = line.env["g2p.disbursement"]._bulk_transition(
            target,
            SQL("d.id = %s AND %s", disbursement.id, WAS_SENT),
            cause=self.env._("matched by hand: %s", note),
            assign=SQL("last_line_id = %s", line.id),
        )
        if not moved and not line._confirm_by_hand(disbursement, target):
            raise UserError(self.env._("The payment's state does not allow this match."))
        line.write(
            {
                **self._prepare_handled_vals(note),
                "outcome": target,
                "matched_disbursement_id": disbursement.id,
                "envelope_id": envelope.id,
            }
        )
        if target == "reconciled":
            self.env.flush_all()
            line.statement_id._book_early_returns(SQL("l.id = %s", line.id))
            line.statement_id._settle_same_bookings(SQL("l.id = %s", line.id))
        envelope.sudo()._enqueue_advance()

    def _prepare_handled_vals(self, note):
        return {
            "is_handled": True,
            "handled_by_id": self.env.uid,
            "handled_at": fields.Datetime.now(),
            "handling_note": note,
        }

    def _check_worklist(self):
        check_role(self, OFFICER)
        if any(line.outcome != "error" or line.is_handled for line in self):
            raise UserError(self.env._("Only entries of the worklist can be handled."))


#: a batched payment counts as sent only where its batch's call was made: the answer may be lost
WAS_SENT = SQL(
    """(d.state <> 'batched' OR EXISTS (
            SELECT FROM g2p_bank_call k
             WHERE k.batch_id = d.batch_id AND k.operation = 'initiate_payment'))"""
)

DEBIT_REASONS = """
    CASE WHEN l.mark = 'RC' THEN 'REVERSED_CREDIT'
         WHEN d.id IS NULL THEN 'INVALID_DISBURSEMENT_ID'
         WHEN e.funding_account_id <> %s THEN 'ACCOUNT_MISMATCH'
         WHEN d.state IN ('reconciled', 'reversed') THEN 'DUPLICATE_DISBURSEMENT'
         WHEN d.state = 'cancelled' THEN 'CANCELLED_DISBURSEMENT'
         WHEN d.state = 'rejected' THEN 'REJECTED_DISBURSEMENT'
         WHEN d.state IN ('received', 'unresolved', 'resolved') THEN 'NOT_SENT'
         WHEN d.amount <> l.amount THEN 'AMOUNT_MISMATCH'
         ELSE 'NOT_SENT' END"""

CREDIT_REASONS = """
    CASE WHEN d.id IS NULL AND l.mark = 'RD' THEN 'INVALID_REVERSAL'
         WHEN d.id IS NULL THEN 'INVALID_DISBURSEMENT_ID'
         WHEN e.funding_account_id <> %s THEN 'ACCOUNT_MISMATCH'
         WHEN d.amount <> l.amount THEN 'AMOUNT_MISMATCH'
         ELSE 'INVALID_REVERSAL' END"""


def _id_of_first(item):
    return item[0].id


def _read_by_hooks(entry, hooks):
    """Return (disbursement id, beneficiary's name, reason of a reversal), as the bank writes.

    A batch that the bank did not take apart is of no payment, whatever its texts name.
    """
    is_reversal = entry.mark in PASSES["credits"]
    return (
        hooks.retrieve_disbursement_id(entry) if entry.transaction_count == 1 else "",
        hooks.retrieve_beneficiary_name(entry),
        hooks.retrieve_reversal_reason(entry) if is_reversal else "",
    )


def _copy_row(statement_id, entry, hooks):
    """Return the row of an entry in COPY's text format; the hooks read its references."""
    read = _read_by_hooks(entry, hooks)
    texts = (
        entry.customer_reference,
        entry.bank_reference,
        "\n".join(entry.narrative),
        *read,
        # it goes to the payment, which more people may read than the texts of the bank
        masking.mask_text(entry.return_reason) if entry.mark in PASSES["credits"] else "",
        entry.batch_reference,
    )
    return (
        f"{statement_id}\tpending\tf\t{entry.sequence}\t{entry.mark}\t{entry.amount}"
        f"\t{entry.value_date or _NULL}\t{entry.entry_date or _NULL}"
        "\t" + "\t".join(map(copy_text, texts)) + f"\t{entry.transaction_count}\n"
    )


def copy_text(text):
    """Return a text in COPY's text format; NULL for an empty one."""
    if _COPY_SPECIAL.search(text):
        for special, written in _COPY_ESCAPES:
            text = text.replace(special, written)
    return text or _NULL


def _check_decimals(statement, places):
    """Refuse amounts that would be rounded: a total of them would be wrong."""
    balances = (
        ("opening balance", statement.opening_balance),
        ("closing balance", statement.closing_balance),
    )
    finer = statement.entries if most_decimals(statement.entries) > places else ()
    entries = ((entry.sequence, entry.amount) for entry in finer)
    for name, amount in chain(balances, entries):
        if -amount.as_tuple().exponent > places and amount != round(amount, places):
            subject = f"entry {name}" if isinstance(name, int) else name
            raise BridgeError(
                "INVALID_STATEMENT",
                f"{subject} of statement {statement.number or statement.reference} has more "
                f"decimals than {statement.currency}",
            )


def _account_spellings(statement):
    """Return the numbers that :25: may mean: whole, behind the bank code, without its currency."""
    whole = _normalized(statement.account_number)
    numbers = [whole, whole.rpartition("/")[2]]
    return [*numbers, *(number.removesuffix(statement.currency) for number in numbers)]


def _normalized(number):
    return "".join(number.split()).upper()
