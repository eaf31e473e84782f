import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.errors import UnsealError
from vault.crypto.tickets import Ticket


@given(st.binary(max_size=2000))
def test_only_the_ticket_opens_what_it_sealed(plaintext: bytes) -> None:
    ticket, other = Ticket.generate(), Ticket.generate()
    sealed = ticket.seal(plaintext)
    assert ticket.open(sealed) == plaintext
    with pytest.raises(UnsealError):
        other.open(sealed)


@given(st.integers(min_value=2), st.integers(0, 7))
def test_any_flipped_bit_is_found(position: int, bit: int) -> None:
    ticket = Ticket.generate()
    sealed = bytearray(ticket.seal(b"something"))
    sealed[position % len(sealed)] ^= 1 << bit
    with pytest.raises(UnsealError):
        ticket.open(bytes(sealed))


def test_a_ticket_is_read_as_it_was_written() -> None:
    ticket = Ticket.generate()
    read = Ticket.read(ticket.text)
    assert read is not None
    assert (read.place, read.token) == (ticket.place, ticket.token)
    assert len(ticket.text) == 43


@pytest.mark.parametrize(
    "text", [None, "", "x", "é" * 43, "A" * 42, "A" * 44, "A" * 42 + "+", "A" * 43 + "=", " " * 43]
)
def test_what_is_no_ticket_is_none(text: str | None) -> None:
    assert Ticket.read(text) is None


def test_a_ticket_does_not_show_itself() -> None:
    ticket = Ticket.generate()
    assert ticket.text not in repr(ticket) + str(ticket)
    assert bytes.fromhex(ticket.token) != ticket.place
    with pytest.raises(ValueError, match="32 bytes"):
        Ticket(b"short")
