import io
import itertools
import json

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from odoo.addons.queue_job.exception import RetryableJobError

from ..services import money, payment_table, table_file
from ..services.api_rows import usable_text
from ..services.table_file import TableError
from .g2p_bridge_error import BridgeError
from .import_words import file_words
from .own_cursor import lock_for_transaction, own_cursor, try_lock_for_transaction
from .pipeline_statement import copy_text

#: rows that are committed at a time while a file is read: what the progress shows
READ_AT_ONCE = 5_000
#: rows that one job reads; the next one goes on from there
READ_IN_A_JOB = 100_000
CAUSE = "import_envelope"


class EnvelopeImport(models.Model):
    """A file's way: read and checked by one job after the other, then stored slice by slice.

    Reading commits in short transactions of its own, so that progress shows and a job that was
    killed goes on where it was. A slice's payments and their journal row are one transaction, as a
    call's of the API; the mark how far the file is stored follows. Where that was lost, the slice
    comes again under the same key with the same rows, and is known.
    """

    _inherit = "g2p.envelope.import"

    # -- reading --------------------------------------------------------------------------------

    def _start_reading(self):
        """Have the whole file read and checked; what was found before is forgotten."""
        self._forget_rows()
        self._transition(
            "reading",
            attempt=self.attempt + 1,
            checked_currency_id=self.currency_id.id,
            read_count=0,
            good_count=0,
            good_amount=0,
            bad_count=0,
            beneficiary_count=0,
            ambiguous_count=0,
            known_count=0,
            leaves_out_bad_rows=False,
            problem=False,
        )
        self._enqueue_read()

    def _enqueue_read(self):
        for record in self:
            record._delayed(f"read:{record.read_count}")._read_file(record.attempt)

    def _delayed(self, part):
        """Return the import as a delayable; jobs run as OdooBot, whoever called."""
        self.env.flush_all()  # jobs look at it by SQL
        return self.with_user(SUPERUSER_ID).with_delay(
            identity_key=f"envelope_import:{self.id}:{self.attempt}:{part}",
            description=self.env._("Import %s", self.filename or self.id),
            max_retries=self.env["g2p.bridge"]._parameter("max_attempts"),
        )

    @api.private
    def _read_file(self, attempt):
        """Read and check the next rows of the file (queue job).

        May run any number of times: it goes on after the last row that was committed, and stops
        when the officer stopped it or began anew.

        :param int attempt: which check of the file this is part of
        """
        self.ensure_one()
        if not try_lock_for_transaction(self.env.cr, f"g2p.envelope.import:{self.id}"):
            raise RetryableJobError("the file is being read", seconds=2, ignore_retry=True)
        if not self._is_reading(attempt):
            return "not due"
        try:
            is_end = self._read_part(attempt)
        except TableError as error:
            with self._alone() as alone:
                if alone.state == "reading":
                    alone._transition(
                        "columns", problem=file_words(self.env, error.code, error.values)
                    )
            return error.code
        if is_end is None:
            return "stopped"
        if is_end:
            self._finish_reading(attempt)
        else:
            self.invalidate_recordset()
            with self._alone() as alone:
                alone._enqueue_read()
        return f"read {self.read_count}"

    def _is_reading(self, attempt):
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT state = 'reading' AND attempt = %s FROM g2p_envelope_import WHERE id = %s",
                [attempt, self.id],
            )
            return cr.fetchone()[0]

    def _last_row(self):
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT coalesce(max(row_number), 0), count(*) FROM g2p_envelope_import_row"
                " WHERE import_id = %s",
                [self.id],
            )
            return cr.fetchone()

    def _read_part(self, attempt):
        """Read up to so many rows; return whether it was all, or None if it was stopped."""
        rules = self._rules()
        last, count = self._last_row()
        limit = self.env["g2p.bridge"]._parameter("import_max_rows")
        after = max(last, self.header_row)
        with self._open_file() as path:
            rows = table_file.rows_of(path, self._reading())
            todo = itertools.dropwhile(lambda row: row[0] <= after, rows)
            for _part in range(READ_IN_A_JOB // READ_AT_ONCE):
                part = list(itertools.islice(todo, READ_AT_ONCE))
                count += len(part)
                if count > limit:
                    raise TableError("FILE_TOO_MANY_ROWS", limit=limit)
                if part and not self._keep_rows(attempt, part, rules):
                    return None
                if len(part) < READ_AT_ONCE:
                    return True
        return False

    def _keep_rows(self, attempt, part, rules):
        """Store rows with what is wrong with them; say False where the check was stopped."""
        rows, good, ambiguous = [], 0, 0
        for number, cells in part:
            row = payment_table.understand(cells, rules, set())
            good += not row.problems
            ambiguous += row.is_ambiguous
            rows.append(_copy_row(self.id, number, cells, row))
        with own_cursor(self.env) as cr:
            cr.execute(
                """
                UPDATE g2p_envelope_import
                   SET read_count = read_count + %s, bad_count = bad_count + %s,
                       ambiguous_count = ambiguous_count + %s
                 WHERE id = %s AND state = 'reading' AND attempt = %s
                """,
                [len(rows), len(rows) - good, ambiguous, self.id, attempt],
            )
            if not cr.rowcount:
                return False
            cr.copy_expert(
                "COPY g2p_envelope_import_row (import_id, row_number, cells, problems,"
                " mis_reference_number, beneficiary_id, beneficiary_name, amount, narrative)"
                " FROM STDIN",
                io.StringIO("".join(rows)),
            )
        return True

    def _finish_reading(self, attempt):
        """Find references that come twice, and add up what is good."""
        with self._alone() as alone:
            if alone.state != "reading" or alone.attempt != attempt:
                return
            alone._mark_repeated()
            alone._mark_known()
            alone.env.cr.execute(
                """
                UPDATE g2p_envelope_import i
                   SET good_count = t.good, bad_count = t.bad, good_amount = t.amount,
                       beneficiary_count = t.people, known_count = t.known
                  FROM (SELECT count(*) FILTER (WHERE problems IS NULL) AS good,
                               count(*) FILTER (WHERE problems IS NOT NULL) AS bad,
                               coalesce(sum(amount) FILTER (WHERE problems IS NULL), 0) AS amount,
                               count(DISTINCT beneficiary_id) FILTER (WHERE problems IS NULL)
                                   AS people,
                               count(*) FILTER (WHERE problems IS NULL AND is_known) AS known
                          FROM g2p_envelope_import_row WHERE import_id = %s) t
                 WHERE i.id = %s
                """,
                [self.id, self.id],
            )
            alone.invalidate_recordset()
            alone._transition("checked")

    def _mark_repeated(self):
        """Mark rows whose reference stands in a row before them."""
        field = "mis_reference_number"
        if field not in self._rules().columns:
            field = "beneficiary_id"  # of which the reference is made
        self.env.cr.execute(
            """
            UPDATE g2p_envelope_import_row r
               SET problems = concat_ws(' ', r.problems,
                       'DUPLICATE_MIS_REFERENCE_NUMBER@' || %s || '#' || t.first)
              FROM (SELECT id, min(row_number) OVER (PARTITION BY mis_reference_number) AS first
                      FROM g2p_envelope_import_row
                     WHERE import_id = %s AND mis_reference_number IS NOT NULL) t
             WHERE r.id = t.id AND r.row_number > t.first
            """,
            [field, self.id],
        )

    def _mark_known(self):
        """Mark rows whose reference stands in another open envelope of the program."""
        self.env.cr.execute(
            """
            UPDATE g2p_envelope_import_row r SET is_known = TRUE
             WHERE r.import_id = %s AND r.mis_reference_number IS NOT NULL
               AND EXISTS (
                   SELECT FROM g2p_disbursement d
                    WHERE d.envelope_id = ANY(ARRAY(
                              SELECT id FROM g2p_disbursement_envelope
                               WHERE program_id = %s AND state NOT IN ('settled', 'cancelled')))
                      AND d.mis_reference_number = r.mis_reference_number
                      AND d.state <> 'cancelled')
            """,
            [self.id, self.program_id.id],
        )

    # -- storing --------------------------------------------------------------------------------

    def _start_importing(self, officer):
        """Open the envelope in the officer's name, and have its payments stored."""
        self.ensure_one()
        lock_for_transaction(
            self.env.cr, f"g2p.envelope.import:{self.program_id.id}:{self.file_sha256}"
        )
        if self.state != "checked":
            raise UserError(self.env._("This file is not checked, or it is imported already."))
        if blocker := self._find_blocker():
            raise UserError(blocker)
        envelope = self._create_envelope(officer)
        self._transition(
            "importing",
            envelope_id=envelope.id,
            imported_by_id=officer.id,
            # a slice that comes again has the same rows, whatever is set meanwhile
            slice_size=self.env["g2p.bridge"]._parameter("rows_per_call"),
        )
        self._enqueue_store()

    def _create_envelope(self, officer):
        request = {
            "benefit_program_mnemonic": self.program_id.mnemonic,
            "disbursement_frequency": self.disbursement_frequency,
            "cycle_code_mnemonic": self.cycle_code_mnemonic,
            "number_of_beneficiaries": self.beneficiary_count,
            "number_of_disbursements": self.good_count,
            "total_disbursement_amount": money.format_amount(
                self._good_amount(), self.currency_id.decimal_places
            ),
            "disbursement_currency_code": self.currency_id.name,
            "disbursement_schedule_date": self.disbursement_schedule_date.isoformat(),
        }
        bridge = self.env["g2p.bridge"].with_user(officer)
        try:
            answer = bridge._open_envelope(self.program_id, request, self._key())
        except BridgeError as error:
            raise UserError(error.sentence) from error
        envelope = self.env["g2p.disbursement.envelope"].search(
            [("disbursement_envelope_id", "=", answer["disbursement_envelope_id"])]
        )
        envelope.with_user(officer).sudo().message_post(
            body=self.env._(
                "Imported from the file %(file)s (SHA-256 %(digest)s). Rows left out: %(bad)s.",
                file=self.filename or "",
                digest=self.file_sha256,
                bad=self._format_count(self.bad_count),
            )
        )
        return envelope

    def _key(self):
        """Return the idempotency key of the envelope: one import makes one."""
        return f"g2p.envelope.import {self.id}"

    def _enqueue_store(self):
        for record in self:
            record._delayed(f"store:{record.stored_row}")._store_slice()

    @api.private
    def _store_slice(self):
        """Store the next payments in the envelope (queue job); the last one completes it.

        May run any number of times: a slice that was stored is known by its key. The rows pass
        through the same checks as those of the API.
        """
        self.ensure_one()
        self._lock_for_job("a slice is being stored", seconds=2)
        if self.state != "importing":
            return f"not due ({self.state})"
        rows = self._next_rows()
        if rows:
            try:
                with self.env.cr.savepoint():
                    self._store(rows)
            except BridgeError as error:
                self._transition("failed", problem=error.sentence)
                return error.code
        self.write(
            {
                "stored_count": self.stored_count + len(rows),
                "stored_row": rows[-1][0] if rows else self.stored_row,
            }
        )
        if self.stored_count < self.good_count and rows:
            self._enqueue_store()
            return f"stored {self.stored_count}"
        return self._end_storing()

    def _next_rows(self):
        self.env.flush_all()
        return self.env.execute_query(
            SQL(
                """
                SELECT row_number, mis_reference_number, beneficiary_id, beneficiary_name,
                       amount::text, narrative
                  FROM g2p_envelope_import_row
                 WHERE import_id = %s AND problems IS NULL AND row_number > %s
                 ORDER BY row_number LIMIT %s
                """,
                self.id,
                self.stored_row,
                self.slice_size,
            )
        )

    def _store(self, rows):
        names = (
            "mis_reference_number",
            "beneficiary_id",
            "beneficiary_name",
            "disbursement_amount",
            "narrative",
        )
        given = [dict(zip(names, values, strict=True)) for _number, *values in rows]
        bridge = self.env["g2p.bridge"].with_user(self.imported_by_id)
        envelope, key = self.envelope_id, f"{self._key()} {rows[0][0]}"
        facts = bridge._facts_of(envelope, key)
        bridge._take_disbursements(envelope, facts, given, key, cause=CAUSE)

    def _end_storing(self):
        if self.stored_count != self.good_count:
            self._transition(
                "failed",
                problem=self.env._(
                    "Rows of the file are missing: the envelope stays incomplete. Cancel it."
                ),
            )
            return "incomplete"
        self._transition("done")
        self._forget_rows(only_good=True)
        return "done"

    def _give_up(self):
        """Cancel the import with its envelope, which is still receiving.

        :raise UserError: all has arrived: the envelope goes its way
        """
        if self.envelope_id:
            self.envelope_id._lock_composition()
            self.envelope_id.invalidate_recordset()
        if self.envelope_id.state not in (False, "receiving", "cancelled"):
            raise UserError(
                self.env._("All payments have arrived: cancel %s.", self.envelope_id.display_name)
            )
        if self.envelope_id.state == "receiving":
            self.envelope_id._set_cancelled(
                self.env._("Import of %s given up", self.filename or self.id),
                "cancelled by an officer",
            )
        self._transition("cancelled")
        self._forget_file()

    # -- what goes wrong, and what is forgotten -------------------------------------------------

    @api.private
    def _on_job_failed(self, exc_name=None, exc_message=None, exc_info=None, **_values):
        """Put a step that was given up in front of the officer."""
        for record in self:
            if record.state == "reading":
                record._transition("columns", problem=(exc_message or exc_name or "")[:500])
            elif record.state == "importing":
                record._transition("failed", problem=(exc_message or exc_name or "")[:500])

    @api.model
    def _enqueue_unfinished(self, limit):
        """Enqueue what is under way and has no job."""
        domain = [("state", "in", ("reading", "importing"))]
        for record in self.search(domain, limit=limit, order="id"):
            if record.state == "reading":
                record._enqueue_read()
            else:
                record._enqueue_store()

    @api.model
    def _cron_forget_files(self, limit=1000):
        """Remove files and rows of imports that are over for some days; totals and hash stay."""
        days = self.env["g2p.bridge"]._parameter("import_keep_days")
        before = fields.Datetime.subtract(fields.Datetime.now(), days=days)
        found = self.search(
            [
                ("forgotten_at", "=", False),
                ("state_since", "<=", before),
                ("state", "not in", ("reading", "importing")),
            ],
            limit=limit,
            order="id",
        )
        for record in found:
            record._forget_file()

    def _forget_file(self):
        self._forget_rows()
        self.attachment_id.unlink()
        self.column_ids.write({"values": False})
        self.write({"sample": False, "forgotten_at": fields.Datetime.now()})

    def _forget_rows(self, only_good=False):
        self.env.cr.execute(
            SQL(
                "DELETE FROM g2p_envelope_import_row WHERE import_id = %s %s",
                self.id,
                SQL("AND problems IS NULL") if only_good else SQL(),
            )
        )


def _copy_row(import_id, number, cells, row):
    """Return a row in COPY's text format; of bad texts what the database can hold."""
    reference, person, name, amount, narrative = row.values
    is_good = not row.problems
    texts = (
        json.dumps(cells),
        " ".join(row.problems),
        usable_text(reference),
        usable_text(person),
        name if is_good else usable_text(name),
        str(amount or ""),
        narrative if is_good else "",
    )
    return f"{import_id}\t{number}\t" + "\t".join(map(copy_text, texts)) + "\n"
