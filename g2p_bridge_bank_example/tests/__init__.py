from . import test_connector_contract, test_setup_tour, test_simulator, test_wire
