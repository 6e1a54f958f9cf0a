"""A small client of Odoo's external API."""

import itertools

import requests


class RpcError(Exception):
    """What the server answered instead of a result.

    :ivar name: class of the exception on the server, such as ``odoo.exceptions.UserError``
    :ivar message: its text
    :ivar arguments: its ``args`` (list): for the bridge the code and the row errors
    """

    def __init__(self, name, message, arguments=()):
        super().__init__(name, message, list(arguments))
        self.name = name
        self.message = message
        self.arguments = list(arguments)

    def __str__(self):
        return f"{self.name}: {self.message}"


class JsonRpc:
    """One user of one database, by ``execute_kw`` on ``/jsonrpc``.

    :param url: of the server, without path
    :param password_or_key: password or API key; shown nowhere
    :param timeout_s: seconds to wait between two bytes of an answer
    """

    def __init__(self, url, db, login, password_or_key, timeout_s=120):
        self.url = url.rstrip("/")
        self.db = db
        self.login = login
        self.timeout_s = timeout_s
        self._secret = password_or_key
        self._session = requests.Session()
        self._ids = itertools.count(1)
        self._uid = None

    def __repr__(self):
        return f"JsonRpc({self.url!r}, {self.db!r}, {self.login!r})"

    @property
    def uid(self):
        """The user's id; the first use logs in.

        :raise RpcError: named ``odoo.exceptions.AccessDenied``: no such user or wrong secret
        """
        if self._uid is None:
            self._uid = self._call("common", "authenticate", self.db, self.login, self._secret, {})
            if not self._uid:
                self._uid = None
                raise RpcError("odoo.exceptions.AccessDenied", "Access Denied")
        return self._uid

    def execute(self, model, method, *args, **kw):
        """Call a public method and return its result.

        :raise RpcError: the method raised
        :raise requests.RequestException: no answer, or none of JSON-RPC: the outcome is unknown
        """
        return self._call(
            "object", "execute_kw", self.db, self.uid, self._secret, model, method, args, kw
        )

    def _call(self, service, method, *args):
        body = {
            "jsonrpc": "2.0",
            "id": next(self._ids),
            "method": "call",
            "params": {"service": service, "method": method, "args": args},
        }
        response = self._session.post(f"{self.url}/jsonrpc", json=body, timeout=self.timeout_s)
        response.raise_for_status()
        answer = response.json()
        if error := answer.get("error"):
            data = error.get("data") or {}
            raise RpcError(
                data.get("name") or "JsonRpcError",
                data.get("message") or error.get("message"),
                data.get("arguments") or (),
            )
        return answer.get("result")
