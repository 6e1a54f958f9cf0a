import secrets
import tempfile
from decimal import Decimal

from odoo import fields, models, release
from odoo.modules.module import get_manifest
from odoo.tools import SQL

from ..connectors import masking
from ..services.register import COLUMNS, FORMAT, RegisterWriter
from .g2p_certificate import CertificateRefused
from .ledger_rules import RULES

CERTIFICATE_FORMAT = "g2p-bridge-certificate/1"

#: what the payments of a state count as
_OUTCOME = SQL("CASE d.state WHEN 'reconciled' THEN 'paid' ELSE d.state END")


def _text(column):
    """Return a text of a bank as it may stand in a spreadsheet: one line, and no formula."""
    return SQL(
        "regexp_replace(regexp_replace(%(text)s, '[[:cntrl:]]', ' ', 'g'), '^([=+@-])', '''\\1')",
        text=column,
    )


class Certificate(models.Model):
    """What a certificate says, and the register that it rests on."""

    _inherit = "g2p.certificate"

    # -- register -------------------------------------------------------------------------------

    def _write_register(self):
        """Store one line for each payment; return what the certificate says of them.

        :return: dict of ``sha256``, ``merkle_root``, ``tally``, ``payments``
        :raise CertificateRefused: the lines do not add up to the totals of the screen
        """
        self.env.flush_all()
        with tempfile.TemporaryFile() as spool:
            sizes = []
            writer = RegisterWriter(lambda part: sizes.append(spool.write(part)))
            cr = self.env.cr
            copy = SQL("COPY (%s) TO STDOUT WITH (FORMAT csv, HEADER)", self._register_query())
            # of an envelope younger than the statistics the planner expects one payment, and would
            # look for its entries and read all statements once for each of a million
            cr.execute("SET LOCAL enable_nestloop = off")
            cr.copy_expert(cr.mogrify(copy).decode(), writer)
            cr.execute("SET LOCAL enable_nestloop TO DEFAULT")
            sha256, root = writer.close()
            self._check_tally(writer.tally)
            spool.seek(0)
            for number, size in enumerate(sizes, start=1):
                self._store_part(number, spool.read(size))
        return {
            "sha256": sha256,
            "merkle_root": root,
            "payments": writer.tree.size,
            "tally": writer.tally,
        }

    def _store_part(self, number, content):
        part = self.env["ir.attachment"].create(
            {
                "name": f"register-{self.name}-{number:02}.csv.gz",
                "raw": content,
                "mimetype": "application/gzip",
                "res_model": self._name,
                "res_id": self.id,
            }
        )
        self.register_part_ids = [fields.Command.link(part.id)]
        self.env.flush_all()
        part.invalidate_recordset()  # nothing of it is kept in memory

    def _register_query(self):
        """Return the SQL of the lines: in the order of the ids, so that none can be there twice."""
        return SQL(
            """
            SELECT d.disbursement_id, round(d.amount, %(places)s) AS amount,
                   %(outcome)s AS outcome, %(reason)s AS reason_code,
                   ds.name AS debit_statement, dl.entry_sequence AS debit_entry,
                   dl.mark AS debit_mark, round(dl.amount, %(places)s) AS debit_amount,
                   dl.value_date AS debit_date, %(debit_reference)s AS debit_reference,
                   rs.name AS return_statement, rl.entry_sequence AS return_entry,
                   rl.mark AS return_mark, round(rl.amount, %(places)s) AS return_amount,
                   rl.value_date AS return_date, %(return_reference)s AS return_reference,
                   left(encode(sha256(convert_to(%(seed)s || d.disbursement_id, 'UTF8')), 'hex'),
                        32) AS nonce
              FROM g2p_disbursement d
              LEFT JOIN g2p_account_statement_line dl
                     ON dl.matched_disbursement_id = d.id AND dl.outcome = 'reconciled'
                    AND dl.envelope_id = d.envelope_id
              LEFT JOIN g2p_account_statement ds ON ds.id = dl.statement_id
              LEFT JOIN g2p_account_statement_line rl
                     ON rl.matched_disbursement_id = d.id AND rl.outcome = 'reversed'
                    AND rl.envelope_id = d.envelope_id
              LEFT JOIN g2p_account_statement rs ON rs.id = rl.statement_id
             WHERE d.envelope_id = %(envelope)s
             ORDER BY d.disbursement_id COLLATE "C"
            """,
            places=self.currency_id.decimal_places,
            outcome=_OUTCOME,
            reason=_text(SQL("d.reason_code")),
            debit_reference=_text(SQL("dl.bank_reference")),
            return_reference=_text(SQL("rl.bank_reference")),
            seed=secrets.token_hex(32),
            envelope=self.envelope_id.id,
        )

    def _check_tally(self, tally):
        """Compare the lines with the totals that the envelope shows."""
        envelope, places = self.envelope_id, self.currency_id.decimal_places
        wanted = {}
        for name, (count, amount) in envelope._closed_loop().items():
            key = "cancelled" if name == "withdrawn" else name
            known = wanted.get(key, (0, 0))
            wanted[key] = (known[0] + count, known[1] + _units(envelope._exact(amount)))
        declared = wanted.pop("declared")
        wanted = {name: pair for name, pair in wanted.items() if any(pair)}
        found = {name: tuple(pair) for name, pair in tally.outcomes.items()}
        if found != wanted:
            raise CertificateRefused(
                self.env._("The payments do not add up to the totals of the envelope.")
            )
        ended = [sum(part) for part in zip(*wanted.values(), strict=True)] or [0, 0]
        withdrawn = envelope._closed_loop()["withdrawn"]
        ended = (ended[0] - withdrawn[0], ended[1] - _units(envelope._exact(withdrawn[1])))
        if ended != declared:
            raise CertificateRefused(
                self.env._(
                    "Declared are %(declared)s, and the payments that ended come to %(ended)s.",
                    declared=_pair_text(declared, places),
                    ended=_pair_text(ended, places),
                )
            )

    # -- content --------------------------------------------------------------------------------

    def _content(self, register, issued_at, replaced):
        """Return what is signed: dict of texts, whole numbers, lists and None."""
        envelope = self.envelope_id
        self._check_funds(envelope)
        return {
            "format": CERTIFICATE_FORMAT,
            "certificate_id": self.name,
            "issue": self.issue,
            "issued_at": _moment(issued_at),
            "issued_by": self.requested_by_id.name,
            "supersedes": self._content_of_replaced(replaced),
            "tool": {
                "name": "g2p_bridge",
                "version": get_manifest("g2p_bridge")["version"],
                "odoo": release.version,
            },
            "institution": self.company_id.name,
            "envelope": self._content_of_envelope(envelope),
            "account": self._content_of_account(envelope),
            "approval": self._content_of_approval(envelope),
            "totals": {
                name: {"count": count, "amount": envelope._exact(amount)}
                for name, (count, amount) in envelope._closed_loop().items()
            },
            "funds": {
                **{
                    name: envelope._exact(amount)
                    for name, amount in envelope._use_of_funds().items()
                },
                "reference": envelope.funds_blocked_reference_number or None,
                "held_at": _moment(envelope.funds_blocked_latest_timestamp),
                "released_at": _moment(envelope.funds_released_at),
            },
            "statements": self._content_of_statements(envelope, register["tally"]),
            "register": {
                "format": FORMAT,
                "file": f"register-{self.name}.csv.gz",
                "columns": list(COLUMNS),
                "payments": register["payments"],
                "sha256": register["sha256"],
                "merkle_root": register["merkle_root"],
            },
            "rules_checked": [rule.code for rule in RULES],
        }

    def _content_of_replaced(self, replaced):
        if not replaced:
            return None
        return {
            "certificate_id": replaced.name,
            "digest": replaced.digest,
            "because": replaced._changed_since() or None,
        }

    def _content_of_envelope(self, envelope):
        return {
            "id": envelope.disbursement_envelope_id,
            "program": envelope.program_id.mnemonic,
            "program_name": envelope.program_id.name,
            "cycle": envelope.cycle_code_mnemonic,
            "currency": envelope.currency_id.name,
            "decimals": envelope.currency_id.decimal_places,
            "beneficiaries_declared": envelope.number_of_beneficiaries,
            "received_from": envelope.created_by_id.name or None,
            "schedule_date": envelope.disbursement_schedule_date.isoformat(),
            "settled_at": _moment(envelope.state_since),
            "days_to_settle": envelope._days_to_settle(),
        }

    def _content_of_account(self, envelope):
        account = envelope.funding_account_id
        return {
            "bank": envelope.bank_id.name,
            "bank_code": envelope.bank_id.code,
            "account": account.account_masked,
            "statements_are_numbered": bool(envelope.bank_id.has_statement_numbers),
        }

    def _content_of_approval(self, envelope):
        approval = envelope.approval_ids[:1]
        if not approval or approval.voided_at:
            return None
        return {
            "approved_by": approval.user_id.name,
            "approved_at": _moment(approval.approved_at),
            "content_hash": approval.content_hash,
        }

    def _check_funds(self, envelope):
        funds = {
            name: _units(envelope._exact(amount))
            for name, amount in envelope._use_of_funds().items()
        }
        if min(funds.values()) < 0 or funds["held"] != (
            funds["drawn"] + funds["released"] + funds["kept"]
        ):
            raise CertificateRefused(
                self.env._("What the bank held is not what was drawn and released.")
            )

    def _content_of_statements(self, envelope, tally):
        statements = envelope._certified_statements()
        if not {*tally.debits, *tally.returns} <= set(statements.mapped("name")):
            raise CertificateRefused(
                self.env._("A payment rests on an entry of a statement that is not booked.")
            )
        turnover = self._turnover(statements)
        return [
            {
                "id": statement.name,
                "number": statement.statement_number or None,
                "first_page": statement.first_sequence_number or None,
                "last_page": statement.sequence_number or None,
                "opening_date": _day(statement.opening_date),
                "opening_balance": envelope._exact(statement.opening_balance),
                "closing_date": _day(statement.closing_date),
                "closing_balance": envelope._exact(statement.closing_balance),
                "credits": envelope._exact(turnover[statement.id]["credits"]),
                "debits_in_all": envelope._exact(turnover[statement.id]["debits"]),
                "debits": self._content_of_tally(tally.debits, statement),
                "returns": self._content_of_tally(tally.returns, statement),
                "accepted_because": statement._accepted_because() or None,
                "file_sha256": statement.content_sha256,
            }
            for statement in statements
        ]

    def _content_of_tally(self, totals, statement):
        count, units = totals.get(statement.name, (0, 0))
        return {"count": count, "amount": _amount(units, self.currency_id.decimal_places)}

    def _turnover(self, statements):
        """Return all that the statements credit and debit, of whatever payments."""
        rows = self.env.execute_query(
            SQL(
                """
                SELECT s.id,
                       coalesce(sum(l.amount) FILTER (WHERE l.mark IN ('C', 'RD')), 0),
                       coalesce(sum(l.amount) FILTER (WHERE l.mark IN ('D', 'RC')), 0)
                  FROM g2p_account_statement s
                  LEFT JOIN g2p_account_statement_line l
                         ON l.statement_id = s.id AND l.outcome <> 'noted'
                 WHERE s.id = ANY(%s) GROUP BY s.id
                """,
                statements.ids,
            )
        )
        return {row[0]: {"credits": row[1], "debits": row[2]} for row in rows}


class AccountStatement(models.Model):
    """Statements that a person, or a setting, took although something was wrong with them."""

    _inherit = "g2p.account.statement"

    def _accepted_because(self):
        """Return why it was booked all the same; empty for the others."""
        self.ensure_one()
        if self.decision_note:
            # a note of a person may name a person or an account
            return masking.mask_text(self.decision_note)
        if not self.is_tied:
            return self.env._("The bank is set up so that such statements are booked and flagged.")
        return ""


def _units(text):
    return int(text.replace(".", ""))


def _amount(units, places):
    return f"{Decimal(units).scaleb(-places):f}"


def _pair_text(pair, places):
    return f"{pair[0]} / {_amount(pair[1], places)}"


def _moment(value):
    return f"{value.isoformat(timespec='seconds')}Z" if value else None


def _day(value):
    return value.isoformat() if value else None
