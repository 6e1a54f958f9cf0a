"""What an operator's machines ask over HTTP: figures for Prometheus, and whether all is well."""

import hmac
import logging
import os
from pathlib import Path

import psycopg2
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from odoo import http
from odoo.http import request

from odoo.addons.queue_job.controllers.main import RunJobController

from .. import log_context
from ..models.g2p_monitor import ScrapeTimeout

#: environment: the token, or the path of a file with it
TOKEN, TOKEN_FILE = "G2P_BRIDGE_METRICS_TOKEN", "G2P_BRIDGE_METRICS_TOKEN_FILE"
#: shorter ones could be guessed
MIN_TOKEN_LENGTH = 16

_logger = logging.getLogger(__name__)


class Scrape:
    """The collector of one scrape, asked once."""

    def __init__(self, monitor):
        self._monitor = monitor

    def collect(self):
        """Yield the metric families."""
        yield from self._monitor._families()


class MonitorController(http.Controller):
    """Nobody logs in here: the figures need a token, and health says no more than pass or fail."""

    @http.route(
        "/g2p_bridge/metrics",
        type="http",
        auth="none",
        methods=["GET"],
        readonly=True,
        save_session=False,
    )
    def metrics(self):
        """Answer with the figures in Prometheus's format; 404 where no token is configured."""
        expected = _token()
        if not expected:
            raise request.not_found()
        if not _has_token(expected):
            return _text("A bearer token is needed.\n", 401, {"WWW-Authenticate": "Bearer"})
        if not request.db:
            return _text("No database.\n", 503)
        registry = CollectorRegistry(auto_describe=False)
        encode, content_type = choose_encoder(request.httprequest.headers.get("Accept", ""))
        try:
            with request.env["g2p.monitor"]._reading() as monitor:
                registry.register(Scrape(monitor))
                body = encode(registry)
        except (ScrapeTimeout, psycopg2.OperationalError) as error:
            _logger.warning("No figures for a scrape: %s", type(error).__name__)
            return _text("The figures take too long to read, or the database is away.\n", 503)
        return _text(body, 200, {"Content-Type": content_type})

    @http.route(
        "/g2p_bridge/health/ready",
        type="http",
        auth="none",
        methods=["GET"],
        readonly=True,
        save_session=False,
    )
    def ready(self):
        """Say whether this server can take calls: 200 or 503, for load balancers."""
        return self._health("_check_server")

    @http.route(
        "/g2p_bridge/health",
        type="http",
        auth="none",
        methods=["GET"],
        readonly=True,
        save_session=False,
    )
    def health(self):
        """Say whether the whole system works, jobs and crons too: 200 or 503, for monitors."""
        return self._health("_check_server", "_check_work")

    def _health(self, *checks):
        problems = {}
        try:
            if not request.db:
                raise psycopg2.OperationalError("no database")
            with request.env["g2p.monitor"]._reading() as monitor:
                for check in checks:
                    problems |= getattr(monitor, check)()
        except psycopg2.OperationalError as error:
            _logger.warning("Health could not be read: %s", type(error).__name__)
            problems["database"] = "it does not answer"
        return _verdict(problems)


class RunJob(RunJobController):
    """Jobs whose log lines say which job and which record they are about."""

    @classmethod
    def _runjob(cls, env, job):
        with log_context.about(**_job_ids(job)):
            return super()._runjob(env, job)


def _job_ids(job):
    if not log_context.is_wanted():
        return {}
    ids = getattr(job.recordset, "_log_ids", dict)
    return {"job": job.uuid, "job_method": job.method_name, **ids()}


def _token():
    """Return the configured token, or an empty text; a file is read each time."""
    token = os.environ.get(TOKEN, "")
    if not token and (path := os.environ.get(TOKEN_FILE)):
        try:
            token = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            _logger.warning("%s cannot be read: %s", TOKEN_FILE, type(error).__name__)
    if token and len(token) < MIN_TOKEN_LENGTH:
        _logger.warning("The metrics' token has less than %s characters.", MIN_TOKEN_LENGTH)
        return ""
    return token


def _has_token(expected):
    """Say whether the request carries the token; how long that takes tells nothing of it."""
    kind, _space, given = request.httprequest.headers.get("Authorization", "").partition(" ")
    is_same = hmac.compare_digest(given.strip().encode(), expected.encode())
    return is_same and kind.lower() == "bearer"


def _verdict(problems):
    """Return the answer: what is wrong is told to who has the token, others see pass or fail."""
    is_well = not any(problems.values())
    verdicts = {name: "fail" if problem else "pass" for name, problem in problems.items()}
    answer = {"status": "pass" if is_well else "fail", "checks": verdicts}
    expected = _token()
    if expected and _has_token(expected):
        answer["problems"] = {name: problem for name, problem in problems.items() if problem}
    return request.make_json_response(
        answer, headers={"Cache-Control": "no-store"}, status=200 if is_well else 503
    )


def _text(body, status, headers=None):
    given = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
    return request.make_response(body, list((given | (headers or {})).items()), status=status)
