"""Frames survive any cutting of the stream, and refuse what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6cli.simulator import wire

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)


@given(st.lists(st.lists(texts, min_size=1, max_size=6), max_size=8), st.lists(st.integers(1, 40), max_size=40))
def test_messages_arrive_whole_however_they_are_cut(messages, cuts):
    stream = b"".join(wire.encode(*message) for message in messages)
    frames, found = wire.Frames(), []
    for size in [*cuts, len(stream)]:
        found += [wire.split(payload) for payload in frames.feed(stream[:size])]
        stream = stream[size:]
    assert found == messages


@pytest.mark.parametrize("length", [0, wire.LONGEST_REQUEST + 1, 0xFFFFFFFF])
def test_a_length_that_no_request_has_is_refused(length):
    with pytest.raises(wire.MalformedFrame):
        list(wire.Frames().feed(length.to_bytes(4, "big") + b"x"))


def test_a_frame_that_ends_inside_a_field_is_refused():
    with pytest.raises(wire.MalformedFrame):
        wire.split(b"61\0 1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (100.0, "100"),
        (0.4137, "0.4137"),
        (-3.0, "-3"),
        (None, ""),
        (True, "1"),
        (False, "0"),
        (7, "7"),
        (wire.UNSET, "1.7976931348623157e+308"),
        ("a\0b", "a b"),
    ],
)
def test_whole_numbers_are_written_without_a_point(value, text):
    """ibapi reads sizes with int()."""
    assert wire.encode(value) == len(text + "\0").to_bytes(4, "big") + text.encode() + b"\0"


def test_fields_are_read_by_kind():
    request = wire.Request(["9", "", "12", "1.5", "", "1", "x"])
    assert (request.kind, request.integer(), request.identify(), request.number(), request.number(), request.boolean()) == (
        9,
        0,
        12,
        1.5,
        0.0,
        True,
    )
    assert (request.id, request.rest()) == (12, ["x"])


@pytest.mark.parametrize(
    ("field", "read"), [("x", "integer"), ("1.5", "integer"), ("nan", "number"), ("inf", "number"), ("x", "number"), ("", "text")]
)
def test_a_field_that_cannot_be_read_names_itself(field, read):
    request = wire.Request(["1", *([field] if field else [])])
    with pytest.raises(wire.BadField):
        getattr(request, read)()
