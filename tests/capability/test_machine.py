"""A probe tells what a machine has and how busy it is, the real one and the one of the tests alike."""

from collections.abc import Callable
from types import SimpleNamespace

import psutil
import pytest

from meshd.capability.machine import GPUS_ON_BATTERY_S, Machine, read_battery
from meshd.capability.nvml import NvmlGpus
from meshd.capability.reading import Battery, Gpu, Probe
from tests.support.fake_nvml import Card, FakeNvml
from tests.support.manual_clock import ManualClock
from tests.support.manual_machine import ManualMachine, a_gpu, a_machine


def real() -> Probe:
    library = FakeNvml([Card("GPU-1")])
    clock = ManualClock()
    return Machine(clock=clock, gpus=NvmlGpus(clock=clock, load=lambda: library))


class Counted:
    """One GPU, and how often it was asked for."""

    asked = 0

    def read(self) -> tuple[Gpu, ...]:
        self.asked += 1
        return (a_gpu(),)


def made() -> Probe:
    return ManualMachine(a_machine(a_gpu(), charge=0.5))


@pytest.mark.parametrize("probe", [real, made])
def test_a_reading_is_within_what_a_machine_can_have(probe: Callable[[], Probe]) -> None:
    subject = probe()
    for reading in (subject.look(), subject.look()):
        assert reading.cores >= 1
        assert reading.free_bytes is not None
        assert 0 < reading.free_bytes <= reading.memory_bytes
        assert reading.cpu is None or 0 <= reading.cpu <= 1
        assert reading.battery is None or 0 <= reading.battery.share <= 1
        (gpu,) = reading.gpus
        assert reading.gpu(gpu.uuid) == gpu
        assert gpu.free_bytes is not None
        assert 0 < gpu.free_bytes <= gpu.memory_bytes


def test_how_busy_the_processors_are_is_counted_from_look_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    class Times(tuple[float, ...]):
        idle = property(lambda self: self[0])

    times = iter([Times((100.0, 100.0)), Times((103.0, 101.0)), Times((103.0, 101.0))])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(times))
    machine = Machine(clock=ManualClock(), gpus=Counted())

    assert [machine.look().cpu for _ in range(3)] == [None, pytest.approx(0.25), None]


@pytest.mark.parametrize(
    ("told", "battery"),
    [
        (None, None),
        (SimpleNamespace(percent=34, power_plugged=False), Battery(0.34, plugged=False)),
        (SimpleNamespace(percent=104.0, power_plugged=True), Battery(1.0, plugged=True)),
        (SimpleNamespace(percent=90, power_plugged=None), Battery(0.9, plugged=True)),
    ],
)
def test_a_battery_is_told_with_its_charge(
    monkeypatch: pytest.MonkeyPatch, told: object, battery: Battery | None
) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: told, raising=False)
    assert read_battery() == battery


def test_a_battery_that_cannot_be_read_is_no_battery(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> object:
        raise OSError("the battery was taken out")

    monkeypatch.setattr(psutil, "sensors_battery", broken, raising=False)
    assert read_battery() is None


def test_on_battery_a_gpu_is_left_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    battery = SimpleNamespace(percent=50, power_plugged=False)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    clock, gpus = ManualClock(), Counted()
    machine = Machine(clock=clock, gpus=gpus)
    assert [machine.look().gpus for _ in range(3)] == [(a_gpu(),)] * 3
    assert gpus.asked == 1
    clock.advance(GPUS_ON_BATTERY_S)
    machine.look()
    assert gpus.asked == 2
    battery.power_plugged = True
    machine.look()
    machine.look()
    assert gpus.asked == 4
