"""Resource bombs. Each goes on to a bound, not for ever; reaching the bound is what must not happen."""

import os
import resource
import tempfile
import time

CHUNK = 8 * 1024 * 1024


def memory(size):
    """Fill memory."""
    held = []
    while sum(map(len, held)) < size:
        held.append(bytearray(os.urandom(4096)) * (CHUNK // 4096))
    return f"{size >> 20} MiB in one process"


def memory_of_several(size, processes):
    """Fill memory in several processes, which hold it at the same time."""
    told, tell = os.pipe()
    go, stay = os.pipe()
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            os.close(stay)
            try:
                held = bytearray(os.urandom(4096)) * (size // processes // 4096)
                os.write(tell, b"." if held else b"")
                os.close(tell)  # so that the parent does not wait for those that were killed
                os.read(go, 1)
            finally:
                os._exit(0)
        children.append(child)
    os.close(tell)
    reached = 0
    while reached < processes and os.read(told, 1):
        reached += 1
    os.close(stay)
    ends = [os.waitpid(child, 0)[1] for child in children]
    if reached < processes or any(ends):
        raise OSError(12, f"{reached} of {processes} held their share")
    return f"{size >> 20} MiB in {processes} processes"


def forks(count):
    """Start processes that stay."""
    go, stay = os.pipe()
    children = []
    try:
        for _ in range(count):
            child = os.fork()
            if child == 0:
                os.close(stay)
                os.read(go, 1)
                os._exit(0)
            children.append(child)
        return f"{count} processes"
    finally:
        os.close(stay)
        for child in children:
            os.waitpid(child, 0)


def threads(count):
    import threading

    go = threading.Event()
    made = []
    threading.stack_size(65536)
    try:
        for _ in range(count):
            made.append(threading.Thread(target=go.wait))
            made[-1].start()
        return f"{count} threads"
    except RuntimeError as error:
        raise OSError(11, str(error)) from error
    finally:
        go.set()


def files(count):
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
    return f"{len(held)} open files"


def big_file(size):
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with tempfile.TemporaryFile() as file:
        file.seek(size - 1)
        file.write(b"x")
        file.flush()
        return f"a file of {size >> 20} MiB"


def disk(size, folders):
    """Write files wherever it goes, and remove them again."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    written, made, failed = 0, [], OSError(2, "nowhere to write")
    chunk = os.urandom(1024 * 1024)
    try:
        for folder in [*folders, tempfile.gettempdir(), os.getcwd(), os.path.expanduser("~")]:
            try:
                while written < size:
                    number, path = tempfile.mkstemp(dir=folder, prefix="openenv-probe-")
                    made.append(path)
                    with os.fdopen(number, "wb") as file:
                        for _ in range(8):
                            file.write(chunk)
                            file.flush()
                            written += len(chunk)
            except OSError as error:
                failed = error
        if written >= size:
            return f"{written >> 20} MiB on disk"
        raise OSError(failed.errno, f"{written >> 20} MiB, then: {failed}")
    finally:
        for path in made:
            os.unlink(path)


def cpu(seconds):
    """Compute."""
    end = time.monotonic() + 10 * seconds + 20
    while (used := resource.getrusage(resource.RUSAGE_SELF).ru_utime) < seconds:
        if time.monotonic() > end:
            raise OSError(62, f"{used:.1f} s within {10 * seconds + 20} s")
    return f"{used:.1f} s of CPU time"
