"""What several component tests share."""

import pytest

from tests.hub_server import HubServer


@pytest.fixture
def hub_server(monkeypatch):
    """A Hub without anything, and a client that knows no other and no login."""
    server = HubServer()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nonexistent/token")
    yield server
    server.close()
