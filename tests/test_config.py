from pathlib import Path

import pytest

from meshd.config import BadConfig, Config, Profile, is_address, load


def problems(file: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    file.write_text(text)
    with pytest.raises(BadConfig) as caught:
        load(file, environ or {})
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


def test_without_a_file_every_setting_has_its_default(tmp_path: Path) -> None:
    config = load(tmp_path / "none.toml", {})

    assert (config.api_port, config.peer_port, config.discovery) == (62222, 62223, True)
    assert config.slots >= 1
    assert 0 < len(config.name) <= 64


def test_the_file_sets_and_the_environment_has_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        'name = "attic"\napi_port = 7000\naddresses = ["10.0.0.7:62223", "[fd00::1]:9"]\n[rates]\nlineups = 1e9\n'
    )
    config = load(file, {"MESHD_NAME": "pc", "MESHD_RATES": "lineups/gpu=5e10, function=2"})

    assert config.name == "pc"
    assert config.api_port == 7000
    assert config.addresses == ["10.0.0.7:62223", "[fd00::1]:9"]
    assert config.rates == {"lineups/gpu": 5e10, "function": 2.0}


def test_every_setting_can_come_from_the_environment(tmp_path: Path) -> None:
    environ = {
        "MESHD_NAME": "n",
        "MESHD_API_PORT": "0",
        "MESHD_PEER_PORT": "1",
        "MESHD_ADDRESSES": "a, b:2",
        "MESHD_DISCOVERY": "false",
        "MESHD_SLOTS": "3",
        "MESHD_PAIRING_TTL_S": "60",
        "MESHD_OFFLOAD_TIMEOUT_S": "10.5",
        "MESHD_CALIBRATE": "0",
        "MESHD_RATES": "",
        "MESHD_MIN_BATTERY_PERCENT": "20",
        "MESHD_IDLE_WORKER_S": "5",
        "MESHD_BLOB_QUOTA_GB": "2",
        "MESHD_PROFILES": '{"night": {"placement": "pc"}}',
        "MESHD_KEEP_DAYS": "30",
        "MESHD_KEEP_JOBS": "1000",
        "MESHD_LOG_LEVEL": "debug",
    }

    assert load(tmp_path / "none", environ) == Config(
        name="n",
        api_port=0,
        peer_port=1,
        addresses=["a", "b:2"],
        discovery=False,
        slots=3,
        pairing_ttl_s=60.0,
        offload_timeout_s=10.5,
        calibrate=False,
        rates={},
        min_battery_percent=20.0,
        idle_worker_s=5.0,
        blob_quota_gb=2.0,
        profiles={"night": Profile(placement="pc")},
        keep_days=30.0,
        keep_jobs=1000,
        log_level="debug",
    )
    assert {f"MESHD_{key.upper()}" for key in Config.__struct_fields__} == set(environ)


def test_all_problems_are_told_at_once_each_with_its_key(tmp_path: Path) -> None:
    text = 'api_port = 99999\nslots = "two"\nadresses = []\noffload_timeout_s = 5\naddresses = ["bad host"]\n'
    told = problems(tmp_path / "c.toml", text, {"MESHD_LOG_LEVEL": "loud", "MESHD_RATES": "lineups"})

    for key in ("api_port", "slots", "adresses", "offload_timeout_s", "addresses (", "MESHD_LOG_LEVEL", "MESHD_RATES"):
        assert sum(problem.startswith(key) for problem in told) == 1, key
    assert len(told) == 7


def test_an_unknown_setting_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    assert "did you mean peer_port?" in problems(tmp_path / "c.toml", "peer_prot = 1")[0]
    assert "did you mean peer_port?" in problems(tmp_path / "c.toml", "", {"MESHD_PEER_PROT": "1"})[0]


def test_a_variable_that_resembles_none_of_ours_is_somebody_elses(tmp_path: Path) -> None:
    load(tmp_path / "none", {"MESHD_HOME": "/x", "MESHD_JOB_ID": "7", "PATH": "/bin"})


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    assert "line 2" in problems(tmp_path / "c.toml", 'name = "a"\nslots = = 2\n')[0]


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(b"name = '\xff'")
    with pytest.raises(BadConfig, match="UTF-8"):
        load(file, {})
    with pytest.raises(BadConfig, match="cannot be read"):
        load(tmp_path, {})


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\nb", "a\x1b[2J", "ends "])
def test_a_name_that_cannot_be_shown_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadConfig, match="MESHD_NAME"):
        load(tmp_path / "none", {"MESHD_NAME": name})


@pytest.mark.parametrize("address", ["pc", "pc.lan:62223", "10.0.0.7", "10.0.0.7:1", "fd00::1", "[fd00::1]", "[::1]:9"])
def test_what_is_an_address(address: str) -> None:
    assert is_address(address)


@pytest.mark.parametrize(
    "address", ["", "a b", "pc:", "pc:0", "pc:65536", "pc:x", "[fd00::1", "[pc]:1", "http://pc", "-x"]
)
def test_what_is_not(address: str) -> None:
    assert not is_address(address)
