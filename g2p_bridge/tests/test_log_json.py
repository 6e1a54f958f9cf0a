import json
import logging
import sys
import threading
from unittest import TestCase

from .. import log_context, log_filters
from ..log_json import Formatter


def formatted(message="said", *, level=logging.INFO, logger="odoo.test", args=(), **values):
    """Return the object that a log record becomes."""
    record = logging.LogRecord(
        logger, level, __file__, 1, message, args, values.pop("exc_info", None)
    )
    vars(record).update(values)
    return json.loads(Formatter().format(record))


class TestJsonLog(TestCase):
    """What a line of the JSON log holds."""

    def test_a_line_has_the_same_keys_always(self):
        line = formatted("%s of %s", args=(1, 2), dbname="db", perf_info="12 0.034 0.056")
        self.assertEqual(line["message"], "1 of 2")
        self.assertEqual((line["level"], line["logger"], line["db"]), ("INFO", "odoo.test", "db"))
        self.assertEqual(
            (line["statements"], line["statements_s"], line["other_s"]), (12, 0.034, 0.056)
        )
        self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertNotIn("db", formatted(dbname="?"))
        self.assertNotIn("statements", formatted(perf_info="- - -"))

    def test_an_exception_is_a_field_of_the_same_line(self):
        try:
            raise ValueError("wrong\nin two lines")
        except ValueError:
            line = formatted("failed", level=logging.ERROR, exc_info=sys.exc_info())
        self.assertEqual(line["message"], "failed")
        self.assertIn("Traceback", line["exception"])
        self.assertIn("wrong\nin two lines", line["exception"])

    def test_a_message_in_several_lines_stays_one_object(self):
        record = logging.LogRecord("a", logging.INFO, __file__, 1, "a\nb", (), None)
        self.assertEqual(len(Formatter().format(record).splitlines()), 1)

    def test_what_a_library_puts_on_a_record_is_left_out(self):
        self.assertNotIn("0712345678", json.dumps(formatted(phone="0712345678")))

    def test_filters_that_keep_values_out_come_first(self):
        record = logging.LogRecord(
            "odoo.sql_db",
            logging.ERROR,
            __file__,
            1,
            "bad query: %s\nERROR: %s",
            ("INSERT INTO g2p_account_link VALUES ('ACC777')", "duplicate\nDETAIL: (ACC777)"),
            None,
        )
        log_filters.StatementFilter().filter(record)
        line = Formatter().format(record)
        self.assertIn("g2p_account_link", line)
        self.assertNotIn("ACC777", line)


class TestLogContext(TestCase):
    """Which ids a line carries, and for how long."""

    def in_thread(self, function):
        """Run it in a thread of its own, as servers do; return what it returns."""
        found = []
        thread = threading.Thread(target=lambda: found.append(function()))
        thread.start()
        thread.join()
        return found[0]

    def test_ids_of_a_block_end_with_it(self):
        with log_context.about(job="1"):
            with log_context.about(call="2"):
                log_context.note(envelope="3")
                self.assertEqual(log_context.current(), {"job": "1", "call": "2", "envelope": "3"})
            self.assertEqual(log_context.current(), {"job": "1"})
        self.assertEqual(log_context._about.get(), None)

    def test_ids_end_with_a_block_that_fails(self):
        with self.assertRaises(ValueError), log_context.about(job="1"):
            raise ValueError
        self.assertEqual(log_context._about.get(), None)

    def test_ids_of_a_request_are_not_those_of_the_next(self):
        def serve():
            thread = threading.current_thread()
            thread.perf_t0 = 1.0
            log_context.note(envelope="A")
            first, again = log_context.current(), log_context.current()
            thread.perf_t0 = 2.0
            return first, again, log_context.current()

        first, again, after = self.in_thread(serve)
        self.assertEqual(first, again)
        self.assertEqual(first["envelope"], "A")
        self.assertNotIn("envelope", after)
        self.assertNotEqual(first["request"], after["request"])

    def test_outside_of_requests_and_blocks_there_are_none(self):
        self.assertEqual(self.in_thread(log_context.current), {})
        self.assertIsNone(self.in_thread(lambda: log_context.note(envelope="A")))
