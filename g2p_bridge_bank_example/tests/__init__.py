from . import (
    test_connector_contract,
    test_openg2p_bank,
    test_setup_tour,
    test_simulator,
    test_wire,
)
