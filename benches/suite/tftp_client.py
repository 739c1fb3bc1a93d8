"""A TFTP client that does what no real one does on purpose: ask a thousand times at once, stall, hang up, come back."""

import contextlib
import selectors
import socket
import struct
import time

from .process import Failed

DATA, ACK, ERROR, OACK = 3, 4, 5, 6  # RFC 1350 5, RFC 2347
SILENCE = 10.0  # Seconds after which a client takes silence for an answer.


def rrq(name, **options):
    """A request to read."""
    words = [name, "octet", *(text for pair in options.items() for text in map(str, pair))]
    return b"\0\1" + b"".join(word.encode() + b"\0" for word in words)


def ack(block):
    return struct.pack("!HH", ACK, block)


def address(server):
    host, _, port = server.tftp.rpartition(":")
    return host, int(port)


class Client:
    """One socket, and so one client in the eyes of the server."""

    def __init__(self, server):
        self.server = server
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(SILENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, name, **options):
        self.socket.sendto(rrq(name, **options), address(self.server))

    def hear(self):
        """The next packet: its kind, its block number, what follows, and who sent it."""
        try:
            packet, peer = self.socket.recvfrom(65536)
        except TimeoutError:
            raise Failed(f"{self.server.name}: silence") from None
        kind, number = struct.unpack_from("!HH", packet)
        return kind, number, packet[4:], peer

    def fetch_small(self, name):
        """Fetches a file of one block; the seconds until it was there."""
        begun = time.perf_counter()
        self.ask(name, blksize=1468)
        while True:
            kind, number, rest, peer = self.hear()
            if kind == ERROR:
                raise Failed(f"{self.server.name}: {rest.decode(errors='replace')}")
            self.socket.sendto(ack(number if kind == DATA else 0), peer)
            if kind == DATA:
                return time.perf_counter() - begun

    def seconds_after_error(self, name):
        """Begins a transfer, ends it with an ERROR, asks again from the same port; the seconds until the answer."""
        self.ask(name, tsize=0, blksize=1468)
        _, _, _, peer = self.hear()
        self.socket.sendto(struct.pack("!HH", ERROR, 8) + b"not now\0", peer)
        begun = time.perf_counter()
        self.ask(name, blksize=1468)
        while True:
            kind, _, rest, peer = self.hear()
            seconds = time.perf_counter() - begun
            if seconds > SILENCE:
                raise Failed(f"{self.server.name}: no answer after an ERROR")
            # Only the first request asked for the size: this belongs to it.
            if kind == OACK and b"tsize" in rest:
                continue
            self.socket.sendto(struct.pack("!HH", ERROR, 0) + b"thank you\0", peer)
            return seconds


@contextlib.contextmanager
def many_open(server, name, count):
    """Asks `count` times in one instant, has each transfer go on to its second block, and leaves it there. Gives how
    many requests had to be repeated because nothing came within a second, and how many came to nothing at all."""
    with contextlib.ExitStack() as open_ones, selectors.DefaultSelector() as ready:
        silent, waiting, lost = set(), set(), 0
        for _ in range(count):
            client = open_ones.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            client.setblocking(False)
            ready.register(client, selectors.EVENT_READ)
            silent.add(client)
            waiting.add(client)
        end = time.monotonic() + 10
        request = rrq(name, blksize=1468)
        while waiting and time.monotonic() < end:
            for client in silent:
                client.sendto(request, address(server))
            pause = time.monotonic() + 1
            while waiting and time.monotonic() < pause:
                for key, _ in ready.select(0.1):
                    client = key.fileobj
                    packet, peer = client.recvfrom(2048)
                    silent.discard(client)
                    kind, number = struct.unpack_from("!HH", packet)
                    # The second block shows that the first was acknowledged; it waits for its own ACK.
                    if (kind, number) == (DATA, 2):
                        waiting.discard(client)
                    elif kind == OACK or (kind, number) == (DATA, 1):
                        client.sendto(ack(0 if kind == OACK else 1), peer)
            lost += len(silent)
        yield lost, len(waiting)
