"""Cold fills: how long a machine waits for an asset that only S3 has, against one plain curl of the same object."""

import dataclasses
import json
import time

from .files import GIB, MIB, digest_of
from .process import Failed, run, say
from .servers import S3, Bootdepot, Nginx
from .table import markdown, median

# What one connection gets of a large S3 service, roughly (AWS: 85 to 90 MB/s a connection, "Performance guidelines").
ONE_CONNECTION = "90m"


def run_all(bench):
    """The section's Markdown, and its figures."""
    figures = {
        "s3s on the same machine": over_s3(bench),
        "HTTP, without a limit": over_http(bench),
        f"HTTP, {ONE_CONNECTION[:-1]} MiB/s a connection": over_http(bench, limit_rate=ONE_CONNECTION),
    }
    table = markdown(
        ["origin", "curl of it, s", "curl through bootdepot, s", "ratio", "fill alone, s", "its MiB/s",
         "CPU s/GiB"],
        [[name, row["curl_s"], row["bootdepot_s"], row["bootdepot_s"] / row["curl_s"], row["fill_s"],
          bench.large().size / MIB / row["fill_s"], row["cpu_s_per_gib"]]
         for name, row in figures.items()],
    )
    return f"### A cold asset of {bench.large().size / GIB:.3g} GiB\n\n{table}", figures


def over_s3(bench):
    """From s3s, signed."""
    asset = bench.large()
    with S3(bench.programs["s3_server"], bench.dir, [asset.file]) as s3:
        facts = s3.facts
        url = f"{facts['endpoint']}/{facts['bucket']}/{asset.name}"
        signed = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{facts['access_key']}:{facts['secret_key']}",
                  "--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
        origin = (
            f'[[origin]]\nmatch = "s3://{facts["bucket"]}/"\nendpoint = "{facts["endpoint"]}"\naddressing = "path"\n'
            f'region = "us-east-1"\ncredentials = {{ from = "static", access_key_id = "{facts["access_key"]}", '
            f'secret_access_key = "{facts["secret_key"]}" }}\n'
        )
        return compare(bench, f"s3://{facts['bucket']}/{asset.name}", [*signed, url], origin)


def over_http(bench, **directives):
    """From nginx, which costs the machine less than any S3 server, and so shows what the fill itself costs."""
    asset = bench.large()
    with Nginx(bench.dir / "origin", bench.root, "origin", **directives) as origin:
        url = f"http://{origin.address}{origin.path(asset.name)}"
        return compare(bench, url, [url], "")


def compare(bench, source, curl, origin):
    """The median of some runs, each with an empty cache."""
    asset, runs = dataclasses.replace(bench.large(), source=source), []
    out = bench.dir / "downloaded"
    for number in range(bench.runs):
        say(f"fill: {source}")
        straight = timed([*curl, "--output", out], out, asset)
        dir = bench.dir / f"fill-{number}"
        with Bootdepot(bench.programs["bootdepot"], dir, [asset], origin, log="warn,bootdepot::fill=info") as server:
            before = server.cpu()
            through = timed([f"http://{server.address}{server.path(asset.name)}", "--output", out], out, asset)
            cpu = server.cpu() - before
            fill = server.until("no fill was logged", lambda: logged(server))
            if fill["outcome"] != "complete":
                raise Failed(f"{server.name}: {json.dumps(fill)}")
            server.stored(asset).unlink()
        runs.append({"curl_s": straight, "bootdepot_s": through, "fill_s": float(fill["seconds"]),
                     "cpu_s_per_gib": cpu / (asset.size / GIB)})
    out.unlink()
    return median(runs)


def timed(curl, out, asset):
    """Seconds that curl takes to have the object in a file. The file is there beforehand, empty."""
    out.write_bytes(b"")
    start = time.monotonic()
    run(["curl", "--silent", "--show-error", "--fail", *curl])
    seconds = time.monotonic() - start
    if digest_of(out) != asset.sha256:
        raise Failed(f"wrong bytes from {curl[0]}")
    return seconds


def logged(server):
    """The line of the one fill, once it is there."""
    return next((line for line in server.lines() if line.get("target") == "bootdepot::fill"), None)
