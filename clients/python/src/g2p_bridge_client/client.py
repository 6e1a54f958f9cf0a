"""The methods of the bridge, one by one."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from types import TracebackType
from typing import Any, TypeVar

from .errors import TotalsDiffer, UnexpectedAnswer
from .keys import envelope_key, rows_key
from .messages import (
    CancelledEnvelope,
    CancelledPayment,
    ChangesPage,
    CorrectedDisbursement,
    Correction,
    Disbursement,
    DisbursementStatus,
    Envelope,
    EnvelopeStatus,
    NewDisbursement,
    NewEnvelope,
    NotPaid,
    NotPaidPage,
    StatementUpload,
    StatusUpdate,
    StatusUpdateResult,
)
from .sending import OnSent, Part, SentEnvelope, check_rows, send_parts
from .transport import RetryPolicy, Transport
from .wire import plain, read

T = TypeVar("T")


class BridgeClient:
    """One user of the bridge's API. Threads may share a client.

    Calls that create something carry an idempotency key made from what is paid, so they are
    repeated after a time-out, an error 5xx or a lost answer; so are questions and uploads, which
    are harmless. Cancellations and amendments are repeated only if they surely did not arrive.

    :param url: of the server, without path
    :param api_key: of the user; shown nowhere
    :param database: needed where the server has several
    :param timeout_s: seconds to connect, seconds between two bytes of an answer
    :param allow_plain_http: send the key over ``http://`` to other machines
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        database: str = "",
        *,
        retry: RetryPolicy | None = None,
        timeout_s: tuple[float, float] = (10.0, 150.0),
        allow_plain_http: bool = False,
    ) -> None:
        self._transport = Transport(
            url,
            api_key,
            database,
            retry=retry or RetryPolicy(),
            timeout_s=timeout_s,
            allow_plain_http=allow_plain_http,
        )

    def __repr__(self) -> str:
        return f"BridgeClient({self._transport.url!r}, database={self._transport.database!r})"

    def __enter__(self) -> "BridgeClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client may be used again."""
        self._transport.close()

    # what a program system sends

    def create_disbursement_envelope(
        self, envelope: NewEnvelope, idempotency_key: str | None = None
    ) -> Envelope:
        """Open an envelope; its disbursements follow.

        :param idempotency_key: by default :func:`~.keys.envelope_key`: one envelope for a program
            and cycle. A second one needs a key of its own.
        """
        return self._object(
            Envelope,
            "create_disbursement_envelope",
            **plain(envelope),
            idempotency_key=idempotency_key or envelope_key(envelope),
        )

    def create_disbursements(
        self,
        disbursement_envelope_id: str,
        disbursements: Sequence[NewDisbursement],
        idempotency_key: str | None = None,
    ) -> tuple[Disbursement, ...]:
        """Add rows to an envelope, all or none; the answers are in their order.

        :param idempotency_key: by default :func:`~.keys.rows_key`
        :raise UnexpectedAnswer: the answer is not about these payments and amounts
        """
        answer = self._list(
            Disbursement,
            "create_disbursements",
            disbursement_envelope_id=disbursement_envelope_id,
            disbursements=disbursements,
            idempotency_key=idempotency_key or rows_key(disbursements),
        )
        check_rows(disbursements, answer)
        return answer

    def amend_disbursement_envelope(
        self,
        disbursement_envelope_id: str,
        *,
        number_of_beneficiaries: int | None = None,
        number_of_disbursements: int | None = None,
        total_disbursement_amount: Decimal | None = None,
        disbursement_schedule_date: date | None = None,
    ) -> Envelope:
        """Change control totals or schedule date of an envelope that is still receiving."""
        return self._object(
            Envelope,
            "amend_disbursement_envelope",
            is_repeatable=False,
            disbursement_envelope_id=disbursement_envelope_id,
            number_of_beneficiaries=number_of_beneficiaries,
            number_of_disbursements=number_of_disbursements,
            total_disbursement_amount=total_disbursement_amount,
            disbursement_schedule_date=disbursement_schedule_date,
        )

    def cancel_disbursement_envelope(
        self, disbursement_envelope_id: str, reason: str = ""
    ) -> CancelledEnvelope:
        """Cancel an envelope of which no money can have moved."""
        return self._object(
            CancelledEnvelope,
            "cancel_disbursement_envelope",
            is_repeatable=False,
            disbursement_envelope_id=disbursement_envelope_id,
            reason=reason,
        )

    def cancel_disbursements(
        self, disbursement_ids: Sequence[str], reason: str = ""
    ) -> tuple[CancelledPayment, ...]:
        """Cancel payments of one envelope before they are put into a batch: all or none."""
        return self._list(
            CancelledPayment,
            "cancel_disbursements",
            is_repeatable=False,
            disbursement_ids=list(disbursement_ids),
            reason=reason,
        )

    def correct_disbursements(
        self,
        disbursements: Sequence[Correction],
        *,
        disbursement_schedule_date: date | None = None,
        reason: str = "",
        idempotency_key: str | None = None,
    ) -> tuple[CorrectedDisbursement, ...]:
        """Try payments of one envelope again that reached nobody, with the person as corrected.

        :param idempotency_key: by default a new one for each call, the same in its repeats: the
            same words may mean another attempt next week. After a crash a second call is refused
            for what is being paid again already.
        """
        return self._list(
            CorrectedDisbursement,
            "correct_disbursements",
            disbursements=list(disbursements),
            disbursement_schedule_date=disbursement_schedule_date,
            reason=reason,
            idempotency_key=idempotency_key or f"correct:{uuid.uuid4()}",
        )

    # what a program system asks

    def get_disbursement_envelope_status(self, disbursement_envelope_id: str) -> EnvelopeStatus:
        """Say how far an envelope is."""
        return self._object(
            EnvelopeStatus,
            "get_disbursement_envelope_status",
            disbursement_envelope_id=disbursement_envelope_id,
        )

    def get_disbursement_status(
        self, disbursement_ids: Sequence[str]
    ) -> tuple[DisbursementStatus, ...]:
        """Say what became of payments, in the order of the ids."""
        return self._list(
            DisbursementStatus, "get_disbursement_status", disbursement_ids=list(disbursement_ids)
        )

    def get_disbursement_changes(self, cursor: str = "", limit: int = 1000) -> ChangesPage:
        """Give what changed since the cursor, in all envelopes of the caller."""
        return self._object(ChangesPage, "get_disbursement_changes", cursor=cursor, limit=limit)

    def iter_changes(self, cursor: str = "", limit: int = 1000) -> Iterator[ChangesPage]:
        """Yield the pages of changes since the cursor, to the end; none if nothing changed.

        Store the changes of a page and its ``cursor`` in one transaction, and begin with that
        cursor the next time: then nothing is lost and nothing is read twice.
        """
        has_more = True
        while has_more:
            page = self.get_disbursement_changes(cursor, limit)
            cursor, has_more = page.cursor, page.has_more
            if page.changes:
                yield page

    def get_disbursement_exceptions(
        self,
        disbursement_envelope_id: str = "",
        *,
        only_open: bool = False,
        cursor: str = "",
        limit: int = 1000,
    ) -> NotPaidPage:
        """Say who could not be paid and why, as it stands now; without an envelope, of all."""
        return self._object(
            NotPaidPage,
            "get_disbursement_exceptions",
            disbursement_envelope_id=disbursement_envelope_id,
            only_open=only_open,
            cursor=cursor,
            limit=limit,
        )

    def iter_exceptions(
        self, disbursement_envelope_id: str = "", *, only_open: bool = False, limit: int = 1000
    ) -> Iterator[NotPaid]:
        """Yield who could not be paid, over all pages of one reading."""
        cursor, has_more = "", True
        while has_more:
            page = self.get_disbursement_exceptions(
                disbursement_envelope_id, only_open=only_open, cursor=cursor, limit=limit
            )
            yield from page.exceptions
            cursor, has_more = page.cursor, page.has_more

    # what a bank sends

    def upload_mt940(self, statement: str, filename: str = "") -> StatementUpload:
        """Upload a statement file (users of the Bank API); the same file is known again."""
        return self._object(StatementUpload, "upload_mt940", statement=statement, filename=filename)

    def update_status_of_disbursements(
        self, updates: Sequence[StatusUpdate]
    ) -> tuple[StatusUpdateResult, ...]:
        """Give the bank's word on payments, ahead of its statement (users of the Bank API)."""
        return self._list(
            StatusUpdateResult, "update_status_of_disbursements", updates=list(updates)
        )

    # whole envelopes

    def send_envelope(
        self,
        envelope: NewEnvelope,
        rows: Iterable[NewDisbursement],
        *,
        idempotency_key: str | None = None,
        rows_per_call: int = 1000,
        parallel_calls: int = 1,
        on_sent: OnSent | None = None,
    ) -> SentEnvelope:
        """Create an envelope, send all its rows in parts, and compare count and sum.

        After a crash, call it again with the same envelope and rows: parts that the bridge has
        are answered as the first time. Rows may come from a generator; a few parts are in memory.

        :param idempotency_key: of the envelope, as in :meth:`create_disbursement_envelope`
        :param parallel_calls: how many parts may be under way at the same time
        :param on_sent: is told each part's answers, in the order of the rows; also of parts that
            the bridge had before
        :raise TotalsDiffer: the rows are not what the envelope declares, or the bridge has others
        """
        created = self.create_disbursement_envelope(envelope, idempotency_key)
        envelope_id = created.disbursement_envelope_id
        count, total = self.send_disbursements(
            envelope_id,
            rows,
            rows_per_call=rows_per_call,
            parallel_calls=parallel_calls,
            on_sent=on_sent,
        )
        _compare(
            "rows sent",
            (envelope.number_of_disbursements, envelope.total_disbursement_amount),
            (count, total),
        )
        status = self.verify_received(envelope_id, count, total)
        return SentEnvelope(envelope=created, status=status, count=count, total=total)

    def send_disbursements(
        self,
        disbursement_envelope_id: str,
        rows: Iterable[NewDisbursement],
        *,
        rows_per_call: int = 1000,
        parallel_calls: int = 1,
        on_sent: OnSent | None = None,
    ) -> tuple[int, Decimal]:
        """Send rows as :meth:`send_envelope`, to an envelope that is there.

        :return: their count and sum
        """

        def send(part: Part) -> tuple[Disbursement, ...]:
            return self.create_disbursements(disbursement_envelope_id, part)

        return send_parts(send, rows, rows_per_call, parallel_calls, on_sent)

    def verify_received(
        self, disbursement_envelope_id: str, count: int, total: Decimal
    ) -> EnvelopeStatus:
        """Compare what the bridge has received with what was sent.

        :raise TotalsDiffer: count or sum are other ones
        """
        status = self.get_disbursement_envelope_status(disbursement_envelope_id)
        _compare(
            f"envelope {disbursement_envelope_id}",
            (count, total),
            (status.number_of_disbursements_received, status.total_disbursement_amount_received),
        )
        return status

    # the two forms of answers

    def _object(self, kind: type[T], method: str, *, is_repeatable: bool = True, **given: Any) -> T:
        """Call a method that answers one object."""
        return read(kind, self._transport.call(method, plain(given), is_repeatable=is_repeatable))

    def _list(
        self, kind: type[T], method: str, *, is_repeatable: bool = True, **given: Any
    ) -> tuple[T, ...]:
        """Call a method that answers a list."""
        answer = self._transport.call(method, plain(given), is_repeatable=is_repeatable)
        if not isinstance(answer, list):
            raise UnexpectedAnswer(f"{method}: no list")
        return tuple(read(kind, item) for item in answer)


def _compare(where: str, expected: tuple[int, Decimal], found: tuple[int, Decimal]) -> None:
    if expected != found:
        raise TotalsDiffer(
            where, *(f"{count} payments of {total}" for count, total in (expected, found))
        )
