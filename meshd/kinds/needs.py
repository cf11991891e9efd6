"""What an attempt needs of a device before it may start."""

from msgspec import Struct

from meshd.kinds.base import Kind


class Needs(Struct, frozen=True):
    """Memory that must be free; on a GPU, both."""

    memory_bytes: int = 0
    gpu_memory_bytes: int = 0


NOTHING = Needs()
"""What a kind needs that says nothing and does not run JAX."""

JAX = Needs(memory_bytes=800_000_000, gpu_memory_bytes=1_000_000_000)
"""What a kind that runs JAX needs if it says nothing itself: a worker was measured to hold 600 MB; on a GPU, the
context alone takes half a gigabyte."""


def needs_of(kind: Kind) -> Needs:
    """Return what an attempt of a kind needs: its attribute `needs`, where it has one."""
    told: object = getattr(kind, "needs", None)
    if isinstance(told, Needs):
        return told
    return JAX if kind.accelerated else NOTHING
