"""What every key provider keeps, whatever holds the keys: one suite for all of them."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.vault.crypto.places import Place, environment
from vault.crypto.errors import ProviderRefusedError, UnsealError
from vault.crypto.journal import BadLine, Use, for_entry, for_job, handle
from vault.crypto.provider import KeyKind, KeyProvider
from vault.server.providers import journal, open_provider

SECRET = bytes(range(32))
Opener = Callable[[], Awaitable[KeyProvider]]


@pytest.fixture
async def opener(place: Place) -> AsyncIterator[Opener]:
    """Opens the same keys as often as it is called, as that many processes would."""
    async with AsyncExitStack() as stack:

        async def one() -> KeyProvider:
            return await stack.enter_async_context(open_provider(place.settings))

        yield one


@pytest.fixture
async def keys(opener: Opener) -> KeyProvider:
    return await opener()


async def test_it_is_healthy_and_says_when_what_is_destroyed_is_gone(keys: KeyProvider) -> None:
    await keys.health()
    await keys.health()
    assert keys.destroy_policy == "now"
    assert keys.lag == 0


async def test_keys_outlive_the_process(keys: KeyProvider, opener: Opener) -> None:
    assert await keys.versions("root") == ()
    assert await keys.create("root") == 1
    assert await keys.create("index", KeyKind.MAC) == 1
    assert await keys.versions("root") == (1,)
    wrapped = await keys.wrap("root", SECRET, b"aad")
    mac = await keys.mac("index", b"message")
    again = await opener()
    assert await again.unwrap("root", wrapped, b"aad") == SECRET
    assert await again.mac("index", b"message") == mac
    assert len(mac.value) == 32


async def test_wraps_use_the_newest_version_and_open_under_any_that_is_left(keys: KeyProvider) -> None:
    await keys.create("root")
    first = await keys.wrap("root", SECRET, b"")
    assert await keys.create("root") == 2
    second = await keys.wrap("root", SECRET, b"")
    assert (first[2:6], second[2:6]) == (b"\0\0\0\1", b"\0\0\0\2")
    assert await keys.versions("root") == (1, 2)
    assert await keys.unwrap_many("root", [(first, b""), (second, b"")]) == [SECRET, SECRET]
    await keys.destroy("root", 1)
    assert await keys.versions("root") == (2,)
    with pytest.raises(ProviderRefusedError, match="no version 1 of key root") as caught:
        await keys.unwrap_many("root", [(second, b""), (first, b"")])
    assert caught.value.position == 1
    assert await keys.unwrap("root", second, b"") == SECRET
    assert await keys.create("root") == 3


async def test_a_batch_is_in_order_and_no_two_wraps_are_alike(keys: KeyProvider) -> None:
    await keys.create("root")
    items = [(bytes([number % 7]) * 32, bytes([number])) for number in range(20)]
    wrapped = await keys.wrap_many("root", items)
    assert len({text[6:18] for text in wrapped}) == 20
    asked = [(text, aad) for text, (_, aad) in zip(wrapped, items, strict=True)]
    assert await keys.unwrap_many("root", asked) == [secret for secret, _ in items]
    assert await keys.wrap_many("root", []) == []
    assert await keys.unwrap_many("root", []) == []


async def test_old_wraps_are_wrapped_anew_with_the_newest_version(keys: KeyProvider, place: Place) -> None:
    await keys.create("root")
    items = [(bytes([number]) * 32, bytes([number])) for number in range(5)]
    old = await keys.wrap_many("root", items)
    await keys.create("root")
    new = await keys.rewrap_many("root", [(text, aad) for text, (_, aad) in zip(old, items, strict=True)])
    assert ({*map(keys.version_of, old)}, {*map(keys.version_of, new)}) == ({1}, {2})
    # Nothing was handed out, so the journal has nothing to say.
    assert list(journal(place.settings).read()) == []
    await keys.destroy("root", 1)
    for text, (secret, aad) in zip(new, items, strict=True):
        assert await keys.unwrap("root", text, aad) == secret
    with pytest.raises(ProviderRefusedError, match="no version 1 of key root"):
        await keys.rewrap_many("root", [(old[0], items[0][1])])
    with pytest.raises(UnsealError) as caught:
        await keys.rewrap_many("root", [(new[0], items[0][1]), (new[1], items[0][1])])
    assert caught.value.position == 1
    with pytest.raises(UnsealError):
        keys.version_of(new[0][:17])


async def test_a_moved_or_altered_wrap_does_not_open(keys: KeyProvider) -> None:
    await keys.create("root")
    await keys.create("roo")
    wrapped = await keys.wrap("root", SECRET, b"aad")
    for name, aad in (("root", b"other"), ("root", b""), ("roo", b"aad"), ("roo", b"taad")):
        with pytest.raises(UnsealError):
            await keys.unwrap(name, wrapped, aad)
    for at in range(len(wrapped)):
        altered = bytearray(wrapped)
        altered[at] ^= 0x41
        with pytest.raises((UnsealError, ProviderRefusedError)):
            await keys.unwrap("root", bytes(altered), b"aad")
    for length in range(0, len(wrapped), 7):
        with pytest.raises(UnsealError):
            await keys.unwrap("root", wrapped[:length], b"aad")
    with pytest.raises(UnsealError) as caught:
        await keys.unwrap_many("root", [(wrapped, b"aad"), (wrapped, b"other"), (wrapped, b"aad")])
    assert caught.value.position == 1


async def test_kinds_are_kept_apart(keys: KeyProvider) -> None:
    await keys.create("root")
    await keys.create("index", KeyKind.MAC)
    with pytest.raises(ProviderRefusedError, match="no key root for this use"):
        await keys.mac("root", b"")
    with pytest.raises(ProviderRefusedError, match="no key index for this use"):
        await keys.wrap("index", SECRET, b"")
    for name, kind in (("index", KeyKind.WRAP), ("root", KeyKind.MAC)):
        with pytest.raises(ProviderRefusedError, match=f"not for {kind}"):
            await keys.create(name, kind)
    with pytest.raises(ProviderRefusedError, match="no key absent for this use"):
        await keys.wrap("absent", SECRET, b"")
    assert await keys.versions("absent") == ()


async def test_a_mac_names_its_version(keys: KeyProvider) -> None:
    await keys.create("index", KeyKind.MAC)
    old = await keys.mac("index", b"message")
    assert await keys.create("index", KeyKind.MAC) == 2
    new = await keys.mac("index", b"message")
    assert (old.version, new.version) == (1, 2)
    assert old.value != new.value
    other = await keys.mac("index", b"other", version=1)
    assert await keys.mac_many("index", [b"message", b"other", b"message"], version=1) == [old, other, old]
    assert await keys.mac_many("index", []) == []
    for version in (0, 3):
        with pytest.raises(ProviderRefusedError, match=f"no version {version} of key index"):
            await keys.mac("index", b"message", version=version)
    await keys.destroy("index", 1)
    with pytest.raises(ProviderRefusedError, match="no version 1 of key index"):
        await keys.mac("index", b"message", version=1)


async def test_a_destroyed_key_is_gone_for_every_process(keys: KeyProvider, opener: Opener) -> None:
    other = await opener()
    await keys.create("expiry/203207")
    wrapped = await other.wrap("expiry/203207", SECRET, b"")
    await keys.create("index", KeyKind.MAC)
    mac = await other.mac("index", b"")
    for name in ("expiry/203207", "index"):
        await keys.destroy(name)
        await keys.destroy(name)
        await keys.destroy(name, 9)
    await keys.destroy("never-made")
    for holder in (other, keys, await opener()):
        assert await holder.versions("expiry/203207") == ()
        with pytest.raises(ProviderRefusedError, match=r"no .*key expiry/203207"):
            await holder.unwrap("expiry/203207", wrapped, b"")
        with pytest.raises(ProviderRefusedError, match="no key expiry/203207"):
            await holder.wrap("expiry/203207", SECRET, b"")
        for version in (None, mac.version):
            with pytest.raises(ProviderRefusedError, match=r"no .*key index"):
                await holder.mac("index", b"", version)


async def test_no_version_is_used_twice_even_after_a_destruction(keys: KeyProvider, opener: Opener) -> None:
    seen = [await keys.create("expiry/203207")]
    wrapped = [await keys.wrap("expiry/203207", SECRET, b"")]
    for _ in range(3):
        await keys.destroy("expiry/203207")
        seen.append(await (await opener()).create("expiry/203207"))
        assert await keys.versions("expiry/203207") == (seen[-1],)
        with pytest.raises(ProviderRefusedError, match="no version"):
            await keys.unwrap("expiry/203207", wrapped[-1], b"")
        wrapped.append(await keys.wrap("expiry/203207", SECRET, b""))
        assert int.from_bytes(wrapped[-1][2:6]) == seen[-1]
    assert all(earlier < later for earlier, later in itertools.pairwise(seen))


async def test_a_newer_version_goes_before_an_older_one_or_not_at_all(keys: KeyProvider) -> None:
    await keys.create("root")
    wrapped = await keys.wrap("root", SECRET, b"")
    assert [await keys.create("root"), await keys.create("root")] == [2, 3]
    try:
        await keys.destroy("root", 2)
    except ProviderRefusedError as error:
        assert "destroy version 1 before version 2" in str(error)  # noqa: PT017 -- some refuse, some do it
        assert await keys.versions("root") == (1, 2, 3)
    else:
        assert await keys.versions("root") == (1, 3)
    assert await keys.unwrap("root", wrapped, b"") == SECRET


async def test_two_instances_that_create_at_once_lose_no_version(keys: KeyProvider, opener: Opener) -> None:
    await keys.create("root")
    holders = [keys, await opener(), await opener()]
    made = await asyncio.gather(*(holder.create("root") for holder in holders * 3))
    assert len(set(made)) == 9
    assert set(made) < set(await keys.versions("root"))
    wrapped = await holders[1].wrap("root", SECRET, b"")
    assert await holders[2].unwrap("root", wrapped, b"") == SECRET


MAKER = """
import asyncio, sys
from vault.crypto.errors import ProviderRefusedError
from vault.server.providers import open_provider
from vault.server.settings import Settings

async def make() -> None:
    async with open_provider(Settings()) as keys:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(6):
            version = await keys.create("shared")
            print(version, (await keys.wrap("shared", bytes(32), b"aad")).hex(), flush=True)

asyncio.run(make())
"""


def maker(place: Place) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAKER],
        env=environment(place.settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
async def test_two_processes_that_create_at_once_lose_no_version(keys: KeyProvider, place: Place) -> None:
    processes = [maker(place) for _ in range(2)]
    await keys.create("shared")
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0] for process in processes]
    made = [line.split() for line in "".join(said).splitlines()]
    versions = [int(version) for version, _ in made]
    assert len(set(versions)) == 12
    assert set(versions) < set(await keys.versions("shared"))
    wraps = [(bytes.fromhex(wrapped), b"aad") for _, wrapped in made]
    assert await keys.unwrap_many("shared", wraps) == [bytes(32)] * 12


@pytest.mark.parametrize("name", ["", "Root", "a b", "../x", "x" * 101, "naïve", "a\n"])
async def test_a_name_that_is_none_is_refused(keys: KeyProvider, name: str) -> None:
    with pytest.raises(ProviderRefusedError, match="a key's name"):
        await keys.create(name)


async def test_each_key_that_is_handed_out_has_its_line(keys: KeyProvider, place: Place) -> None:
    await keys.create("root")
    aads = [b"one", b"two"]
    wrapped = await keys.wrap_many("root", [(SECRET, aad) for aad in aads])
    with pytest.raises(UnsealError):
        await keys.unwrap_many(
            "root", [(wrapped[0], b"one"), (wrapped[1], b"")], [for_entry(1), for_entry(2)]
        )
    assert lines(place) == [], "neither a wrap nor a refusal hands out a key"
    await keys.unwrap_many("root", list(zip(wrapped, aads, strict=True)), [for_entry(7), for_job("a.b")])
    await keys.unwrap("root", wrapped[0], b"one")
    await keys.used("root", [(b"two", for_entry(8))])
    assert lines(place) == [
        (False, "root", handle(b"one"), "entry:7"),
        (False, "root", handle(b"two"), "job:a.b"),
        (False, "root", handle(b"one"), "-"),
        (True, "root", handle(b"two"), "entry:8"),
    ]


def lines(place: Place) -> list[tuple[bool, str, str, str]]:
    found: list[Use | BadLine] = list(journal(place.settings).read())
    uses = [line for line in found if isinstance(line, Use)]
    assert len(uses) == len(found)
    return [(use.cached, use.name, use.handle, use.purpose) for use in uses]


async def test_a_wrap_of_another_provider_is_told_by_name(keys: KeyProvider) -> None:
    await keys.create("root")
    wrapped = await keys.wrap("root", SECRET, b"")
    other = b"\x02" if wrapped[:1] != b"\x02" else b"\x01"
    with pytest.raises(UnsealError, match=r"made by the key provider (file|openbao|pkcs11)"):
        await keys.unwrap("root", other + wrapped[1:] + bytes(32), b"")


def test_no_key_lies_beside_the_journal(place: Place) -> None:
    private = {path: path.stat().st_mode & 0o077 for path in Path(place.settings.home).iterdir()}
    assert not any(mode for path, mode in private.items() if path.is_file())
