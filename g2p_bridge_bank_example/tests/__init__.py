from . import test_connector_contract, test_simulator, test_wire
