"""Text: vocabularies, corpora, and a language model that is trained on them and writes more."""

from jaxrnn.text.corpus import Corpus, read_bytes, read_text, standard_library_source
from jaxrnn.text.evaluation import evaluate, log_probabilities
from jaxrnn.text.free_running import free_run, most_likely
from jaxrnn.text.language_model import (
    LanguageModel,
    ModelConfig,
    Report,
    TrainConfig,
    build_network,
    fit,
    load,
    next_token_loss,
    save,
)
from jaxrnn.text.loss_curve import plot_losses
from jaxrnn.text.progress import metrics_file, progress
from jaxrnn.text.sampling import generate
from jaxrnn.text.splits import Split, split, split_80_10_10, split_90_10, split_columns_95_5
from jaxrnn.text.stop_strings import Stop, StopScanner, stop_after, stop_before
from jaxrnn.text.tokens import refuse, replace, skip
from jaxrnn.text.transforms import forbid, repetition_penalty, top_k, top_p
from jaxrnn.text.vocabulary import (
    ByteVocabulary,
    CharVocabulary,
    WordVocabulary,
    vocabulary_from_description,
)
from jaxrnn.text.words import Words, pad_words

__all__ = [
    "ByteVocabulary",
    "CharVocabulary",
    "Corpus",
    "LanguageModel",
    "ModelConfig",
    "Report",
    "Split",
    "Stop",
    "StopScanner",
    "TrainConfig",
    "WordVocabulary",
    "Words",
    "build_network",
    "evaluate",
    "fit",
    "forbid",
    "free_run",
    "generate",
    "load",
    "log_probabilities",
    "metrics_file",
    "most_likely",
    "next_token_loss",
    "pad_words",
    "plot_losses",
    "progress",
    "read_bytes",
    "read_text",
    "refuse",
    "repetition_penalty",
    "replace",
    "save",
    "skip",
    "split",
    "split_80_10_10",
    "split_90_10",
    "split_columns_95_5",
    "standard_library_source",
    "stop_after",
    "stop_before",
    "top_k",
    "top_p",
    "vocabulary_from_description",
]
