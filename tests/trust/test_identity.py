import os
import ssl
from pathlib import Path

import pytest

from meshd.errors import Degraded
from meshd.trust.identity import FILE, load_or_create_identity
from meshd_protocol.crypto import device_of, fingerprint, signature_holds

posix = pytest.mark.skipif(os.name != "posix", reason="no data: file modes mean nothing on this system")


def test_an_identity_is_made_once_and_kept(tmp_path: Path) -> None:
    first = load_or_create_identity(tmp_path / "identity")
    again = load_or_create_identity(tmp_path / "identity")

    assert (again.device, again.certificate) == (first.device, first.certificate)
    assert first.device == device_of(first.certificate)
    assert first.fingerprint == fingerprint(first.certificate)
    assert signature_holds(first.certificate, again.sign(b"words"), b"words")
    assert not signature_holds(first.certificate, again.sign(b"words"), b"other words")


def test_two_devices_are_different(tmp_path: Path) -> None:
    assert load_or_create_identity(tmp_path / "a").device != load_or_create_identity(tmp_path / "b").device


def test_what_a_start_left_half_done_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / "identity").mkdir(mode=0o700)
    (tmp_path / "identity" / "identity.new").write_text("half a key")

    load_or_create_identity(tmp_path / "identity")

    assert [file.name for file in (tmp_path / "identity").iterdir()] == [FILE]


@posix
def test_nobody_else_can_read_the_key(tmp_path: Path) -> None:
    load_or_create_identity(tmp_path / "identity")

    assert (tmp_path / "identity").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "identity" / FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in (tmp_path / "identity").iterdir()] == [FILE]


@posix
@pytest.mark.parametrize("path", [FILE, "."])
def test_a_key_that_others_could_have_read_is_not_used(tmp_path: Path, path: str) -> None:
    load_or_create_identity(tmp_path / "identity")
    (tmp_path / "identity" / path).chmod(0o755)

    with pytest.raises(Degraded, match="open to other users") as error:
        load_or_create_identity(tmp_path / "identity")
    assert "chmod" in error.value.hint


@pytest.mark.parametrize("damage", ["empty", "cut", "mixed"])
def test_a_damaged_key_is_said_to_be_damaged_and_left_as_it_is(tmp_path: Path, damage: str) -> None:
    load_or_create_identity(tmp_path / "identity")
    file = tmp_path / "identity" / FILE
    load_or_create_identity(tmp_path / "other")
    key, begin, _ = file.read_bytes().partition(b"-----BEGIN CERTIFICATE-----")
    _, _, other = (tmp_path / "other" / FILE).read_bytes().partition(b"-----BEGIN CERTIFICATE-----")
    damaged = {"empty": b"", "cut": key[:60], "mixed": key + begin + other}[damage]
    file.write_bytes(damaged)

    with pytest.raises(Degraded, match="is damaged"):
        load_or_create_identity(tmp_path / "identity")
    assert file.read_bytes() == damaged


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Degraded, match="cannot be used"):
        load_or_create_identity(tmp_path / "file" / "identity")


def test_the_peer_port_speaks_tls_1_3_and_hands_out_no_tickets(tmp_path: Path) -> None:
    context = load_or_create_identity(tmp_path / "identity").server_ssl_context()

    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.num_tickets == 0
