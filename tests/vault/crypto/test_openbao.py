"""The openbao provider against a real server: what transit alone has, and what its operator may do wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.openbao import OpenBao, audited, certificate
from tests.vault.crypto.places import Place, place_of
from vault.crypto.errors import ProviderRefusedError, ProviderUnavailableError
from vault.crypto.journal import for_entry, handle
from vault.crypto.openbao import Transit
from vault.crypto.openbao_server import OpenBaoServer, TokenFile
from vault.crypto.provider import KeyKind, KeyProvider
from vault.server.providers import ProviderSettingsError, open_provider
from vault.server.settings import Settings

SECRET = bytes(range(32))


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_of("openbao", request, tmp_path)


@asynccontextmanager
async def opened(place: Place, **changes: Any) -> AsyncIterator[KeyProvider]:
    async with open_provider(place.settings.model_copy(update=changes)) as keys:
        yield keys


async def test_a_token_is_read_again_when_it_was_renewed(
    place: Place, openbao: OpenBao, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    old = openbao.ask("POST", "auth/token/create", {"policies": ["creditvault"]})["auth"]["client_token"]
    token_file.write_text(old)
    token_file.chmod(0o600)
    async with opened(place, openbao_token_file=token_file) as keys:
        await keys.create("root")
        wrapped = await keys.wrap("root", SECRET, b"")
        openbao.ask("POST", "auth/token/revoke", {"token": old})
        with pytest.raises(ProviderUnavailableError, match=r"the token in .*token has ended"):
            await keys.unwrap("root", wrapped, b"")
        token_file.write_text(openbao.give_token())
        assert await keys.unwrap("root", wrapped, b"") == SECRET
        token_file.chmod(0o644)
        token_file.write_text(openbao.give_token() + "\n")
        with pytest.raises(ProviderUnavailableError, match="chmod 600"):
            await keys.health()
        token_file.unlink()
        with pytest.raises(ProviderUnavailableError, match="CREDITVAULT_OPENBAO_TOKEN_FILE"):
            await keys.unwrap("root", wrapped, b"")


async def test_a_token_that_ends_soon_is_renewed_on_the_way(openbao: OpenBao, tmp_path: Path) -> None:
    made = openbao.ask("POST", "auth/token/create", {"policies": ["creditvault"], "ttl": "2s"})["auth"]
    (tmp_path / "token").write_text(made["client_token"])
    (tmp_path / "token").chmod(0o600)
    server = OpenBaoServer(openbao.url, TokenFile(tmp_path / "token"), ca_file=openbao.ca_file)
    for _ in range(4):
        await server.health()
        await asyncio.sleep(0.8)  # its time has to pass on the server's clock
    await server.health()
    await server.close()


async def test_a_role_logs_in_by_itself_whenever_it_must(
    place: Place, openbao: OpenBao, tmp_path: Path
) -> None:
    if "approle/" not in openbao.ask("GET", "sys/auth"):
        openbao.ask("POST", "sys/auth/approle", {"type": "approle"})
    role = "auth/approle/role/vault"
    openbao.ask("POST", role, {"token_policies": ["creditvault"], "token_ttl": "1h"})
    role_id = openbao.ask("GET", f"{role}/role-id")["data"]["role_id"]
    secret_file = tmp_path / "secret-id"
    secret = openbao.ask("POST", f"{role}/secret-id", {})["data"]
    secret_file.write_text(secret["secret_id"] + "\n")
    secret_file.chmod(0o600)
    async with opened(place, openbao_role_id=role_id, openbao_secret_id_file=secret_file) as keys:
        await keys.create("root")
        wrapped = await keys.wrap("root", SECRET, b"")
        openbao.ask("PUT", "sys/leases/revoke-prefix/auth/approle/login", {})
        assert await keys.unwrap("root", wrapped, b"") == SECRET
        accessor = secret["secret_id_accessor"]
        openbao.ask("POST", f"{role}/secret-id-accessor/destroy", {"secret_id_accessor": accessor})
        openbao.ask("PUT", "sys/leases/revoke-prefix/auth/approle/login", {})
        with pytest.raises(ProviderUnavailableError, match=f"does not accept the role {role_id}"):
            await keys.unwrap("root", wrapped, b"")
        secret_file.write_text(openbao.ask("POST", f"{role}/secret-id", {})["data"]["secret_id"])
        assert await keys.unwrap("root", wrapped, b"") == SECRET
    with pytest.raises(ProviderSettingsError, match="CREDITVAULT_OPENBAO_SECRET_ID_FILE"):
        async with opened(place, openbao_role_id=role_id):
            pass


@pytest.mark.parametrize("setting", ["openbao_mount", "openbao_url", "openbao_ca_file"])
async def test_a_wrong_setting_is_named_and_is_no_destroyed_key(
    place: Place, tmp_path: Path, setting: str
) -> None:
    async with opened(place) as keys:
        await keys.create("root")
        wrapped = await keys.wrap("root", SECRET, b"")
    other_ca = tmp_path / "other.pem"
    certificate(other_ca, tmp_path / "other.key")
    wrong: dict[str, object] = {
        "openbao_mount": "nowhere",
        "openbao_url": "https://127.0.0.1:9",
        "openbao_ca_file": other_ca,
    }
    async with opened(place, **{setting: wrong[setting]}) as keys:
        for call in (keys.unwrap("root", wrapped, b""), keys.versions("root"), keys.create("root")):
            with pytest.raises(ProviderUnavailableError, match=f"CREDITVAULT_{setting.upper()}"):
                await call


async def test_what_it_needs_is_asked_for(tmp_path: Path) -> None:
    nothing = Settings(home=tmp_path, key_provider="openbao")
    with pytest.raises(ProviderSettingsError, match="CREDITVAULT_OPENBAO_URL"):
        async with open_provider(nothing):
            pass
    addressed = Settings(home=tmp_path, key_provider="openbao", openbao_url="https://bao.example")
    with pytest.raises(ProviderSettingsError, match="CREDITVAULT_OPENBAO_TOKEN_FILE"):
        async with open_provider(addressed):
            pass
    named = addressed.model_copy(
        update={"openbao_token_file": tmp_path / "token", "openbao_ca_file": tmp_path / "none.pem"}
    )
    with pytest.raises(ProviderRefusedError, match="CREDITVAULT_OPENBAO_CA_FILE"):
        async with open_provider(named):
            pass


async def test_the_policy_lets_no_key_out_and_makes_none_by_using_it(place: Place, openbao: OpenBao) -> None:
    token = openbao.token_file.read_text()
    prefix = place.settings.openbao_prefix

    def status(method: str, path: str, content: dict[str, Any] | None = None) -> int:
        with httpx.Client(verify=False, trust_env=False) as http:  # noqa: S501 -- what it answers is no secret
            answer = http.request(
                method, f"{openbao.url}/v1/transit/{path}", json=content, headers={"X-Vault-Token": token}
            )
        return answer.status_code

    async with opened(place) as keys:
        await keys.create("root")
    assert status("POST", f"keys/{prefix}-other", {"exportable": True}) == httpx.codes.FORBIDDEN
    assert status("POST", f"keys/{prefix}-root/config", {"exportable": True}) == httpx.codes.FORBIDDEN
    assert (
        status("POST", f"keys/{prefix}-root/config", {"allow_plaintext_backup": True})
        == httpx.codes.FORBIDDEN
    )
    assert status("DELETE", f"keys/{prefix}-root") == httpx.codes.FORBIDDEN
    for path in (f"export/encryption-key/{prefix}-root", f"backup/{prefix}-root", "keys/another-root"):
        assert status("GET", path) == httpx.codes.FORBIDDEN
    assert status("POST", f"encrypt/{prefix}-absent", {"plaintext": "AA=="}) == httpx.codes.FORBIDDEN


async def test_a_key_that_may_leave_is_refused(place: Place, openbao: OpenBao) -> None:
    prefix = place.settings.openbao_prefix
    openbao.ask("POST", f"transit/keys/{prefix}-root", {"type": "aes256-gcm96", "exportable": True})
    openbao.ask("POST", f"transit/keys/{prefix}-other", {"type": "chacha20-poly1305"})
    async with opened(place) as keys:
        for name in ("root", "other"):
            with pytest.raises(ProviderRefusedError, match="may leave it, or is of a type"):
                await keys.wrap(name, SECRET, b"")
            with pytest.raises(ProviderRefusedError, match="may leave it"):
                await keys.create(name)


async def test_a_destruction_that_was_cut_short_is_finished(place: Place, openbao: OpenBao) -> None:
    at = f"transit/keys/{place.settings.openbao_prefix}"
    async with opened(place) as keys:
        for name in ("whole", "oldest"):
            await keys.create(name)
            await keys.create(name)
        # As far as a killed process came: what is to go is hidden, and not yet taken away.
        openbao.ask("POST", f"{at}-whole/rotate", {})
        ended = {"min_decryption_version": 3, "min_encryption_version": 3, "deletion_allowed": True}
        openbao.ask("POST", f"{at}-whole/config", ended)
        openbao.ask("POST", f"{at}-oldest/config", {"min_decryption_version": 2, "min_encryption_version": 2})
        await keys.destroy("whole")
        await keys.destroy("oldest", 1)
        assert (await keys.versions("whole"), await keys.versions("oldest")) == ((), (2,))
    for name, first in (("whole", 3), ("oldest", 2)):
        assert openbao.ask("GET", f"{at}-{name}")["data"]["min_available_version"] == first


async def test_its_audit_log_says_for_what_each_key_was_opened(place: Place, openbao: OpenBao) -> None:
    openbao.ask("PUT", "sys/config/auditing/request-headers/X-Creditvault-Uses", {"hmac": False})
    async with opened(place) as keys:
        await keys.create("root")
        wrapped = await keys.wrap_many("root", [(SECRET, b"one"), (SECRET, b"two")])
        await keys.unwrap_many(
            "root", [(wrapped[0], b"one"), (wrapped[1], b"two")], [for_entry(4), for_entry(5)]
        )
    headers = [
        request["headers"]["x-creditvault-uses"]
        for line in audited(openbao.audit_file)
        if "x-creditvault-uses" in ((request := line["request"]).get("headers") or {})
        and line["type"] == "request"
        and place.settings.openbao_prefix in request["path"]
    ]
    one, two = handle(b"one"), handle(b"two")
    assert headers == [
        [f"{one} job:wrap-check, {two} job:wrap-check"],
        [f"{one} entry:4, {two} entry:5"],
    ]


async def test_batches_larger_than_one_request_stay_in_order(place: Place) -> None:
    items = [(number.to_bytes(32), b"%d" % number) for number in range(1_001)]
    async with opened(place) as keys:
        await keys.create("root")
        await keys.create("index", KeyKind.MAC)
        wrapped = await keys.wrap_many("root", items)
        asked = [(each, aad) for each, (_, aad) in zip(wrapped, items, strict=True)]
        assert await keys.unwrap_many("root", asked) == [secret for secret, _ in items]
        asked[777] = (asked[777][0], b"other")
        with pytest.raises(Exception, match="altered, moved") as caught:
            await keys.unwrap_many("root", asked)
        assert getattr(caught.value, "position", None) == 777
        macs = await keys.mac_many("index", [aad for _, aad in items])
        assert macs[600] == await keys.mac("index", b"600")


async def test_a_vault_of_the_same_server_with_another_prefix_has_other_keys(
    place: Place, openbao: OpenBao
) -> None:
    server = OpenBaoServer(openbao.url, TokenFile(openbao.token_file), ca_file=openbao.ca_file)
    async with opened(place) as keys:
        await keys.create("a_b/c")
        other = Transit(server, "transit", place.settings.openbao_prefix + "-a")
        assert await other.versions("b/c") == ()
    await server.close()
