"""GPUs are listed where a driver knows some; everywhere else there are none, and nobody is told an error."""

import importlib.util
import logging

import pytest

from meshd.capability import nvml
from meshd.capability.nvml import AGAIN_S, Nvml, NvmlGpus
from meshd.capability.reading import Gpu
from tests.support.fake_nvml import Card, FakeNvml
from tests.support.manual_clock import ManualClock


def test_a_gpu_is_told_with_its_memory_and_how_busy_it_is() -> None:
    library = FakeNvml([Card("GPU-1"), Card("GPU-2", name="GPU B")])

    first, second = NvmlGpus(clock=ManualClock(), load=lambda: library).read()

    assert first == Gpu("GPU-1", "GPU A", "8.9", memory_bytes=24_000, free_bytes=20_000, busy=0.25)
    assert (second.uuid, second.name) == ("GPU-2", "GPU B")


def test_what_a_model_does_not_tell_is_unknown_and_the_gpu_is_listed_all_the_same() -> None:
    library = FakeNvml([Card("GPU-1", memory=None, rates=None, compute=None)])

    assert NvmlGpus(clock=ManualClock(), load=lambda: library).read() == (Gpu("GPU-1", "GPU A"),)


def test_a_machine_without_the_library_has_no_gpus_and_is_not_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str] = []

    def load() -> Nvml:
        asked.append("load")
        raise ImportError("No module named 'pynvml'")

    clock = ManualClock()
    gpus = NvmlGpus(clock=clock, load=load)
    with caplog.at_level(logging.INFO):
        assert gpus.read() == ()
        clock.advance(10 * AGAIN_S)
        assert gpus.read() == ()

    assert asked == ["load"]
    assert caplog.records == []


def test_a_driver_that_comes_later_is_found(caplog: pytest.LogCaptureFixture) -> None:
    clock, library = ManualClock(), FakeNvml([Card("GPU-1")], absent=True)
    gpus = NvmlGpus(clock=clock, load=lambda: library)
    with caplog.at_level(logging.INFO):
        assert gpus.read() == ()
        library.absent = False
        assert gpus.read() == ()
        clock.advance(AGAIN_S)
        assert [gpu.uuid for gpu in gpus.read()] == ["GPU-1"]

    assert caplog.records == []
    assert library.opened == 1


def test_a_driver_that_goes_away_is_told_once_and_its_gpus_with_it(caplog: pytest.LogCaptureFixture) -> None:
    clock, library = ManualClock(), FakeNvml([Card("GPU-1")])
    gpus = NvmlGpus(clock=clock, load=lambda: library)
    assert gpus.read()
    library.absent = True
    with caplog.at_level(logging.INFO):
        assert gpus.read() == ()
        assert gpus.read() == ()
    library.absent = False
    clock.advance(AGAIN_S)

    assert len(caplog.records) == 1
    assert gpus.read()


def test_the_real_library_has_what_is_used_of_it() -> None:
    if importlib.util.find_spec(nvml.MODULE) is None:
        pytest.skip("no GPU library: nvidia-ml-py is not installed")
    real = nvml.load()

    used = [name for name in dir(FakeNvml) if name.startswith("nvml")] + ["NVMLError"]
    assert [name for name in used if not hasattr(real, name)] == []
