from pathlib import Path

from fleetsight.serve.load.hardware import hardware_in_words


def test_processors_are_counted_and_named(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor: 0\nmodel name\t: Fast One\n\nprocessor: 1\nmodel name\t: Fast One\n")
    assert hardware_in_words(file) == "2 cores of Fast One"


def test_a_system_without_the_file_is_described_all_the_same(tmp_path: Path) -> None:
    assert " cores of " in hardware_in_words(tmp_path / "nothing")
