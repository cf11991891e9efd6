"""What a device says of itself becomes what placement counts on, with what is on its way there taken off."""

from meshd.jobs.outlook import outlook
from meshd.scheduling.snapshot import DeviceSnapshot
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages import status as wire

PC = DeviceId("pcpcpcpcpcpcpcpc")


def line(accelerator: str, *, free: int, slots: int, rate: float | None, kind: str = "lineups") -> wire.KindStatus:
    return wire.KindStatus(kind=kind, free=free, wait_s=0.0, rate=rate, source="", accelerator=accelerator, slots=slots)


def gpu(number: int, name: str, free_bytes: int | None) -> wire.GpuStatus:
    return wire.GpuStatus(uuid=f"GPU-{number}", name=name, free_bytes=free_bytes)


def seen(*lines: wire.KindStatus, gpus: tuple[wire.GpuStatus, ...] = (), coming: int = 0) -> DeviceSnapshot:
    status = wire.Status(
        name="pc", version="", platform="", kinds=list(lines), slots=2, busy=0, queued=0, gpus=gpus, free_bytes=7
    )
    return outlook(
        PC,
        "pc",
        status,
        is_local=False,
        is_online=True,
        rtt_s=0.001,
        coming=coming,
        rate_of=lambda line: line.rate,
    )


def test_a_kind_has_its_accelerators_the_fastest_first() -> None:
    device = seen(
        line("cpu", free=1, slots=1, rate=1e9),
        line("GPU A", free=2, slots=2, rate=1e12),
        line("GPU B", free=1, slots=1, rate=None),
    )
    assert [each.accelerator for each in device.options("lineups")] == ["GPU A", "cpu", "GPU B"]
    assert device.options("echo") == ()
    assert device.free_bytes == 7


def test_what_is_on_its_way_takes_the_fastest_slots_first() -> None:
    lines = (line("cpu", free=1, slots=1, rate=1e9), line("GPU A", free=2, slots=2, rate=1e12))
    left = [[each.free for each in seen(*lines, coming=coming).options("lineups")] for coming in range(5)]
    assert left == [[2, 1], [1, 1], [0, 1], [0, 0], [0, 0]]


def test_a_claim_of_more_free_slots_than_there_are_counts_for_those_that_there_are() -> None:
    (only,) = seen(line("", free=1000, slots=2, rate=1.0)).options("lineups")
    assert only.free == 2


def test_of_several_gpus_of_a_model_the_one_with_most_free_memory_counts() -> None:
    gpus = (gpu(1, "GPU A", 3), gpu(2, "GPU A", 9), gpu(3, "GPU B", 99), gpu(4, "GPU A", None))
    (only,) = seen(line("GPU A", free=1, slots=3, rate=1.0), gpus=gpus).options("lineups")
    assert only.gpu_free_bytes == 9
    (only,) = seen(line("cpu", free=1, slots=1, rate=1.0), gpus=gpus).options("lineups")
    assert only.gpu_free_bytes is None


def test_a_peer_that_has_not_told_anything_yet_cannot_be_given_anything() -> None:
    device = outlook(
        PC, "pc", None, is_local=False, is_online=True, rtt_s=0.0, coming=0, rate_of=lambda line: line.rate
    )
    assert (device.is_online, dict(device.kinds)) == (False, {})
