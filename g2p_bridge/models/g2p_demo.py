"""Months of payments of a ministry that is none, for the demo data.

Everything goes through the models' own transitions, batches, answers and matching, so the books
agree as they do in earnest; only the calls to a bank are written rather than made, and in the end
the times are moved to when it would have happened. Nothing here commits or opens another cursor:
the addon is being installed.
"""

import random
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal

from dateutil.relativedelta import relativedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ..services.demo_people import people
from ..services.disbursement_id import new_ids
from .pipeline_disburse import cut_by_destination
from .statement_numbers import NumberedStatement

#: codes with which banks send payments back, and refuse them (ISO 20022)
RETURN_REASONS = ("AC04", "AC06", "AC01", "BE01")
#: the steps of an envelope, in their order
STAGES = (
    *("receiving", "ready", "approved", "funds_missing", "funds_available", "funds_blocked"),
    *("disbursing", "disbursed", "settled"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One envelope of the demo: what is paid, when, and how far it got."""

    program: str
    code: str
    schedule_date: object
    count: int
    stage: str
    frequency: str = "Monthly"
    rejected: int = 0
    returned: int = 0
    paused: str = ""
    cancelled: str = ""


class Demo(models.AbstractModel):
    """Makes the demo data; does nothing in a database that has it."""

    _name = "g2p.demo"
    _description = "Demo data"

    #: mnemonic -> prefix of ids, people, without account, amounts, words on the statement
    _PROGRAMS = {
        "CHILD": ("CH", 420, 6, (25, 50, 75, 100), "Child benefit"),
        "PENSION": ("PE", 260, 3, (60, 60, 60, 85), "Old-age pension"),
        "FARM": ("FA", 180, 2, (120, 180, 240), "Farm input subsidy"),
        "RELIEF": ("FL", 150, 2, (150,), "Flood relief"),
    }

    @api.private
    @api.model
    def _load(self):
        """Fill the programs of demo.xml with what happened in the last months.

        :return: the envelopes
        """
        self = self.with_context(tracking_disable=True, mail_create_nosubscribe=True)
        programs = {
            mnemonic: self.env.ref(f"g2p_bridge.demo_program_{mnemonic.lower()}")
            for mnemonic in self._PROGRAMS
        }
        envelopes = self.env["g2p.disbursement.envelope"]
        if envelopes.search_count([("program_id", "in", [p.id for p in programs.values()])]):
            return envelopes
        company = programs["CHILD"].company_id
        if company.name in ("YourCompany", "My Company"):
            company.name = "Ministry of Social Protection"
        crowd = {mnemonic: self._enlist(*row[:3]) for mnemonic, row in self._PROGRAMS.items()}
        accounts = self.env["g2p.funding.account"].union(
            *(program.funding_account_id for program in programs.values())
        )
        books = {account: _Ledger(account) for account in accounts}
        for cycle in sorted(self._cycles(company), key=lambda c: c.schedule_date):
            program = programs[cycle.program]
            envelopes += self._play(
                cycle, program, crowd[cycle.program], books[program.funding_account_id]
            )
        self._add_oddities(programs, books)
        self._add_health(accounts.bank_id)
        self.env["g2p.notice"]._update()
        return envelopes

    def _cycles(self, company):
        """Return what was paid in the last half year, and what is being paid now."""
        today = fields.Date.context_today(self.with_context(tz=company.partner_id.tz or "UTC"))

        def months(count, **days):
            return today + relativedelta(months=count, **days)

        def monthly(program, date, stage, **values):
            return Cycle(
                program=program,
                code=f"{date:%Y-%m}",
                schedule_date=date,
                # some people join each month
                count=self._PROGRAMS[program][1] - 4 * max((today - date).days // 30, 0),
                stage=stage,
                **values,
            )

        cycles = []
        for back in range(5, 0, -1):
            # the later ones have more returns: banks close dormant accounts at the end of a year
            cycles += [
                monthly("CHILD", months(-back), "settled", returned=9 - back, rejected=back % 3),
                monthly("PENSION", months(-back, days=-2), "settled", returned=3),
            ]
        cycles += [
            monthly("CHILD", today, "disbursing", rejected=3),
            monthly("CHILD", months(1), "receiving"),
            monthly("PENSION", today - timedelta(days=2), "disbursed", rejected=1),
            monthly("PENSION", months(1, days=-2), "ready"),
        ]
        quarter = {"program": "FARM", "count": 180, "frequency": "Quarterly"}
        for back, stage in ((6, "settled"), (3, "settled"), (0, "funds_missing")):
            date = months(-back)
            cycles.append(
                Cycle(
                    code=f"{date:%Y} Q{(date.month + 2) // 3}",
                    schedule_date=date,
                    stage=stage,
                    returned=4 if back else 0,
                    **quarter,
                )
            )
        again = months(-3, days=1)
        cycles.append(
            Cycle(
                code=f"{again:%Y} Q{(again.month + 2) // 3} (again)",
                schedule_date=again,
                stage="ready",
                cancelled="Sent twice by the registry: the same cycle was paid yesterday.",
                **quarter,
            )
        )
        flood = {"program": "RELIEF", "count": 150, "frequency": "OnDemand"}
        waits = "Waits for the word of the Disaster Response Agency"
        for place, days, stage, paused in (
            ("North", -12, "disbursed", ""),
            ("South", 0, "funds_blocked", waits),
            ("Delta", 0, "funds_available", waits),
            ("Coast", 6, "approved", ""),
        ):
            cycles.append(
                Cycle(
                    code=f"Flood {place}",
                    schedule_date=today + timedelta(days=days),
                    stage=stage,
                    paused=paused,
                    **flood,
                )
            )
        return cycles

    # -- people ---------------------------------------------------------------------------------

    def _enlist(self, prefix, count, without_account):
        """Give the people of a program their accounts; return them."""
        crowd = people(prefix, count, without_account=without_account)
        mapper = self.env.ref("g2p_bridge.demo_mapper")
        self.env["g2p.account.link"].create(
            [
                {
                    "mapper_id": mapper.id,
                    "beneficiary_id": person.beneficiary_id,
                    "account_number": person.account_number,
                    "bank_code": person.bank_code,
                    "branch_code": person.branch_code,
                }
                for person in crowd
                if person.account_number
            ]
        )
        return crowd

    # -- one envelope ---------------------------------------------------------------------------

    def _play(self, cycle, program, crowd, ledger):
        """Take an envelope as far as its stage; return it."""
        clock = _Clock(cycle.schedule_date)
        rows = self._rows(cycle, crowd)
        envelope = self._receive(cycle, program, rows, clock)
        if cycle.cancelled:
            envelope._set_cancelled(cycle.cancelled, "cancel_disbursement_envelope")
        elif cycle.stage != "receiving":
            self._go_on(cycle, envelope, ledger, clock)
        if cycle.paused:
            envelope.is_paused = True
            envelope.message_post(
                body=cycle.paused, author_id=self.env.ref("g2p_bridge.demo_officer").partner_id.id
            )
        self._set_times(envelope, clock)
        return envelope

    def _rows(self, cycle, crowd):
        _prefix, _count, _without, amounts, words = self._PROGRAMS[cycle.program]
        chance = random.Random(f"{cycle.program} {cycle.count}")
        return [
            (
                f"{cycle.program}-{cycle.code}-{number:05d}",
                person.beneficiary_id,
                person.name,
                Decimal(chance.choice(amounts)).quantize(Decimal("0.01")),
                f"{words} {cycle.code}",
            )
            for number, person in enumerate(crowd[: cycle.count], start=1)
        ]

    def _receive(self, cycle, program, rows, clock):
        """Open the envelope and take its payments in, as the facade does."""
        total = sum(row[3] for row in rows)
        envelope = self.env["g2p.disbursement.envelope"].create(
            {
                "disbursement_envelope_id": new_ids(1)[0],
                "program_id": program.id,
                "funding_account_id": program.funding_account_id.id,
                "currency_id": program.currency_id.id,
                "disbursement_frequency": cycle.frequency,
                "cycle_code_mnemonic": cycle.code,
                "number_of_beneficiaries": len(rows),
                "number_of_disbursements": len(rows),
                "total_disbursement_amount": float(total),
                "disbursement_schedule_date": cycle.schedule_date,
                "id_mapper_resolution_required": True,
                "created_by_id": self.env.ref("g2p_bridge.demo_pbms").id,
            }
        )
        # of the one that is still received, the last calls are yet to come
        arrived = rows[: len(rows) * 6 // 10] if cycle.stage == "receiving" else rows
        bridge = self.env["g2p.bridge"]
        for start in range(0, len(arrived), 100):
            part = arrived[start : start + 100]
            bridge._copy_disbursements(envelope, new_ids(len(part)), part, clock.received)
            self.env["g2p.disbursement.journal"].create(
                {
                    "envelope_id": envelope.id,
                    "target": "received",
                    "disbursement_count": len(part),
                    "amount": float(sum(row[3] for row in part)),
                    "cause": "create_disbursements",
                    "user_id": envelope.created_by_id.id,
                    "created_at": clock.received,
                }
            )
        self.env.flush_all()
        if cycle.stage != "receiving":
            envelope._set_ready()
        return envelope

    def _go_on(self, cycle, envelope, ledger, clock):
        stage = STAGES.index(cycle.stage)
        if stage >= STAGES.index("approved"):
            self._approve(envelope)
        if cycle.stage == "funds_missing":
            self._miss_funds(envelope)
        if stage >= STAGES.index("funds_available"):
            self._record_call(envelope, "check_funds", clock.checked)
            envelope._set_funds_available()
        if stage >= STAGES.index("funds_blocked"):
            self._block(envelope, clock)
        if stage >= STAGES.index("disbursing"):
            self._disburse(cycle, envelope, clock)
        if cycle.stage == "settled":
            self._settle(cycle, envelope, ledger, clock)

    def _approve(self, envelope):
        if not envelope.approval_required:
            return
        envelope._set_approved()
        approver = self.env.ref("g2p_bridge.demo_approver")
        envelope.with_user(approver).sudo()._keep_approval()  # whose name stands under it

    def _miss_funds(self, envelope):
        self._record_call(envelope, "check_funds", fields.Datetime.now())
        envelope._set_needs_attention(
            "FUNDS_NOT_AVAILABLE",
            self.env._(
                "Funds check at %(bank)s: %(reason)s",
                bank=envelope.bank_id.name,
                reason="the rural fund was not topped up",
            ),
            funds_available_with_bank="FUNDS_NOT_AVAILABLE",
            funds_available_latest_timestamp=fields.Datetime.now(),
            funds_available_latest_error_code="FUNDS_NOT_AVAILABLE",
        )

    def _block(self, envelope, clock):
        reference = f"BLK{envelope.id:07d}"
        amount = envelope._payable_amount()
        kept = {"reference": reference, "amount": f"{amount:.2f}"}
        self._record_call(envelope, "block_funds", clock.blocked, kept=kept, key=":1")
        envelope._set_funds_blocked(reference, float(amount))

    def _disburse(self, cycle, envelope, clock):
        """Look accounts up, form batches and keep the bank's answers."""
        where = SQL("d.envelope_id = %s AND d.state = 'received'", envelope.id)
        envelope._look_up(where, first_id=0)
        payments = self.env["g2p.disbursement"]
        resolved = payments.search([("envelope_id", "=", envelope.id), ("state", "=", "resolved")])
        splits = envelope.bank_id.split_by_destination_bank
        rows = [(p.id, (p.bank_code or "") if splits else "") for p in resolved]
        envelope._create_batches(cut_by_destination(rows, envelope.bank_id.max_batch_size))
        envelope._set_disbursing()
        chance = random.Random(f"{cycle.program} {cycle.code}")
        refused = set(chance.sample(resolved.mapped("disbursement_id"), cycle.rejected))
        for number, batch in enumerate(envelope.batch_ids):
            is_lost = cycle.stage == "disbursing" and batch == envelope.batch_ids[-1]
            self._send(batch, refused, clock.sent + timedelta(seconds=40 * number), is_lost)
        if cycle.stage != "disbursing":
            envelope._set_disbursed()

    def _send(self, batch, refused, at, is_lost):
        self.env.flush_all()
        ids = batch.disbursement_ids.mapped("disbursement_id")
        answer = {
            "reference": f"PAY{batch.id:07d}",
            "rejected": [[ref, "AC01"] for ref in ids if ref in refused],
        }
        key = batch._payment_key().removeprefix("initiate_payment")
        if is_lost:
            self._record_call(
                batch, "initiate_payment", at, key=key, state="unknown", error="ReadTimeout"
            )
            batch._set_unknown("ReadTimeout", "No answer, or not a whole one (ReadTimeout).")
        else:
            self._record_call(batch, "initiate_payment", at, key=key, kept=answer)
            batch._set_acknowledged(answer)

    def _record_call(
        self, subject, operation, at, *, kept=None, key="", state="answered", error=""
    ):
        """Write the row of a call to the bank that nobody made."""
        calls = self.env["g2p.bank.call"]
        is_batch = subject._name == "g2p.disbursement.batch"
        envelope = subject.envelope_id if is_batch else subject
        latency = 120 + (envelope.id * 37 + subject.id * 11) % 240
        name = key if is_batch else f":{envelope.disbursement_envelope_id}{key}"
        calls.create(
            {
                **calls._prepare_call_vals(operation, f"{operation}{name}", subject),
                "state": state,
                "attempts": 1,
                "started_at": at,
                "answered_at": at + timedelta(milliseconds=latency),
                "latency_ms": 30000 if error else latency,
                "http_status": False if error else 200,
                "answer": kept,
                "error_code": error or False,
                "error_message": "No answer, or not a whole one (ReadTimeout)." if error else False,
            }
        )

    # -- statements -----------------------------------------------------------------------------

    def _settle(self, cycle, envelope, ledger, clock):
        """Have the bank's statements show the debits, and what came back; then end it."""
        payments = self.env["g2p.disbursement"].search(
            [("envelope_id", "=", envelope.id), ("state", "=", "sent")]
        )
        debits = [("D", p.amount, p.disbursement_id, p.narrative) for p in payments]
        self._book(ledger, debits, clock.debited)
        chance = random.Random(f"{cycle.code} {cycle.program}")
        back = payments.browse(chance.sample(payments.ids, cycle.returned))
        if back:
            returns = [
                ("RD", p.amount, p.disbursement_id, chance.choice(RETURN_REASONS)) for p in back
            ]
            self._book(ledger, returns, clock.returned)
        self.env["g2p.disbursement"]._bulk_transition(
            "cancelled",
            SQL("d.envelope_id = %s AND d.state = 'unresolved'", envelope.id),
            cause="cancel_disbursements",
            assign=SQL("reason = %s", "No account after the end of the cycle"),
        )
        envelope._set_settled()
        envelope.funds_released_at = clock.settled

    def _book(self, ledger, entries, at, *, number=None, off=Decimal(0), process=True):
        """Store one statement of these entries and match it, as an upload and its job do."""
        content = ledger.mt940(entries, at.date(), off=off).encode()
        statements = self.env["g2p.account.statement"]
        [(account, parsed)] = statements._parse(content, ledger.account.bank_id)
        attachment = self.env["ir.attachment"].create(
            {"name": f"{ledger.label}.sta", "raw": content, "mimetype": "text/plain"}
        )
        values = {
            "content_sha256": f"{ledger.label} {at:%Y%m%d}",
            "position": 1,
            "filename": f"{ledger.label}.sta",
            "attachment_id": attachment.id,
        }
        record = statements._store_statement(
            account, parsed, NumberedStatement.of(account, parsed), [], values
        )
        attachment.write(
            {
                "index_content": False,
                "res_model": record._name,
                "res_field": "attachment_id",
                "res_id": record.id,
            }
        )
        if record.state == "received":
            for step in ("debits", "credits"):
                record._match(step, 0, len(entries))
            record._set_processed()
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                "UPDATE g2p_account_statement SET uploaded_at = %(at)s, create_date = %(at)s,"
                " state_since = %(at)s, write_date = %(at)s WHERE id = %(id)s",
                at=at,
                id=record.id,
            )
        )
        self.env.invalidate_all()
        return record

    # -- what needs somebody --------------------------------------------------------------------

    def _add_oddities(self, programs, books):
        """Add what a real month has: a charge, an unknown debit, a statement that is off."""
        now = fields.Datetime.now()
        lately = now - timedelta(days=5)
        child = books[programs["CHILD"].funding_account_id]
        charge = [("D", Decimal("12.50"), "NONREF", "ACCOUNT CHARGES")]
        record = self._book(child, charge, lately - timedelta(days=3))
        record.line_ids.write(
            {
                "is_handled": True,
                "handled_by_id": self.env.ref("g2p_bridge.demo_officer").id,
                "handled_at": lately,
                "handling_note": "Bank charge of the month",
            }
        )
        self._book(child, [("D", Decimal("55.00"), "TRF0099812", "STANDING ORDER")], lately)
        pension = books[programs["PENSION"].funding_account_id]
        self._book(pension, charge, lately, off=Decimal("10.00"))

    def _add_health(self, banks):
        now = fields.Datetime.now()
        for bank, latency in zip(banks.sorted("code"), (1840, 124, 310), strict=False):
            self.env["g2p.bank.health"].create(
                {
                    "bank_id": bank.id,
                    "company_id": bank.company_id.id,
                    "failure_count": 0,
                    "last_answer_at": now - timedelta(minutes=7),
                    "latency_ms": latency,
                }
            )

    # -- times ----------------------------------------------------------------------------------

    def _set_times(self, envelope, clock):
        """Move what was written just now to when it would have happened."""
        self.env.flush_all()
        moments = {
            "received": clock.received,
            "resolved": clock.resolved,
            "unresolved": clock.resolved,
            "batched": clock.batched,
            "sent": clock.sent,
            "unknown": clock.sent,
            "rejected": clock.sent,
            "reconciled": clock.debited,
            "reversed": clock.returned,
            "cancelled": clock.settled if envelope.state == "settled" else clock.ready,
        }
        ended = {
            "receiving": clock.received,
            "ready": clock.ready,
            "approved": clock.approved,
            "needs_attention": clock.checked,
            "funds_available": clock.checked,
            "funds_blocked": clock.blocked,
            "disbursing": clock.batched,
            "disbursed": clock.sent,
            "settled": clock.settled,
            "cancelled": clock.ready,
        }
        names, times = list(moments), list(moments.values())
        for statement in (
            "UPDATE g2p_disbursement_journal t SET created_at = v.at"
            " FROM unnest(%(names)s, %(times)s) v(state, at)"
            " WHERE t.envelope_id = %(id)s AND t.target = v.state",
            "UPDATE g2p_disbursement t SET state_since = v.at, received_at = %(received)s"
            " FROM unnest(%(names)s, %(times)s) v(state, at)"
            " WHERE t.envelope_id = %(id)s AND t.state = v.state",
            "UPDATE g2p_disbursement_batch SET create_date = %(batched)s, state_since = %(sent)s"
            " WHERE envelope_id = %(id)s",
            "UPDATE g2p_envelope_approval SET approved_at = %(approved)s"
            " WHERE envelope_id = %(id)s",
            "UPDATE mail_message SET date = %(since)s WHERE res_id = %(id)s"
            " AND model = 'g2p.disbursement.envelope'",
            "UPDATE g2p_disbursement_envelope"
            "   SET create_date = %(received)s, state_since = %(since)s,"
            "       approved_at = CASE WHEN approved_at IS NULL THEN NULL ELSE %(approved)s END,"
            "       funds_available_latest_timestamp ="
            "           CASE WHEN funds_available_latest_timestamp IS NULL THEN NULL"
            "                ELSE %(checked)s END,"
            "       funds_blocked_latest_timestamp ="
            "           CASE WHEN funds_blocked_latest_timestamp IS NULL THEN NULL"
            "                ELSE %(blocked)s END"
            " WHERE id = %(id)s",
        ):
            self.env.cr.execute(
                SQL(
                    statement,
                    names=names,
                    times=times,
                    id=envelope.id,
                    received=clock.received,
                    approved=clock.approved,
                    checked=clock.checked,
                    blocked=clock.blocked,
                    batched=clock.batched,
                    sent=clock.sent,
                    since=ended[envelope.state],
                )
            )
        self.env.invalidate_all()


class _Clock:
    """When the steps of an envelope happened: none of them in the future."""

    def __init__(self, schedule_date):
        now = fields.Datetime.now()
        # today's payments began some hours ago, whenever that is
        begin = min(datetime.combine(schedule_date, time(8, 0)), now - timedelta(hours=3))
        self.received = min(begin - timedelta(days=3), now - timedelta(days=1)).replace(minute=12)
        self.ready = self.received + timedelta(minutes=9)
        self.approved = self.received + timedelta(hours=22)
        self.resolved = self.ready + timedelta(minutes=2)
        self.checked = begin
        self.blocked = begin + timedelta(minutes=1)
        self.batched = begin + timedelta(minutes=2)
        self.sent = begin + timedelta(minutes=3)
        self.debited = begin + timedelta(hours=22)
        self.returned = begin + timedelta(days=4, hours=1)
        self.settled = begin + timedelta(days=4, hours=2)


class _Ledger:
    """The account at the bank: its balance and the numbers of its statements."""

    def __init__(self, account):
        self.account = account
        self.balance = Decimal(2_000_000)
        self.number = 100
        self.label = ""

    def mt940(self, entries, day, *, off):
        """Return an MT940 of the entries (mark, amount, reference, words).

        :param Decimal off: by how much its closing balance is wrong
        """
        self.number += 1
        self.label = f"{self.account.bank_id.code}_{self.account.id}_{self.number}"
        currency = self.account.currency_id.name
        lines = [
            f":20:STMT{self.number}",
            f":25:{self.account.account_number}",
            f":28C:{self.number}/1",
            f":60F:{self._balance(day, currency)}",
        ]
        for number, (mark, amount, reference, words) in enumerate(entries, start=1):
            amount = Decimal(f"{amount:.2f}")
            text = f"{amount:.2f}".replace(".", ",")
            lines.append(
                f":61:{day:%y%m%d}{day:%m%d}{mark}{text}NTRF{reference}//E{self.number}{number:05d}"
            )
            lines.append(f":86:{words}")
            self.balance += amount if mark in ("C", "RD") else -amount
        kept, self.balance = self.balance, self.balance + off
        lines += [f":62F:{self._balance(day, currency)}", "-", ""]
        self.balance = kept
        return "\n".join(lines)

    def _balance(self, day, currency):
        return f"C{day:%y%m%d}{currency}{self.balance:.2f}".replace(".", ",")
