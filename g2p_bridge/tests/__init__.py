from . import (
    test_browser,
    test_facade_disbursements,
    test_facade_envelope,
    test_pipeline,
    test_statements,
    test_views,
    test_wizards,
)
