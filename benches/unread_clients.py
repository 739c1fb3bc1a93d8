#!/usr/bin/env python3
"""Thousands of HTTP clients that do not read, beside 20 that do, in a control group with little memory.

usage: benches/unread_clients.py PROGRAM [--plain N] [--tls N] [--http2 N] [--limit MIB] [--same-address]

Needs root (a control group for memory, version 1 or 2), curl and openssl. Traffic stays on loopback. Prints the memory of the
server, the speed of the clients that read, without and beside the others, and whether the server survived. Fails if it did not.
"""
import argparse, hashlib, os, pathlib, random, re, resource, shutil, socket, ssl, struct, subprocess, sys, tempfile, time
import urllib.request

SIZE = 16 << 20
STREAMS = 64


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def new_group(limit):
    """A control group; returns its directory, and the names of its files for members and usage."""
    name = f"bootdepot-bench-{os.getpid()}"
    first = pathlib.Path("/sys/fs/cgroup/memory")
    if first.is_dir():
        group, limits, usage = first / name, "memory.limit_in_bytes", "memory.usage_in_bytes"
    else:
        group, limits, usage = pathlib.Path("/sys/fs/cgroup") / name, "memory.max", "memory.current"
    group.mkdir()
    (group / limits).write_text(str(limit))
    return group, usage


class Server:
    def __init__(self, program, group, usage):
        self.group, self.usage = group, usage
        self.dir = pathlib.Path(tempfile.mkdtemp())
        data = random.Random(7).randbytes(SIZE)
        (self.dir / "image").write_bytes(data)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.dir / "key", "-out",
                        self.dir / "cert", "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
        self.http, self.tls, self.admin = free_port(), free_port(), free_port()
        (self.dir / "bootdepot.toml").write_text(f"""
[cache]
dir = "{self.dir}/cache"
min_free = 0
[http]
listen = ["127.0.0.1:{self.http}"]
[http.tls]
listen = ["127.0.0.1:{self.tls}"]
cert = "{self.dir}/cert"
key = "{self.dir}/key"
[tftp]
listen = ["127.0.0.1:{free_port()}"]
[admin]
listen = "127.0.0.1:{self.admin}"
[[asset]]
name = "image"
sources = ["file://{self.dir}/image"]
sha256 = "{hashlib.sha256(data).hexdigest()}"
""")
        join = lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
        with open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen([program, "serve", "--config", self.dir / "bootdepot.toml"], stdout=log,
                                            stderr=log, preexec_fn=join)
        for _ in range(600):
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{self.http}/assets/image", timeout=60).read() and None
            except OSError:
                time.sleep(0.1)
        sys.exit("the server does not answer: " + (self.dir / "log").read_text()[-1000:])

    def alive(self):
        return self.process.poll() is None

    def show(self, what):
        if not self.alive():
            return print(f"{what:24} the server is dead ({self.process.returncode})", flush=True)
        anonymous = int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1])
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=60).read().decode()
        leased = re.search(r"^bootdepot_http_memory_bytes (\S+)", metrics, re.M)
        leased = f"{float(leased[1]) / 2**20:.1f} MiB" if leased else "?"
        usage = int((self.group / self.usage).read_text())
        print(f"{what:24} anonymous {anonymous >> 10} MiB, group {usage >> 20} MiB, budget {leased}", flush=True)

    def stop(self):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir)


def speed(server):
    """MB/s of ten plain and of ten TLS clients that read."""
    rates = []
    for url, count in (f"http://127.0.0.1:{server.http}", 40), (f"https://127.0.0.1:{server.tls}", 15):
        curl = ["curl", "-qsk", "--http1.1", "-o", "/dev/null", "-w", "%{size_download}\n", f"{url}/assets/image?[1-{count}]"]
        begin = time.time()
        clients = [subprocess.Popen(curl, stdout=subprocess.PIPE, text=True) for _ in range(10)]
        received = sum(int(line) for client in clients for line in client.communicate()[0].split())
        rates.append(received / (time.time() - begin) / 1e6)
    return rates


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def http2_requests(window):
    """The preface, a window for each stream, a large one for the connection, and the requests."""
    head = bytes([0x82, 0x87, 0x01, 9]) + b"localhost" + bytes([0x04, 13]) + b"/assets/image"
    return (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, struct.pack(">HI", 4, window))
            + frame(8, 0, 0, struct.pack(">I", 0x7FFF0000))
            + b"".join(frame(1, 5, 1 + 2 * stream, head) for stream in range(STREAMS)))


def tls_context(protocol):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


def attack(server, kind, count, same_address):
    """Opens connections that request and do not read."""
    sockets, failed, context = [], 0, tls_context("h2" if kind == "HTTP/2" else "http/1.1")
    for number in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.settimeout(20)
        try:
            client.bind(("127.0.0.1" if same_address else f"127.0.{1 + number % 4}.1", 0))
            client.connect(("127.0.0.1", server.http if kind == "plain" else server.tls))
            client = client if kind == "plain" else context.wrap_socket(client)
            # Every other HTTP/2 client has windows of one byte; the others never read their socket.
            request = b"GET /assets/image HTTP/1.1\r\nHost: x\r\n\r\n"
            client.sendall(http2_requests(1 if number % 2 else 0x7FFFFFFF) if kind == "HTTP/2" else request)
        except OSError:
            failed += 1
        sockets.append(client)
    time.sleep(2)
    server.show(f"{count} {kind}" + (f" ({failed} failed)" if failed else ""))
    return sockets


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    for name, default in ("plain", 2000), ("tls", 2000), ("http2", 200), ("limit", 256):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--same-address", action="store_true", help="all clients have one address")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    group, usage = new_group(options.limit << 20)
    server = Server(options.program, group, usage)
    survived = False
    try:
        server.show("idle")
        speed(server)
        before = speed(server)
        print("alone: plain %.0f MB/s, TLS %.0f MB/s" % tuple(before), flush=True)
        kinds = ("plain", options.plain), ("TLS", options.tls), ("HTTP/2", options.http2)
        sockets = [client for kind, count in kinds for client in attack(server, kind, count, options.same_address)]
        if server.alive():
            beside = speed(server)
            print("beside the others: plain %.0f MB/s (%.2f), TLS %.0f MB/s (%.2f)"
                  % (beside[0], beside[0] / before[0], beside[1], beside[1] / before[1]), flush=True)
        for client in sockets:
            client.close()
        time.sleep(4)
        server.show("after their end")
        survived = server.alive()
    finally:
        server.stop()
        time.sleep(0.5)
        group.rmdir()
    sys.exit(not survived)


if __name__ == "__main__":
    main()
