"""The example bank: ``python g2p_bridge_bank_example/simulator --help``."""

import argparse
import logging
import os
import sys
from datetime import date
from pathlib import Path

from example_bank import money, signature
from example_bank.app import ExampleBankApp
from example_bank.bank import AccountExists, Bank, Config
from example_bank.faults import Faults
from example_bank.server import Server, start_rounds
from example_bank.store import Store, StoreError
from example_bank.uploader import Uploader

_DESCRIPTION = """\
The Example Bank: a TEST DOUBLE of a sponsor bank. No real bank, no real money.

It speaks the wire protocol of OpenG2P's example bank over HTTP, keeps its books in one
SQLite file that survives a crash, settles payments after a float, sends some of them
back, writes MT940 statements and uploads them to the bridge. Faults are switched on
over POST /admin/faults. The page at / shows accounts, blocks and postings."""

_EPILOG = """\
environment:
  EXAMPLE_BANK_UPLOAD_KEY   bearer key for the upload (keeps it off the command line)
  EXAMPLE_BANK_API_KEY      bearer token that callers must send

example:
  python g2p_bridge_bank_example/simulator --port 8101 --database bank.db \\
      --account 1000000001:USD:1000000 --float-days 0 --reversal-rate 0.02 --settle-every 5 \\
      --upload-url http://127.0.0.1:8069/g2p_bridge/upload_mt940"""

_LOCAL = ("127.0.0.1", "localhost", "::1")


def main(arguments=None):
    """Run the bank until it is told to end; returns the exit code."""
    options = _parse(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    try:
        app, server = _build(options)
        server.run(app)
    except (StoreError, OSError) as error:
        # No such folder, or the port is taken: a sentence is enough.
        sys.stderr.write(f"example bank: {error}\n")
        return 1
    return 0


def _build(options):
    bank = Bank(Store(options.database), _config(options))
    for account in options.account:
        _open_account(bank, *account)
    server = Server(options.host, options.port)
    app = ExampleBankApp(
        bank,
        Faults(options.seed),
        Uploader(bank.store, options.upload_url, options.upload_key),
        api_key=options.api_key,
        refuse=server.refuse,
        public_key=options.require_signature,
    )
    if options.settle_every:
        start_rounds(app, options.settle_every)
    if options.host not in _LOCAL and not options.api_key:
        sys.stderr.write("warning: anybody who reaches this port may use it (no --api-key)\n")
    return app, server


def _open_account(bank, account_number, currency, balance):
    try:
        bank.create_account(account_number, currency, balance, "Government")
    except AccountExists:
        logging.getLogger(__name__).info("an --account is there already, its balance stays")


def _config(options):
    return Config(
        seed=options.seed,
        float_days=options.float_days,
        reversal_rate=options.reversal_rate,
        reversal_after_days=options.reversal_after_days,
        return_mark=options.return_mark,
        batch_limit=options.batch_limit,
        fixed_date=options.clock,
        statement_entries=options.statement_entries,
        mt940_style=options.mt940_style,
        mt940_newline={"crlf": "\r\n", "lf": "\n"}[options.mt940_newline],
    )


def _parse(arguments):
    parser = argparse.ArgumentParser(
        prog="simulator",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_server_options(parser)
    _add_bank_options(parser)
    _add_statement_options(parser)
    return parser.parse_args(arguments)


def _add_server_options(parser):
    group = parser.add_argument_group("server")
    group.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    group.add_argument("--port", type=_count, default=8101, help="0 takes a free one (%(default)s)")
    group.add_argument("--database", required=True, metavar="FILE", help="SQLite file; kept")
    group.add_argument(
        "--api-key",
        default=os.environ.get("EXAMPLE_BANK_API_KEY", ""),
        metavar="KEY",
        help="bearer token that callers must send (a browser: as password)",
    )
    group.add_argument(
        "--require-signature",
        type=_public_key,
        metavar="PUBLIC_KEY_FILE",
        help="refuse calls without a JWS (header Signature) that this RSA key (PEM) verifies",
    )
    group.add_argument("--verbose", action="store_true", help="log each request, without bodies")


def _add_bank_options(parser):
    group = parser.add_argument_group("bank")
    group.add_argument(
        "--account",
        type=_account,
        action="append",
        default=[],
        metavar="NUMBER:CURRENCY:BALANCE",
        help="open this account at the start, unless it is there; may be repeated",
    )
    group.add_argument("--seed", type=int, default=1, help="decides who is reversed (%(default)s)")
    group.add_argument(
        "--float-days", type=_count, default=0, help="days until a payment is booked (%(default)s)"
    )
    group.add_argument(
        "--reversal-rate", type=_rate, default=0, help="share that comes back, 0 to 1 (%(default)s)"
    )
    group.add_argument(
        "--reversal-after-days", type=_count, default=0, help="days after booking (%(default)s)"
    )
    group.add_argument(
        "--return-mark", choices=("RD", "C"), default="RD", help="how a return is booked"
    )
    group.add_argument(
        "--batch-limit", type=_count, default=10_000, help="payments in one call (%(default)s)"
    )
    group.add_argument(
        "--clock",
        type=_clock,
        default=None,
        metavar="real|YYYY-MM-DD",
        help="business date: today in UTC, or this day until it is advanced (real)",
    )
    group.add_argument(
        "--settle-every",
        type=float,
        default=0,
        metavar="SECONDS",
        help="settle, write statements and upload them; 0: only on request (%(default)s)",
    )


def _add_statement_options(parser):
    group = parser.add_argument_group("statements")
    group.add_argument("--upload-url", default="", metavar="URL", help="of the bridge")
    group.add_argument(
        "--upload-key",
        default=os.environ.get("EXAMPLE_BANK_UPLOAD_KEY", ""),
        metavar="KEY",
        help="bearer key of the bridge; better in the environment",
    )
    group.add_argument(
        "--statement-entries", type=_positive, default=50_000, help="at most in one (%(default)s)"
    )
    group.add_argument("--mt940-style", choices=("standard", "captured"), default="standard")
    group.add_argument("--mt940-newline", choices=("crlf", "lf"), default="crlf")


def _public_key(path):
    try:
        return signature.load(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"no RSA public key in PEM: {error}") from error


def _count(text):
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _rate(text):
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return value


def _clock(text):
    return None if text == "real" else date.fromisoformat(text)


def _account(text):
    number, _, rest = text.partition(":")
    currency, _, balance = rest.partition(":")
    try:
        units = money.to_units(money.parse(balance))
    except money.AmountError as error:
        raise argparse.ArgumentTypeError(f"{error}") from error
    if not number or len(currency) != 3:
        raise argparse.ArgumentTypeError("expected NUMBER:CURRENCY:BALANCE")
    return number, currency, units


if __name__ == "__main__":
    sys.exit(main())
