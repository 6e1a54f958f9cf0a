from . import (
    test_facade_disbursements,
    test_facade_envelope,
    test_pipeline,
    test_statements,
)
