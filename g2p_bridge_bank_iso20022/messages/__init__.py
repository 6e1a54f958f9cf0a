"""ISO 20022 messages as values, both ways: no Odoo, no connection, no file."""
