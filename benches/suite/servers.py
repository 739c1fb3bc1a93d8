"""The servers that are compared: how each is started on the loopback, and where it then is."""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

from .process import Failed, Process, free_port, run

LOOPBACK = "127.0.0.1"
# Both conflict as Debian packages, and installing either starts a system service: they are unpacked instead.
UNPACKED = ("tftpd-hpa", "atftpd", "libwrap0")
INSTALLED = {"nginx": "nginx-light", "wrk": "wrk", "dnsmasq": "dnsmasq-base", "curl": "curl", "fincore": "util-linux"}


def install():
    """Installs what is missing of the Debian packages, where root may."""
    missing = sorted(package for program, package in INSTALLED.items() if not which(program))
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        run(["apt-get", "install", "-y", "--no-install-recommends", *missing],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def which(program):
    """Where a program is; daemons live where an ordinary user does not look."""
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


class Peers:
    """The TFTP servers that are unpacked rather than installed, and which version each is."""

    def __init__(self, dir):
        self.dir = Path(dir)
        self.versions = {}
        self.dir.mkdir(parents=True)
        for package in UNPACKED:
            try:
                run(["apt-get", "download", "-q", package], cwd=self.dir, timeout=120)
                deb = next(self.dir.glob(f"{package}_*.deb"))
                run(["dpkg", "-x", deb, self.dir / package])
                self.versions[package] = deb.name.split("_")[1].replace("%3a", ":")
            except (Failed, OSError, StopIteration, subprocess.TimeoutExpired):
                self.versions[package] = "not installed"

    def program(self, package, name):
        found = self.dir / package / "usr/sbin" / name
        return found if found.exists() else None

    @property
    def env(self):
        return {"LD_LIBRARY_PATH": ":".join(map(str, sorted(self.dir.glob("libwrap0/**/*-linux-gnu"))))}


class Bootdepot(Process):
    """bootdepot with some assets, from files or from anywhere. Its log goes to a file; by default only warnings do,
    as the peers write no access log either."""

    def __init__(self, program, dir, assets, origins="", log="warn", name="bootdepot", fill=""):
        self.dir = Path(dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.settings = self.dir / "bootdepot.toml"
        self.cache = self.dir / "cache"
        self.settings.write_text(
            f'[cache]\ndir = "{self.cache}"\nmax_size = "64 GiB"\nmin_free = "1 GiB"\nscrub_interval = "off"\n'
            f'[http]\nlisten = ["{LOOPBACK}:0"]\n[tftp]\nlisten = ["{LOOPBACK}:0"]\n[admin]\nlisten = "off"\n'
            f"{fill}{origins}"
            + "".join(
                f'[[asset]]\nname = "{asset.name}"\nsources = ["{asset.source}"]\nsha256 = "{asset.sha256}"\n'
                for asset in assets
            )
        )
        # The addresses are told at the level info, by the room that wires.
        env = {"BOOTDEPOT_LOG": f"{log},bootdepot::app=info", "BOOTDEPOT_LOG_FORMAT": "json"}
        super().__init__(name, [program, "serve", "--config", self.settings], self.dir / "log", env)
        self.address = self.until("no HTTP listener", lambda: self._address("http"))
        self.tftp = self.until("no TFTP listener", lambda: self._address("tftp"))

    def lines(self):
        """The log so far."""
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def _address(self, protocol):
        for line in self.lines():
            if line.get("message") == "listening" and line.get("protocol") == protocol:
                return line["address"]
        return None

    def path(self, name):
        return f"/assets/{name}"

    def stored(self, asset):
        """The file that holds an asset."""
        return next(self.cache.rglob(asset.sha256))


class Nginx(Process):
    """nginx over a directory: two workers, sendfile, no access log, unless told otherwise."""

    DEFAULTS = {
        "access_log": "off", "sendfile": "on", "tcp_nopush": "on", "tcp_nodelay": "on", "keepalive_requests": "1000000000",
    }

    def __init__(self, dir, root, name="nginx", **directives):
        self.dir = Path(dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.root = Path(root)
        self.address = f"{LOOPBACK}:{free_port()}"
        config = self.dir / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        temp = "".join(
            f"{kind}_temp_path {self.dir}/temp; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config.write_text(
            f"{user} daemon off; worker_processes 2; worker_rlimit_nofile 65536; pid {self.dir}/pid;\n"
            f"events {{ worker_connections 16384; }}\n"
            f"http {{ {temp}\n"
            + "".join(f"{key} {value};\n" for key, value in {**self.DEFAULTS, **directives}.items())
            + f"server {{ listen {self.address} backlog=4096; root {root}; }} }}\n"
        )
        command = [which("nginx"), "-p", self.dir, "-c", config, "-e", self.dir / "error.log"]
        super().__init__(name, command, self.dir / "log")
        self.until("not listening", lambda: _answers(self.address))

    def path(self, name):
        return f"/{name}"

    def stored(self, asset):
        return self.root / asset.name


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
        return True
    except OSError:
        return False


class Tftpd(Process):
    """One of the TFTP servers that are told their port."""

    def __init__(self, name, command, log, port, env=None):
        self.tftp = f"{LOOPBACK}:{port}"
        super().__init__(name, command, log, env)
        self.until("not bound", lambda: f":{port:04X} 00000000:0000" in Path("/proc/net/udp").read_text())


def dnsmasq(dir, root, _peers):
    """dnsmasq; it listens on port 69 and no other, so it needs root."""
    program = which("dnsmasq")
    if not program or os.geteuid() != 0:
        return None
    command = [
        program, "--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-", "--pid-file=", "--user=root",
        "--port=0", "--no-resolv", "--no-hosts", f"--listen-address={LOOPBACK}", "--bind-interfaces",
        "--enable-tftp", f"--tftp-root={root}", "--tftp-max=4096", "--quiet-tftp",
    ]
    return Tftpd("dnsmasq", command, dir / "dnsmasq.log", 69)


def tftpd_hpa(dir, root, peers):
    """tftpd-hpa, which forks for each request; its secure mode and its choice of a user need root."""
    program = peers.program("tftpd-hpa", "in.tftpd")
    if not program or os.geteuid() != 0:
        return None
    port = free_port(socket.SOCK_DGRAM)
    command = [program, "-L", "--address", f"{LOOPBACK}:{port}", "--user", "root", "--secure", root]
    server = Tftpd("tftpd-hpa", command, dir / "tftpd-hpa.log", port, peers.env)
    server.waits = False
    return server


def atftpd(dir, root, peers):
    """atftpd, a thread a transfer."""
    program = peers.program("atftpd", "atftpd")
    if not program:
        return None
    port = free_port(socket.SOCK_DGRAM)
    command = [
        program, "--daemon", "--no-fork", "--port", str(port), "--bind-address", LOOPBACK, "--maxthread", "4096",
        "--verbose=3", "--logfile", "-", "--no-multicast", "--user", "root.root", root,
    ]
    return Tftpd("atftpd", command, dir / "atftpd.log", port, peers.env)


class AsyncTftp(Process):
    """async-tftp, out of memory: benches/async_tftp.rs."""

    def __init__(self, program, dir, files):
        super().__init__("async-tftp", [program, *files], dir / "async-tftp.log")
        self.tftp = self.until("no address", lambda: self.log.read_text().strip())


class S3(Process):
    """s3s over files: benches/s3_server.rs."""

    def __init__(self, program, dir, files):
        super().__init__("s3", [program, *files], dir / "s3.log", {"TMPDIR": str(dir)})
        self.facts = json.loads(self.until("no endpoint", lambda: self.log.read_text().strip()))
