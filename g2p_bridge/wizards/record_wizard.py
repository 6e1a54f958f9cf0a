from odoo import api, models


class RecordWizard(models.AbstractModel):
    """A wizard about records that its user may read.

    Odoo lets anybody name any record in a reference, and shows its name and its related fields:
    those of another company's, too.
    """

    _name = "g2p.record.wizard"
    _description = "Wizard about records"

    #: name of the field that holds the records
    _SUBJECT = ""

    @api.constrains(lambda self: [self._SUBJECT])
    def _check_subject(self):
        for wizard in self:
            # Odoo checks constraints as superuser
            wizard[wizard._SUBJECT].sudo(False).check_access("read")
