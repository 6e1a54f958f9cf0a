"""What a disbursement costs can be measured by anybody, with one command."""

import json

import pytest

from bridge_stack import footprint

pytestmark = pytest.mark.stack


def test_the_footprint_of_some_disbursements_is_told(capsys):
    assert footprint.main(["--disbursements", "40", "--rows-per-call", "15", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["disbursements"] == 40
    assert [stage["stage"] for stage in told["stages"]] == ["intake", "dispatch", "statement"]
    assert all(stage["wal_bytes"] > 0 for stage in told["stages"])
    tables = {table["table"]: table for table in told["tables"]}
    assert {"g2p_disbursement", "g2p_account_statement_line"} <= set(tables)
    assert tables["g2p_disbursement"]["packed_heap_bytes"] > 0
    assert told["statement_file_bytes"] > 0
    assert told["peak_pss_mb"]["server"] > 0


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_number_that_is_none_is_refused(number):
    with pytest.raises(SystemExit):
        footprint.main(["--disbursements", number])
