"""Writes docs/compatibility.md from the rows of `tests/compat`.

page.py DIRECTORY SERVER…: for each server, DIRECTORY has SERVER.rows (a line of JSON for each row) or SERVER.reason, and
SERVER.version.
"""

import json
import pathlib
import sys

NAMES = {"ceph": "Ceph RGW", "garage": "Garage", "moto": "moto", "s3s-fs": "s3s-fs"}

INTRO = """# Compatibility

Features of bootdepot, tried against real S3 servers. This page is generated: `tests/compat` starts the servers on one machine, runs
the real program against each of them, and writes what it saw. Do not edit it.

```sh
tests/compat                 # all servers; installs them on Debian, as root; Garage compiles for about 15 minutes
tests/compat ceph            # one server: prints its rows, and writes nothing
```

- **yes**: it works. Bytes were compared with what was sent.
- **not supported by this server**: the server does not have it. bootdepot says so, or does it in another way: the words after the
  colon.
- **no**: bootdepot fails, with the reason. `tests/compat` then exits with status 1.

"""

OUTRO = """
The servers:

- Ceph RGW: Debian's packages, one monitor and one OSD in memory. This version ignores `?encryption`. It compares `If-Match` with the
  `ETag` without its quotes, and refuses every `If-Match` in a bucket with versions. It accepts lifecycle rules with an archive class that
  it does not have, and leaves the objects where they are.
- Garage: built from crates.io, one node. It has permissions of its own instead of policies.
- moto and s3s-fs: servers for tests. `tests/run` uses them in every run. moto runs with its signature checks switched on. For s3s-fs,
  writes of catalogs and `metadata.json` come one at a time: it compares `If-Match` and writes in two steps.

[Buckets](buckets.md) and [publishing](publish.md) describe what bootdepot does where a server lacks a feature.
"""


def column(directory, server):
    """The version, and the result of each row or the reason why there are none."""
    version = (directory / f"{server}.version").read_text().strip()
    reason = directory / f"{server}.reason"
    if reason.exists():
        return version, None, reason.read_text().strip()
    rows = [json.loads(line) for line in (directory / f"{server}.rows").read_text().splitlines()]
    return version, {row["row"]: row["result"] for row in rows}, None


def cell(text):
    return text.replace("|", "\\|")


def main():
    directory, servers = pathlib.Path(sys.argv[1]), sys.argv[2:]
    columns = [column(directory, server) for server in servers]
    names = list(dict.fromkeys(name for _, rows, _ in columns for name in rows or {}))
    if not names:
        sys.exit("no server could be started")
    heads = [f"{NAMES[server]} {version}".strip() for server, (version, _, _) in zip(servers, columns)]
    print(INTRO, end="")
    print("| | " + " | ".join(heads) + " |")
    print("|---|" + "---|" * len(heads))
    for name in names:
        cells = [f"not tried: {reason}" if rows is None else rows.get(name, "not tried") for _, rows, reason in columns]
        print(f"| {cell(name)} | " + " | ".join(map(cell, cells)) + " |")
    print(OUTRO, end="")


main()
