"""Resident memory under a thousand open transfers."""

import contextlib
import socket
import time

from .files import MIB, check
from .http import bootdepot, nginx
from .process import Failed, say
from .table import markdown, median
from .tftp_client import many_open

OPEN = 1000


def run_all(bench):
    """The section's Markdown, and its figures."""
    figures = {
        "bootdepot, HTTP": measure(bench, bootdepot(bench), hold_http),
        "nginx, HTTP": measure(bench, nginx(bench, "nginx"), hold_http),
        "bootdepot, TFTP": measure(bench, bootdepot(bench), hold_tftp),
    }
    table = markdown(
        ["server and protocol", "idle: resident MiB", "own MiB", f"{OPEN:,} open: resident MiB", "own MiB",
         "mapped files MiB", "own KiB a transfer"],
        [[name, row["idle_VmRSS"] / MIB, row["idle_RssAnon"] / MIB, row["VmRSS"] / MIB, row["RssAnon"] / MIB,
          row["RssFile"] / MIB, (row["RssAnon"] - row["idle_RssAnon"]) / OPEN / 1024]
         for name, row in figures.items()],
    )
    return f"### Memory under {OPEN:,} open transfers\n\n{table}", figures


def measure(bench, starter, hold):
    """Resident memory before, and while the transfers are open."""
    name, start = starter
    say(f"memory: {name}")
    runs = []
    for _ in range(bench.runs):
        with start() as server:
            check(server, bench.small())
            idle = server.memory()
            check(server, bench.large())
            with hold(server, bench.large()):
                runs.append({**{f"idle_{key}": value for key, value in idle.items()}, **server.memory()})
    return median(runs)


@contextlib.contextmanager
def hold_http(server, asset):
    """Downloads that have begun, and of which nothing is taken any more."""
    with contextlib.ExitStack() as open_ones:
        host, _, port = server.address.rpartition(":")
        for _ in range(OPEN):
            client = open_ones.enter_context(socket.create_connection((host, int(port)), 10))
            client.sendall(f"GET {server.path(asset.name)} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            if not client.recv(16384).startswith(b"HTTP/1.1 200 "):
                raise Failed(f"{server.name}: a download was not begun")
        time.sleep(1)  # Until every socket buffer is full.
        yield


@contextlib.contextmanager
def hold_tftp(server, asset):
    """Downloads of which each has sent its second block, and whose clients take their time with the ACK."""
    with many_open(server, asset.name, OPEN) as (_, never):
        if never:
            raise Failed(f"{server.name}: {never} downloads were not begun")
        yield
