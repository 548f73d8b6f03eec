"""Text: vocabularies, corpora, and a language model that is trained on them and writes more."""

from jaxrnn.text.corpus import Corpus, Split, read_bytes, read_text, split, standard_library_source
from jaxrnn.text.evaluation import evaluate
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

__all__ = [
    "ByteVocabulary",
    "CharVocabulary",
    "Corpus",
    "LanguageModel",
    "ModelConfig",
    "Report",
    "Split",
    "TrainConfig",
    "build_network",
    "evaluate",
    "fit",
    "generate",
    "load",
    "metrics_file",
    "next_token_loss",
    "plot_losses",
    "progress",
    "read_bytes",
    "read_text",
    "save",
    "split",
    "standard_library_source",
    "vocabulary_from_description",
]
