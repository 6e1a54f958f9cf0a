import base64

from odoo import fields, models
from odoo.exceptions import UserError

from ..models.g2p_bridge_error import BridgeError


class UploadStatement(models.TransientModel):
    """An officer uploads the file that a bank sent by other ways than the API."""

    _name = "g2p.upload.statement"
    _description = "Upload a statement"

    content = fields.Binary(string="File", required=True, attachment=False)
    filename = fields.Char()

    def action_upload(self):
        """Store the statements of the file and open them.

        A repeat is harmless: the same file is answered with the statements of the first time.

        :raise AccessError: not an officer
        :raise UserError: the file is no statement of the user's banks; nothing was changed
        """
        self.ensure_one()
        try:
            found, _is_known = self.env["g2p.account.statement"]._take_file(
                base64.b64decode(self.content), self.filename
            )
        except BridgeError as error:
            # the web client shows the first argument alone, and of a BridgeError that is its code
            raise UserError(error.sentence) from error
        return found._get_records_action(name=self.env._("Uploaded statements"))
