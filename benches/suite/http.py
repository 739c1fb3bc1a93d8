"""Warm HTTP against nginx: throughput, requests a second, and small requests beside a download of cold pages."""

import json
import re

from .files import GIB, check, make_cold
from .process import run, say
from .servers import Bootdepot, Nginx, which
from .table import markdown, median

OPEN_FILES = {"open_file_cache": "max=1000 inactive=1h", "open_file_cache_valid": "1h"}


def run_all(bench):
    """The section's Markdown, and its figures."""
    figures = {"throughput": throughput(bench), "requests": requests(bench), "beside": beside(bench)}
    text = "\n\n".join([
        "### Throughput of a warm file",
        markdown(
            ["server", "1 client, GiB/s", "CPU s/GiB", "64 clients, GiB/s", "CPU s/GiB"],
            [[name, row[1]["gib_per_s"], row[1]["cpu_s_per_gib"], row[64]["gib_per_s"], row[64]["cpu_s_per_gib"]]
             for name, row in figures["throughput"].items()],
        ),
        "### Requests for a file of 1 KiB",
        markdown(
            ["server", "requests/s", "server CPU µs a request", "p50 ms", "p99 ms"],
            [[name, row["requests_per_s"], row["cpu_us"], row["p50_ms"], row["p99_ms"]]
             for name, row in figures["requests"].items()],
        ),
        "### Small requests beside a download of cold pages",
        markdown(
            ["server", "alone: p50 ms", "p99 ms", "beside: p50 ms", "p99 ms", "p99.9 ms", "longest ms",
             "the download, GiB/s"],
            [[name, row["alone_p50_ms"], row["alone_p99_ms"], row["p50_ms"], row["p99_ms"], row["p999_ms"],
              row["max_ms"], row["gib_per_s"]]
             for name, row in figures["beside"].items()],
        ),
    ])
    return text, figures


def bootdepot(bench, name="bootdepot", log="warn"):
    """What starts bootdepot over both files."""
    assets = [bench.large(), bench.small()]
    return name, lambda: Bootdepot(bench.programs["bootdepot"], bench.dir / "http", assets, log=log, name=name)


def nginx(bench, name, **directives):
    """What starts nginx over both files."""
    bench.large(), bench.small()
    return name, lambda: Nginx(bench.dir / "nginx", bench.root, name, **directives)


def rounds(bench, servers, measure, afresh=False):
    """The median of some runs of each server. All servers take their turn in each round, so that what else the
    machine does strikes all alike. `afresh` has the server started once more after the files went through it."""
    samples = {name: [] for name, _ in servers}
    for _ in range(bench.runs):
        for name, start in servers:
            say(f"http, {measure.__qualname__.split('.')[0]}: {name}")
            with start() as server:
                for asset in (bench.large(), bench.small()):
                    check(server, asset)
                if not afresh:
                    samples[name].append(measure(server))
            if afresh:
                with start() as server:
                    check(server, bench.small())
                    samples[name].append(measure(server))
    return {name: median(runs) for name, runs in samples.items()}


def load(bench, *words):
    return json.loads(run([bench.programs["http_load"], *words]))


def throughput(bench):
    """GiB/s and server CPU seconds per GiB of 1 and of 64 clients."""
    servers = [
        bootdepot(bench),
        nginx(bench, "nginx, sendfile"),
        nginx(bench, "nginx, copying 2 x 512 KiB", sendfile="off", tcp_nopush="off", output_buffers="2 512k"),
    ]
    figures = {name: {} for name, _ in servers}
    for clients in (1, 64):
        def measure(server, clients=clients):
            before = server.cpu()
            done = load(bench, "throughput", "--address", server.address, "--path", server.path(bench.large().name),
                        "--clients", clients, "--seconds", bench.pick(10, 2))
            gib = done["bytes"] / GIB
            return {"gib_per_s": gib / done["seconds"], "cpu_s_per_gib": (server.cpu() - before) / gib}

        for name, figure in rounds(bench, servers, measure).items():
            figures[name][clients] = figure
    return figures


def requests(bench):
    """Requests a second on 64 keep-alive connections, by wrk."""
    if not which("wrk"):
        return {}
    servers = [
        bootdepot(bench),
        nginx(bench, "nginx"),
        nginx(bench, "nginx, open_file_cache", **OPEN_FILES),
        bootdepot(bench, "bootdepot, a log line a transfer", "info"),
        nginx(bench, "nginx, open_file_cache, an access log", access_log="access.log", **OPEN_FILES),
    ]

    def measure(server):
        before = server.cpu()
        said = run(["wrk", "-t2", "-c64", f"-d{bench.pick(10, 2)}s", "--latency",
                    f"http://{server.address}{server.path(bench.small().name)}"])
        cpu = server.cpu() - before
        count = int(re.search(r"(\d+) requests in", said).group(1))
        if "Non-2xx" in said or "Socket errors" in said:
            raise RuntimeError(f"{server.name}: {said}")
        return {
            "requests_per_s": float(re.search(r"Requests/sec:\s*([\d.]+)", said).group(1)),
            "cpu_us": cpu / count * 1e6,
            "p50_ms": _milliseconds(said, "50%"),
            "p99_ms": _milliseconds(said, "99%"),
        }

    return rounds(bench, servers, measure)


def _milliseconds(said, share):
    value, unit = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", said).groups()
    return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def beside(bench):
    """How long small warm requests take while another client downloads a file whose pages are not in memory."""
    servers = [bootdepot(bench), nginx(bench, "nginx, sendfile")]

    def measure(server):
        small = ["latency", "--address", server.address, "--path", server.path(bench.small().name), "--rate", "1000"]
        alone = load(bench, *small, "--seconds", bench.pick(5, 1))
        make_cold(server.stored(bench.large()))
        beside = load(bench, *small, "--beside", server.path(bench.large().name))
        return {
            "alone_p50_ms": alone["p50_ms"], "alone_p99_ms": alone["p99_ms"],
            **{key: beside[key] for key in ("p50_ms", "p99_ms", "p999_ms", "max_ms", "requests")},
            "gib_per_s": beside["download_bytes"] / GIB / beside["seconds"],
        }

    # Pages that a process has mapped cannot be dropped, and bootdepot keeps a file mapped for a while after its use.
    return rounds(bench, servers, measure, afresh=True)
