"""Builds what is measured and what measures, with cargo's release profile."""

import json
import os
import re
import subprocess

from .process import Failed

TOOLS = ("http_load", "tftp_load", "s3_server", "async_tftp")


def programs(root):
    """Where the server and the tools are, by their names, after building them."""
    # The server on its own first: features that only the tools ask of a shared crate are not to be in it.
    built = _cargo(root, ["--bin", "bootdepot"])
    built |= _cargo(root, ["--package", "bootdepot-benches"] + [word for tool in TOOLS for word in ("--bench", tool)])
    return built


def _cargo(root, what):
    command = [os.environ.get("CARGO", "cargo"), "build", "--release", "--message-format=json-render-diagnostics", *what]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit status {done.returncode}")
    messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    return {
        message["target"]["name"]: message["executable"]
        for message in messages
        if message.get("reason") == "compiler-artifact" and message.get("executable")
    }


def version(root, package):
    """The version of a dependency, as the lock file has it."""
    lock = (root / "Cargo.lock").read_text()
    found = re.search(rf'name = "{re.escape(package)}"\nversion = "([^"]+)"', lock)
    return found.group(1) if found else "unknown"
