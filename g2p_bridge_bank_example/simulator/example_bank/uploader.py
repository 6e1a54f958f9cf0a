"""Sends statements to the bridge: in order for each account, until each is taken."""

import logging
import threading
import time

import requests

_logger = logging.getLogger(__name__)

TIMEOUT_S = 120
#: a bridge that asks to be called less often is asked once more, after so long at most
MAX_WAIT_S = 60
_ANSWER_LENGTH = 500


class Uploader:
    """Uploads what was not taken yet.

    :param Store store: the books
    :param str url: where to POST; empty: nothing is ever uploaded
    :param str key: bearer key of the bridge
    """

    def __init__(self, store, url, key):
        self.store = store
        self.url = url
        self._key = key
        # One upload at a time: two would send the same statement twice.
        self._uploading = threading.Lock()

    def configure(self, url, key):
        """Upload to another bridge from now on; forgotten when the process ends."""
        with self._uploading:
            self.url = url
            self._key = key

    def upload_pending(self):
        """Send each statement that the bridge has not taken, oldest first.

        After a failure the later statements of the same account wait, for the bridge
        checks their continuity. A statement is sent again with the same content.

        :return: one dict each: ``id``, ``is_uploaded``, ``http_status`` (None without an
            answer), ``answer``
        """
        if not self.url:
            return []
        with self._uploading:
            results, stuck = [], set()
            for statement_id, account_id in self._pending():
                if account_id not in stuck:
                    result = self._upload(statement_id)
                    results.append(result)
                    if not result["is_uploaded"]:
                        stuck.add(account_id)
            return results

    def _pending(self):
        with self.store.read() as db:
            return [
                (row["id"], row["account_id"])
                for row in db.execute(
                    "SELECT id, account_id FROM statement WHERE is_uploaded = 0 ORDER BY id"
                )
            ]

    def _upload(self, statement_id):
        with self.store.read() as db:
            [content] = db.execute(
                "SELECT content FROM statement WHERE id = ?", (statement_id,)
            ).fetchone()
        is_taken, http_status, answer = self._post(statement_id, content)
        with self.store.write() as db:
            db.execute(
                "UPDATE statement SET is_uploaded = ?, attempt_count = attempt_count + 1,"
                " last_answer = ? WHERE id = ?",
                (is_taken, answer, statement_id),
            )
        _logger.info("statement %s: taken=%s http=%s", statement_id, is_taken, http_status)
        return {
            "id": f"{statement_id}",
            "is_uploaded": is_taken,
            "http_status": http_status,
            "answer": answer,
        }

    def _post(self, statement_id, content):
        name = f"statement_{statement_id}.mt940"
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}

        def send():
            return requests.post(
                self.url,
                files={"statement_file": (name, content, "text/plain")},
                headers=headers,
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )

        try:
            response = send()
            if response.status_code == requests.codes.too_many_requests:
                time.sleep(_wait_s(response))
                response = send()
        except requests.RequestException as error:
            # Its text may hold the URL, its class says enough.
            return False, None, type(error).__name__
        return _is_taken(response), response.status_code, response.text[:_ANSWER_LENGTH]


def _wait_s(response):
    """How many seconds the bridge asks to wait (header ``Retry-After``)."""
    given = response.headers.get("Retry-After", "")
    return min(int(given), MAX_WAIT_S) if given.isdigit() else 1


def _is_taken(response):
    """Whether the bridge says so: HTTP 200 and ``header.status`` is ``succ``."""
    if response.status_code != 200:
        return False
    try:
        answer = response.json()
    except requests.JSONDecodeError:
        return False
    header = answer.get("header") if isinstance(answer, dict) else None
    return isinstance(header, dict) and header.get("status") == "succ"
