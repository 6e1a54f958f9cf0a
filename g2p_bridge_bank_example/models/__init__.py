from . import bank_connector_example, g2p_sponsor_bank
