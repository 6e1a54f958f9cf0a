"""Who may press a button: asked of the real user, before anything runs with ``sudo()``."""

from odoo.exceptions import AccessError

VIEWER = "g2p_bridge.group_viewer"
OFFICER = "g2p_bridge.group_officer"
APPROVER = "g2p_bridge.group_approver"
ADMINISTRATOR = "g2p_bridge.group_administrator"


def check_role(records, group):
    """Let a user of the group pass who may read the records.

    :param str group: XML id
    :raise AccessError: the user is not in the group, or may not read one of the records
    """
    records.check_access("read")
    check_group(records.env, group)


def check_group(env, group):
    """Let a user of the group pass.

    :param str group: XML id
    :raise AccessError: the user is not in the group
    """
    if not env.user.has_group(group):
        raise AccessError(env._("Your role does not allow this step."))
