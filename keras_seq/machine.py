"""This process and its machine: memory, threads, ports, and TensorFlow's import without its chatter."""

from __future__ import annotations

import os
import platform
import resource
import socket
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from keras_seq import __version__

LIBRARIES = ("tensorflow", "keras", "numpy", "scikit-learn", "pandas")
CHATTER = ("absl::InitializeLog", "port.cc", "cudart_stub.cc", "cpu_feature_guard.cc", "instructions in performance")


def resident_mb(pid: int | None = None) -> float:
    """Resident memory of a process (this one), MB (10^6 bytes); 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid or os.getpid()}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * resource.getpagesize() / 1e6


def peak_bytes() -> int:
    """Highest resident memory of this process so far; ``ru_maxrss`` would also count the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_running(pid: int) -> bool:
    """Whether a process of that number is there, of whatever user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # not ours to signal, and so there
        return True
    return True


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nothing uses at the moment."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def thread_environment(threads: int) -> dict[str, str]:
    """Variables that hold a new process to so many threads, in TensorFlow and in scikit-learn's OpenMP."""
    return dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), str(threads))


def threads_here() -> int:
    """Threads that TensorFlow's operations use beside each other in this process: told it, or the cores it may use."""
    threads = os.environ.get("TF_NUM_INTEROP_THREADS", "")
    if threads.isdigit() and int(threads):
        return int(threads)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_tensorflow() -> None:
    """Import TensorFlow without the start-up chatter of its C++ parts; anything else it says is passed on."""
    if "tensorflow" in sys.modules:
        return
    with tempfile.TemporaryFile() as heard:
        stderr = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            import tensorflow
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            heard.seek(0)
            for line in heard.read().decode(errors="replace").splitlines():
                if not any(word in line for word in CHATTER):
                    print(line, file=sys.stderr)
    # every judged model and every shape of a batch is traced anew, and that is meant
    tensorflow.get_logger().addFilter(lambda record: "retracing" not in record.getMessage())


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide what a model computes."""
    versions = {"python": platform.python_version(), "keras_seq": __version__}
    return versions | {name: metadata.version(name) for name in LIBRARIES}
