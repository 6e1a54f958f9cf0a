-- a copy of the database must reach no bank and no mapper
UPDATE g2p_sponsor_bank SET base_url = 'https://neutralized.invalid', secret = NULL;
UPDATE g2p_account_mapper SET base_url = 'https://neutralized.invalid', secret = NULL
 WHERE provider = 'g2p_connect';
