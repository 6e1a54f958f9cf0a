-- a copy of the database must reach no bank and no mapper
UPDATE g2p_sponsor_bank SET base_url = 'https://neutralized.invalid', secret = NULL;
UPDATE g2p_account_mapper SET secret = NULL;
UPDATE g2p_account_mapper SET base_url = 'https://neutralized.invalid'
 WHERE provider = 'g2p_connect' OR base_url IS NOT NULL;

-- nor tell a program system of what never happened
UPDATE g2p_webhook SET active = FALSE, base_url = 'https://neutralized.invalid', secret = NULL,
       old_secret = NULL;
DELETE FROM g2p_webhook_event;

-- nor go on with what the original has begun: a job runner starts with the server
UPDATE queue_job SET state = 'cancelled', date_cancelled = now() AT TIME ZONE 'UTC'
 WHERE model_name LIKE 'g2p.%' AND state NOT IN ('done', 'cancelled', 'failed');

-- nor take what banks and program systems send to the original
DELETE FROM res_users_apikeys
 WHERE user_id IN (
       SELECT members.uid
         FROM res_groups_users_rel members
         JOIN ir_model_data known ON known.model = 'res.groups' AND known.res_id = members.gid
        WHERE known.module = 'g2p_bridge'
          AND known.name IN ('group_pbms_api', 'group_bank_api')
 );
UPDATE g2p_trusted_key SET active = false;
