"""Text: vocabularies, corpora, and a language model that is trained on them and writes more."""

from jaxrnn.text.corpus import Corpus, Split, read_bytes, read_text, split, standard_library_source
from jaxrnn.text.evaluation import evaluate
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
from jaxrnn.text.vocabulary import ByteVocabulary, CharVocabulary, vocabulary_from_description
from jaxrnn.text.words import Words, pad_words

__all__ = [
    "ByteVocabulary",
    "CharVocabulary",
    "Corpus",
    "LanguageModel",
    "ModelConfig",
    "Report",
    "Split",
    "TrainConfig",
    "Words",
    "build_network",
    "evaluate",
    "fit",
    "free_run",
    "generate",
    "load",
    "metrics_file",
    "most_likely",
    "next_token_loss",
    "pad_words",
    "plot_losses",
    "progress",
    "read_bytes",
    "read_text",
    "save",
    "split",
    "standard_library_source",
    "vocabulary_from_description",
]
