"""A machine that has what a test gives it."""

from dataclasses import dataclass, field, replace

from meshd.capability.reading import Battery, Gpu, Reading

GIB = 1 << 30


def a_gpu(number: int = 1, *, name: str = "GPU A", free_gib: float = 20.0, busy: float = 0.0) -> Gpu:
    return Gpu(
        uuid=f"GPU-{number:08d}",
        name=name,
        compute="9.0",
        memory_bytes=24 * GIB,
        free_bytes=int(free_gib * GIB),
        busy=busy,
    )


def a_machine(*gpus: Gpu, free_gib: float = 8.0, charge: float | None = None, plugged: bool = False) -> Reading:
    """Return the reading of a machine with these GPUs, and with a battery if it has a charge."""
    return Reading(
        cores=4,
        memory_bytes=16 * GIB,
        free_bytes=int(free_gib * GIB),
        cpu=0.1,
        gpus=gpus,
        battery=None if charge is None else Battery(charge, plugged),
    )


@dataclass(slots=True)
class ManualMachine:
    """A probe whose readings are made by hand."""

    reading: Reading = field(default_factory=a_machine)
    looks: int = 0

    def look(self) -> Reading:
        self.looks += 1
        return self.reading

    def change(self, **fields: object) -> None:
        """Let the next look show something else."""
        self.reading = replace(self.reading, **fields)  # pyright: ignore[reportArgumentType]
