"""What the lines of the JSON log say of the records that they are about: ids, and a bank's code."""

from odoo import api, models

from .. import log_context


class HttpRequest(models.AbstractModel):
    _inherit = "ir.http"

    @classmethod
    def _pre_dispatch(cls, rule, args):
        if log_context.is_wanted():
            log_context.current()  # takes the id from the request, which is not there all the time
        return super()._pre_dispatch(rule, args)


class Cron(models.Model):
    _inherit = "ir.cron"

    def _callback(self, cron_name, server_action_id):
        with log_context.about(cron=self.id):
            return super()._callback(cron_name, server_action_id)


class SponsorBank(models.Model):
    _inherit = "g2p.sponsor.bank"

    @api.private
    def _log_ids(self):
        """Return the ids (dict) of log lines about one record; none where there are several."""
        return {"bank": self.code} if len(self) == 1 else {}


class FundingAccount(models.Model):
    _inherit = "g2p.funding.account"

    @api.private
    def _log_ids(self):
        """Return the ids (dict) of log lines about one record; none where there are several."""
        return {"account": self.id, **self.bank_id._log_ids()} if len(self) == 1 else {}


class DisbursementEnvelope(models.Model):
    _inherit = "g2p.disbursement.envelope"

    @api.private
    def _log_ids(self):
        """Return the ids (dict) of log lines about one record; none where there are several."""
        if len(self) != 1:
            return {}
        return {"envelope": self.disbursement_envelope_id, **self.bank_id._log_ids()}


class DisbursementBatch(models.Model):
    _inherit = "g2p.disbursement.batch"

    @api.private
    def _log_ids(self):
        """Return the ids (dict) of log lines about one record; none where there are several."""
        return {"batch": self.name, **self.envelope_id._log_ids()} if len(self) == 1 else {}


class AccountStatement(models.Model):
    _inherit = "g2p.account.statement"

    @api.private
    def _log_ids(self):
        """Return the ids (dict) of log lines about one record; none where there are several."""
        return {"statement": self.name, **self.bank_id._log_ids()} if len(self) == 1 else {}


class EnvelopeImport(models.Model):
    _inherit = "g2p.envelope.import"

    @api.private
    def _log_ids(self):
        """Return the ids (dict) of log lines about one record; none where there are several."""
        return {"import": self.id} if len(self) == 1 else {}
