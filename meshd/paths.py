"""Where things live on this machine.

Imported by every command, `meshd status` among them: it stays free of imports that take time (`dataclasses` and
`platformdirs` cost as much as the rest of that command together).
"""

from __future__ import annotations

import os
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

HOME_VARIABLE = "MESHD_HOME"


class Paths:
    """The files and folders of one device; two nodes on a machine have two of these."""

    __slots__ = (
        "api_token",
        "blobs",
        "config_file",
        "daemon_file",
        "daemon_log",
        "data",
        "database",
        "identity",
        "lock",
        "logs",
    )

    def __init__(self, *, config: Path, data: Path) -> None:
        self.config_file = config / "config.toml"
        self.data = data
        self.database = data / "mesh.db"
        self.blobs = data / "blobs"
        self.logs = data / "logs"
        self.identity = data / "identity"
        self.api_token = data / "api-token"
        self.daemon_file = data / "daemon.json"
        """Where the running daemon listens: pid, port, peer_port, version. Absent while none runs."""

        self.daemon_log = data / "daemon.log"
        """What a daemon in the background prints."""

        self.lock = data / "lock"

    def create(self) -> None:
        """Make the folders, readable by nobody else; folders that exist lose the rights of others."""
        for folder in (self.data, self.blobs, self.logs, self.identity):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.name == "posix" and folder.stat().st_mode & 0o077:
                folder.chmod(0o700)


def find(environ: Mapping[str, str]) -> Paths:
    """Return this device's paths: all in `MESHD_HOME` when that is set, else where the platform keeps such things."""
    home = environ.get(HOME_VARIABLE)
    if home:
        folder = Path(home).expanduser().absolute()
        return Paths(config=folder, data=folder)
    import platformdirs

    # The name alone, without an author: the latter makes a second folder level on Windows.
    return Paths(
        config=platformdirs.user_config_path("meshd", appauthor=False),
        data=platformdirs.user_data_path("meshd", appauthor=False),
    )
