"""Many rows into one envelope: in parts, in bounded memory, the same parts after a restart."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal

from .errors import UnexpectedAnswer
from .messages import Disbursement, Envelope, EnvelopeStatus, NewDisbursement

Part = tuple[NewDisbursement, ...]
Send = Callable[[Part], tuple[Disbursement, ...]]
OnSent = Callable[[Sequence[Disbursement]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEnvelope:
    """An envelope that the bridge has as a whole; count and sum were compared."""

    envelope: Envelope
    status: EnvelopeStatus
    count: int
    total: Decimal


def send_parts(
    send: Send,
    rows: Iterable[NewDisbursement],
    rows_per_call: int,
    parallel_calls: int,
    on_sent: OnSent | None,
) -> tuple[int, Decimal]:
    """Send rows in parts; return their count and sum.

    At most ``parallel_calls`` parts are in memory, and one that is being collected. Answers are
    told in the order of the rows, by the thread that called.
    """
    if rows_per_call < 1 or parallel_calls < 1:
        raise ValueError("rows_per_call and parallel_calls are at least 1")
    count, total = 0, Decimal(0)
    for answer in _answers(send, _parts(rows, rows_per_call), parallel_calls):
        if on_sent:
            on_sent(answer)
        count += len(answer)
        total += sum((row.disbursement_amount for row in answer), Decimal(0))
    return count, total


def check_rows(sent: Sequence[NewDisbursement], answer: Sequence[Disbursement]) -> None:
    """Compare an answer with the rows of its call.

    :raise UnexpectedAnswer: it is not about these payments and amounts, in this order
    """
    asked = [(row.mis_reference_number, row.disbursement_amount) for row in sent]
    if asked != [(row.mis_reference_number, row.disbursement_amount) for row in answer]:
        raise UnexpectedAnswer("create_disbursements: the answer is about other payments")


def _parts(rows: Iterable[NewDisbursement], size: int) -> Iterator[Part]:
    remaining = iter(rows)
    while part := tuple(itertools.islice(remaining, size)):
        yield part


def _answers(
    send: Send, parts: Iterator[Part], parallel_calls: int
) -> Iterator[tuple[Disbursement, ...]]:
    under_way: deque[Future[tuple[Disbursement, ...]]] = deque()
    with ThreadPoolExecutor(parallel_calls, thread_name_prefix="g2p-bridge") as pool:
        for part in parts:
            under_way.append(pool.submit(send, part))
            if len(under_way) == parallel_calls:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
