from . import bank_connector
