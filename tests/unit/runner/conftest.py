"""Fixtures of more than one suite here."""

import socket

import pytest


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects to anything fails the test."""

    def refuse(*_: object) -> None:
        raise AssertionError("a dry run connected to something")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
