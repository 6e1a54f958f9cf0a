"""Who is told what: one activity for each case, and at most one e-mail a day.

A case is something that waits for somebody, such as missing funds. It is found by its state, not by
an event, so none is lost; it has one notice while it lasts, and the notice ends with it.
"""

from collections import defaultdict
from datetime import timedelta

import pytz

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL, format_amount, format_date

from .bulk_fields import BulkMany2one
from .roles import APPROVER

KINDS = [
    ("funds", "Funds are missing"),
    ("approval", "Waits for approval"),
    ("attention", "Needs attention"),
    ("bank_down", "Does not answer"),
    ("statement_late", "Statement is late"),
    ("settled", "Settled"),
]
#: what a notice is about; with its kind its identity
_SUBJECT = ("envelope_id", "bank_id", "mapper_id", "account_id")
#: codes with which the funds check or the block say that there is no money
_FUNDS_CODES = ("FUNDS_NOT_AVAILABLE", "INSUFFICIENT_FUNDS")
_APPROVAL_CODES = ("APPROVAL_VOID", "APPROVAL_MISSING")
#: a bank that comes back within this time is no news
DOWN_FOR = timedelta(minutes=5)
#: what ended before this was told by nobody, and is no longer news
OLDEST_NEWS = timedelta(days=7)
SETTLED_LATELY = timedelta(days=1)


class Notice(models.Model):
    """A case that somebody is told of; closed by itself when the case is solved."""

    _name = "g2p.notice"
    _description = "Notice to the responsible people"
    _order = "id desc"
    _log_access = False

    kind = fields.Selection(KINDS, required=True, readonly=True)
    envelope_id = BulkMany2one("g2p.disbursement.envelope", readonly=True, index="btree_not_null")
    bank_id = BulkMany2one("g2p.sponsor.bank", readonly=True)
    mapper_id = BulkMany2one("g2p.account.mapper", readonly=True)
    account_id = BulkMany2one("g2p.funding.account", readonly=True)
    company_id = fields.Many2one("res.company", readonly=True)
    opened_at = fields.Datetime(string="Since", required=True, readonly=True, index=True)
    closed_at = fields.Datetime(string="Solved", readonly=True, index="btree_not_null")
    activity_ids = fields.One2many("mail.activity", "g2p_notice_id")

    _open_uniq = models.UniqueIndex(
        "(kind, coalesce(envelope_id, 0), coalesce(bank_id, 0), coalesce(mapper_id, 0),"
        " coalesce(account_id, 0)) WHERE closed_at IS NULL"
    )

    @api.depends("kind")
    def _compute_display_name(self):
        for notice in self:
            notice.display_name = notice._summary()

    # -- cron -----------------------------------------------------------------------------------

    @api.model
    def _cron_update(self):
        """Open a notice for each new case, close those of solved ones."""
        self._update()

    def _update(self):
        """Bring notices and activities in line with what there is; may run any number of times.

        :return: the notices that were opened, and those that were closed
        """
        self.env.flush_all()
        now = fields.Datetime.now()
        found = self._query_cases(now)
        closed = self._close(found, now)
        opened = self._open(found, now)
        self._settle(now)
        self.env.invalidate_all()
        opened._create_activities()
        closed.activity_ids.unlink()
        return opened, closed

    def _query_cases(self, now):
        """Return the SQL of all open cases: ``kind``, the four subjects and the company."""
        return SQL(
            """
            SELECT CASE WHEN e.state = 'ready' OR e.attention_code = ANY(%(approval)s)
                             THEN 'approval'
                        WHEN e.attention_code = ANY(%(funds)s) THEN 'funds'
                        ELSE 'attention' END AS kind,
                   e.id AS envelope_id, NULL::int AS bank_id, NULL::int AS mapper_id,
                   NULL::int AS account_id, e.company_id
              FROM g2p_disbursement_envelope e
              JOIN g2p_benefit_program p ON p.id = e.program_id
              LEFT JOIN g2p_bank_health h ON h.bank_id = e.bank_id AND h.open_until IS NOT NULL
             WHERE (e.state = 'ready' AND p.approval_required)
                OR (e.state = 'needs_attention'
                    -- that the bank is down is said of the bank, once
                    AND NOT (e.attention_code = 'BANK_UNAVAILABLE' AND h.id IS NOT NULL))
            UNION
            SELECT 'attention', b.envelope_id, NULL, NULL, NULL, b.company_id
              FROM g2p_disbursement_batch b
              JOIN g2p_disbursement_envelope e ON e.id = b.envelope_id
             WHERE b.state = 'unknown' AND e.state <> 'needs_attention'
            UNION ALL
            SELECT 'bank_down', NULL, bank_id, mapper_id, NULL, company_id
              FROM g2p_bank_health
             WHERE open_until IS NOT NULL AND down_since <= %(down)s
            UNION ALL
            %(late)s
            """,
            approval=list(_APPROVAL_CODES),
            funds=list(_FUNDS_CODES),
            down=now - DOWN_FOR,
            late=self._query_late_statements(),
        )

    def _query_late_statements(self):
        """Return the SQL of the accounts whose statement should have come."""
        accounts = self.env["g2p.funding.account"].search([("company_id", "!=", False)])
        due = accounts._statement_due()
        late = accounts.filtered(lambda account: due[account.id].days_late)
        return SQL(
            """
            SELECT 'statement_late', NULL, NULL, NULL, v.account_id, v.company_id
              FROM unnest(%s::int[], %s::int[]) AS v(account_id, company_id)
            """,
            late.ids,
            [account.company_id.id for account in late],
        )

    def _open(self, found, now):
        columns = SQL(", ").join(map(SQL.identifier, _SUBJECT))
        return self._ids_of(
            SQL(
                """
                INSERT INTO g2p_notice (kind, %(columns)s, company_id, opened_at)
                SELECT kind, %(columns)s, company_id, %(now)s FROM (%(found)s) found
                ON CONFLICT DO NOTHING RETURNING id
                """,
                columns=columns,
                now=now,
                found=found,
            )
        )

    def _close(self, found, now):
        same = SQL(" AND ").join(
            SQL("found.%(column)s IS NOT DISTINCT FROM n.%(column)s", column=SQL.identifier(column))
            for column in ("kind", *_SUBJECT)
        )
        return self._ids_of(
            SQL(
                """
                UPDATE g2p_notice n SET closed_at = %(now)s
                 WHERE closed_at IS NULL
                   AND NOT EXISTS (SELECT FROM (%(found)s) found WHERE %(same)s)
                RETURNING id
                """,
                now=now,
                found=found,
                same=same,
            )
        )

    def _settle(self, now):
        """Note envelopes that were settled lately: news, and nothing to be done."""
        return self._ids_of(
            SQL(
                """
                INSERT INTO g2p_notice (kind, envelope_id, company_id, opened_at, closed_at)
                SELECT 'settled', e.id, e.company_id, e.state_since, e.state_since
                  FROM g2p_disbursement_envelope e
                 WHERE e.state = 'settled' AND e.state_since >= %(since)s
                   AND NOT EXISTS (SELECT FROM g2p_notice n
                                    WHERE n.envelope_id = e.id AND n.kind = 'settled')
                RETURNING id
                """,
                since=now - SETTLED_LATELY,
            )
        )

    def _ids_of(self, query):
        return self.browse(notice_id for (notice_id,) in self.env.execute_query(query))

    # -- people ---------------------------------------------------------------------------------

    def _record(self):
        """Return what the notice is about."""
        self.ensure_one()
        return self.envelope_id or self.bank_id or self.mapper_id or self.account_id

    def _programs(self):
        """Return notice -> the programs that it concerns."""
        programs = self.env["g2p.benefit.program"].search(
            [("company_id", "in", self.company_id.ids)]
        )
        by_account = programs.grouped("funding_account_id")
        by_mapper = programs.grouped("mapper_id")
        by_bank = defaultdict(programs.browse)
        for account, part in by_account.items():
            by_bank[account.bank_id] |= part
        none = programs.browse()
        return {
            notice: notice.envelope_id.program_id
            or (notice.bank_id and by_bank[notice.bank_id])
            or (notice.mapper_id and by_mapper.get(notice.mapper_id, none))
            or by_account.get(notice.account_id, none)
            for notice in self
        }

    def _people(self):
        """Return notice -> the users who are told of it."""
        concerned = self._programs()
        programs = self.env["g2p.benefit.program"].union(*concerned.values())
        by_program = programs._people()
        approvers = self.env.ref(APPROVER).sudo().all_user_ids
        administrators = programs._administrators()
        people = {}
        for notice, part in concerned.items():
            users = self.env["res.users"].union(*(by_program[program] for program in part))
            if notice.kind == "approval":
                # who created it may not approve it
                may = (users & approvers) - notice.envelope_id.created_by_id
                users = may or administrators - notice.envelope_id.created_by_id
            people[notice] = users.filtered(
                lambda user, company=notice.company_id: company in user.company_ids
            )
        return people

    # -- activities -----------------------------------------------------------------------------

    def _create_activities(self):
        """Give each case to its people; settled is news, not work."""
        if not self:
            return
        kind = self.env.ref("g2p_bridge.mail_activity_type_notice")
        models_ = {record._name for record in map(Notice._record, self)}
        model_ids = {name: self.env["ir.model"]._get_id(name) for name in models_}
        self.env["mail.activity"].with_context(mail_activity_quick_update=True).create(
            [
                {
                    "activity_type_id": kind.id,
                    "automated": True,
                    "date_deadline": fields.Date.context_today(self.with_context(tz=user.tz)),
                    "g2p_notice_id": notice.id,
                    "res_id": notice._record().id,
                    "res_model_id": model_ids[notice._record()._name],
                    "summary": notice.with_context(lang=user.lang)._label(),
                    "user_id": user.id,
                }
                for notice, users in self._people().items()
                for user in users
            ]
        )

    # -- words ----------------------------------------------------------------------------------

    def _label(self):
        return dict(self._fields["kind"]._description_selection(self.env))[self.kind]

    def _summary(self):
        return self.env._(
            "%(subject)s: %(what)s", subject=self._record().display_name, what=self._label()
        )

    @api.private
    def _prepare_digest_row(self):
        """Return the notice as a row of the e-mail: texts in the language of the context."""
        self.ensure_one()
        record = self._record()
        return {
            "what": self._label(),
            "name": self._subject_words(record),
            "detail": self._detail(record),
            "url": f"{record.get_base_url()}/mail/view?model={record._name}&res_id={record.id}",
        }

    def _subject_words(self, record):
        if not self.envelope_id:
            return record.display_name
        return self.env._(
            "%(program)s, %(cycle)s",
            program=record.program_id.name,
            cycle=record.cycle_code_mnemonic,
        )

    def _detail(self, record):
        if self.envelope_id:
            money = self.env._(
                "%(count)s payments, %(amount)s",
                count=f"{record.number_of_disbursements:,}",
                amount=format_amount(
                    self.env, record.total_disbursement_amount, record.currency_id
                ),
            )
            problem = record.attention_message
            if self.kind == "attention" and not problem:
                problem = self.env._("The bank did not say what became of a batch.")
            if self.closed_at or not problem:
                return money
            return self.env._("%(money)s. %(problem)s", money=money, problem=problem)
        if self.bank_id.down_message and not self.closed_at:
            return self.bank_id.down_message
        return self.env._(
            "Since %s",
            format_date(self.env, fields.Datetime.context_timestamp(self, self.opened_at)),
        )

    # -- digest ---------------------------------------------------------------------------------

    @api.model
    def _cron_send_digests(self):
        """Send each person what changed, once a day, when there is something.

        :return: number of e-mails that were written
        """
        hour = self.env["g2p.bridge"]._parameter("digest_hour")
        if not hour:
            return 0
        now = fields.Datetime.now()
        news = self.search(
            Domain("opened_at", ">", now - OLDEST_NEWS)
            | Domain("closed_at", ">", now - OLDEST_NEWS)
        )
        by_user = defaultdict(self.browse)
        for notice, users in news._people().items():
            for user in users:
                by_user[user] |= notice
        count = 0
        for user, notices in by_user.items():
            if user._g2p_digest_is_due(now, hour):
                count += notices._send_digest(user, now)
        return count

    def _send_digest(self, user, now):
        """Write the e-mail of one person; say whether there was something to tell."""
        since = user.g2p_digest_at or now - OLDEST_NEWS
        words = self.with_context(lang=user.lang, tz=user.tz).sorted("id")
        ended = words.filtered(lambda n: n.closed_at and n.closed_at > since)
        settled = ended.filtered(lambda n: n.kind == "settled")
        parts = {
            "new": words.filtered(lambda n: not n.closed_at and n.opened_at > since),
            "settled": settled,
            "solved": ended - settled,
        }
        rows = {name: [n._prepare_digest_row() for n in part] for name, part in parts.items()}
        if not any(rows.values()):
            return 0
        direction = self.env["res.lang"]._get_data(code=user.lang or "en_US").direction
        template = self.env.ref("g2p_bridge.mail_template_digest")
        template.with_context(
            lang=user.lang,
            digest_count=sum(map(len, rows.values())),
            digest_direction=direction or "ltr",
            **{f"digest_{name}": part for name, part in rows.items()},
        ).send_mail(user.id)
        user.sudo().g2p_digest_at = now
        return 1


class MailActivity(models.Model):
    """An activity that ends with the case it is about."""

    _inherit = "mail.activity"

    g2p_notice_id = fields.Many2one(
        "g2p.notice", string="Case", readonly=True, index="btree_not_null", ondelete="set null"
    )


class ResUsers(models.Model):
    """Whether, and when, a person gets the daily e-mail."""

    _inherit = "res.users"

    g2p_digest = fields.Boolean(
        string="Daily e-mail of G2P Bridge",
        default=True,
        help="What changed in your programs since the last one: at most once a day, and only if"
        " something did.",
    )
    g2p_digest_at = fields.Datetime(string="Last e-mail of G2P Bridge", readonly=True, copy=False)

    @property
    def SELF_READABLE_FIELDS(self):
        return [*super().SELF_READABLE_FIELDS, "g2p_digest"]

    @property
    def SELF_WRITEABLE_FIELDS(self):
        return [*super().SELF_WRITEABLE_FIELDS, "g2p_digest"]

    def _g2p_digest_is_due(self, now, hour):
        """Say whether the person wants it, and has not got one since today's hour."""
        if not (self.g2p_digest and self.email and self.active):
            return False
        zone = pytz.timezone(self.tz or self.company_id.partner_id.tz or "UTC")
        local = pytz.utc.localize(now).astimezone(zone)
        if local.hour < hour:
            return False
        if not self.g2p_digest_at:
            return True
        last = pytz.utc.localize(self.g2p_digest_at).astimezone(zone)
        return last.date() < local.date()


class SponsorBank(models.Model):
    """Activities of a bank: it does not answer."""

    _name = "g2p.sponsor.bank"
    _inherit = ["g2p.sponsor.bank", "mail.activity.mixin"]


class AccountMapper(models.Model):
    """Activities of a mapper: it does not answer."""

    _name = "g2p.account.mapper"
    _inherit = ["g2p.account.mapper", "mail.activity.mixin"]


class FundingAccount(models.Model):
    """Activities of an account: its statement is late."""

    _name = "g2p.funding.account"
    _inherit = ["g2p.funding.account", "mail.activity.mixin"]
