"""A process under measurement: started, waited for, weighed and ended by its pid."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 60.0  # seconds that anything here may take to come up or to go away


class Failed(Exception):
    """A benchmark cannot be run or gave a wrong answer; the text says why."""


def say(what):
    """Tells whoever waits what is going on."""
    print(f"  {what}", file=sys.stderr, flush=True)


def raise_file_limit():
    """Takes as many open files as the system allows: a thousand clients are a thousand sockets."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def free_port(kind=socket.SOCK_STREAM):
    """A port of the loopback that was free a moment ago, for servers that cannot choose one themselves."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, ready, alive=lambda: True):
    """Waits until `ready()` gives something true, and gives it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = ready()
        if answer:
            return answer
        if not alive():
            raise Failed(f"{what}: the process ended")
        time.sleep(0.01)
    raise Failed(f"{what}: nothing within {PATIENCE:.0f} s")


class Process:
    """A child in a process group of its own, with its output in a file; a context manager that ends it."""

    waits = True  # For its own children, if it has any.

    def __init__(self, name, command, log, env=None):
        self.name = name
        self.log = Path(log)
        with open(self.log, "wb") as out:
            self.child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child.poll() is None

    def until(self, what, ready):
        try:
            return until(f"{self.name}: {what}", ready, self.alive)
        except Failed as failed:
            raise Failed(f"{failed}\n{self.log.read_text(errors='replace')[-2000:]}") from None

    def pids(self):
        """The process and its descendants."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    queue += map(int, task.read_text().split())
                except OSError:
                    pass  # It ended between the listing and the reading.
        return found

    def cpu(self):
        """User and system seconds so far, with all descendants, those that have ended too (proc(5): fields 14 to 17).
        `None` where a server does not wait for its children, as the system then forgets what they used."""
        if not self.waits:
            return None
        ticks = 0
        for pid in self.pids():
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
            except OSError:
                continue
            ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
        return ticks / TICKS

    @contextmanager
    def on_one_core(self):
        """Keeps the process, its descendants and whatever is started from here on one core for a while."""
        before = os.sched_getaffinity(0)

        def place(cores):
            os.sched_setaffinity(0, cores)
            for pid in self.pids():
                for task in Path(f"/proc/{pid}/task").glob("*"):
                    try:
                        os.sched_setaffinity(int(task.name), cores)
                    except OSError:
                        pass  # It ended between the listing and the placing.

        place({min(before)})
        try:
            yield
        finally:
            place(before)

    def memory(self):
        """Bytes resident: all of it, what is its own (anonymous), and what is mapped files; summed over descendants."""
        total = {"VmRSS": 0, "RssAnon": 0, "RssFile": 0}
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                key, _, value = line.partition(":")
                if key in total:
                    total[key] += int(value.split()[0]) * 1024
        return total

    def stop(self):
        if self.alive():
            self.child.terminate()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                pass
        # What the child started and left behind is in its group, which is ours alone.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def run(command, timeout=600, **options):
    """Runs a command to its end and gives what it wrote to standard output."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout
