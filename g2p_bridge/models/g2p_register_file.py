import gzip
import tempfile
from decimal import Decimal

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..connectors import masking
from ..services.report import (
    COUNT,
    MONEY,
    TEXT,
    Formats,
    csv_row,
    open_workbook,
    write_heading,
    write_row,
)

#: envelopes with more payments are written by a job
AT_ONCE = 20_000
#: a workbook with more rows opens on hardly any desk
MOST_IN_WORKBOOK = 100_000
#: a stored file is cut into pieces, so that none of them fills the memory of a worker
PIECE_BYTES = 8 * 1024 * 1024
#: rows that come from the database at once
_FETCH = 5_000


class RegisterFile(models.Model):
    """The payments of an envelope as a file for a spreadsheet, account numbers masked."""

    _name = "g2p.register.file"
    _description = "Payment register"
    _order = "id desc"

    envelope_id = fields.Many2one(
        "g2p.disbursement.envelope", required=True, readonly=True, index=True, ondelete="cascade"
    )
    company_id = fields.Many2one(related="envelope_id.company_id", store=True)
    kind = fields.Selection(
        [("xlsx", "Workbook (XLSX)"), ("csv", "Text (CSV)")],
        string="Format",
        required=True,
        readonly=True,
        default="xlsx",
    )
    state = fields.Selection(
        [("preparing", "Being prepared"), ("ready", "Ready"), ("failed", "Failed")],
        required=True,
        readonly=True,
        default="preparing",
    )
    requested_by_id = fields.Many2one("res.users", readonly=True)
    filename = fields.Char(readonly=True)
    payment_count = fields.Integer(string="Payments", readonly=True)
    problem = fields.Char(readonly=True)
    piece_ids = fields.Many2many("ir.attachment", readonly=True, copy=False)

    @api.depends("filename")
    def _compute_display_name(self):
        for file in self:
            file.display_name = file.filename or self.env._("Payment register")

    @api.model
    def _request(self, envelope, kind):
        """Have the register of an envelope written, and return the action that leads to it.

        :raise UserError: a workbook of that many payments
        """
        count = envelope.total_received_count
        if kind == "xlsx" and count > MOST_IN_WORKBOOK:
            raise UserError(
                self.env._(
                    "A workbook takes at most %(most)s payments, and these are %(count)s: take the"
                    " text file.",
                    most=f"{MOST_IN_WORKBOOK:,}",
                    count=f"{count:,}",
                )
            )
        # nobody may write these files directly
        file = self.sudo().create(
            {"envelope_id": envelope.id, "kind": kind, "requested_by_id": self.env.uid}
        )
        if count > AT_ONCE:
            file.with_user(SUPERUSER_ID).with_delay(
                description=self.env._("Write the register of %s", envelope.display_name),
                identity_key=f"write_register:{file.id}",
            )._write_file()
            return file.sudo(False)._get_records_action()
        file._write_file()
        return file.sudo(False).action_download()

    @api.private
    def _write_file(self):
        """Write and store the file (queue job). May run again: what is ready stays."""
        self.ensure_one()
        if self.state != "preparing":
            return f"not due ({self.state})"
        file = self.with_context(lang=self.requested_by_id.lang or self.env.lang)
        with tempfile.TemporaryFile() as spool:
            count = file._write_xlsx(spool) if self.kind == "xlsx" else file._write_csv(spool)
            spool.seek(0)
            while piece := spool.read(PIECE_BYTES):
                file._store_piece(piece)
        name = f"payments-{self.envelope_id.disbursement_envelope_id}"
        ending = "xlsx" if self.kind == "xlsx" else "csv.gz"
        self.write({"state": "ready", "filename": f"{name}.{ending}", "payment_count": count})
        return self.state

    @api.private
    def _on_write_failed(self, exc_message=None, **_values):
        """The job was given up."""
        self.write({"state": "failed", "problem": (exc_message or "")[:500]})

    def _store_piece(self, content):
        piece = self.env["ir.attachment"].create(
            {
                "name": f"payments-{self.id}",
                "raw": content,
                "mimetype": "application/octet-stream",
                "res_model": self._name,
                "res_id": self.id,
            }
        )
        self.piece_ids = [fields.Command.link(piece.id)]
        self.env.flush_all()
        piece.invalidate_recordset()  # nothing of it is kept in memory

    def _columns(self):
        return [
            (self.env._("Disbursement ID"), TEXT),
            (self.env._("MIS reference"), TEXT),
            (self.env._("Beneficiary ID"), TEXT),
            (self.env._("Name"), TEXT),
            (self.env._("Account"), TEXT),
            (self.env._("Destination bank"), TEXT),
            (self.env._("Amount (%s)", self.envelope_id.currency_id.name), MONEY),
            (self.env._("State"), TEXT),
            (self.env._("Reason code"), TEXT),
            (self.env._("Bank reference"), TEXT),
            (self.env._("Statement"), TEXT),
            (self.env._("Entry"), COUNT),
        ]

    def _rows(self):
        """Yield the rows, by a cursor of the server: never all at once."""
        states = dict(
            self.env["g2p.disbursement"]._fields["state"]._description_selection(self.env)
        )
        self.env.flush_all()
        query = SQL(
            """
            SELECT d.disbursement_id, d.mis_reference_number, d.beneficiary_id, d.beneficiary_name,
                   coalesce(nullif(d.account_number, ''), nullif(d.mobile_number, ''),
                            d.email_address),
                   d.bank_code, round(d.amount, %s)::text, d.state, d.reason_code, d.bank_reference,
                   coalesce(s.statement_number, s.name), l.entry_sequence
              FROM g2p_disbursement d
              LEFT JOIN g2p_account_statement_line l ON l.id = d.last_line_id
              LEFT JOIN g2p_account_statement s ON s.id = l.statement_id
             WHERE d.envelope_id = %s ORDER BY d.id
            """,
            self.envelope_id.currency_id.decimal_places,
            self.envelope_id.id,
        )
        connection = self.env.cr._obj.connection  # Odoo's cursor hands out no cursor of the server
        with connection.cursor(f"g2p_register_file_{self.id}") as cursor:
            cursor.itersize = _FETCH
            cursor.execute(query.code, query.params)
            for (
                *before,
                account,
                bank,
                amount,
                state,
                reason,
                reference,
                statement,
                entry,
            ) in cursor:
                yield [
                    *before,
                    masking.mask_account(account) if account else None,
                    bank,
                    Decimal(amount),
                    states[state],
                    reason,
                    reference,
                    statement,
                    entry,
                ]

    def _write_xlsx(self, target):
        columns, place = self._columns(), 0
        with open_workbook(target) as book:
            formats = Formats(book, self.envelope_id.currency_id.decimal_places)
            sheet = book.add_worksheet()
            write_heading(sheet, columns, formats)
            for place, row in enumerate(self._rows(), start=1):
                write_row(sheet, place, columns, row, formats)
        return place

    def _write_csv(self, target):
        count = 0
        with gzip.GzipFile(fileobj=target, mode="wb", mtime=0) as text:
            # spreadsheets take a file for UTF-8 only with this mark
            text.write(
                "\ufeff".encode() + csv_row([label for label, _ in self._columns()]).encode()
            )
            for row in self._rows():
                text.write(csv_row(row).encode())
                count += 1
        return count

    def action_download(self):
        """Download the file."""
        self.check_access("read")
        self.ensure_one()
        if self.state != "ready":
            raise UserError(self.env._("The file is not ready."))
        return {
            "type": "ir.actions.act_url",
            "url": f"/g2p_bridge/register_file/{self.id}",
            "target": "new",
            "close": True,
        }

    @api.autovacuum
    def _gc_files(self):
        """Remove files after a week: they are written again at any time."""
        old = fields.Datetime.subtract(fields.Datetime.now(), days=7)
        files = self.search([("create_date", "<", old)], limit=1000)
        files.piece_ids.unlink()
        files.unlink()
