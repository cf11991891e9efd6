"""Small pieces that several answers of the local API share."""

from meshd_protocol.localapi import RateView
from meshd_protocol.messages.status import Status


def rate_views(status: Status) -> list[RateView]:
    """Return the rates that a device tells of itself."""
    return [
        RateView(kind=kind.kind, rate=kind.rate, source=kind.source) for kind in status.kinds if kind.rate is not None
    ]
