from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, time, timezone
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from odoo import api, fields, models
from odoo.tools import SQL, format_date

from .roles import APPROVER, OFFICER, VIEWER, check_group
from .words import (
    compact_text,
    day_text,
    duration_text,
    money_text,
    number_text,
    payments_text,
    short_money_text,
)

#: what Home shows at most; the lists behind it hold the rest
ENVELOPES_SHOWN = 12
CASES_SHOWN = 8
#: months of the trend, this one included
TREND_MONTHS = 6
#: states in which an envelope is on its way out
OUT = ("funds_available", "funds_blocked", "disbursing", "disbursed")
ENDED = ("settled", "cancelled")
#: group of states of payments, as the figures and the trend have them
GROUPS = {
    "paid": ("reconciled",),
    "on_the_way": ("received", "resolved", "batched", "sent", "unknown"),
    "not_reached": ("unresolved", "rejected", "reversed"),
}
#: the order of envelopes: what somebody must see to stands first
RANK = ("needs_attention", "disbursing", "disbursed", "funds_blocked", "funds_available")


class Home(models.AbstractModel):
    """The numbers of payment day, from the books: a few queries, however much is in them."""

    _name = "g2p.home"
    _description = "Home"

    @api.model
    def get_home(self):
        """Return everything that Home shows to this user, plain JSON; it changes nothing.

        :raise AccessError: not a viewer
        """
        check_group(self.env, VIEWER)
        if not self.env["g2p.disbursement.envelope"].search_count([], limit=1):
            return {"is_empty": True, "buttons": self._buttons()}
        books = self._read_books()
        attention = self._attention(books)
        return {
            "is_empty": False,
            "headline": self._headline(),
            "figures": [
                self._figure_paid(),
                self._figure_on_the_way(books),
                self._figure_not_reached(books),
                self._figure_held(),
            ],
            "attention": attention,
            "envelopes": self._envelopes(books),
            "banks": self._banks(),
            "programs": self._programs(books),
            "trend": self._trend(books),
            "buttons": self._buttons(),
        }

    # -- books ----------------------------------------------------------------------------------

    def _read_books(self):
        """Return the envelopes of the last months and those still open, with their totals."""
        today = fields.Date.context_today(self)
        month = today.replace(day=1)
        first_month = month - relativedelta(months=TREND_MONTHS - 1)
        envelopes = self.env["g2p.disbursement.envelope"].search(
            [
                "|",
                ("disbursement_schedule_date", ">=", first_month),
                ("state", "not in", ENDED),
            ]
        )
        # access to the envelopes is access to their sums
        totals = self.env["g2p.disbursement.journal"].sudo()._totals_by_state(envelopes=envelopes)
        return _Books(today, month, first_month, envelopes, totals)

    def _money_lines(self, sums):
        """Return {currency: (count, amount)} as lines to show, the most payments first."""
        return [
            {
                "currency": currency.name,
                "count": int(count),
                "amount": currency.round(amount),
                "short": short_money_text(self.env, amount, currency),
                "exact": money_text(self.env, amount, currency),
                "payments": payments_text(self.env, int(count)),
            }
            for currency, (count, amount) in sorted(
                sums.items(), key=lambda item: (-item[1][0], item[0].name)
            )
        ]

    def _figure(self, key, title, sums, action, note="", help_text=""):
        return {
            "key": key,
            "title": title,
            "lines": self._money_lines(sums),
            "note": note,
            "help": help_text,
            "action": action,
        }

    # -- figures --------------------------------------------------------------------------------

    def _figure_paid(self):
        """Return what the statements of this month debited, less what came back in it."""
        since = self._start_of_month()
        rows = self.env.execute_query(
            SQL(
                """
                SELECT j.envelope_id, e.currency_id,
                       sum(CASE WHEN j.target = 'reconciled' THEN j.disbursement_count
                                ELSE -j.disbursement_count END)::bigint,
                       sum(CASE WHEN j.target = 'reconciled' THEN j.amount ELSE -j.amount END)
                  FROM g2p_disbursement_journal j
                  JOIN g2p_disbursement_envelope e ON e.id = j.envelope_id
                 WHERE (j.target = 'reconciled' OR j.source = 'reconciled')
                   AND j.created_at >= %s AND j.envelope_id IN %s
                 GROUP BY 1, 2
                """,
                since,
                self.env["g2p.disbursement.envelope"]._search([]).subselect(),
            )
        )
        sums = defaultdict(lambda: (0, 0.0))
        currencies = self.env["res.currency"]
        for _envelope_id, currency_id, count, amount in rows:
            before = sums[currencies.browse(currency_id)]
            sums[currencies.browse(currency_id)] = (before[0] + count, before[1] + amount)
        return self._figure(
            "paid",
            self.env._("Paid this month"),
            sums,
            self._open_envelopes(self.env._("Paid this month"), [row[0] for row in rows]),
            help_text=self.env._(
                "Debited by the bank's statements since the 1st, less what came back."
            ),
        )

    def _start_of_month(self):
        """Return the first moment of this month where the user is, in UTC."""
        first = fields.Date.context_today(self).replace(day=1)
        zone = ZoneInfo(self.env.user.tz or "UTC")
        local = datetime.combine(first, time(), tzinfo=zone)
        return local.astimezone(timezone.utc).replace(tzinfo=None)

    def _figure_on_the_way(self, books):
        sums, envelopes = books.sum_up(books.current(), "on_the_way")
        return self._figure(
            "on_the_way",
            self.env._("On the way"),
            sums,
            self._open_envelopes(self.env._("On the way"), envelopes.ids),
            help_text=self.env._("Received, or with the bank, and on no statement yet."),
        )

    def _figure_not_reached(self, books):
        sums, _envelopes = books.sum_up(books.current(), "not_reached")
        title = self.env._("Not reached")
        return self._figure(
            "not_reached",
            title,
            sums,
            self._open(
                "g2p.disbursement",
                title,
                [
                    ("state", "in", GROUPS["not_reached"]),
                    ("envelope_id", "in", books.current().ids),
                ],
            ),
            help_text=self.env._(
                "No account known, refused by the bank or come back, of this month and what is"
                " still open."
            ),
        )

    def _figure_held(self):
        """Return what banks hold and no payment will use; banks that cannot release it aside."""
        releasing = self.env["g2p.sponsor.bank"].sudo()._find_releasing()
        holding = self.env["g2p.disbursement.envelope"].search(
            [
                ("funds_blocked_reference_number", "!=", False),
                ("funds_released_at", "=", False),
                "|",
                ("state", "not in", ENDED),
                ("bank_id", "in", releasing.ids),
            ]
        )
        held, idle = defaultdict(lambda: (0, 0.0)), defaultdict(lambda: (0, 0.0))
        for envelope in holding:
            for sums, amount in (
                (held, envelope.funds_held_amount),
                (idle, envelope.funds_idle_amount),
            ):
                if amount:
                    before = sums[envelope.currency_id]
                    sums[envelope.currency_id] = (before[0] + 1, before[1] + amount)
        accounts = holding.filtered("funds_held_amount").funding_account_id
        title = self.env._("Held and idle")
        figure = self._figure(
            "held",
            title,
            idle,
            self._open("g2p.funding.account", title, [("id", "in", accounts.ids)]),
            note=self._held_note(held, accounts),
            help_text=self.env._("Held by banks, and no payment of its envelope will use it."),
        )
        for line in figure["lines"]:
            line["payments"] = ""  # it is money of envelopes, not of payments
        return figure

    def _held_note(self, held, accounts):
        moneys = [line["short"] for line in self._money_lines(held)]
        if not moneys:
            return ""
        return self.env._(
            "of %(money)s held, accounts: %(accounts)s",
            money=", ".join(moneys),
            accounts=number_text(self.env, len(accounts)),
        )

    # -- headline and buttons -------------------------------------------------------------------

    def _headline(self):
        envelopes = self.env["g2p.disbursement.envelope"]
        counts = dict(
            envelopes._read_group(
                [("state", "in", (*OUT, "needs_attention"))], ["state"], ["__count"]
            )
        )
        out = sum(counts.get(state, 0) for state in OUT)
        waiting = self._waiting_domain()
        waiting_count = envelopes.search_count(waiting) if waiting else 0
        return {
            "text": self._headline_text(out, waiting_count),
            "action": self._open(
                "g2p.disbursement.envelope", self.env._("Out"), [("state", "in", OUT)]
            ),
            "waiting_count": waiting_count,
            "waiting_text": self.env._("Show what waits for you"),
            "waiting_action": waiting_count
            and self._open("g2p.disbursement.envelope", self.env._("Waiting for you"), waiting),
        }

    def _waiting_domain(self):
        """Return which envelopes wait for this user, by the role; False for a viewer."""
        if not self.env.user.has_group(OFFICER):
            return False
        problem = ("state", "=", "needs_attention")
        if not self.env.user.has_group(APPROVER):
            return [problem]
        return [
            "|",
            problem,
            "&",
            "&",
            ("state", "=", "ready"),
            ("program_id.approval_required", "=", True),
            "|",
            ("created_by_id", "=", False),
            ("created_by_id", "!=", self.env.uid),
        ]

    def _headline_text(self, out, waiting):
        values = {"out": number_text(self.env, out), "waiting": number_text(self.env, waiting)}
        if not out and not waiting:
            return self.env._("No envelope is out, and nothing waits for you.")
        if not waiting:
            if out == 1:
                return self.env._("1 envelope out, nothing waits for you.")
            return self.env._("%(out)s envelopes out, nothing waits for you.", **values)
        if out == 1:
            return self.env._("1 envelope out, %(waiting)s waiting for you.", **values)
        return self.env._("%(out)s envelopes out, %(waiting)s waiting for you.", **values)

    def _buttons(self):
        """Return the buttons of the page: those whose action exists, and that the user may use."""
        if not self.env.user.has_group(OFFICER):
            return []
        wanted = (
            ("g2p_import_envelope_action", self.env._("Import envelope")),
            ("g2p_upload_statement_action", self.env._("Upload statement")),
        )
        return [
            {"label": label, "action": f"g2p_bridge.{name}"}
            for name, label in wanted
            if self.env.ref(f"g2p_bridge.{name}", raise_if_not_found=False)
        ]

    # -- needs attention ------------------------------------------------------------------------

    def _attention(self, books):
        """Return what somebody must see to, for who may; the worst first."""
        if not self.env.user.has_group(OFFICER):
            return False
        if "g2p.attention" in self.env:
            return self._attention_of_worklist()
        cases = [case for case in self._attention_sources(books) if case]
        return {"count": len(cases), "cases": cases[:CASES_SHOWN], "action": False}

    def _attention_of_worklist(self):
        worklist = self.env["g2p.attention"]
        now = fields.Datetime.now()
        return {
            "count": worklist.search_count([]),
            "action": "g2p_bridge.g2p_attention_action",
            "cases": [
                {
                    "key": case.key,
                    "text": case.name,
                    "money": money_text(self.env, case.amount, case.currency_id)
                    if case.amount
                    else "",
                    "since": duration_text(self.env, (now - case.since).total_seconds())
                    if case.since
                    else "",
                    "action": self._open("g2p.attention", case.name, [("id", "=", case.id)]),
                }
                for case in worklist.search([], limit=CASES_SHOWN)
            ],
        }

    def _attention_sources(self, books):
        """Return one case for each kind of work, or None where there is none of it."""
        count = self._count_case
        unresolved, _envelopes = books.sum_up(books.current(), "unresolved", ("unresolved",))
        return [
            count(
                "envelopes",
                self.env._("Envelopes that cannot go on"),
                "g2p.disbursement.envelope",
                [("state", "=", "needs_attention")],
            ),
            count(
                "batches",
                self.env._("Batches with an unknown outcome"),
                "g2p.disbursement.batch",
                [("state", "=", "unknown")],
            ),
            self._unresolved_case(unresolved),
            *self._late_cases(),
            count(
                "statements",
                self.env._("Statements held"),
                "g2p.account.statement",
                [("state", "=", "held")],
            ),
            count(
                "entries",
                self.env._("Statement entries without a payment"),
                "g2p.account.statement.line",
                [("outcome", "=", "error"), ("is_handled", "=", False)],
            ),
            count(
                "banks",
                self.env._("Banks that do not answer"),
                "g2p.bank.health",
                [("is_open", "=", True)],
            ),
            count(
                "differences",
                self.env._("Differences between the books"),
                "g2p.ledger.difference",
                [("is_gone", "=", False)],
            ),
        ]

    def _count_case(self, key, title, model, domain):
        count = self.env[model].search_count(domain)
        if not count:
            return None
        return {
            "key": key,
            "text": self.env._(
                "%(title)s: %(count)s", title=title, count=number_text(self.env, count)
            ),
            "money": "",
            "since": "",
            "action": self._open(model, title, domain),
        }

    def _unresolved_case(self, sums):
        lines = self._money_lines(sums)
        if not lines:
            return None
        title = self.env._("No account known")
        return {
            "key": "unresolved",
            "text": self.env._(
                "No account known: %s",
                payments_text(self.env, sum(line["count"] for line in lines)),
            ),
            "money": ", ".join(line["exact"] for line in lines),
            "since": "",
            "action": self._open("g2p.disbursement", title, [("state", "=", "unresolved")]),
        }

    def _late_cases(self):
        accounts = self.env["g2p.funding.account"].search(self._of_companies())
        return [
            {
                "key": f"late{account.id}",
                "text": self.env._("No statement of %s since it was due", account.display_name),
                "money": "",
                "since": duration_text(self.env, 86400 * account.statement_days_late),
                "action": self._open_form(account),
            }
            for account in accounts
            if account.statement_days_late
        ]

    # -- envelopes, programs, trend -------------------------------------------------------------

    def _envelopes(self, books):
        current = books.current()
        shown = current.sorted(
            lambda envelope: (
                envelope.state in ENDED,
                RANK.index(envelope.state) if envelope.state in RANK else len(RANK),
                envelope.disbursement_schedule_date,
                envelope.id,
            )
        )[:ENVELOPES_SHOWN]
        labels = dict(shown._fields["state"]._description_selection(self.env))
        return {
            "count": len(current),
            "action": self._open_envelopes(self.env._("Envelopes of this cycle"), current.ids),
            "rows": [
                {
                    "id": envelope.id,
                    "program": envelope.program_id.name,
                    "cycle": envelope.cycle_code_mnemonic,
                    "day": day_text(self.env, envelope.disbursement_schedule_date),
                    "state": labels[envelope.state],
                    "level": envelope.sentence_level,
                    "sentence": envelope.sentence,
                    "bar": envelope.money_bar,
                    "action": self._open_form(envelope),
                }
                for envelope in shown
            ],
        }

    def _programs(self, books):
        """Return a row for each program and currency of the current envelopes."""
        groups = books.current().grouped(lambda e: (e.program_id, e.currency_id))
        return [
            {
                "key": f"{program.id}-{currency.id}",
                "name": program.name,
                "envelopes": number_text(self.env, len(envelopes)),
                "moneys": [
                    self._program_money(
                        "declared", sum(envelopes.mapped("total_disbursement_amount")), currency
                    ),
                    *(
                        self._program_money(
                            group,
                            books.sum_up(envelopes, group)[0].get(currency, (0, 0.0))[1],
                            currency,
                        )
                        for group in GROUPS
                    ),
                ],
                "action": self._open_envelopes(program.name, envelopes.ids),
            }
            for (program, currency), envelopes in sorted(
                groups.items(), key=lambda item: (item[0][0].name, item[0][1].name)
            )
        ]

    def _program_money(self, key, amount, currency):
        return {
            "key": key,
            "short": short_money_text(self.env, amount, currency) if amount else "",
            "exact": money_text(self.env, amount, currency),
        }

    def _trend(self, books):
        """Return a chart for each currency: months of schedule, each with its parts."""
        months = [books.first_month + relativedelta(months=n) for n in range(TREND_MONTHS)]
        trend = books.envelopes.filtered(
            lambda e: (
                months[0] <= e.disbursement_schedule_date
                and e.disbursement_schedule_date < months[-1] + relativedelta(months=1)
            )
        )
        by_month = trend.grouped(
            lambda e: (e.currency_id, e.disbursement_schedule_date.replace(day=1))
        )
        return [
            self._trend_of_currency(books, currency, months, by_month)
            for currency in trend.currency_id.sorted("name")
        ]

    def _trend_of_currency(self, books, currency, months, by_month):
        labels = {
            "paid": self.env._("Paid"),
            "on_the_way": self.env._("On the way"),
            "not_reached": self.env._("Not reached"),
        }
        bars = []
        for month in months:
            envelopes = by_month.get((currency, month), books.envelopes.browse())
            parts = [
                {"key": group, "count": sums[0], "amount": sums[1], "label": labels[group]}
                for group in GROUPS
                if (sums := books.sum_up(envelopes, group)[0].get(currency)) and sums[0]
            ]
            for part in parts:
                part["text"] = self.env._(
                    "%(label)s: %(payments)s, %(money)s",
                    label=part["label"],
                    payments=payments_text(self.env, part["count"]),
                    money=money_text(self.env, part["amount"], currency),
                )
            title = format_date(self.env, month, date_format="MMM y")
            bars.append(
                {
                    "key": month.isoformat(),
                    "label": format_date(self.env, month, date_format="MMM"),
                    "title": title,
                    "parts": parts,
                    "total": sum(part["amount"] for part in parts),
                    "short": compact_text(self.env, sum(part["amount"] for part in parts)),
                    "action": self._open_envelopes(title, envelopes.ids),
                }
            )
        return {
            "currency": currency.name,
            "max": max((bar["total"] for bar in bars), default=0.0),
            "bars": bars,
            "labels": [{"key": key, "label": label} for key, label in labels.items()],
        }

    # -- banks ----------------------------------------------------------------------------------

    def _banks(self):
        return [
            {
                "id": bank.id,
                "name": bank.name,
                "status": bank.health_status,
                "status_text": bank.health_text,
                "last_statement": self.env._(
                    "last statement %s", day_text(self.env, bank.last_statement_on)
                )
                if bank.last_statement_on
                else self.env._("no statement yet"),
                "late": self._late_words(bank.statement_days_late),
                "action": self._open_form(bank),
            }
            for bank in self.env["g2p.sponsor.bank"].search(self._of_companies())
        ]

    def _late_words(self, days):
        if not days:
            return ""
        if days == 1:
            return self.env._("statement late by 1 day")
        return self.env._("statement late by %s days", number_text(self.env, days))

    # -- actions --------------------------------------------------------------------------------

    def _of_companies(self):
        return [("company_id", "in", self.env.companies.ids)]

    def _open_envelopes(self, title, ids):
        return self._open("g2p.disbursement.envelope", title, [("id", "in", ids)])

    def _open(self, model, title, domain):
        """Return the action that shows these records in the model's own list and form."""
        return {
            "type": "ir.actions.act_window",
            "name": title,
            "res_model": model,
            "views": [[False, "list"], [False, "form"]],
            "domain": domain,
            "target": "current",
        }

    def _open_form(self, record):
        return {
            "type": "ir.actions.act_window",
            "res_model": record._name,
            "res_id": record.id,
            "views": [[False, "form"]],
            "target": "current",
        }


@dataclass(frozen=True, slots=True)
class _Books:
    """Envelopes, as far as Home looks back, and what stands in each state of theirs."""

    today: object
    month: object
    first_month: object
    envelopes: object
    totals: dict

    def current(self):
        """Return what is open, and what is scheduled for this month or later."""
        return self.envelopes.filtered(
            lambda e: e.state not in ENDED or e.disbursement_schedule_date >= self.month
        )

    def sum_up(self, envelopes, group, states=None):
        """Return {currency: (count, amount)} of a group of states, and the envelopes with any."""
        states = states or GROUPS[group]
        sums, found = {}, []
        for envelope in envelopes:
            parts = [
                part for state, part in self.totals.get(envelope.id, {}).items() if state in states
            ]
            if not parts:
                continue
            found.append(envelope.id)
            count, amount = sums.get(envelope.currency_id, (0, 0.0))
            sums[envelope.currency_id] = (
                count + sum(part[0] for part in parts),
                amount + sum(part[1] for part in parts),
            )
        return sums, envelopes.browse(found)
