import math

from odoo import api, fields, models

from .g2p_bridge_error import BridgeError
from .own_cursor import lock_for_transaction, own_cursor


class UploadAttempt(models.Model):
    """Uploads of the last minute, one row each, so that all workers and servers count alike.

    Rows are only added, and removed when they are a minute old, by the user's next upload and under
    a lock of the user's own: no two transactions write the same row.
    """

    _name = "g2p.upload.attempt"
    _description = "Upload of the last minute"
    _log_access = False

    user_id = fields.Integer(required=True, readonly=True)
    attempted_at = fields.Datetime(required=True, readonly=True)

    _user_idx = models.Index("(user_id, attempted_at)")

    @api.private
    def _admit(self, limit):
        """Count an upload of the user, for good; to ask again for one that was refused is free.

        :param int limit: most in a minute
        :raise BridgeError: TOO_MANY_REQUESTS, with the seconds to wait
        """
        with own_cursor(self.env) as cr:
            lock_for_transaction(cr, f"g2p.upload.attempt:{self.env.uid}")
            wait_s = self._wait_s(cr, limit)
            if wait_s <= 0:
                cr.execute(
                    "INSERT INTO g2p_upload_attempt (user_id, attempted_at)"
                    " VALUES (%s, clock_timestamp() AT TIME ZONE 'UTC')",
                    [self.env.uid],
                )
        if wait_s > 0:
            raise BridgeError("TOO_MANY_REQUESTS", limit, wait_s, retry_after_s=wait_s)

    def _wait_s(self, cr, limit):
        """Return in how many seconds the user may upload again; 0 for now."""
        cr.execute(
            "DELETE FROM g2p_upload_attempt WHERE user_id = %s"
            " AND attempted_at < clock_timestamp() AT TIME ZONE 'UTC' - interval '1 minute'",
            [self.env.uid],
        )
        cr.execute(
            """
            SELECT extract(epoch FROM attempted_at + interval '1 minute'
                                      - clock_timestamp() AT TIME ZONE 'UTC')
              FROM g2p_upload_attempt WHERE user_id = %s
             ORDER BY attempted_at DESC OFFSET %s LIMIT 1
            """,
            [self.env.uid, limit - 1],
        )
        found = cr.fetchone()
        return max(1, math.ceil(found[0])) if found else 0
