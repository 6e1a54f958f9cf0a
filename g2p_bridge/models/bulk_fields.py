"""Field types for tables that hold millions of rows."""

from odoo import fields


class BulkMany2one(fields.Many2one):
    """A many2one without foreign key: its check costs more than the row it guards.

    For references that only our own statements write, to records that are never deleted
    (their models refuse it).
    """

    def update_db_foreign_key(self, model, column):
        """Leave the constraint out."""


class BigInteger(fields.Integer):
    """A whole number of 64 bits, for what outgrows Odoo's 32 (transaction numbers)."""

    _column_type = ("int8", "int8")
