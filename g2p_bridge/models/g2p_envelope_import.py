import base64
import hashlib
import itertools
import json
import os
import tempfile
from contextlib import contextmanager
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL, format_date
from odoo.tools.misc import formatLang

from ..connectors import masking
from ..const import FREQUENCIES, MAX_REFERENCE, MAX_TEXT
from ..services import money, payment_file_writer, payment_table, table_file
from ..services.table_file import Reading, TableError
from .bulk_fields import BulkMany2one
from .import_words import field_label, file_words, problem_words
from .own_cursor import own_cursor
from .roles import OFFICER, check_role

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
PREVIEW_ROWS = 10
#: bad rows that the form shows; the list shows all
SHOWN_BAD_ROWS = 20
#: before a step is under way, and where it stopped
AT_REST = ("draft", "columns", "checked")
#: states in which the file, or what it became, counts as imported
COUNTS = ("importing", "failed", "done")

#: state -> fields that an officer may set in it; all others are set by the steps alone
_ALWAYS = {
    "totals_from", "declared_count", "declared_amount", "disbursement_schedule_date",
    "leaves_out_bad_rows", "is_repeat_confirmed",
}  # fmt: skip
_GIVEN = {
    "draft": _ALWAYS
    | {"program_id", "cycle_code_mnemonic", "disbursement_frequency", "file", "filename"},
    "columns": _ALWAYS
    | {
        "encoding", "separator", "sheet", "header_row", "amount_style", "narrative", "column_ids",
        "cycle_code_mnemonic", "disbursement_frequency",
    },
    "checked": _ALWAYS,
}  # fmt: skip
_SETTABLE = set().union(*_GIVEN.values())
#: what changes how the file is read
_READING = {"encoding", "separator", "sheet", "header_row"}


class EnvelopeImport(models.Model):
    """A file of payments on its way to an envelope: looked at, checked as a whole, then stored.

    Nothing of it is a payment before the officer says so, and the envelope takes nothing to the
    bank before all of it has arrived.
    """

    _name = "g2p.envelope.import"
    _description = "Import of an envelope"
    _inherit = ["g2p.state.mixin"]
    _order = "id desc"
    _rec_name = "filename"

    _TRANSITIONS = {
        "draft": ("columns", "checked"),
        "columns": ("draft", "reading", "checked"),
        "reading": ("columns",),
        "checked": ("reading",),
        "importing": ("checked", "failed"),
        "failed": ("importing",),
        "done": ("importing",),
        "cancelled": ("draft", "columns", "reading", "checked", "importing", "failed"),
    }

    state = fields.Selection(
        [
            ("draft", "File"),
            ("columns", "Columns"),
            ("reading", "Checking"),
            ("checked", "Review"),
            ("importing", "Importing"),
            ("failed", "Stopped"),
            ("done", "Imported"),
            ("cancelled", "Cancelled"),
        ],
        required=True,
        readonly=True,
        default="draft",
        index=True,
    )
    program_id = fields.Many2one(
        "g2p.benefit.program",
        required=True,
        index=True,
        ondelete="restrict",
        default=lambda self: self._only_program(),
    )
    company_id = fields.Many2one(related="program_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="program_id.currency_id")
    checked_currency_id = fields.Many2one("res.currency", readonly=True)
    approval_required = fields.Boolean(related="program_id.approval_required")
    cycle_code_mnemonic = fields.Char(string="Cycle", required=True, size=MAX_REFERENCE)
    disbursement_frequency = fields.Selection(
        [(name, name) for name in FREQUENCIES],
        string="Frequency",
        required=True,
        default="Monthly",
    )
    disbursement_schedule_date = fields.Date(
        string="Goes out on", required=True, default=fields.Date.context_today
    )
    totals_from = fields.Selection(
        [("typed", "I type them, from the cover letter"), ("file", "Take those of the file")],
        string="Control totals",
        required=True,
        default="typed",
    )
    declared_count = fields.Integer(string="Payments declared")
    declared_amount = fields.Monetary(string="Amount declared")

    file = fields.Binary(
        compute="_compute_file", inverse="_inverse_file", help="CSV, or XLSX workbook"
    )
    filename = fields.Char(size=200)
    attachment_id = fields.Many2one(
        "ir.attachment",
        readonly=True,
        copy=False,
        groups="g2p_bridge.group_account_viewer",
        help="The file as it was uploaded, with whatever it holds.",
    )
    file_size = fields.Integer(string="Size (bytes)", readonly=True)
    file_sha256 = fields.Char(string="SHA-256 of the file", readonly=True, index=True)
    kind = fields.Selection([("csv", "CSV"), ("xlsx", "XLSX")], readonly=True)
    encoding = fields.Selection(
        [
            ("utf-8-sig", "Unicode (UTF-8)"),
            ("utf-16", "Unicode (UTF-16)"),
            ("cp1252", "Western European (Windows-1252)"),
            ("cp1256", "Arabic (Windows-1256)"),
        ],
        string="Characters",
    )
    separator = fields.Selection(
        [
            ("comma", "Comma (,)"),
            ("semicolon", "Semicolon (;)"),
            ("tab", "Tab"),
            ("bar", "Bar (|)"),
        ],
        string="Between columns",
    )
    sheet = fields.Char(size=64)
    sheet_names = fields.Char(string="Sheets of the workbook", readonly=True)
    header_row = fields.Integer(
        string="Row with the names", help="0: the file has no row with the names of its columns."
    )
    amount_style = fields.Selection(
        [
            ("point", "1,234.50 (point before the decimals)"),
            ("comma", "1.234,50 (comma before the decimals)"),
        ],
        string="Amounts are written",
    )
    narrative = fields.Char(
        string="Description of every payment",
        size=MAX_TEXT,
        help="What the beneficiary reads, where the file has no column for it.",
    )
    column_ids = fields.One2many("g2p.envelope.import.column", "import_id", string="Columns")
    has_narrative = fields.Boolean(compute="_compute_has_narrative")
    sample = fields.Json(readonly=True, copy=False, groups=fields.NO_ACCESS)
    preview = fields.Html(compute="_compute_preview", compute_sudo=True, sanitize=False)
    problem = fields.Char(readonly=True, help="Why a step stopped.")

    attempt = fields.Integer(readonly=True)
    read_count = fields.Integer(string="Rows read", readonly=True)
    good_count = fields.Integer(string="Good rows", readonly=True)
    good_amount = fields.Monetary(string="Amount of the good rows", readonly=True)
    bad_count = fields.Integer(string="Bad rows", readonly=True)
    beneficiary_count = fields.Integer(string="Beneficiaries", readonly=True)
    ambiguous_count = fields.Integer(readonly=True)
    known_count = fields.Integer(string="In other envelopes", readonly=True)
    stored_count = fields.Integer(string="Payments stored", readonly=True)
    stored_row = fields.Integer(readonly=True)
    slice_size = fields.Integer(readonly=True)
    leaves_out_bad_rows = fields.Boolean(string="Leave the bad rows out")
    is_repeat_confirmed = fields.Boolean(string="Import the same file again")
    repeated_id = fields.Many2one(
        "g2p.envelope.import", string="Imported before", compute="_compute_repeated_id"
    )
    other_envelope_ids = fields.Many2many(
        "g2p.disbursement.envelope",
        string="Envelopes of the same cycle",
        compute="_compute_other_envelope_ids",
    )
    review = fields.Html(compute="_compute_review", compute_sudo=True, sanitize=False)
    blocker = fields.Char(compute="_compute_review", compute_sudo=True)
    outcome = fields.Char(compute="_compute_review", compute_sudo=True)
    envelope_id = fields.Many2one(
        "g2p.disbursement.envelope", readonly=True, copy=False, index="btree_not_null"
    )
    imported_by_id = fields.Many2one("res.users", readonly=True, copy=False)
    forgotten_at = fields.Datetime(string="File removed", readonly=True, copy=False)

    _kept_idx = models.Index("(state_since) WHERE forgotten_at IS NULL")
    _unfinished_idx = models.Index("(id) WHERE state IN ('reading', 'importing')")

    # -- who may set what -----------------------------------------------------------------------

    @api.model_create_multi
    def create(self, vals_list):
        if not self.env.su:
            for values in vals_list:  # forms send what is not entered yet, too
                self._check_given(values, _SETTABLE)
        return super().create(vals_list)

    def write(self, vals):
        if self.env.su:
            return super().write(vals)
        for record in self:
            self._check_given(vals, _GIVEN.get(record.state, set()))
        result = super().write(vals)
        if _READING & set(vals):
            for record in self:
                record.sudo()._look(is_again=True)  # officers set no columns themselves
        return result

    def _check_given(self, vals, settable):
        if set(vals) - settable:
            raise AccessError(self.env._("An import at this step cannot be changed so."))

    @api.constrains("program_id")
    def _check_program(self):
        for record in self:
            # Odoo checks constraints as superuser
            record.program_id.sudo(False).check_access("read")

    def _only_program(self):
        programs = self.env["g2p.benefit.program"].search([], limit=2)
        return programs if len(programs) == 1 else False

    @api.onchange("program_id")
    def _onchange_program_id(self):
        last = self.env["g2p.disbursement.envelope"].search(
            [("program_id", "=", self.program_id.id)], order="id desc", limit=1
        )
        if last.disbursement_frequency:
            self.disbursement_frequency = last.disbursement_frequency

    # -- the file -------------------------------------------------------------------------------

    def _compute_file(self):
        self.file = False  # nobody needs it back

    def _inverse_file(self):
        for record in self:
            if record.file:
                record.sudo()._keep_file(record.file, record.filename)

    def _keep_file(self, content, filename):
        """Store the file where only who may see account numbers reads it, and no search does."""
        raw = base64.b64decode(content)
        limit = self.env["g2p.bridge"]._parameter("import_max_bytes")
        if len(raw) > limit:
            raise UserError(file_words(self.env, "FILE_TOO_LARGE", {"limit": limit // 1024**2}))
        self.attachment_id.unlink()
        attachment = self.env["ir.attachment"].create(
            {"name": filename or "payments", "raw": raw, "mimetype": "application/octet-stream"}
        )
        attachment.write(
            {
                "index_content": False,
                "res_model": self._name,
                "res_field": "attachment_id",
                "res_id": self.id,
            }
        )
        self.write(
            {
                "attachment_id": attachment.id,
                "file_size": len(raw),
                "file_sha256": hashlib.sha256(raw).hexdigest(),
                "encoding": False,
                "separator": False,
                "sheet": False,
                "is_repeat_confirmed": False,
                "forgotten_at": False,
            }
        )

    @contextmanager
    def _open_file(self):
        """Give the path of the file; where files are kept elsewhere, of a copy."""
        attachment = self.sudo().attachment_id
        if not attachment:
            raise UserError(self.env._("Choose the file first."))
        path = attachment.store_fname and attachment._full_path(attachment.store_fname)
        if path and os.path.isfile(path):
            yield path
            return
        with tempfile.NamedTemporaryFile(suffix=".import") as copy:
            copy.write(attachment.raw)
            copy.flush()
            yield copy.name

    def _reading(self):
        """Return how the file is read, as an officer sees and sets it."""
        return Reading(
            self.kind,
            encoding=self.encoding or "",
            separator=SEPARATORS.get(self.separator, ""),
            sheet=self.sheet or "",
        )

    # -- step 2: columns ------------------------------------------------------------------------

    def _look(self, is_again=False):
        """Read the first rows and guess what the columns mean.

        :param bool is_again: an officer said how it is read
        """
        with self._open_file() as path:
            try:
                given = {}
                if is_again:
                    given = self._reading()._asdict()
                    given.pop("kind")
                reading = table_file.look_at(path, **given)
                names = table_file.sheet_names(path) if reading.kind == "xlsx" else []
                rows = list(
                    itertools.islice(table_file.rows_of(path, reading), table_file.HEAD_ROWS)
                )
            except TableError as error:
                raise UserError(file_words(self.env, error.code, error.values)) from error
        header = self.header_row if is_again else self._find_header_row(rows)
        by_number = dict(rows)
        if header and header not in by_number:
            raise UserError(self.env._("Row %s is empty, or not among the first rows.", header))
        below = [(number, cells) for number, cells in rows if number > header]
        self.write(
            {
                "kind": reading.kind,
                "encoding": reading.encoding or False,
                "separator": next(
                    (name for name, mark in SEPARATORS.items() if mark == reading.separator), False
                ),
                "sheet": reading.sheet or False,
                "sheet_names": ", ".join(names) or False,
                "header_row": header,
                "sample": below[:PREVIEW_ROWS],
                "problem": False,
                "narrative": self.narrative
                or f"{self.program_id.name} {self.cycle_code_mnemonic}"[:MAX_TEXT],
            }
        )
        self._guess(by_number.get(header, []), [cells for _number, cells in below])

    def _find_header_row(self, rows):
        place = payment_table.find_header([cells for _number, cells in rows])
        return 0 if place is None else rows[place][0]

    def _guess(self, header, rows):
        """Store the file's columns with what they seem to hold."""
        names = [table_file.text_of(cell) for cell in header]
        found = payment_table.guess_columns(names, rows, self.currency_id.name)
        meanings = {index: field for field, index in found.items()}
        width = payment_table.width_of(names, rows)
        self.column_ids.unlink()
        self.env["g2p.envelope.import.column"].create(
            [
                {
                    "import_id": self.id,
                    "place": index + 1,
                    "name": names[index][:200] if index < len(names) else False,
                    "values": _first_values(names, rows, index),
                    "meaning": meanings.get(index, "ignored"),
                }
                for index in range(width)
            ]
        )
        amount = found.get("disbursement_amount")
        self.amount_style = (
            payment_table.guess_style(rows, amount, self.currency_id.name) or False
            if amount is not None
            else False
        )

    def _rules(self):
        """Return the rules by which rows are understood."""
        columns = {
            column.meaning: column.place - 1
            for column in self.column_ids
            if column.meaning in payment_table.FIELDS
        }
        return payment_table.Rules(
            columns=columns,
            width=len(self.column_ids),
            style=self.amount_style or None,
            places=self.currency_id.decimal_places,
            currency=self.currency_id.name or "",
            cycle=self.cycle_code_mnemonic or "",
            narrative=self.narrative or "",
        )

    def _column_names(self):
        return {column.meaning: column._shown_name() for column in self.column_ids}

    def _mapping_problem(self):
        """Return why the file cannot be checked with these columns, or None."""
        meanings = [column.meaning for column in self.column_ids if column.meaning != "ignored"]
        for field in payment_table.FIELDS:
            if meanings.count(field) > 1:
                return self.env._(
                    "More than one column is the %s: choose one.", field_label(self.env, field)
                )
        for field in payment_table.REQUIRED:
            if field not in meanings:
                return self.env._("Say which column is the %s.", field_label(self.env, field))
        if "narrative" not in meanings and not self.narrative:
            return self.env._("Enter a description for the payments: the file has none.")
        return None

    @api.depends("column_ids.meaning")
    def _compute_has_narrative(self):
        for record in self:
            record.has_narrative = "narrative" in record.column_ids.mapped("meaning")

    @api.depends(
        "sample",
        "column_ids.meaning",
        "amount_style",
        "narrative",
        "cycle_code_mnemonic",
        "program_id",
    )
    def _compute_preview(self):
        for record in self:
            sample = record.sample or record._origin.sample
            record.preview = record._render_preview(sample) if sample else False

    def _render_preview(self, sample):
        rules, names = self._rules(), self._column_names()
        rows = []
        if "disbursement_amount" in rules.columns:
            seen = set()
            for number, cells in sample:
                row = payment_table.understand(payment_table.as_cells(cells), rules, seen)
                rows.append(self._prepare_preview_row(number, row, rules, names))
        return self.env["ir.qweb"]._render(
            "g2p_bridge.envelope_import_preview",
            {
                "rows": rows,
                "problem": self._mapping_problem(),
                "has_reference": "mis_reference_number" in rules.columns,
            },
        )

    def _prepare_preview_row(self, number, row, rules, names):
        reference, person, name, amount, narrative = row.values
        return {
            "number": number,
            "texts": [reference, person, name],
            "amount": self._format_amount(amount) if amount is not None else "",
            "narrative": narrative,
            "problems": [
                problem_words(self.env, problem, names, rules.places)
                for problem in row.problems
                if not problem.startswith("DUPLICATE")
            ],
        }

    # -- step 3: review -------------------------------------------------------------------------

    @api.depends("file_sha256", "program_id", "cycle_code_mnemonic")
    def _compute_repeated_id(self):
        for record in self:
            record.repeated_id = record._find_repeated() if record.file_sha256 else False

    def _find_repeated(self):
        """Return the import by which the same file came to the same program and cycle before."""
        found = self.search(
            [
                ("id", "!=", self._origin.id),
                ("file_sha256", "=", self.file_sha256),
                ("program_id", "=", self.program_id.id),
                ("cycle_code_mnemonic", "=", self.cycle_code_mnemonic),
                ("state", "in", COUNTS),
            ]
        )
        return found.filtered(lambda each: each.envelope_id.state != "cancelled")[:1]

    @api.depends("program_id", "cycle_code_mnemonic")
    def _compute_other_envelope_ids(self):
        for record in self:
            record.other_envelope_ids = self.env["g2p.disbursement.envelope"].search(
                [
                    ("program_id", "=", record.program_id.id),
                    ("cycle_code_mnemonic", "=", record.cycle_code_mnemonic),
                    ("state", "!=", "cancelled"),
                    ("id", "!=", record.envelope_id.id),
                ],
                limit=5,
            )

    @api.depends(
        "state",
        "totals_from",
        "declared_count",
        "declared_amount",
        "leaves_out_bad_rows",
        "is_repeat_confirmed",
        "disbursement_schedule_date",
        "good_count",
        "bad_count",
    )
    def _compute_review(self):
        for record in self:
            is_due = record.state == "checked"
            record.blocker = is_due and record._find_blocker()
            record.outcome = is_due and not record.blocker and record._outcome_words()
            record.review = record._render_review() if record._origin.bad_count else False

    def _find_blocker(self):
        """Return why the file cannot be imported as it stands, or False."""
        if not self.good_count:
            return self.env._("There is no good row in the file.")
        if self.checked_currency_id != self.currency_id:
            return self.env._("The program's currency has changed: check the file again.")
        if self.bad_count and not self.leaves_out_bad_rows:
            return self.env._(
                "Mend the bad rows and upload the file again, or leave them out on purpose."
            )
        if difference := self._difference_words():
            return difference
        if self.disbursement_schedule_date < self.env["g2p.bridge"]._today(self.company_id):
            return self.env._("The day on which it goes out has passed: choose another one.")
        if self.repeated_id and not self.is_repeat_confirmed:
            return self.env._(
                "The same file was imported for this program and cycle on %(date)s. Say that it "
                "is to be paid once more, if that is what you want.",
                date=self._format_day(self.repeated_id.state_since.date()),
            )
        return False

    def _difference_words(self):
        """Return by how much the good rows differ from the declared totals, or None."""
        if self.totals_from == "file":
            return None
        if not self.declared_count or not self.declared_amount:
            return self.env._(
                "Enter the control totals of the cover letter, or take those of the file."
            )
        amount, declared = self._good_amount(), self._declared_amount()
        if (self.good_count, amount) == (self.declared_count, declared):
            return None
        return self.env._(
            "The totals differ. Declared: %(declared_count)s payments, %(declared)s. In the file: "
            "%(count)s payments, %(amount)s. Difference: %(difference_count)s payments, "
            "%(difference)s.",
            declared_count=self._format_count(self.declared_count),
            declared=self._format_amount(declared),
            count=self._format_count(self.good_count),
            amount=self._format_amount(amount),
            difference_count=self._format_count(self.good_count - self.declared_count),
            difference=self._format_amount(amount - declared),
        )

    def _declared_amount(self):
        try:
            return money.parse_amount(self.declared_amount, self.currency_id.decimal_places)
        except money.AmountError:
            return Decimal(str(self.declared_amount))

    def _good_amount(self):
        """Return the sum of the good rows, exactly."""
        self.env.flush_all()
        [[amount]] = self.env.execute_query(
            SQL(
                "SELECT coalesce(good_amount, 0)::text FROM g2p_envelope_import WHERE id = %s",
                self._origin.id,
            )
        )
        return Decimal(amount)

    def _outcome_words(self):
        values = {
            "count": self._format_count(self.good_count),
            "amount": self._format_amount(self._good_amount()),
            "date": self._format_day(self.disbursement_schedule_date),
        }
        if self.approval_required:
            return self.env._(
                "This creates an envelope of %(count)s payments, %(amount)s, to go out on "
                "%(date)s, waiting for approval by a second person.",
                **values,
            )
        return self.env._(
            "This creates an envelope of %(count)s payments, %(amount)s, to go out on %(date)s. "
            "This program asks for no second person.",
            **values,
        )

    def _render_review(self):
        names = self._column_names()
        places = self.currency_id.decimal_places
        rows = self.env["g2p.envelope.import.row"].search(
            [("import_id", "=", self._origin.id), ("problems", "!=", False)],
            order="row_number",
            limit=SHOWN_BAD_ROWS,
        )
        return self.env["ir.qweb"]._render(
            "g2p_bridge.envelope_import_review",
            {
                "rows": [row._prepare_shown(names, places) for row in rows],
                "rest": max(self.bad_count - len(rows), 0),
            },
        )

    def _format_count(self, count):
        return formatLang(self.env, count, digits=0)

    def _format_day(self, day):
        return format_date(self.env, day, date_format="d MMMM y")

    def _format_amount(self, amount):
        """Return an amount with its currency's code: USD 1,234.50."""
        places = self.currency_id.decimal_places
        return f"{self.currency_id.name} {formatLang(self.env, float(amount), digits=places)}"

    # -- buttons --------------------------------------------------------------------------------

    def action_look(self):
        """Look at the file and guess its columns."""
        self._check_officer()
        self.sudo()._look()
        self.sudo()._transition("columns")

    def action_back(self):
        """Go back a step: to the columns, or to the file."""
        self._check_officer()
        with self._alone() as alone:
            alone._transition("columns" if alone.state == "checked" else "draft", problem=False)

    def action_other_file(self):
        """Upload another file, with all else as it is."""
        self._check_officer()
        with self._alone() as alone:
            alone._transition("draft", problem=False)

    def action_check(self):
        """Check every row of the file (job)."""
        self._check_officer()
        if problem := self._mapping_problem():
            raise UserError(problem)
        with self._alone() as alone:
            alone._start_reading()

    def action_stop(self):
        """Stop the check of a file."""
        self._check_officer()
        with self._alone() as alone:
            if alone.state == "reading":
                alone._transition("columns")

    def action_import(self):
        """Create the envelope and have the payments stored (jobs)."""
        self._check_officer()
        with self._alone() as alone:
            alone._start_importing(self.env.user)

    def action_try_again(self):
        """Go on where storing stopped."""
        self._check_officer()
        with self._alone() as alone:
            alone._transition("importing", problem=False)
            alone._enqueue_store()

    def action_cancel(self):
        """Give the import up; what was stored of it is cancelled with its envelope."""
        self._check_officer()
        with self._alone() as alone:
            alone._give_up()

    def action_view_envelope(self):
        """Open the envelope."""
        self.check_access("read")
        return self.envelope_id._get_records_action()

    def action_view_bad_rows(self):
        """Open the list of all bad rows."""
        return self._open_rows(self.env._("Bad rows"), [("problems", "!=", False)])

    def action_view_known_rows(self):
        """Open the list of the rows whose reference stands in another envelope."""
        return self._open_rows(self.env._("In other envelopes"), [("is_known", "=", True)])

    def _open_rows(self, name, domain):
        self.check_access("read")
        return {
            "type": "ir.actions.act_window",
            "name": name,
            "res_model": "g2p.envelope.import.row",
            "view_mode": "list",
            "views": [(False, "list")],
            "domain": [("import_id", "=", self.id), *domain],
        }

    def action_download_bad_rows(self):
        """Download the bad rows with their reasons, as the file was."""
        self._check_officer()
        return {
            "type": "ir.actions.act_url",
            "url": f"/g2p_bridge/envelope_import/{self.id}/bad_rows",
            "target": "self",
        }

    def _bad_rows_filename(self):
        name = os.path.splitext(self.filename or "payments")[0]
        return f"{name}-{self.env._('bad rows')}.{self.kind}"

    def _write_bad_rows(self, out):
        """Write the bad rows to a binary file, in the form of the file that they came in.

        :raise AccessError: cells of the file may hold account numbers, and are for who uploaded
            it, or may see those
        """
        self.ensure_one()
        if self.create_uid != self.env.user and not self.env.user.has_group(
            "g2p_bridge.group_account_viewer"
        ):
            raise AccessError(self.env._("Whoever uploaded the file can download its bad rows."))
        payment_file_writer.write_table(out, self._reading(), self.sudo()._bad_rows())

    def _bad_rows(self):
        """Yield the header and each bad row of the file, with the reasons at its end."""
        names, places = self._column_names(), self.currency_id.decimal_places
        width = len(self.column_ids)
        if self.header_row:
            yield [*(column.name or "" for column in self.column_ids), self.env._("Problem")]
        after = 0
        while True:
            rows = self.env.execute_query(
                SQL(
                    "SELECT row_number, cells, problems FROM g2p_envelope_import_row"
                    " WHERE import_id = %s AND problems IS NOT NULL AND row_number > %s"
                    " ORDER BY row_number LIMIT 1000",
                    self.id,
                    after,
                )
            )
            for _number, cells, problems in rows:
                given = payment_table.as_cells(json.loads(cells))
                reasons = (problem_words(self.env, p, names, places) for p in problems.split())
                yield [*given, *[""] * (width - len(given)), " ".join(reasons)]
            if not rows:
                return
            after = rows[-1][0]

    def _check_officer(self):
        self.ensure_one()
        check_role(self, OFFICER)

    @contextmanager
    def _alone(self):
        """Give the import in a transaction of its own, in which nobody else changes it.

        Jobs write it in such transactions, too: whoever waits sees what they committed.
        """
        self.env.flush_all()
        with own_cursor(self.env) as cr:
            cr.execute(
                "SELECT id FROM g2p_envelope_import WHERE id = %s FOR NO KEY UPDATE",
                [self.id],
                log_exceptions=False,
            )
            alone = self.with_env(self.sudo().env(cr=cr))
            alone.invalidate_recordset()
            yield alone
            alone.env.flush_all()
        self.env.invalidate_all()


class EnvelopeImportColumn(models.Model):
    """A column of an imported file, and what it holds."""

    _name = "g2p.envelope.import.column"
    _description = "Column of an imported file"
    _order = "import_id, place"
    _log_access = False

    import_id = fields.Many2one(
        "g2p.envelope.import", required=True, readonly=True, index=True, ondelete="cascade"
    )
    company_id = fields.Many2one(related="import_id.company_id")
    place = fields.Integer(string="#", readonly=True)
    letter = fields.Char(string="Column", compute="_compute_letter")
    name = fields.Char(string="In the file", readonly=True)
    values = fields.Char(string="First rows", readonly=True)
    meaning = fields.Selection(
        [
            ("ignored", "Not used"),
            ("mis_reference_number", "Reference"),
            ("beneficiary_id", "Beneficiary ID"),
            ("beneficiary_name", "Beneficiary name"),
            ("disbursement_amount", "Amount"),
            ("narrative", "Description"),
        ],
        string="Holds the",
        required=True,
        default="ignored",
    )

    @api.depends("place")
    def _compute_letter(self):
        for column in self:
            column.letter = _letter(column.place)

    def _shown_name(self):
        return self.name or self.env._("column %s", _letter(self.place))

    def write(self, vals):
        if not self.env.su and (
            set(vals) - {"meaning"} or any(each.import_id.state != "columns" for each in self)
        ):
            raise AccessError(self.env._("An import at this step cannot be changed so."))
        return super().write(vals)


class EnvelopeImportRow(models.Model):
    """A row of a file that was checked; it is gone when it became a payment."""

    _name = "g2p.envelope.import.row"
    _description = "Row of an imported file"
    _order = "import_id, row_number"
    _rec_name = "row_number"
    _log_access = False

    import_id = BulkMany2one("g2p.envelope.import", required=True, readonly=True)
    company_id = fields.Many2one(related="import_id.company_id")
    currency_id = fields.Many2one(related="import_id.currency_id")
    row_number = fields.Integer(string="Row", required=True, readonly=True)
    mis_reference_number = fields.Char(string="Reference", readonly=True)
    beneficiary_id = fields.Char(string="Beneficiary ID", readonly=True)
    beneficiary_name = fields.Char(readonly=True)
    amount = fields.Monetary(readonly=True)
    narrative = fields.Char(readonly=True)
    is_known = fields.Boolean(string="In another envelope", readonly=True)
    problems = fields.Char(readonly=True)
    cells = fields.Char(readonly=True, groups=fields.NO_ACCESS)
    shown_amount = fields.Char(string="Amount in the file", compute="_compute_shown")
    problem_words = fields.Char(string="Problem", compute="_compute_shown")

    _row_uniq = models.Constraint("UNIQUE (import_id, row_number)", "A row comes once.")
    _bad_idx = models.Index("(import_id, row_number) WHERE problems IS NOT NULL")

    @api.depends("problems")
    def _compute_shown(self):
        names = {each: each._column_names() for each in self.import_id}
        for row in self:
            shown = row.sudo()._prepare_shown(
                names[row.import_id], row.currency_id.decimal_places
            )  # of the cells, the amount alone
            row.shown_amount = shown["amount"]
            row.problem_words = " ".join(shown["problems"])

    def _prepare_shown(self, names, places):
        """Return the row for a person: its amount as it stands in the file, and its problems."""
        columns = self.import_id._rules().columns
        cells = json.loads(self.cells)
        index = columns.get("disbursement_amount", len(cells))
        return {
            "number": self.row_number,
            "texts": [self.mis_reference_number, self.beneficiary_id, self.beneficiary_name],
            "amount": _shown(cells[index]) if index < len(cells) else "",
            "problems": [
                problem_words(self.env, problem, names, places)
                for problem in (self.problems or "").split()
            ],
        }


def _shown(cell):
    return table_file.text_of(cell)[:40]


def _first_values(names, rows, index):
    """Return what stands in a column's first rows; accounts masked."""
    values = [table_file.text_of(row[index]) for row in rows if index < len(row)]
    if index < len(names) and payment_table.is_account(names[index]):
        # whatever stands there: accounts may have letters
        values = [masking.mask_account(value) for value in values]
    return " · ".join([value[:30] for value in values if value][:3])


def _letter(place):
    """Return the letters of a column, as spreadsheet programs count: A, Z, AA."""
    letters = ""
    while place > 0:
        place, rest = divmod(place - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
