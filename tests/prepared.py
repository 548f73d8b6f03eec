"""What the tests of prepared texts share; its fixtures are in `conftest.py`."""

import dataclasses

from jaxrnn import text

WRITTEN = "The quick brown fox, jumps over 12 lazy dogs.\r\nDer Fuß – 日本語 😀!\n" * 9
SOURCE = text.SourceConfig()


def in_memory(path, **choice):
    """The text of a file, read whole."""
    encoding = choice.pop("encoding", "utf-8")
    return dataclasses.replace(SOURCE, text=path, encoding=encoding).encoded(**choice)
