from . import (
    test_contract,
    test_https,
    test_inbox,
    test_pain001,
    test_pain002,
    test_pain_mock_bank,
    test_paying,
    test_transport,
)
