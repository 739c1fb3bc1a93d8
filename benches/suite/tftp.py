"""TFTP against dnsmasq, tftpd-hpa, atftpd and async-tftp, and the gates that the server is held to."""

import json
import select
import socket
import statistics
import subprocess
import time
from contextlib import nullcontext

from .files import GIB, MIB, Asset, check
from .process import Failed, run, say
from .servers import AsyncTftp, Bootdepot, atftpd, dnsmasq, tftpd_hpa
from .table import figure, markdown, median
from .tftp_client import SILENCE, Client, many_open

BLKSIZE = 1468
WINDOWS = (1, 4, 16)
CROWD = 1000  # Clients that ask in one instant.
HOT = 300  # Requests for a hot file while cold ones are opening, and re-requests after an ERROR.


def run_all(bench):
    """The section's Markdown, and its figures."""
    samples = {}
    for round in range(bench.runs):
        for name, start in servers(bench):
            server = start()
            if server is None:
                continue
            with server:
                samples.setdefault(name, []).append(measure(bench, server, patient=round == 0 or name == "bootdepot"))
    figures = {
        name: {key: median([run[key] for run in runs if key in run]) for key in runs[0]}
        for name, runs in samples.items()
    }
    figures["bootdepot"]["cold_open"] = {"p99_ms": statistics.median(cold_open(bench) for _ in range(bench.runs))}
    return report(bench, figures), figures


def boot_file(bench):
    return bench.asset("boot.img", MIB)


def servers(bench):
    """Each server as a name and what starts it."""
    file, small = boot_file(bench), bench.small()
    dir, root, peers = bench.dir, bench.root, bench.peers

    def bootdepot():
        server = Bootdepot(bench.programs["bootdepot"], dir / "tftp", [file, small])
        for asset in (file, small):
            check(server, asset)
        return server

    yield "bootdepot", bootdepot
    yield "dnsmasq", lambda: dnsmasq(dir, root, peers)
    yield "tftpd-hpa", lambda: tftpd_hpa(dir, root, peers)
    yield "atftpd", lambda: atftpd(dir, root, peers)
    yield "async-tftp", lambda: AsyncTftp(bench.programs["async_tftp"], dir, [file.file, small.file])


def crowds(bench):
    return bench.pick((1, 100, 500), (1, 100))


def measure(bench, server, patient):
    """All figures of one running server; those of a bad network only if there is the patience, as some servers take a
    minute for 1 MiB."""
    say(f"tftp: {server.name}")
    figures = {}
    load(bench, server)  # So that the file is in memory.
    for clients in crowds(bench):
        for window in WINDOWS:
            # Lockstep on two cores measures where the scheduler puts its two threads, by a factor of three.
            with server.on_one_core() if (clients, window) == (1, 1) else nullcontext():
                figures[f"{clients} w{window}"] = load(bench, server, clients, window, runs=20 if clients == 1 else 1)
    for window in (1, 4) if patient else ():
        figures[f"loss w{window}"] = load(bench, server, 1, window, "--loss", "1", "--rtt", "0.5")
    for window in (1, 4):
        figures[f"doubled w{window}"] = load(bench, server, 10, window, "--doubled-acks")
    with many_open(server, boot_file(bench).name, CROWD) as (lost, never):
        figures["crowd"] = {"lost": lost, "never": never}
    if server.name in ("bootdepot", "async-tftp", "dnsmasq"):
        figures["crowd w1"] = load(bench, server, CROWD, 1)
    figures["after ERROR"] = {"ms": after_error(bench, server)}
    return figures


def load(bench, server, clients=1, window=1, *words, runs=1):
    """What tftp_load says of some runs, with the server's CPU seconds per GiB. A load that does not end in two minutes
    has failed."""
    file = boot_file(bench)
    before, begun, longest = server.cpu(), time.monotonic(), bench.pick(120.0, 30.0)
    try:
        said = run([
            bench.programs["tftp_load"], "--server", server.tftp, "--file", file.name, "--compare", file.file,
            "--clients", clients, "--windowsize", window, "--blksize", BLKSIZE, "--runs", runs, *words,
        ], timeout=longest)
    except subprocess.TimeoutExpired:
        return {
            "mb_per_s": 0.0, "seconds": longest, "failures": clients, "cpu_s_per_gib": None, "data_ratio": None,
        }
    finally:
        say(f"  {clients} w{window} {' '.join(words)}: {time.monotonic() - begun:.1f} s")
    after = server.cpu()
    lines = [json.loads(line) for line in said.splitlines()]
    done = median([{key: line[key] for key in ("mb_s", "seconds", "data_packets")} for line in lines])
    gib = sum(line["complete"] for line in lines) * file.size / GIB
    return {
        "mb_per_s": done["mb_s"], "seconds": done["seconds"], "failures": sum(line["failures"] for line in lines),
        "cpu_s_per_gib": (after - before) / gib if gib and before is not None else None,
        "data_ratio": done["data_packets"] / (clients * (file.size // BLKSIZE + 1)),
    }


def after_error(bench, server):
    """Milliseconds from an ERROR and a new request from the same port to the answer, the slowest of some."""
    slowest = 0.0
    for _ in range(20):
        try:
            with Client(server) as client:
                slowest = max(slowest, client.seconds_after_error(boot_file(bench).name))
        except Failed:
            return SILENCE * 1e3
    return slowest * 1e3


def cold_open(bench):
    """The p99 in milliseconds of requests for a hot file while others wait for an origin that does not answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as silent:  # It listens, and never takes a connection.
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        small = bench.small()
        cold = [Asset(f"cold-{n}", small.file, 1, f"{n:064x}", f"{url}/cold-{n}") for n in range(1, 17)]
        with Bootdepot(bench.programs["bootdepot"], bench.dir / "tftp-cold", [small, *cold]) as server:
            check(server, small)
            for asset in cold:
                with Client(server) as client:
                    client.ask(asset.name)
            if not select.select([silent], [], [], 10)[0]:
                raise Failed("the origin of a cold asset was not asked")
            taken = []
            for _ in range(HOT):
                with Client(server) as client:
                    taken.append(client.fetch_small(small.name))
    return sorted(taken)[HOT * 99 // 100] * 1e3


def report(bench, figures):
    """The tables."""
    columns = [f"{clients} w{window}" for clients in crowds(bench) for window in WINDOWS]
    most = crowds(bench)[-1]
    text = [
        "### MB/s, 1 MiB at blksize 1468, by clients and window",
        markdown(
            ["server", *columns, f"CPU s/GiB, {most} w1", f"{most} w16"],
            [[name, *(row[column]["mb_per_s"] for column in columns),
              row[f"{most} w1"]["cpu_s_per_gib"], row[f"{most} w16"]["cpu_s_per_gib"]]
             for name, row in figures.items()],
        ),
        "### A bad network, and odd clients",
        markdown(
            ["server", "1 % loss, 0.5 ms: w1 s", "w4 s", "doubled ACKs, DATA sent / needed: w1", "w4",
             f"{CROWD:,} requests at once: lost", "never begun", "failures of any run", "answer after an ERROR, ms"],
            [[name, _seconds(row["loss w1"]), _seconds(row["loss w4"]), row["doubled w1"]["data_ratio"],
              row["doubled w4"]["data_ratio"],
              row["crowd"]["lost"], row["crowd"]["never"], sum(run.get("failures", 0) for run in row.values()), row["after ERROR"]["ms"]]
             for name, row in figures.items()],
        ),
        "### The gates",
        markdown(["gate", "wanted", "measured", "held"], list(gates(bench, figures))),
    ]
    return "\n\n".join(text)


def gates(bench, figures):
    """Each gate: what it is, what is wanted, what was measured, and whether it holds."""
    ours = figures["bootdepot"]
    peers = {name: row for name, row in figures.items() if name != "bootdepot"}
    crowd_of = crowds(bench)
    for clients in crowd_of:
        for window in WINDOWS:
            column = f"{clients} w{window}"
            name, best = max(
                ((name, row[column]["mb_per_s"]) for name, row in peers.items()), key=lambda pair: pair[1],
                default=("no peer", 0.0),
            )
            if not best:
                continue
            wanted = 0.95 if (clients, window) == (1, 1) else None if clients == 1 and window == 4 else 1.3
            if wanted:
                ratio = ours[column]["mb_per_s"] / best
                yield f"{column}, against {name}", f"≥ {wanted}x", f"{ratio:.2f}x", _held(ratio >= wanted)
    most = crowd_of[-1]
    yield from (
        _at_most(f"server CPU, {most} w1", ours[f"{most} w1"]["cpu_s_per_gib"], 2, "s/GiB"),
        _at_most(f"server CPU, {most} w16", ours[f"{most} w16"]["cpu_s_per_gib"], 0.8, "s/GiB"),
        _at_most(f"{CROWD:,} requests at once, lost", ours["crowd"]["lost"], 0, ""),
        _at_most(f"{CROWD:,} clients, failures", ours["crowd w1"]["failures"], 0, ""),
        _at_most("1 % loss, 0.5 ms, w1", ours["loss w1"]["seconds"], 3, "s"),
        _at_most("1 % loss, 0.5 ms, w4", ours["loss w4"]["seconds"], 2, "s"),
        _at_most("doubled ACKs, DATA sent / needed, w1", ours["doubled w1"]["data_ratio"], 1.05, "x"),
        _at_most("doubled ACKs, DATA sent / needed, w4", ours["doubled w4"]["data_ratio"], 1.05, "x"),
        _at_most("answer after an ERROR, slowest of 20", ours["after ERROR"]["ms"], 10, "ms"),
        _at_most("a hot request beside cold opens, p99", ours["cold_open"]["p99_ms"], 5, "ms"),
    )


def _seconds(figures):
    return figures["seconds"] if figures["mb_per_s"] else f"over {figures['seconds']:.0f}"


def _at_most(gate, measured, wanted, unit):
    return gate, f"≤ {wanted} {unit}".strip(), f"{figure(measured)} {unit}".strip(), _held(measured <= wanted)


def _held(holds):
    return "yes" if holds else "**no**"
