import json
import socket
import threading
from pathlib import Path

import pytest
from msgspec import Raw

from meshd.client.connection import Connection, DaemonUnreachable
from meshd.client.local import Client, NotUnderstood
from meshd.errors import BadInput, MeshdError, NotFound, PeerRefused, UsageError
from meshd.paths import Paths
from meshd_protocol.localapi import NO_DOCUMENT, JobRequest
from tests.support.services import attempt, job_view, running


def paths(home: Path) -> Paths:
    return Paths(config=home, data=home)


def test_every_answer_arrives_with_its_type(tmp_path: Path) -> None:
    with running(tmp_path) as services:
        client = Client(paths(tmp_path))
        document = Raw(b'{"seed":1}')
        services.jobs.put(
            job_view("j1", "completed", spec=document, result=Raw(b"{}"), attempts=[attempt(1, "pc", "lost")])
        )

        assert client.status().name == "laptop"
        assert client.peers()[0].rates[0].rate == 5e10
        assert client.sightings() == []
        assert client.jobs(states=["completed"], query="a b&c", limit=3).jobs[0].spec == NO_DOCUMENT
        assert services.jobs.asked[0][0].text == "a b&c"
        job = client.job("j1")
        assert (job.spec, job.result, job.manifest) == (document, Raw(b"{}"), NO_DOCUMENT)
        assert job.attempts[0].state == "lost"
        assert client.submit(JobRequest(kind="lineups", spec={}), idempotency_key="k").state == "queued"
        assert client.stats().kinds == {"lineups": 2}
        assert client.test("pc").round_trip_ms == 1.5
        assert (
            client.rerun("j1", idempotency_key="k").id
            == client.submit(JobRequest(kind="lineups", spec={}), idempotency_key="k").id
        )
        assert client.delete("j1").deleted == 1
        assert client.clear().deleted == 0
        assert client.unpair("pc").name == "pc"


def test_an_error_arrives_as_what_it_was(tmp_path: Path) -> None:
    with running(tmp_path) as services:
        client = Client(paths(tmp_path))
        services.jobs.put(job_view("j1"))
        services.jobs.put(job_view("j2"))

        with pytest.raises(NotFound, match="no job 'x'"):
            client.job("x")
        with pytest.raises(UsageError) as several:
            client.job("j")
        assert several.value.hint == "j1, j2"
        with pytest.raises(BadInput, match="no kind"):
            client.submit(JobRequest(kind="nope", spec={}))
        with pytest.raises(PeerRefused, match="the code is wrong") as refused:
            client.accept("000000")
        assert (refused.value.code, refused.value.hint) == ("wrong_code", "look again")
        with pytest.raises(MeshdError) as method:
            client.connection.request("DELETE", "/api/v1/jobs")
        assert (method.value.code, method.value.status) == ("method", 405)


def test_a_job_is_followed_to_its_end(tmp_path: Path) -> None:
    with running(tmp_path) as services:
        client = Client(paths(tmp_path))
        services.jobs.script = [
            job_view("", "running", progress=0.5),
            job_view("", "completed", result=Raw(b'{"a":1}')),
        ]
        job = client.submit(JobRequest(kind="lineups", spec={})).id
        *_, last = client.follow(job)

    assert last.state == "completed"
    assert last.result == Raw(b'{"a":1}')


def test_following_gives_up_in_time(tmp_path: Path) -> None:
    with running(tmp_path) as services:
        services.jobs.put(job_view("j1", "running"))
        with pytest.raises(TimeoutError):
            list(Client(paths(tmp_path)).follow("j1", timeout_s=0.05))


def test_without_a_daemon_the_hint_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable) as caught:
        Client(paths(tmp_path)).status()
    assert "meshd up" in caught.value.hint


def test_what_a_killed_daemon_left_behind_is_no_daemon(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        free = other.getsockname()[1]
    (tmp_path / "api-token").write_text("t")
    for text in (
        json.dumps({"pid": 2**22 + 1, "port": free}),
        json.dumps({"pid": 1, "port": free}),
        "{",
        "[]",
        '{"pid": 1}',
    ):
        (tmp_path / "daemon.json").write_text(text)
        with pytest.raises(DaemonUnreachable):
            Client(paths(tmp_path)).status()


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"],
)
def test_half_an_answer_is_none(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(DaemonUnreachable):
        ask_a_server_that_says(answer, tmp_path)


def test_an_answer_of_another_version_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotUnderstood):
        ask_a_server_that_says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", tmp_path)
    with pytest.raises(MeshdError, match="status 500"):
        ask_a_server_that_says(b"HTTP/1.1 500 Oh\r\n\r\n<html>", tmp_path)


def test_nothing_can_be_smuggled_into_a_request(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(UsageError):
        Connection(paths(tmp_path)).request("GET", "/api/v1/status HTTP/1.0\r\nX: y")


def ask_a_server_that_says(answer: bytes, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (home / "api-token").write_text("t")
        (home / "daemon.json").write_text(json.dumps({"pid": 1, "port": server.getsockname()[1]}))

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            Client(paths(home)).status()
        finally:
            thread.join(10)
