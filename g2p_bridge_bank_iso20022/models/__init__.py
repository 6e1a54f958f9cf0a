from . import (
    bank_connector_iso20022,
    g2p_sponsor_bank,
    g2p_funding_account,
    g2p_bank_file,
    bank_file_inbox,
    bank_file_reading,
    g2p_attention,
)
