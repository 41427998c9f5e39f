"""What every bench shares: the servers under test, how they are configured, started, watched and ended.

A server is started on core 0 (or on both, where its threads are what is measured) from a template in conf/,
in a directory of its own, on free ports of the loopback; load and origin live on core 1. Its CPU time is
what the kernel's scheduler has counted for its tasks and those of its children (/proc/PID/task/*/schedstat,
nanoseconds). Everything started here dies with the harness, also when the harness is killed.
"""
import atexit
import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SERVER_CORE, LOAD_CORE = 0, 1
BOTH_CORES = (SERVER_CORE, LOAD_CORE)
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TOOLS = ("responder", "relay", "rate", "closer", "pacer", "storm", "filler", "churn")
PEERS = {"nginx": "nginx", "haproxy": "haproxy", "varnish": "varnishd"}
READY_S = 20
libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """Something that makes a figure impossible; the message says which and why."""


def raise_descriptors():
    for wanted in (65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return


def prioritise(nice):
    """Of what is started from now on; a session's autogroup counts before the process's own value does."""
    def autogroup(value):
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as f:
            f.write(str(value))
    autogroup(nice)
    atexit.register(autogroup, 0)
    os.setpriority(os.PRIO_PROCESS, 0, nice)


def which(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


def weir_binary():
    path = os.environ.get("WEIR_BIN") or os.path.join(ROOT, "weir")
    return os.path.abspath(path) if os.access(path, os.X_OK) else None


def compile_tools(directory):
    """Compiles the C tools that are not there yet (the Makefile has made them for `make bench`)."""
    os.makedirs(directory, exist_ok=True)
    cc = os.environ.get("CC", "cc").split()
    flags = ["-std=gnu17", "-D_GNU_SOURCE", "-O2"]
    for tool in TOOLS:
        source, out = os.path.join(HERE, tool + ".c"), os.path.join(directory, tool)
        if not os.access(out, os.X_OK):
            subprocess.run(cc + flags + [source, "-o", out, "-lm"], check=True)
    shared = os.path.join(directory, "alloccount.so")
    if not os.path.exists(shared):
        subprocess.run(cc + flags + ["-shared", "-fPIC", os.path.join(HERE, "alloccount.c"), "-o", shared,
                                     "-ldl"], check=True)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def _before_exec(core):
    cores = {core} if isinstance(core, int) else set(core)

    def prepare():
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        os.sched_setaffinity(0, cores)
    return prepare


def tasks_of(pid):
    """The process and its descendants."""
    pids = [pid]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                for child in f.read().split():
                    pids += tasks_of(int(child))
    return pids


def cpu_ns(pid):
    total = 0
    for one in tasks_of(pid):
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{one}/task/{task}/schedstat") as f:
                    total += int(f.read().split()[0])
    return total


def core_busy_ns(core):
    """What all programs together have used of a core; in steps of a clock tick."""
    with open("/proc/stat") as f:
        for line in f:
            if line.startswith(f"cpu{core} "):
                user, nice, system, _, _, irq, softirq = map(int, line.split()[1:8])
                return (user + nice + system + irq + softirq) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return 0


class Process:
    """A program on one core or several, its output in a file, ended (and its report read) by stop()."""

    def __init__(self, args, core, directory, name, env=None):
        self.name = name
        self.out_path = os.path.join(directory, name + ".out")
        self.err_path = os.path.join(directory, name + ".err")
        with open(self.out_path, "w") as out, open(self.err_path, "w") as err:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            preexec_fn=_before_exec(core), env=env, cwd=directory)
        self.pid = self.process.pid

    def errors(self):
        with open(self.err_path, errors="replace") as f:
            return f.read()[-800:].strip()

    def alive(self):
        return self.process.poll() is None

    def stop(self, how=signal.SIGTERM, wait_s=10):
        if self.alive():
            self.process.send_signal(how)
            try:
                self.process.wait(wait_s)
            except subprocess.TimeoutExpired:
                for pid in reversed(tasks_of(self.pid)):
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                self.process.wait()
        with open(self.out_path, errors="replace") as f:
            return f.read()

    def report(self):
        """The tool's last line, after stop()."""
        lines = self.stop().strip().splitlines()
        return json.loads(lines[-1]) if lines else {}


class Bench:
    """A temporary directory, the tools, and all processes started; a context manager."""

    def __init__(self, bindir=None):
        raise_descriptors()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is put back on the way out
        self.dir = tempfile.mkdtemp(prefix="weir-bench-")
        os.chmod(self.dir, 0o755)
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.memory_dir = tempfile.mkdtemp(prefix="weir-bench-", dir=memory)
        os.chmod(self.memory_dir, 0o755)
        self.bindir = os.path.abspath(bindir) if bindir else os.path.join(self.dir, "bin")
        compile_tools(self.bindir)
        self.processes = []
        self.started = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.memory_dir, ignore_errors=True)

    def tool(self, name):
        return os.path.join(self.bindir, name)

    def spawn(self, args, core, name, env=None):
        self.started += 1
        process = Process(args, core, self.dir, f"{self.started}-{name}", env)
        self.processes.append(process)
        return process

    def run(self, args, core, timeout_s):
        """To its end; returns what it wrote."""
        name = os.path.basename(args[0])
        process = self.spawn([str(a) for a in args], core, name)
        try:
            process.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{name} has not ended after {timeout_s} s") from None
        finally:
            text = process.stop()
        if process.process.returncode:
            raise BenchError(f"{name} failed: {process.errors() or 'no message'}")
        return text

    def listener(self, tool, args, core=LOAD_CORE):
        """One of the tools that are origins; returns the process and its port."""
        port, = free_ports(1)
        process = self.spawn([self.tool(tool), "-p", str(port), *(str(a) for a in args)], core, tool)
        wait_listening(process, port)
        return process, port

    def origin(self, body_bytes=1024, fields=("Cache-Control: max-age=3600",), delay_ms=0, core=LOAD_CORE):
        args = ["-b", body_bytes, "-d", delay_ms]
        for field in fields:
            args += ["-H", field]
        return self.listener("responder", args, core)

    def closer(self, ids, idle_max_ms):
        return self.listener("closer", ["-n", ids, "-c", idle_max_ms])

    def server(self, name, origin_port, body_bytes=1024, core=SERVER_CORE, wrap=(), env=None, workers=1,
               values=None):
        """`values` are put into Weir's template in place of the usual ones."""
        return Server(self, name, origin_port, body_bytes, core, list(wrap), env, workers, values or {})


def wait_listening(process, port):
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        if not process.alive():
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    process.stop()
    raise BenchError(f"{process.name} does not listen on port {port}: {process.errors() or 'no message'}")


def fill_template(name, out_path, values):
    with open(os.path.join(HERE, "conf", name)) as f:
        text = f.read()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    with open(out_path, "w") as f:
        f.write(text)
    return out_path


WEIR_VALUES = {"MEMORY": "256MiB", "LIMITS": "idle_timeout: 300s"}

# What a cache adds to an origin's head, so that the floor's bytes are like those of the others.
FLOOR_FIELDS = ("Cache-Control: max-age=3600", "Age: 1", "Via: 1.1 floor",
                "Cache-Status: floor; hit; ttl=3599")

# The last one keeps most of its log records from being written, as the others write none.
VARNISH_PARAMETERS = (
    "thread_pool_min=100", "timeout_idle=300",
    "vsl_mask=-VCL_call,-VCL_return,-ReqHeader,-RespHeader,-BereqHeader,-BerespHeader,-Timestamp")


class Server:
    """One server under test: floor, relay, weir, weir-log, nginx, haproxy or varnish."""

    def __init__(self, bench, name, origin_port, body_bytes, core, wrap, env, workers, values):
        self.bench, self.name, self.values = bench, name, values
        self.port, self.admin_port = free_ports(2)
        make = getattr(self, "_" + name.replace("-", "_"))
        args = wrap + make(origin_port, body_bytes, workers)
        self.process = bench.spawn(args, core, name, env)
        wait_listening(self.process, self.port)

    def _values(self, origin_port, **more):
        return {"PORT": self.port, "ADMIN_PORT": self.admin_port, "ORIGIN_PORT": origin_port,
                "DIR": self.bench.dir, "MEMORY_DIR": self.bench.memory_dir, **more}

    def _path(self, name):
        return os.path.join(self.bench.dir, f"{self.bench.started}-{name}")

    def _floor(self, _origin_port, body_bytes, _workers):
        args = [self.bench.tool("responder"), "-p", str(self.port), "-b", str(body_bytes)]
        for field in FLOOR_FIELDS:
            args += ["-H", field]
        return args

    def _relay(self, origin_port, _body_bytes, _workers):
        return [self.bench.tool("relay"), "-p", str(self.port), "-o", str(origin_port)]

    def _weir(self, origin_port, _body_bytes, workers, log_format="none"):
        binary = weir_binary()
        if not binary:
            raise BenchError("no weir binary (set WEIR_BIN)")
        values = {"LOG_FORMAT": log_format, "LOG_PATH": self._path("access.log"), **WEIR_VALUES, **self.values}
        values = self._values(origin_port, WORKERS=workers, **values)
        return [binary, "run", "-c", fill_template("weir.yaml.in", self._path("weir.yaml"), values)]

    def _weir_log(self, origin_port, body_bytes, workers):
        return self._weir(origin_port, body_bytes, workers, "json")

    def _nginx(self, origin_port, _body_bytes, workers):
        shutil.rmtree(os.path.join(self.bench.memory_dir, "nginx.cache"), ignore_errors=True)
        values = self._values(origin_port, WORKERS=workers,
                              USER="user root;" if os.geteuid() == 0 else "")
        conf = fill_template("nginx.conf.in", self._path("nginx.conf"), values)
        return [which("nginx"), "-p", self.bench.dir, "-c", conf, "-e", self._path("nginx.error")]

    def _haproxy(self, origin_port, _body_bytes, workers):
        conf = fill_template("haproxy.cfg.in", self._path("haproxy.cfg"),
                             self._values(origin_port, WORKERS=workers))
        return [which("haproxy"), "-db", "-q", "-f", conf]

    def _varnish(self, origin_port, _body_bytes, workers):
        vcl = fill_template("varnish.vcl.in", self._path("varnish.vcl"), self._values(origin_port))
        args = [which("varnishd"), "-F", "-n", self._path("varnish"), "-f", vcl,
                "-a", f"127.0.0.1:{self.port}", "-s", "malloc,256m"]
        for parameter in (f"thread_pools={workers}", *VARNISH_PARAMETERS):
            args += ["-p", parameter]
        return args + (["-j", "none"] if os.geteuid() == 0 else [])

    def cpu_ns(self):
        return cpu_ns(self.process.pid)

    def get(self, path, timeout_s=10):
        """One request on a connection of its own: (status, body)."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout_s) as response:
            return response.status, response.read()

    def stats(self):
        """Weir's /stats."""
        url = f"http://127.0.0.1:{self.admin_port}/stats"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)

    def stop(self):
        # nginx's TERM is its fast stop; the others end at once too, there being no requests in flight.
        return self.process.stop()


def present(names):
    """Splits names of servers into those that can run here and notes about those that cannot."""
    can, notes = [], []
    for name in names:
        if name in PEERS and not which(PEERS[name]):
            notes.append(f"{name} is not installed and was left out")
        elif name.startswith("weir") and not weir_binary():
            notes.append(f"{name}: there is no weir binary (WEIR_BIN), it was left out")
        else:
            can.append(name)
    return can, notes


def versions():
    """What ran: name → one line."""
    found = {"kernel": " ".join(os.uname()[i] for i in (0, 2, 4)), "cpu": "unknown"}
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as f:
        models = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
        found["cpu"] = f"{len(models)} × {models[0]}" if models else "unknown"
    commands = {"weir": [weir_binary(), "version"], "nginx": [which("nginx"), "-v"],
                "haproxy": [which("haproxy"), "-v"], "varnish": [which("varnishd"), "-V"],
                "wrk": [which("wrk"), "-v"], "compiler": [os.environ.get("CC", "cc").split()[0], "--version"]}
    for name, command in commands.items():
        if command[0]:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  errors="replace")
            found[name] = done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"
    return found


def say(text):
    print(text, file=sys.stderr, flush=True)
