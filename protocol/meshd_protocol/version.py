"""The protocol version: one integer, raised whenever the meaning of the wire changes.

History:
    1   2026-11-21  first version: pairing by code, sessions, durable streams, leases, jobs
"""

from meshd_protocol.errors import Code, Refused

PROTOCOL_VERSION = 1
OLDEST_SPOKEN = 1
"""The oldest version that this implementation still speaks."""


def negotiate(theirs: int) -> int:
    """Return the version both sides speak: the lower of the two.

    Raises:
        Refused: there is none; the text says which side to upgrade.
    """
    if theirs < OLDEST_SPOKEN:
        raise Refused(
            f"the other device speaks protocol {theirs}, this one at least {OLDEST_SPOKEN}: upgrade meshd there",
            code=Code.VERSION,
        )
    return min(theirs, PROTOCOL_VERSION)
