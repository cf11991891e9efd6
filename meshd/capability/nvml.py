"""The GPUs that NVIDIA's driver knows. No driver, no library and no GPU are all the same here: there are none."""

import importlib
import logging
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

from meshd.capability.reading import Gpu
from meshd.clock import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

MODULE = "pynvml"
"""What the package nvidia-ml-py installs. Imported by name, when first asked for: most machines have no use for it."""

AGAIN_S = 60.0
"""How long a driver that does not answer is left alone: it may be being upgraded, or not loaded yet."""

MAX_GPUS = 64
"""More than one machine holds."""


class Memory(Protocol):
    """`nvmlMemory_t`."""

    total: int
    free: int


class Utilization(Protocol):
    """`nvmlUtilization_t`, in percent."""

    gpu: int


class Nvml(Protocol):
    """What is used of `pynvml`."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: N802, D102 - names are the library's
    def nvmlShutdown(self) -> None: ...  # noqa: N802, D102
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802, D102
    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> object: ...  # noqa: N802, D102
    def nvmlDeviceGetUUID(self, handle: object, /) -> str: ...  # noqa: N802, D102
    def nvmlDeviceGetName(self, handle: object, /) -> str: ...  # noqa: N802, D102
    def nvmlDeviceGetMemoryInfo(self, handle: object, /) -> Memory: ...  # noqa: N802, D102
    def nvmlDeviceGetUtilizationRates(self, handle: object, /) -> Utilization: ...  # noqa: N802, D102
    def nvmlDeviceGetCudaComputeCapability(self, handle: object, /) -> tuple[int, int]: ...  # noqa: N802, D102


def load() -> Nvml:
    """Return the library.

    Raises:
        ImportError: it is not installed.
    """
    return cast("Nvml", importlib.import_module(MODULE))


class NvmlGpus:
    """Lists GPUs, and how busy each is, whoever uses it."""

    def __init__(self, *, clock: Clock, load: Callable[[], Nvml] = load) -> None:
        self._clock = clock
        self._load = load
        self._nvml: Nvml | None = None
        self._not_before = 0.0
        self._installed = True

    def read(self) -> tuple[Gpu, ...]:
        """Return the GPUs as they are now; none where the driver is absent or does not answer. May block."""
        if self._nvml is None and not self._open():
            return ()
        nvml = self._nvml
        if nvml is None:
            return ()
        try:
            handles = [
                nvml.nvmlDeviceGetHandleByIndex(index) for index in range(min(nvml.nvmlDeviceGetCount(), MAX_GPUS))
            ]
            return tuple(_gpu(nvml, handle) for handle in handles)
        except nvml.NVMLError as error:
            log.warning("the GPU driver no longer answers", extra={"why": str(error)})
            self._close(nvml)
            return ()

    def _open(self) -> bool:
        if not self._installed or self._clock.boot() < self._not_before:
            return False
        try:
            nvml = self._load()
        except ImportError:
            self._installed = False
            return False
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            log.debug("no GPU driver", extra={"why": str(error)})
            self._not_before = self._clock.boot() + AGAIN_S
            return False
        self._nvml = nvml
        return True

    def _close(self, nvml: Nvml) -> None:
        self._nvml, self._not_before = None, self._clock.boot() + AGAIN_S
        _told(nvml, nvml.nvmlShutdown)


def _gpu(nvml: Nvml, handle: object) -> Gpu:
    """Return one GPU; what a model does not tell stays unknown."""
    memory = _told(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    rates = _told(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    compute = _told(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    return Gpu(
        uuid=nvml.nvmlDeviceGetUUID(handle),
        name=nvml.nvmlDeviceGetName(handle)[:64],
        compute="" if compute is None else f"{compute[0]}.{compute[1]}",
        memory_bytes=0 if memory is None else int(memory.total),
        free_bytes=None if memory is None else int(memory.free),
        busy=None if rates is None else min(max(rates.gpu / 100, 0.0), 1.0),
    )


def _told(nvml: Nvml, ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except nvml.NVMLError:
        return None
