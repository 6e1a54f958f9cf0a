"""One JSON object a line instead of Odoo's text, where ``G2P_BRIDGE_LOG_FORMAT=json`` asks for it.

What is logged stays the same, and so do the filters that keep values out of it.
"""

import logging
import logging.handlers
import os
import re
from datetime import datetime, timezone

from pythonjsonlogger.json import JsonFormatter

from . import log_context

VARIABLE = "G2P_BRIDGE_LOG_FORMAT"
#: what Odoo adds to a line of a request: statements, seconds in them, seconds elsewhere
_PERFORMANCE = re.compile(r"(\d+) (\d+\.\d+) (-?\d+\.\d+)")

_logger = logging.getLogger(__name__)


class Formatter(JsonFormatter):
    """A record of Odoo's log as an object: the same in each line, then the ids of the work."""

    def add_fields(self, log_data, record, message_dict):
        """Fill in what is known; other attributes that a library put on the record are left out."""
        moment = datetime.fromtimestamp(record.created, tz=timezone.utc)
        log_data["time"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        log_data["level"] = logging.getLevelName(record.levelno)
        log_data["logger"] = record.name
        log_data["message"] = record.message or str(record.msg)
        log_data["pid"] = record.process
        if (database := getattr(record, "dbname", None)) not in (None, "?"):
            log_data["db"] = database
        if found := _PERFORMANCE.match(getattr(record, "perf_info", "") or ""):
            log_data["statements"] = int(found[1])
            log_data["statements_s"] = float(found[2])
            log_data["other_s"] = float(found[3])
        log_data.update(log_context.current())
        if "exc_info" in message_dict:
            log_data["exception"] = message_dict["exc_info"]
        if "stack_info" in message_dict:
            log_data["stack"] = message_dict["stack_info"]


def install():
    """Have the handlers of Odoo's log write JSON, if the environment asks for it."""
    wanted = os.environ.get(VARIABLE, "").strip().lower()
    if wanted not in ("", "text", "json"):
        _logger.warning("%s may be json or text; the log stays as it is.", VARIABLE)
    if wanted != "json":
        return
    log_context.want()
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler | logging.handlers.SysLogHandler):
            handler.setFormatter(Formatter())
