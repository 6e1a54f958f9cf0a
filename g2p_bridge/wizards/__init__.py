from . import (
    record_wizard,
    cancel_envelope,
    certificate_page,
    connection_test,
    decide_batch,
    decide_block,
    decide_statement,
    dismiss_entry,
    match_entry,
    print_reports,
    upload_statement,
)
