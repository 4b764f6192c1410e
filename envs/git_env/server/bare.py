"""What of a git folder is taken over to be checked: objects and references, under a configuration of our own.

It is a list of what is let in. Hooks, configuration, attributes, replacements, grafts, alternates, commit graphs
and links stay out, so nothing that an agent wrote is run by git, or makes it see what is not there.
"""

from __future__ import annotations

import io
import re
import tarfile

__all__ = ["cleaned"]

MOST_BYTES = 64 * 1024 * 1024
_OBJECTS = re.compile(r"objects/(?:[0-9a-f]{2}/[0-9a-f]{38,62}|pack/pack-[0-9a-f]{40,64}\.(?:pack|idx))")
_REFERENCES = re.compile(r"(?:HEAD|packed-refs|refs/(?!replace/).+)")
_LONGEST_REFERENCES = 1024 * 1024
_CONFIGURATION = b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n"


def cleaned(packed: bytes) -> bytes:
    """Return a bare repository as a tar archive, made of what may be taken over from a git folder.

    Args:
        packed: The git folder as a tar archive.
    """
    found = {"HEAD": b"ref: refs/heads/main\n"}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if not member.isreg() or not _may_come(name, member.size):
                continue
            file = archive.extractfile(member)
            assert file is not None
            found[name] = _without_claims(file.read()) if name == "packed-refs" else file.read()
    return _tar({**found, "config": _CONFIGURATION})


def _may_come(name: str, size: int) -> bool:
    if _OBJECTS.fullmatch(name):
        return True
    return bool(_REFERENCES.fullmatch(name)) and ".." not in name and size <= _LONGEST_REFERENCES


def _without_claims(references: bytes) -> bytes:
    """Leave out of packed references what they say about the objects behind tags; git finds that out by itself."""
    return b"".join(line for line in references.splitlines(keepends=True) if line[:1] not in (b"#", b"^"))


def _tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for folder in ("objects", "refs"):
            made = tarfile.TarInfo(folder)
            made.type, made.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(made)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()
