"""Real HTTP servers on this machine that do what a test says, also with TLS."""

import socket
import ssl
import struct
import sys
import tempfile
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class ScriptedServer:
    """A real HTTP server on a free port of this machine that does what ``respond`` says.

    ``respond(handler, body)`` gets the request handler and the bytes of the request's body.
    With ``tls``, a server-side SSLContext, it speaks HTTPS. ``read(handler, length)`` reads a body.
    """

    def __init__(self, respond, tls=None, read=lambda handler, length: handler.rfile.read(length)):
        self.requests = []
        self.is_stopping = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = read(self, int(self.headers["Content-Length"] or 0))
                outer.requests.append((self.path, dict(self.headers), body))
                respond(self, body)

            def log_message(self, *args):
                pass  # standard error belongs to the test runner

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.is_stopping = self.is_stopping
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"
        if tls:
            # the handshake belongs to the connection's thread, or a refused one stops the server
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self.is_stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if isinstance(sys.exc_info()[1], OSError):  # a client that hangs up is no news
            return None
        return super().handle_error(request, client_address)


def reply(handler, body, status=200, *, headers=(), claim=None):
    """Answer with these bytes; ``claim`` is a Content-Length that is not theirs."""
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body) if claim is None else claim))
    handler.end_headers()
    handler.wfile.write(body)


def drop(handler):
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def reset(handler):
    """Reset the connection (RST) without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


class Authority:
    """A certificate authority of a test."""

    def __init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Authority of a test")
        self._certificate = (
            self._builder(self._name, self._key, DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self):
        """Its certificate (bytes), for whoever is to trust it."""
        return self._certificate.public_bytes(Encoding.PEM)

    def server(self, host, *, ends_in=DAY):
        """Return a server's side of TLS (SSLContext) with a certificate of a host name."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(_name(host), key, ends_in)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _context(certificate, key)

    def _builder(self, subject, key, ends_in):
        now = datetime.now(timezone.utc)
        return (
            x509.CertificateBuilder(
                self._name, subject, key.public_key(), x509.random_serial_number()
            )
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + ends_in)
        )


def self_signed():
    """Return the server's side of TLS, with a certificate that nobody signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("bank.example")
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .sign(key, hashes.SHA256())
    )
    return _context(certificate, key)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.public_bytes(Encoding.PEM))
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        context.load_cert_chain(file.name)
    return context
