"""Who sees which program, and who is told of it.

A program may name its people; then nobody else sees what is of it. The record rules take two short
lists of ids, which they keep in Odoo's cache: nothing is looked up for each of a million rows, and
for whom nothing is hidden, no condition is added.
"""

from odoo import api, fields, models
from odoo.tools import SQL

from .roles import ADMINISTRATOR

#: fields of a program that decide what its people see
_DECIDING = {"member_ids", "responsible_ids", "funding_account_id", "company_id"}


class BenefitProgram(models.Model):
    """The people of a program."""

    _inherit = "g2p.benefit.program"

    responsible_ids = fields.Many2many(
        "res.users",
        "g2p_program_responsible_rel",
        string="Responsible people",
        domain=lambda self: [
            ("all_group_ids", "in", self.env.ref("g2p_bridge.group_viewer").ids),
        ],
        help="Told by activities and a daily e-mail when something of the program waits for"
        " somebody. Empty: the administrators of G2P Bridge are told.",
    )
    member_ids = fields.Many2many(
        "res.users",
        "g2p_program_member_rel",
        string="Only seen by",
        domain=lambda self: [
            ("all_group_ids", "in", self.env.ref("g2p_bridge.group_viewer").ids),
        ],
        help="Only these people, the responsible ones and administrators see the program, its"
        " envelopes and payments. Empty: everybody of the company.",
    )

    @api.model_create_multi
    def create(self, vals_list):
        programs = super().create(vals_list)
        self.env.registry.clear_cache()  # the record rules keep what is hidden from whom
        return programs

    def write(self, vals):
        result = super().write(vals)
        if _DECIDING & vals.keys():
            self.env.flush_all()
            self.env.registry.clear_cache()
        return result

    def unlink(self):
        result = super().unlink()
        self.env.registry.clear_cache()
        return result

    @api.private
    def _people(self):
        """Return program -> whom to tell: the responsible people, or else the administrators."""
        administrators = self._administrators()
        people = {}
        for program in self:
            named = program.sudo().responsible_ids.filtered("active")
            people[program] = named or administrators.filtered(
                lambda user, company=program.company_id: company in user.company_ids
            )
        return people

    def _administrators(self):
        group = self.env.ref(ADMINISTRATOR).sudo()  # whom it holds is needed, whoever asks
        robots = self.env.ref("base.user_root")
        return (group.all_user_ids - robots).filtered("active")


class ResUsers(models.Model):
    """What of the programs is hidden from a user."""

    _inherit = "res.users"

    @api.private
    def _g2p_hidden_programs(self):
        """Return the ids of the programs that name people, but not this user.

        Called by record rules.
        """
        self.ensure_one()
        if (self.env.su and self._is_superuser()) or self.has_group(ADMINISTRATOR):
            return []
        self.env["g2p.benefit.program"].flush_model(list(_DECIDING))
        rows = self.env.execute_query(
            SQL(
                """
                SELECT p.id FROM g2p_benefit_program p
                 WHERE EXISTS (SELECT FROM g2p_program_member_rel m
                                WHERE m.g2p_benefit_program_id = p.id)
                   AND NOT EXISTS (SELECT FROM g2p_program_member_rel m
                                    WHERE m.g2p_benefit_program_id = p.id
                                      AND m.res_users_id = %(user)s)
                   AND NOT EXISTS (SELECT FROM g2p_program_responsible_rel r
                                    WHERE r.g2p_benefit_program_id = p.id
                                      AND r.res_users_id = %(user)s)
                 ORDER BY p.id
                """,
                user=self.id,
            )
        )
        return [program_id for (program_id,) in rows]

    @api.private
    def _g2p_hidden_accounts(self):
        """Return the ids of the funding accounts of which all programs are hidden.

        Called by record rules.
        """
        hidden = self._g2p_hidden_programs()
        if not hidden:
            return []
        rows = self.env.execute_query(
            SQL(
                """
                SELECT funding_account_id FROM g2p_benefit_program
                 GROUP BY funding_account_id HAVING bool_and(id = ANY(%s)) ORDER BY 1
                """,
                hidden,
            )
        )
        return [account_id for (account_id,) in rows]
