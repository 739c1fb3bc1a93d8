"""What every part is given: a directory, the programs, and files of random bytes with their digests."""

import hashlib
import os
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .process import Failed

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Asset:
    """A file, its digest, and where bootdepot is to have it from."""

    name: str
    file: Path
    size: int
    sha256: str
    source: str


class Bench:
    """The setting of one run of the benchmarks."""

    def __init__(self, dir, programs, peers, quick, runs=None):
        self.dir, self.programs, self.peers, self.quick = dir, programs, peers, quick
        self.root = dir / "files"
        self.root.mkdir()
        self.runs = runs or (1 if quick else 3)
        self._assets = {}

    def pick(self, full, quick):
        """One of two settings: for figures, or to see that all works."""
        return quick if self.quick else full

    def asset(self, name, size):
        """A file of that many random bytes, made once."""
        if name not in self._assets:
            path, digest = self.root / name, hashlib.sha256()
            with open(path, "wb") as file:
                for at in range(0, size, MIB):
                    piece = os.urandom(min(MIB, size - at))
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            self._assets[name] = Asset(name, path, size, digest.hexdigest(), path.as_uri())
        return self._assets[name]

    def large(self):
        return self.asset("large.img", self.pick(GIB, 128 * MIB))

    def small(self):
        return self.asset("small.cfg", 1024)


def digest_of(path):
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(server, asset):
    """Downloads the asset over HTTP once, which also warms it, and compares its digest."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(f"http://{server.address}{server.path(asset.name)}", timeout=300) as answer:
        while piece := answer.read(MIB):
            digest.update(piece)
    if digest.hexdigest() != asset.sha256:
        raise Failed(f"{server.name}: wrong bytes of {asset.name}")


def make_cold(path):
    """Drops a file's pages from memory, and makes sure that they are gone."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    resident = resident_pages(path)
    if resident is not None and resident > 64:
        raise Failed(f"{path}: {resident} pages are still in memory")


def resident_pages(path):
    """How many pages of a file are in memory (fincore of util-linux), or `None` where nothing can tell."""
    try:
        done = subprocess.run(["fincore", "-n", "-b", "-r", "-o", "PAGES", str(path)], capture_output=True, text=True)
        return int(done.stdout.split()[0])
    except (OSError, ValueError, IndexError):
        return None
