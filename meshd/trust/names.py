"""Names that other devices give themselves, made safe to show."""

import unicodedata

from meshd_protocol.limits import MAX_NAME

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control, format (the bidirectional overrides among them), surrogate, private and unassigned characters."""


def safe_name(text: str, fallback: str) -> str:
    """Return `text` without characters that hide, reorder or break a line, or `fallback`."""
    visible = "".join(char for char in text if unicodedata.category(char) not in _HIDDEN)
    return " ".join(visible.split())[:MAX_NAME].strip() or fallback
