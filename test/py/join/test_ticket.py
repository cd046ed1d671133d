"""Tickets: both forms say the same, what is none is refused, and no error shows what is secret."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from quarry_runtime.errors import ConfigError, EnvironmentFault
from quarry_runtime.ticket import Keys, Ticket, parse_ticket, read_ticket

PUBLIC, SECRET = (key.decode() for key in zmq.curve_keypair())
SERVER = zmq.curve_keypair()[0].decode()
TICKET = Ticket("tcp://10.0.0.1:5555", "t" * 64, Keys(SERVER, PUBLIC, SECRET))
JSON = {
    "endpoint": "tcp://10.0.0.1:5555",
    "token": "t" * 64,
    "serverKey": SERVER,
    "clientPublicKey": PUBLIC,
    "clientSecretKey": SECRET,
}


def write(path: Path, content: str, mode: int = 0o600) -> Path:
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    return path


def test_both_forms_say_the_same(tmp_path: Path) -> None:
    from_json = read_ticket(write(tmp_path / "a", json.dumps(JSON)))
    from_line = read_ticket(write(tmp_path / "b", TICKET.line() + "\n"))
    assert from_json == from_line == TICKET
    assert TICKET.line().startswith("quarry1.")
    assert "\n" not in TICKET.line()


@given(st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=256))
def test_any_token_survives_the_line(token: str) -> None:
    ticket = Ticket("tcp://h:1", token, TICKET.keys)
    assert parse_ticket(ticket.line().encode(), "a test") == ticket


def test_a_socket_file_needs_no_keys() -> None:
    ticket = parse_ticket(b'{"endpoint": "ipc:///tmp/s", "token": "t"}', "a test")
    assert (ticket.keys, ticket.is_remote) == (None, False)


@pytest.mark.parametrize("folder", ["/tmp", "/tmp/a b", "/tmp/té 日本", "/tmp/%s'\n"])
def test_the_socket_may_lie_in_any_folder(tmp_path: Path, folder: str) -> None:
    # As the orchestrator writes it.
    content = json.dumps({"endpoint": f"ipc://{folder}/s", "token": "t"}, ensure_ascii=False)
    ticket = read_ticket(write(tmp_path / "ticket.json", content))
    assert (ticket.endpoint, ticket.is_remote) == (f"ipc://{folder}/s", False)
    assert parse_ticket(ticket.line().encode(), "a test") == ticket


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(EnvironmentFault, match="open to other users") as caught:
        read_ticket(write(tmp_path / "t", json.dumps(JSON), mode))
    assert "chmod 600" in (caught.value.hint or "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"gone.*cannot be read"):
        read_ticket(tmp_path / "gone")


def coded(text: str) -> bytes:
    return b"quarry1." + base64.urlsafe_b64encode(text.encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b"null",
        b"quarry1.",
        b"quarry1.!!!",
        b"quarry2.e30",
        "ü".encode(),
        b"\xff\xfe",
        b"[" * 10_000,
        b"x" * 20_000,
        coded(json.dumps(JSON))[:-30],
        json.dumps({**JSON, "serverKey": None}).encode(),
        json.dumps({**JSON, "clientSecretKey": SECRET[:-1]}).encode(),
        json.dumps({**JSON, "endpoint": "http://10.0.0.1:80"}).encode(),
        json.dumps({**JSON, "endpoint": "tcp://10.0.0.1"}).encode(),
        json.dumps({**JSON, "token": 7}).encode(),
        json.dumps({"endpoint": "tcp://10.0.0.1:5", "token": "t"}).encode(),
    ],
)
def test_what_is_no_ticket_is_refused_without_showing_it(content: bytes) -> None:
    with pytest.raises(EnvironmentFault, match="is no ticket") as caught:
        parse_ticket(content, "a test")
    told = f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"
    assert SECRET[:10] not in told
    assert "tttt" not in told


def test_no_repr_shows_a_secret() -> None:
    assert SECRET not in repr(TICKET)
    assert "tttt" not in repr(TICKET)


def test_another_way_to_the_same_orchestrator() -> None:
    assert TICKET.at("gate.example:7000").endpoint == "tcp://gate.example:7000"
    assert TICKET.at("tcp://[fe80::1]:7000").keys == TICKET.keys
    assert TICKET.at("h:65535").endpoint == "tcp://h:65535"


@pytest.mark.parametrize(
    "address",
    [
        "gate.example",
        "user@127.0.0.1:4555",
        "h:0",
        "h:65536",
        "h:123456",
        "a/b:80",
        "-h:80",
        "é:80",
    ],
)
def test_what_libzmq_would_refuse_is_no_address(address: str) -> None:
    with pytest.raises(ConfigError, match="is no address"):
        TICKET.at(address)


def test_stdin_is_read_up_to_the_end_of_the_line() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, TICKET.line().encode() + b"\nrest")
    saved = os.dup(0)
    os.dup2(read_end, 0)
    try:
        assert read_ticket("-") == TICKET
        assert os.read(0, 100) == b"rest"
    finally:
        os.dup2(saved, 0)
        for descriptor in (saved, read_end, write_end):
            os.close(descriptor)
