"""The doors of Odoo's external API, each opened by one user, with the same call behind each."""

import json
import subprocess
import xmlrpc.client
from urllib.parse import urlsplit

import odoorpc
import requests

from bridge_stack.rpc import RpcError

ACCESS_DENIED = "odoo.exceptions.AccessDenied"
ACCESS_ERROR = "odoo.exceptions.AccessError"
TIMEOUT_S = 60
#: XML-RPC's faults have numbers (odoo.addons.rpc): what is named elsewhere
_FAULTS = {3: ACCESS_DENIED, 4: ACCESS_ERROR}


class Refused(Exception):
    """What came through the door instead of an answer.

    :ivar name: class of the exception on the server; empty where the door does not tell
    :ivar arguments: its ``args`` (list), as far as the door tells them
    :ivar status: HTTP status
    """

    def __init__(self, name, arguments, status=200):
        super().__init__(name, arguments, status)
        self.name = name
        self.arguments = list(arguments)
        self.status = status


class JsonRpcDoor:
    """``execute_kw`` on ``/jsonrpc``."""

    def __init__(self, stack, login, key):
        self._rpc = stack.rpc(login, key)

    def call(self, model, method, **arguments):
        """Call a method; ``ids`` among the arguments are the records it is called on.

        :raise Refused: the server refused
        """
        records = [arguments.pop("ids")] if "ids" in arguments else []
        try:
            return self._rpc.execute(model, method, *records, **arguments)
        except RpcError as error:
            raise Refused(error.name, error.arguments) from error


class XmlRpcDoor:
    """``execute_kw`` on ``/xmlrpc/2/object``, with the client of the standard library.

    It knows no null: an answer with a None in it arrives as a fault.
    """

    def __init__(self, stack, login, key):
        self._db, self._key = stack.db, key
        common = xmlrpc.client.ServerProxy(f"{stack.url}/xmlrpc/2/common")
        self._uid = common.authenticate(stack.db, login, key, {})
        self._models = xmlrpc.client.ServerProxy(f"{stack.url}/xmlrpc/2/object")

    def call(self, model, method, **arguments):
        """Call a method, as :meth:`JsonRpcDoor.call`; of a refusal only the text is told."""
        records = [arguments.pop("ids")] if "ids" in arguments else []
        try:
            return self._models.execute_kw(
                self._db, self._uid, self._key, model, method, records, arguments
            )
        except xmlrpc.client.Fault as fault:
            raise Refused(_FAULTS.get(fault.faultCode, ""), [fault.faultString]) from fault


class Json2Door:
    """``/json/2`` with a bearer API key."""

    def __init__(self, stack, _login, key):
        self._url = f"{stack.url}/json/2"
        self._headers = {"Authorization": f"bearer {key}"}

    def call(self, model, method, **arguments):
        """Call a method, as :meth:`JsonRpcDoor.call`."""
        return _answer_of(*self._post(f"{self._url}/{model}/{method}", arguments))

    def _post(self, url, arguments):
        answer = requests.post(url, json=arguments, headers=self._headers, timeout=TIMEOUT_S)
        return answer.status_code, answer.json()


class CurlDoor(Json2Door):
    """Plain ``curl`` on ``/json/2``."""

    def _post(self, url, arguments):
        output = curl(
            "--header",
            "Content-Type: application/json",
            "--header",
            f"Authorization: {self._headers['Authorization']}",
            "--data",
            "@-",
            "--write-out",
            "\n%{http_code}",
            url,
            text=json.dumps(arguments),
        )
        body, _newline, status = output.rpartition("\n")
        return int(status), json.loads(body)


class OdooRpcDoor:
    """The ``odoorpc`` library."""

    def __init__(self, stack, login, key):
        parts = urlsplit(stack.url)
        self._odoo = odoorpc.ODOO(parts.hostname, port=parts.port)
        try:
            self._odoo.login(stack.db, login, key)
        except odoorpc.error.RPCError as error:
            # the library has a sentence of its own for this case
            raise Refused(ACCESS_DENIED, error.args) from error

    def call(self, model, method, **arguments):
        """Call a method, as :meth:`JsonRpcDoor.call`."""
        records = [arguments.pop("ids")] if "ids" in arguments else []
        try:
            return self._odoo.execute_kw(model, method, records, arguments)
        except odoorpc.error.RPCError as error:
            data = error.info["data"]
            raise Refused(data["name"], data["arguments"]) from error


DOORS = [JsonRpcDoor, XmlRpcDoor, Json2Door, CurlDoor, OdooRpcDoor]


def _answer_of(status, body):
    if status == requests.codes.ok:
        return body
    raise Refused(body["name"], body["arguments"], status)


def curl(*arguments, text=None):
    """Run ``curl`` and return its output."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    return done.stdout
