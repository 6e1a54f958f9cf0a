"""Questions: what a program system and an officer ask while a big envelope is there."""

from lxml import etree

from g2p_bench.clients import post_all
from g2p_bench.results import percentile, stage
from g2p_bench.system import FAR_DAYS

LISTED_ENVELOPES = 80
_STATUS_IDS = 1000
_PAGE = 1000
_MOST_PAGES = 20
_TIMES = 40
#: calls before those that count
_WARM_UP = 4

_COPY_ROWS = """
    INSERT INTO g2p_disbursement
           (disbursement_id, envelope_id, mis_reference_number, beneficiary_id, beneficiary_name,
            amount, narrative, state, received_at, state_since, changed_xid, fa_type,
            account_number, bank_code, branch_code)
    SELECT 'B' || lpad(%(number)s::text, 3, '0') || lpad(row_number() OVER ()::text, 12, '0'),
           %(target)s, mis_reference_number, beneficiary_id, beneficiary_name, amount, narrative,
           state, received_at, state_since, changed_xid, fa_type, account_number, bank_code,
           branch_code
      FROM (SELECT * FROM g2p_disbursement WHERE envelope_id = %(source)s
             ORDER BY id LIMIT %(rows)s) part
"""
_COPY_JOURNAL = """
    INSERT INTO g2p_disbursement_journal
           (envelope_id, source, target, disbursement_count, amount, cause, user_id, created_at)
    SELECT %(target)s, source, target, disbursement_count, amount, cause, user_id, created_at
      FROM g2p_disbursement_journal WHERE envelope_id = %(source)s
"""


def measure(system, envelope, count, listed_rows):
    """Yield the results of the questions: seconds are those of the middle call (p50).

    The floor is the middle time of a bare call by the same door (``res.users.context_get``), so
    1 / ratio says how many bare calls a question costs.

    :param envelope: of ``count`` rows, that went the whole way
    :param int listed_rows: rows of each envelope of the list
    """
    bare = _times(system, [system.jsonrpc.request("res.users", "context_get")] * _TIMES)
    yield _question(
        system, "status_envelope", 1, _status_requests(system, envelope), bare, asked_of=count
    )
    ids = [
        name
        for (name,) in system.query(
            "SELECT disbursement_id FROM g2p_disbursement WHERE envelope_id = %s"
            " ORDER BY id LIMIT %s",
            envelope.id,
            _STATUS_IDS,
        )
    ]
    request = system.jsonrpc.request("g2p.bridge", "get_disbursement_status", disbursement_ids=ids)
    yield _question(system, "status_disbursements", len(ids), [request] * (_TIMES // 2), bare)
    yield _changes(system, bare)
    yield from _back_office(system, envelope, count, listed_rows)


def _status_requests(system, envelope):
    request = system.jsonrpc.request(
        "g2p.bridge", "get_disbursement_envelope_status", disbursement_envelope_id=envelope.name
    )
    return [request] * _TIMES


def _times(system, requests):
    post_all(system.stack.url, requests[:1] * _WARM_UP)
    return post_all(system.stack.url, requests).latencies


def _question(system, name, rows, requests, bare, **more):
    with system.memory.watch() as memory:
        latencies = _times(system, requests)
    return _stage(name, rows, latencies, bare, memory, **more)


def _stage(name, rows, latencies, bare, memory, **more):
    """Return the result of calls that took so long, beside bare calls by the same door."""
    return stage(
        name,
        rows=rows,
        seconds=percentile(latencies, 50),
        floor_seconds=percentile(bare, 50),
        memory=memory,
        latencies=latencies,
        calls=len(latencies),
        **more,
    )


def _changes(system, bare):
    """Follow the feed from its begin, a page of 1,000 after the other."""
    cursor, latencies, rows = "", [], 0
    with system.memory.watch() as memory:
        for _page in range(_MOST_PAGES):
            request = system.jsonrpc.request(
                "g2p.bridge", "get_disbursement_changes", cursor=cursor, limit=_PAGE
            )
            calls = post_all(system.stack.url, [request])
            latencies += calls.latencies
            page = system.jsonrpc.result(calls.answers[0][1])
            cursor, rows = page["cursor"], max(rows, len(page["changes"]))
            if not page["has_more"]:
                break
    return _stage("changes_page", rows, latencies, bare, memory)


# the back office


def _back_office(system, envelope, count, listed_rows):
    """The list of 80 envelopes, and the form of one, with the fields that their views have."""
    model = "g2p.disbursement.envelope"
    bare = _times(system, [system.web.request("res.users", "context_get")] * _TIMES)
    _fill_list(system, envelope, listed_rows)
    request = system.web.request(
        model,
        "web_search_read",
        domain=[],
        specification=_fields_of_view(system, model, "list"),
        offset=0,
        limit=LISTED_ENVELOPES,
        order="id desc",
        count_limit=10001,
    )
    yield _question(
        system,
        "envelope_list",
        LISTED_ENVELOPES,
        [request] * (_TIMES // 2),
        bare,
        rows_per_envelope=listed_rows,
        journal_of_rows=count,
    )
    request = system.web.request(
        model, "web_read", [envelope.id], specification=_fields_of_view(system, model, "form")
    )
    yield _question(
        system, "envelope_form", 1, [request] * (_TIMES // 2), bare, rows_per_envelope=count
    )


def _fill_list(system, source, rows):
    """Make envelopes like one that went the whole way, as far as the list shows."""
    for number in range(LISTED_ENVELOPES):
        target = system.declare(system.world, 1, FAR_DAYS)
        values = {"number": number, "source": source.id, "target": target.id, "rows": rows}
        system.cursor.execute(_COPY_ROWS, values)
        system.cursor.execute(_COPY_JOURNAL, values)
        system.cursor.execute(
            "UPDATE g2p_disbursement_envelope t SET state = 'settled',"
            " number_of_disbursements = s.number_of_disbursements,"
            " total_disbursement_amount = s.total_disbursement_amount"
            " FROM g2p_disbursement_envelope s WHERE t.id = %(target)s AND s.id = %(source)s",
            values,
        )


def _fields_of_view(system, model, kind):
    """Return what the web client asks for to show a view: its fields, names of linked records."""
    request = system.web.request(model, "get_views", views=[[False, kind]], options={})
    [(_status, body)] = post_all(system.stack.url, [request]).answers
    views = system.web.result(body)
    kinds = views["models"][model]["fields"]
    nodes = etree.fromstring(views["views"][kind]["arch"].encode()).iter("field")
    # fields of lists inside the form belong to other models
    names = {
        node.get("name")
        for node in nodes
        if not any(n.tag == "field" for n in node.iterancestors())
    }
    return {name: _wanted(kinds[name]["type"]) for name in sorted(names)}


def _wanted(kind):
    if kind in ("many2one", "reference"):
        return {"fields": {"display_name": {}}}
    if kind in ("one2many", "many2many"):
        return {"fields": {}, "limit": 40}
    return {}
