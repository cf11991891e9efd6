"""Devices are shown with what they have and how busy they are, and what keeps them from taking jobs."""

import msgspec
import pytest
from msgspec.structs import replace

from meshd.cli.main import run
from meshd_protocol.localapi import PeerView, RateView, StatusView
from tests.support.services import AT, Services, gpu, machine, peer


@pytest.fixture
def services(services: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    monkeypatch.setenv("COLUMNS", "200")
    return services


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(arguments) == 0
    return capsys.readouterr().out


def test_status_tells_what_this_device_has_and_how_busy_it_is(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    services.daemon.machine = machine(gpu(), gpu("GPU B", usable=False))
    out = printed(capsys, "status")

    assert "machine    8 cores, 25% busy; 9 of 16 GB free\n" in out
    assert "gpu        NVIDIA H200, 100 of 139 GB free, 50% busy\n" in out
    assert "gpu        GPU B, 100 of 139 GB free, 50% busy (not used: JAX has not computed on it yet)\n" in out
    assert "battery" not in out
    assert "paused" not in out


@pytest.mark.parametrize(
    ("plugged", "reluctance", "told"),
    [
        (True, "", "34%, charging, or full"),
        (False, "", "34%, not plugged in"),
        (False, "on battery at 34%", "34%, takes no jobs of others"),
    ],
)
def test_status_tells_of_the_battery_and_what_it_changes(
    services: Services, capsys: pytest.CaptureFixture[str], plugged: bool, reluctance: str, told: str
) -> None:
    services.daemon.machine = replace(machine(battery=0.34), plugged=plugged)
    services.daemon.reluctance = reluctance
    assert f"battery    {told}\n" in printed(capsys, "status")


def test_a_device_is_paused_and_resumed_and_status_says_so(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "laptop is paused" in printed(capsys, "pause")
    assert f"paused     since {AT}: nothing new starts here; meshd resume\n" in printed(capsys, "status")
    assert msgspec.json.decode(printed(capsys, "pause", "--json"), type=StatusView).paused_at == AT
    assert "laptop takes jobs again" in printed(capsys, "resume")
    assert "paused" not in printed(capsys, "status")
    assert msgspec.json.decode(printed(capsys, "resume", "--json"), type=StatusView).paused_at is None


def row(services: Services, capsys: pytest.CaptureFixture[str], shown: PeerView) -> str:
    services.devices.paired = [shown]
    return printed(capsys, "peers").splitlines()[1]


def test_peers_are_listed_with_gpus_queue_and_speed(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    rates = [RateView(kind="lineups", rate=5e12, source="measured", accelerator="NVIDIA H200")]
    line = row(services, capsys, replace(peer(), machine=machine(gpu()), queued=3, rates=rates))

    assert line.split()[:3] == ["pc", "p" * 16, "online"]
    assert " 1.2 ms " in line
    assert " 1/8 " in line
    assert " 3  " in line
    assert "NVIDIA H200" in line
    assert "lineups 5 T/s on NVIDIA H200" in line
    assert line.rstrip().endswith("now")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"state": "idle"}, "idle"),
        ({"paused": True}, "online, paused"),
        ({"reluctance": "on battery at 20%"}, "online, on battery at 20%"),
        ({"machine": machine(battery=0.8)}, "online, on battery at 80%"),
        ({"state": "offline", "paused": True}, "offline"),
    ],
)
def test_what_keeps_a_peer_from_taking_jobs_stands_beside_its_state(
    services: Services, capsys: pytest.CaptureFixture[str], changes: dict[str, object], state: str
) -> None:
    assert f" {state}  " in row(services, capsys, replace(peer(), **changes))


def test_the_test_of_a_peer_tells_its_machine_its_gpus_and_whether_it_takes_jobs(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    services.devices.paired = [replace(peer(), machine=machine(gpu()), paused=True, reluctance="on battery at 20%")]
    out = printed(capsys, "test", "pc")

    assert "machine     8 cores, 25% busy; 9 of 16 GB free\n" in out
    assert "gpu         NVIDIA H200, 100 of 139 GB free, 50% busy\n" in out
    assert "takes jobs  no: paused, on battery at 20%\n" in out
    services.devices.paired = [replace(peer(), machine=machine())]
    out = printed(capsys, "test", "pc")
    assert "gpu         none\n" in out
    assert "takes jobs  yes\n" in out


def test_what_a_peer_says_of_itself_cannot_move_the_cursor(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    services.devices.paired = [replace(peer(), machine=machine(gpu("G\x1b[2J")), reluctance="on\x07 battery")]
    for arguments in (["peers"], ["test", "pc"]):
        assert not set("\x1b\x07") & set(printed(capsys, *arguments))
