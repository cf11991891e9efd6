"""The token that opens the local API: random, new at every start, in a file that only its user can read.

A new one each time, so that whatever takes the port while no daemon runs learns nothing that opens the next one.
"""

import hmac
import os
import secrets
from pathlib import Path

TOKEN_BYTES = 32


def create_token(file: Path) -> str:
    """Write a new token to `file`, readable by its owner alone, and return it.

    Raises:
        OSError: the file cannot be written.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    # The same name each time: what a daemon leaves that is killed just here goes at the next start.
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    # Never readable by others, not even for a moment: created with its rights, then put in place in one step.
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
        out.write(token)
    fresh.replace(file)
    return token


def holds(header: str | None, token: str) -> bool:
    """Return whether this `Authorization` header carries the token; takes equally long for every wrong one."""
    scheme, _, given = (header or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
