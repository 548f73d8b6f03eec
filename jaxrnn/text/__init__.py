"""Text: vocabularies, corpora, and a language model that is trained on them and writes more."""

from jaxrnn.text.corpus import Corpus, Split, read_bytes, read_text, split, standard_library_source
from jaxrnn.text.evaluation import evaluate
from jaxrnn.text.fitting import (
    Point,
    Report,
    Stopped,
    begin,
    fit,
    next_token_loss,
)
from jaxrnn.text.free_running import free_run, most_likely
from jaxrnn.text.language_model import (
    LanguageModel,
    ModelConfig,
    build_network,
    load,
    save,
)
from jaxrnn.text.loss_curve import plot_losses
from jaxrnn.text.metrics import metrics_file, metrics_position, read_metrics
from jaxrnn.text.progress import progress
from jaxrnn.text.recipe import TrainConfig, learning_rate, make_optimizer
from jaxrnn.text.resuming import Beginning, is_finished, kept, resume, training_record
from jaxrnn.text.sampling import generate
from jaxrnn.text.vocabulary import ByteVocabulary, CharVocabulary, vocabulary_from_description
from jaxrnn.text.words import Words, pad_words

__all__ = [
    "Beginning",
    "ByteVocabulary",
    "CharVocabulary",
    "Corpus",
    "LanguageModel",
    "ModelConfig",
    "Point",
    "Report",
    "Split",
    "Stopped",
    "TrainConfig",
    "Words",
    "begin",
    "build_network",
    "evaluate",
    "fit",
    "free_run",
    "generate",
    "is_finished",
    "kept",
    "learning_rate",
    "load",
    "make_optimizer",
    "metrics_file",
    "metrics_position",
    "most_likely",
    "next_token_loss",
    "pad_words",
    "plot_losses",
    "progress",
    "read_bytes",
    "read_metrics",
    "read_text",
    "resume",
    "save",
    "split",
    "standard_library_source",
    "training_record",
    "vocabulary_from_description",
]
