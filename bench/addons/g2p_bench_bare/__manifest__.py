{
    "name": "G2P Bridge bench: intake without the bridge",
    "version": "19.0.1.0.0",
    "license": "LGPL-3",
    "author": "G2P Bridge contributors",
    "depends": ["g2p_bridge"],
    "installable": True,
}
