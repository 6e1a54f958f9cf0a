from odoo import fields, models


class AttentionCase(models.Model):
    """What people added to a case of the worklist: who sees to it, and what they decided.

    The cases themselves are found anew each time (:class:`Attention`); a row here is kept by the
    key of its case, also after that is solved, for it says who decided what.
    """

    _name = "g2p.attention.case"
    _description = "Note on a case that needs attention"
    _order = "id desc"
    _rec_name = "key"
    _log_access = False

    key = fields.Char(required=True, readonly=True)
    company_id = fields.Many2one("res.company", readonly=True)
    program_id = fields.Many2one("g2p.benefit.program", readonly=True, ondelete="set null")
    funding_account_id = fields.Many2one("g2p.funding.account", readonly=True, ondelete="set null")
    user_id = fields.Many2one("res.users", string="Owner", readonly=True, ondelete="set null")
    accepted_mark = fields.Char(
        readonly=True, help="What was accepted: the case comes back when it is no longer the same."
    )
    disputed_at = fields.Datetime(readonly=True)
    note = fields.Char(string="Reason", readonly=True)
    decided_by_id = fields.Many2one("res.users", readonly=True)
    decided_at = fields.Datetime(readonly=True)

    _key_uniq = models.Constraint("UNIQUE (key)", "One row per case.")
