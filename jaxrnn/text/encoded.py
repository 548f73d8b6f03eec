"""A text as tokens."""

from typing import NamedTuple

import numpy as np

from jaxrnn.text.corpus import Corpus
from jaxrnn.text.unread import Unread
from jaxrnn.text.vocabulary import Vocabulary


class EncodedCorpus(NamedTuple):
    """A text as tokens, in memory or in a file."""

    tokens: np.ndarray | Unread  # [time]
    vocabulary: Vocabulary
    description: str  # of the text
    sha256: str  # of the text


AnyCorpus = Corpus | EncodedCorpus
