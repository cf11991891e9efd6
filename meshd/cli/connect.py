"""How a command finds its daemon."""

import os

from meshd.cli.screen import say
from meshd.client.launch import ensure
from meshd.client.local import Client
from meshd.paths import find


def connect() -> Client:
    """Return a client of this device's daemon, which is started if it does not run.

    Raises:
        MeshdError: it does not start; the message is its own.
    """
    paths = find(os.environ)
    status, started = ensure(paths, os.environ)
    if started:
        say(f"started meshd ({status.name})")
    return Client(paths)
