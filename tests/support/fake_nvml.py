"""NVIDIA's library, as far as it is used, for a machine that has no such GPU."""

from dataclasses import dataclass, field


class NvmlTrouble(Exception):
    """What every call of the library may raise."""


@dataclass(slots=True)
class Figure:
    """A structure of the library; one class is enough for two of them."""

    total: int = 0
    free: int = 0
    gpu: int = 0


@dataclass(slots=True)
class Card:
    """A GPU; None where the model does not tell."""

    uuid: str
    name: str = "GPU A"
    memory: Figure | None = field(default_factory=lambda: Figure(total=24_000, free=20_000))
    rates: Figure | None = field(default_factory=lambda: Figure(gpu=25))
    compute: tuple[int, int] | None = (8, 9)


@dataclass(slots=True)
class FakeNvml:
    """See `meshd.capability.nvml.Nvml`."""

    cards: list[Card] = field(default_factory=list[Card])
    absent: bool = False
    """Whether the driver is not there, or does not answer."""

    opened: int = 0
    NVMLError: type[Exception] = NvmlTrouble

    def nvmlInit(self) -> None:  # noqa: N802
        self._require_driver()
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self._require_driver()

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._require_driver()
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> object:  # noqa: N802
        self._require_driver()
        return self.cards[index]

    def nvmlDeviceGetUUID(self, handle: object, /) -> str:  # noqa: N802
        return self._card(handle).uuid

    def nvmlDeviceGetName(self, handle: object, /) -> str:  # noqa: N802
        return self._card(handle).name

    def nvmlDeviceGetMemoryInfo(self, handle: object, /) -> Figure:  # noqa: N802
        return told(self._card(handle).memory)

    def nvmlDeviceGetUtilizationRates(self, handle: object, /) -> Figure:  # noqa: N802
        return told(self._card(handle).rates)

    def nvmlDeviceGetCudaComputeCapability(self, handle: object, /) -> tuple[int, int]:  # noqa: N802
        compute = self._card(handle).compute
        if compute is None:
            raise NvmlTrouble("Not Supported")
        return compute

    def _require_driver(self) -> None:
        if self.absent:
            raise NvmlTrouble("Driver Not Loaded")

    def _card(self, handle: object) -> Card:
        self._require_driver()
        assert isinstance(handle, Card)
        return handle


def told(figure: Figure | None) -> Figure:
    if figure is None:
        raise NvmlTrouble("Not Supported")
    return figure
