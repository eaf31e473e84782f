"""Whose X-Forwarded-For a served vault believes: that of the proxies named, and of nobody else."""

from pathlib import Path

import httpx
import pytest

from consent.oauth.failures import MOST
from tests.flows.serving import at_port, free_port, serving
from tests.flows.world import opened
from vault.server.settings import Settings

STRANGER = {"X-Forwarded-For": "203.0.113.99, 198.51.100.7"}
OTHER = {"X-Forwarded-For": "198.51.100.7, 203.0.113.5"}


@pytest.mark.parametrize(("proxies", "status"), [("127.0.0.1", 429), ("192.0.2.1", 400), ("", 400)])
async def test_an_address_is_believed_from_a_proxy_alone(
    vault_settings: Settings, tmp_path: Path, *, proxies: str, status: int
) -> None:
    settings = at_port(vault_settings, free_port()).model_copy(update={"proxies": proxies})
    async with (
        opened(settings, tmp_path),
        serving(settings, tmp_path / "server.log") as server,
        server.http() as http,
    ):

        async def fails(headers: dict[str, str]) -> httpx.Response:
            return await http.post("/oauth/introspect", data={"client_assertion": "x"}, headers=headers)

        for _ in range(MOST):
            assert (await fails(STRANGER)).status_code == 400
        assert (await fails(STRANGER)).status_code == status
        # The last address is the one the proxy saw; what stands before it anybody can write.
        assert (await fails(OTHER)).status_code == 400
