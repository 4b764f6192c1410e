"""How much what an agent wrote may use."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What the programs of one workspace may use.

    Attributes:
        timeout_s: Seconds that a call may take, unless the call says otherwise.
        memory_bytes: Memory of each process; of all together, too, where a control group can be made.
        processes: Processes and threads at one time.
        files: Open files of each process; a shell wants 256.
        file_bytes: The size of a file.
        disk_bytes: What is on the disk in all. It is looked at four times a second, so it can be exceeded by what
            is written in that time; the programs that run are ended then.
        output_bytes: What is kept of each output of a call: half from the beginning, half from the end.
    """

    timeout_s: float = 10.0
    memory_bytes: int = 1024 * _MIB
    processes: int = 64
    files: int = 256
    file_bytes: int = 256 * _MIB
    disk_bytes: int = 1024 * _MIB
    output_bytes: int = 256 * 1024
