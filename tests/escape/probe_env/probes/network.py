"""Network: reaching anything from inside."""

import ctypes
import os
import socket
import struct

BUDGET_S = 3.0


def tcp(host, port):
    with socket.create_connection((host, port), timeout=BUDGET_S) as connection:
        connection.sendall(b"probe")
        return f"{host}:{port}"


def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"probe", (host, port))
        return f"{host}:{port}"


def fast_open(host, port):
    """Connect by sending."""
    with socket.socket() as sender:
        sender.settimeout(BUDGET_S)
        sender.sendto(b"probe", 0x20000000, (host, port))
        return f"{host}:{port}"


def multipath(host, port):
    """Connect by another protocol that ends up as TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as sender:
        sender.settimeout(BUDGET_S)
        sender.connect((host, port))
        sender.sendall(b"probe")
        return f"{host}:{port}"


def names(name):
    try:
        return socket.getaddrinfo(name, 80)[0][4][0]
    except socket.gaierror as error:
        raise OSError(101, str(error)) from error


def dns(server):
    """Ask a name server by hand, and wait for its answer."""
    query = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + b"\x07example\x03com\x00" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(BUDGET_S)
        sender.sendto(query, (server, 53))
        return sender.recv(512)


def unix(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(BUDGET_S)
        connection.connect(path.replace("@", "\0", 1) if path.startswith("@") else path)
        connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return connection.recv(200)


def unix_datagram(path):
    """Send to a Unix socket without connecting, from one end of a pair."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendto(b"probe", path)
        return path


def raw():
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP):
        return "a raw socket"


def packet():
    with socket.socket(17, socket.SOCK_RAW, 0x300):
        return "a packet socket"


def vsock():
    """Talk to whatever runs this machine."""
    with socket.socket(40, socket.SOCK_STREAM) as connection:
        connection.settimeout(BUDGET_S)
        code = connection.connect_ex((2, 1))
        return f"a socket to the hypervisor, {os.strerror(code)}"


def listener(host, port, listeners):
    """Turn the server's own listening socket, which comes from outside, into a connection."""
    if not listeners:
        raise OSError(2, "no listening socket is here")
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket(fileno=listeners[0]) as taken:
        if libc.connect(taken.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16):
            raise OSError(ctypes.get_errno(), "it cannot be disconnected")
        taken.settimeout(BUDGET_S)
        taken.connect((host, port))
        taken.sendall(b"probe")
        return f"{host}:{port}"
