import io
import logging
from collections.abc import Generator

import pytest

from meshd.logs import MAX_LINE, configure

log = logging.getLogger("meshd.test")


@pytest.fixture
def out() -> Generator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure("info", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_record_is_one_line_with_its_ids(out: io.StringIO) -> None:
    log.info("lease lapsed", extra={"job": "abc", "attempt": 2})
    log.debug("not told")

    assert out.getvalue().endswith("Z info meshd.test: lease lapsed job=abc attempt=2\n")
    assert out.getvalue().count("\n") == 1


def test_what_a_peer_wrote_cannot_forge_a_record_or_move_the_cursor(out: io.StringIO) -> None:
    log.info("paired with %s", "pc\n2026 error: forged\x1b[2J\u202e\r", extra={"peer": "a\nb\x00"})

    written = out.getvalue()
    assert written.count("\n") == 1
    assert not set("\x1b\u202e\r\x00") & set(written)
    assert r"pc\n2026 error: forged\x1b[2J\u202e\r" in written


def test_a_traceback_follows_in_lines_that_cannot_be_taken_for_records(out: io.StringIO) -> None:
    try:
        raise ValueError("line\nforged")
    except ValueError:
        log.exception("it broke", extra={"error": "e1"})

    first, *rest = out.getvalue().splitlines()
    assert first.endswith("error meshd.test: it broke error=e1")
    assert rest
    assert all(line.startswith("  | ") for line in rest)


def test_secrets_are_hidden_wherever_they_stand(out: io.StringIO) -> None:
    log.info("asked with Authorization: Bearer s3cret", extra={"token": "s3cret", "pairing_code": "s3cret", "job": 1})
    log.info("GET /?token=s3cret")

    assert "s3cret" not in out.getvalue()
    assert "job=1" in out.getvalue()


def test_no_record_is_endless(out: io.StringIO) -> None:
    log.info("x" * 100_000)

    assert len(out.getvalue()) < MAX_LINE + 10
