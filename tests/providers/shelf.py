"""An engine of the simplest kind: its servers are detached processes, and a folder of files knows them.

What it starts lives on when its program is killed, as containers and pods do.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from openenv.errors import EngineUnavailableError
from openenv.providers import Provider
from openenv.providers.ownership import OwnedResource, Ownership
from openenv.providers.source import Source

TOY_SERVER = Path(__file__).with_name("toy_server.py")


class Shelf(Provider):
    """Starts the toy server and keeps it on the shelf."""

    outlives_program = True

    def __init__(self, folder, lifetime_s=None):
        self.folder = Path(folder)
        self.lifetime_s = lifetime_s

    def launch(self, source: Source) -> list[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = subprocess.Popen(
                [sys.executable, "-I", "-S", str(TOY_SERVER), str(listener.fileno())],
                pass_fds=(listener.fileno(),),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            server.returncode = 0  # it is not this program's any more
            record = {"pid": server.pid, "labels": self.ownership.labels()}
            (self.folder / self.ownership.name).write_text(json.dumps(record))
            return [f"http://127.0.0.1:{listener.getsockname()[1]}"]

    def shutdown(self) -> None:
        for resource in self.owned(self.where()):
            if resource.ownership == self.ownership:
                self.remove(resource)

    def where(self):
        return {"folder": str(self.folder)}

    @classmethod
    def owned(cls, where):
        folder = Path(where.get("folder", "nowhere"))
        if not folder.is_dir():
            raise EngineUnavailableError(f"There is no shelf at {folder}")
        return [cls._resource(file, where) for file in sorted(folder.iterdir())]

    @staticmethod
    def _resource(file, where):
        record = json.loads(file.read_text())
        owned = Ownership.from_labels(record["labels"])
        return OwnedResource(owned, str(record["pid"]), "process", "running", file.stat().st_mtime, where)

    @classmethod
    def remove(cls, resource):
        try:
            os.kill(int(resource.id), signal.SIGKILL)
        except ProcessLookupError:
            pass
        (Path(resource.where["folder"]) / resource.ownership.name).unlink(missing_ok=True)


def aged(folder, name, seconds):
    """Let something on the shelf be older than it is."""
    record = json.loads((folder / name).read_text())
    owned = Ownership.from_labels(record["labels"])
    record["labels"] = replace(owned, expires=owned.expires - seconds).labels()
    (folder / name).write_text(json.dumps(record))
