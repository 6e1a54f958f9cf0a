"""How much and how often a bank may upload, over real HTTP with several workers."""

import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Barrier
from urllib.parse import urlsplit

import pytest
import requests

from bridge_stack.rpc import RpcError

pytestmark = pytest.mark.stack

BANK_GROUP = "g2p_bridge.group_bank_api"
CLIENTS = 8
BOUNDARY = "a-boundary"
FORM = (
    f"--{BOUNDARY}\r\nContent-Disposition: form-data;"
    ' name="statement_file"; filename="a.sta"\r\n\r\n'
).encode()
END = f"\r\n--{BOUNDARY}--\r\n".encode()
LIMIT = 200_000


@pytest.fixture(scope="module")
def banks(stack):
    """Return login -> API key of two banks' users, of these tests alone."""
    return {login: stack.create_user(login, [BANK_GROUP]) for login in ("slow-bank", "busy-bank")}


@contextmanager
def setting(stack, name, value):
    """Have a system parameter of the bridge for a while."""
    key = f"g2p_bridge.{name}"
    stack.admin.execute("ir.config_parameter", "set_param", key, str(value))
    try:
        yield
    finally:
        stack.admin.execute("ir.config_parameter", "set_param", key, False)


def upload(stack, key, content=b"not a statement"):
    """Upload bytes as a program does; return the response."""
    return requests.post(
        f"{stack.url}/g2p_bridge/upload_mt940",
        files={"statement_file": ("a.sta", content, "text/plain")},
        headers={"Authorization": f"bearer {key}"},
        timeout=60,
    )


def code_of(answer):
    header = answer.json()["header"]
    assert header["status"] == "rjct"
    return answer.status_code, header["status_reason_message"]


def attempts(stack, login):
    """Return how many uploads of the last minute the database knows of a user."""
    with stack.postgres.cursor(stack.db) as cursor:
        cursor.execute(
            "SELECT count(*) FROM g2p_upload_attempt a JOIN res_users u ON u.id = a.user_id"
            " WHERE u.login = %s",
            [login],
        )
        return cursor.fetchone()[0]


def forget(stack, by="1 hour"):
    """Let time pass for the uploads that were counted."""
    with stack.postgres.cursor(stack.db) as cursor:
        cursor.execute(
            "UPDATE g2p_upload_attempt SET attempted_at = attempted_at - %s::interval", [by]
        )


# -- how much -------------------------------------------------------------------------------------


def test_a_file_may_be_as_long_as_the_setting_says_and_no_byte_longer(stack, banks):
    with setting(stack, "statement_max_bytes", LIMIT):
        for extra, expected in ((0, (200, "INVALID_STATEMENT")), (1, (413, "STATEMENT_TOO_LARGE"))):
            answer = upload(stack, banks["slow-bank"], b"x" * (LIMIT + extra))
            assert code_of(answer) == expected
        assert str(LIMIT) in answer.json()["message"]


def raw(stack, key, headers, pieces):
    """Send a request by hand, as far as it is taken; return the whole answer (bytes)."""
    parts = urlsplit(stack.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        lines = [
            "POST /g2p_bridge/upload_mt940 HTTP/1.1",
            f"Host: {parts.netloc}",
            f"Authorization: bearer {key}",
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
            *headers,
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        with suppress(OSError):  # it is told enough, and hangs up
            for piece in pieces:
                connection.sendall(piece)
        answer = b""
        with suppress(OSError):
            while part := connection.recv(65536):
                answer += part
    return answer


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def assert_too_large(answer):
    head, _blank, body = answer.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0].split()[1] == b"413", head
    assert b"STATEMENT_TOO_LARGE" in body


def test_a_body_that_only_says_that_it_is_long_is_refused_before_it_comes(stack, banks):
    answer = raw(stack, banks["slow-bank"], ["Content-Length: 10000000000"], [])
    assert_too_large(answer)


def test_a_body_without_length_is_refused_where_the_limit_is_reached(stack, banks):
    unfinished = [chunk(FORM), *[chunk(b"x" * 65536)] * 100]
    with setting(stack, "statement_max_bytes", LIMIT):
        answer = raw(stack, banks["slow-bank"], ["Transfer-Encoding: chunked"], unfinished)
    assert_too_large(answer)


def test_a_body_without_length_that_is_short_enough_is_read(stack, banks):
    pieces = [chunk(FORM), chunk(b"not a statement"), chunk(END), b"0\r\n\r\n"]
    headers = ["Transfer-Encoding: chunked", "Connection: close"]
    assert b"INVALID_STATEMENT" in raw(stack, banks["slow-bank"], headers, pieces)


def test_a_body_of_who_may_not_upload_is_not_read(stack):
    answer = raw(stack, "no key", ["Content-Length: 10000000000", "Connection: close"], [])
    assert answer.split()[1] == b"401"


# -- how often ------------------------------------------------------------------------------------


def test_of_many_at_once_as_many_are_taken_as_the_setting_says(stack, banks):
    forget(stack)
    gate = Barrier(CLIENTS)
    log = stack.log("server")
    start = log.stat().st_size

    def send(_number):
        gate.wait()
        return [upload(stack, banks["busy-bank"]) for _again in range(5)]

    with setting(stack, "uploads_per_minute", 17), ThreadPoolExecutor(CLIENTS) as pool:
        answers = [answer for part in pool.map(send, range(CLIENTS)) for answer in part]
        assert Counter(map(code_of, answers)) == {
            (200, "INVALID_STATEMENT"): 17,
            (429, "TOO_MANY_REQUESTS"): CLIENTS * 5 - 17,
        }
        for answer in answers:
            if answer.status_code == requests.codes.too_many_requests:
                assert 1 <= int(answer.headers["Retry-After"]) <= 60
                assert answer.headers["Retry-After"] in answer.json()["message"]
        # another bank is not held up, and the other door counts alike
        assert upload(stack, banks["slow-bank"]).status_code == requests.codes.ok
        rpc = stack.rpc("busy-bank", banks["busy-bank"])
        with pytest.raises(RpcError) as caught:
            rpc.execute("g2p.bridge", "upload_mt940", statement="x")
        assert caught.value.arguments[0] == "TOO_MANY_REQUESTS"
        assert attempts(stack, "busy-bank") == 17
        forget(stack)
        assert upload(stack, banks["busy-bank"]).status_code == requests.codes.ok
        assert attempts(stack, "busy-bank") == 1
    assert b"could not serialize" not in log.read_bytes()[start:]


def test_two_that_look_at_the_same_moment_are_not_both_taken(stack, banks):
    forget(stack)
    [user] = stack.admin.execute("res.users", "search", [("login", "=", "busy-bank")])
    lock = [f"g2p.upload.attempt:{user}"]

    def waiting():
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return cursor.fetchone()[0] == 2

    with setting(stack, "uploads_per_minute", 1), ThreadPoolExecutor(2) as pool:
        with stack.postgres.cursor(stack.db) as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", lock)
            answers = [pool.submit(upload, stack, banks["busy-bank"]) for _number in range(2)]
            stack.wait_until(waiting, 30, "two uploads that wait for each other")
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", lock)
        statuses = sorted(answer.result().status_code for answer in answers)
    assert statuses == [requests.codes.ok, requests.codes.too_many_requests]


def test_the_wait_is_until_the_oldest_of_the_minute_is_over(stack, banks):
    forget(stack)
    with setting(stack, "uploads_per_minute", 2):
        upload(stack, banks["busy-bank"])
        forget(stack, by="50 seconds")
        upload(stack, banks["busy-bank"])
        wait_s = int(upload(stack, banks["busy-bank"]).headers["Retry-After"])
        assert wait_s <= 10
        forget(stack, by=f"{wait_s} seconds")
        assert upload(stack, banks["busy-bank"]).status_code == requests.codes.ok


def test_zero_is_no_limit_and_counts_nothing(stack, banks):
    forget(stack)
    with setting(stack, "uploads_per_minute", 0):
        before = attempts(stack, "busy-bank")
        for _again in range(3):
            assert upload(stack, banks["busy-bank"]).status_code == requests.codes.ok
        assert attempts(stack, "busy-bank") == before


def test_who_is_no_bank_is_refused_and_not_counted(stack):
    key = stack.create_user("no-bank", ["g2p_bridge.group_pbms_api"])
    assert upload(stack, key).status_code == requests.codes.forbidden
    assert attempts(stack, "no-bank") == 0


def test_the_example_bank_waits_when_it_is_told_to(new_world):
    world = new_world(mapper=None)
    stack = world.stack
    world.settle()  # statements that other tests left at the bank
    forget(stack)
    with setting(stack, "uploads_per_minute", 1):
        upload(stack, stack.bank_key)
        forget(stack, by="57 seconds")
        world.at_bank(
            "/admin/postings", account_number=world.account_number, mark="C", amount="1.00"
        )
        [answer] = world.settle()["uploads"]
    assert answer["is_uploaded"]
