"""What was measured on what: the machine, the versions, the day."""

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path


def _first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except OSError:
        return "not installed"
    text = (done.stdout + done.stderr).strip()
    return text.splitlines()[0] if text else "unknown"


def _version(pattern, *command):
    found = re.search(pattern, _first_line(*command))
    return found.group(1) if found else "not installed"


def facts(root, peers):
    """The machine and the versions, for the head of the tables and the JSON file."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": f"{os.cpu_count()} x {cpu.group(1).strip() if cpu else platform.machine()}",
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "kernel": platform.release(),
        "revision": _first_line("git", "-C", str(root), "describe", "--always", "--dirty"),
        "rustc": _version(r"rustc (\S+)", "rustc", "--version"),
        "nginx": _version(r"nginx/(\S+)", "nginx", "-v"),
        "dnsmasq": _version(r"version (\S+)", "dnsmasq", "--version"),
        "curl": _version(r"curl (\S+)", "curl", "--version"),
        "wrk": _version(r"wrk (?:debian/)?(\S+)", "wrk", "-v"),
        **peers,
    }


def sentence(facts):
    """The facts as a reader wants them above a table."""
    versions = ", ".join(
        f"{name} {facts[name]}"
        for name in ("nginx", "wrk", "curl", "dnsmasq", "tftpd-hpa", "atftpd", "async-tftp")
        if facts.get(name) not in (None, "not installed")
    )
    return (
        f"{facts['date']}, revision `{facts['revision']}` (rustc {facts['rustc']}); {facts['cpu']}, "
        f"{facts['memory_gib']} GiB, Linux {facts['kernel']}; {versions}."
    )
