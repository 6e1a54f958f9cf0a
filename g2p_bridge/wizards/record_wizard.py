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

    def onchange(self, values, field_names, fields_spec):
        """Compute what a form shows, of a record that its user may read.

        Before anything is stored, no constraint is asked.
        """
        self.check_access("create")
        if self._fields[self._SUBJECT].type == "many2one":
            given = values.get(self._SUBJECT)
            given = given or self.default_get([self._SUBJECT]).get(self._SUBJECT)
            record_id = given.get("id") if isinstance(given, dict) else given
            if record_id:
                self.env[self._fields[self._SUBJECT].comodel_name].browse(record_id).check_access(
                    "read"
                )
        return super().onchange(values, field_names, fields_spec)
