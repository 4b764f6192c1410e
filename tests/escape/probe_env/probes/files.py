"""Files: reading and writing what is not the environment's."""

import contextlib
import hashlib
import os
import tempfile


def read(path):
    """Return the beginning of a file."""
    with open(path, errors="replace") as file:
        return file.read(1000)


def digest(path):
    """Return a file's digest, so that another file of the same name can be told from it."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def names(path):
    """Return what is in a folder."""
    return "\n".join(os.listdir(path))


def write(path):
    """Make a file."""
    with open(path, "w") as file:
        file.write("written by a probe")
    return path


def truncate(path):
    """Empty a file without opening it."""
    os.truncate(path, 0)
    return path


def remove(path):
    os.unlink(path)
    return path


def mode(path):
    """Let everybody write to a file."""
    os.chmod(path, 0o777)
    return path


def link(path):
    """Reach a file by a symbolic link in a folder of one's own."""
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(path, os.path.join(folder, "link"))
        return read(os.path.join(folder, "link"))


def hard_link(path):
    with tempfile.TemporaryDirectory() as folder:
        os.link(path, os.path.join(folder, "link"))
        return read(os.path.join(folder, "link"))


def around(path):
    """Reach a file by other names of the root folder."""
    failed = None
    names = [
        "/proc/self/root",
        "/proc/1/root",
        "/proc/self/cwd/../../../../../../../..",
        f"/proc/{os.getppid()}/root",
    ]
    names += [f"/proc/1/cwd{'/..' * 9}", "/proc/thread-self/root"]
    for name in names:
        try:
            return read(name + path)
        except OSError as error:
            failed = error
    raise failed


def by_handle(path):
    """Reach a file by its inode, which needs no path."""
    import ctypes

    from calls import LIBC, call

    class Handle(ctypes.Structure):
        _fields_ = (("size", ctypes.c_uint), ("kind", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128))

    handle, mount = Handle(128), ctypes.c_int()
    inode = os.stat(path).st_ino
    place = os.open("/", os.O_RDONLY)
    call("name_to_handle_at", ctypes.c_long(-100), b"/", ctypes.byref(handle), ctypes.byref(mount), 0)
    handle.bytes[0:4] = list((inode & 0xFFFFFFFF).to_bytes(4, "little"))
    found = call("open_by_handle_at", place, ctypes.byref(handle), os.O_RDONLY)
    del LIBC
    with os.fdopen(found) as file:
        return file.read(1000)


def environment(paths=()):
    """Return the environment variables of this process and of its ancestors, as far as they can be read."""
    found = ["\n".join(f"{name}={value}" for name, value in os.environ.items())]
    for name in ("/proc/1/environ", f"/proc/{os.getppid()}/environ", *paths):
        with contextlib.suppress(OSError), open(name, errors="replace") as file:
            found.append(file.read().replace("\0", "\n"))
    return "\n".join(found)[-3900:]


def search(token, folders):
    """Return where a token is found in names of files or in small files below some folders."""
    for folder in folders:
        for place, _, files in os.walk(folder):
            for name in files:
                path = os.path.join(place, name)
                if token in name or token in _beginning(path):
                    return f"{path}: {token}"
    raise FileNotFoundError(2, "nowhere to be found")


def _beginning(path):
    """Return the beginning of an ordinary file, nothing of others."""
    try:
        return read(path) if os.path.isfile(path) else ""
    except OSError:
        return ""
