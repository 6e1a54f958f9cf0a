from . import bank_connector_example, bank_connector_plain, g2p_sponsor_bank
