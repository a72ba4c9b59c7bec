"""The small benchmark keeps up with the code that it times."""
# ruff: noqa: S101 tests assert

import micro
import pytest


@pytest.mark.parametrize("name", list(micro.steps()))
def test_every_step_runs(name: str) -> None:
    assert micro.nanoseconds(micro.steps()[name], 0.001) > 0


def test_its_frames_are_read_as_one_command_each() -> None:
    reader = micro.FrameReader(65_536)
    assert [text for _, text in reader.feed(micro.masked(micro.COMMAND) * 2)] == [micro.COMMAND] * 2
