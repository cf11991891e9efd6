"""The digest of everything that an answer follows from."""

import json
from hashlib import sha256

from meshd.kinds.base import Document


def digest(resolved: Document) -> str:
    """Return the digest of a resolved spec: of all but its limits, which decide nothing."""
    resolved = {name: value for name, value in resolved.items() if name != "limits"}
    return sha256(json.dumps(resolved, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
