-- a copy of the database must lay no file down for a bank, nor take one from the original
UPDATE g2p_sponsor_bank
   SET iso20022_transport = NULL,
       iso20022_out_path = NULL,
       iso20022_in_path = NULL,
       iso20022_taken_path = NULL,
       iso20022_sftp_host = NULL,
       iso20022_sftp_user = NULL,
       iso20022_sftp_host_key = NULL,
       iso20022_sftp_private_key = NULL,
       iso20022_sftp_password = NULL,
       iso20022_post_url = NULL,
       iso20022_fetch_url = NULL;
