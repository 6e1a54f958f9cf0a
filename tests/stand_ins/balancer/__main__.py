"""A load balancer for tests with several servers: ``python tests/stand_ins/balancer --help``.

TEST DOUBLE of HAProxy and the like in TCP mode: each connection goes to the next server in turn; a
server that does not take it is passed over.
"""

import argparse
import asyncio
import contextlib
import signal
import sys

_CONNECT_S = 5
_CHUNK = 65536


class Balancer:
    """Hands each connection on to one of the servers.

    :param servers: list of (host, port)
    """

    def __init__(self, servers):
        self._servers = servers
        self._next = 0

    async def serve(self, reader, writer):
        """Take one connection of a client, until both sides have ended it."""
        try:
            server = await self._connect()
            if server:
                await asyncio.gather(_pass_on(reader, server[1]), _pass_on(server[0], writer))
        finally:
            for each in (writer, *(server or ())[1:]):
                each.close()

    async def _connect(self):
        """Return (reader, writer) of the server whose turn it is, or None where all are down."""
        self._next += 1
        for turn in range(len(self._servers)):
            host, port = self._servers[(self._next + turn) % len(self._servers)]
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                return await asyncio.wait_for(asyncio.open_connection(host, port), _CONNECT_S)
        return None


async def _pass_on(reader, writer):
    """Pass bytes on until the sender ends, and tell the receiver that it did."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        # not closed: a client that hangs up takes nothing back that the server has begun
        writer.write_eof()


async def _run(options):
    servers = [(host, int(port)) for host, port in (each.split(":") for each in options.server)]
    balancer = Balancer(servers)
    listener = await asyncio.start_server(balancer.serve, "127.0.0.1", options.port)
    port = listener.sockets[0].getsockname()[1]
    sys.stdout.write(f"listening on http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    is_over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, is_over.set)
    await is_over.wait()


def main():
    """Serve until the process is told to end."""
    parser = argparse.ArgumentParser(
        prog="balancer", description="A TEST DOUBLE of a TCP load balancer, in turn."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (%(default)s)")
    parser.add_argument(
        "--server", action="append", required=True, metavar="HOST:PORT", help="any number of them"
    )
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
