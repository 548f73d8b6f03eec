"""What an error of the library must be like."""

import pytest


def raises(error, sentence, call):
    """Exactly this kind of error, from jaxrnn and not from inside JAX, saying exactly this."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert sentence in message, message
    assert caught.type is error
    assert "\n" not in message
    assert "/jaxrnn/" in str(caught.traceback[-1].path).replace("\\", "/")
