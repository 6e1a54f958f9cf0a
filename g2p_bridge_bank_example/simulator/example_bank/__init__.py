"""The example bank: a test double of a sponsor bank, in a process of its own. No Odoo in here."""

__version__ = "1.0.0"
