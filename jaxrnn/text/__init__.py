"""Text: vocabularies, corpora, and a language model that is trained on them and writes more."""

from jaxrnn.text.corpus import (
    Corpus,
    read_bytes,
    read_text,
    standard_library_source,
)
from jaxrnn.text.devices import DeviceConfig
from jaxrnn.text.dynamic_evaluation import (
    descent,
    evaluate_dynamically,
    gradient_sizes,
    rms,
)
from jaxrnn.text.evaluation import (
    evaluate,
    log_probabilities,
)
from jaxrnn.text.fitting import (
    Point,
    Report,
    Stopped,
    begin,
    fit,
    next_token_loss,
)
from jaxrnn.text.free_running import (
    free_run,
    most_likely,
)
from jaxrnn.text.language_model import (
    LanguageModel,
    ModelConfig,
    build_network,
    load,
    save,
)
from jaxrnn.text.looking import (
    Guess,
    Reading,
    look,
    telling_units,
)
from jaxrnn.text.loss_curve import (
    plot_losses,
)
from jaxrnn.text.metrics import (
    metrics_file,
    metrics_position,
    read_metrics,
)
from jaxrnn.text.page import (
    losses_section,
    surprise_section,
    units_section,
    write_page,
)
from jaxrnn.text.pictures import (
    check_units,
    plot_surprise,
    plot_units,
)
from jaxrnn.text.progress import (
    progress,
)
from jaxrnn.text.recipe import (
    TrainConfig,
    learning_rate,
    make_optimizer,
)
from jaxrnn.text.resuming import (
    Beginning,
    is_finished,
    kept,
    resume,
    shared,
    training_record,
)
from jaxrnn.text.sampling import (
    generate,
)
from jaxrnn.text.source import (
    SourceConfig,
    choose_vocabulary,
)
from jaxrnn.text.splits import (
    Split,
    split,
    split_80_10_10,
    split_90_10,
    split_columns_95_5,
    training_windows,
)
from jaxrnn.text.stop_strings import (
    Stop,
    StopScanner,
    stop_after,
    stop_before,
)
from jaxrnn.text.tokens import (
    refuse,
    replace,
    skip,
)
from jaxrnn.text.transforms import (
    forbid,
    repetition_penalty,
    top_k,
    top_p,
)
from jaxrnn.text.vocabulary import (
    ByteVocabulary,
    CharVocabulary,
    Vocabulary,
    WordVocabulary,
    vocabulary_from_description,
)
from jaxrnn.text.words import (
    Words,
    pad_words,
)
from jaxrnn.text.writing import (
    UnknownConfig,
    WriteConfig,
    converse,
    show,
    write,
)

__all__ = [
    "Beginning",
    "ByteVocabulary",
    "CharVocabulary",
    "Corpus",
    "DeviceConfig",
    "Guess",
    "LanguageModel",
    "ModelConfig",
    "Point",
    "Reading",
    "Report",
    "SourceConfig",
    "Split",
    "Stop",
    "StopScanner",
    "Stopped",
    "TrainConfig",
    "UnknownConfig",
    "Vocabulary",
    "WordVocabulary",
    "Words",
    "WriteConfig",
    "begin",
    "build_network",
    "check_units",
    "choose_vocabulary",
    "converse",
    "descent",
    "evaluate",
    "evaluate_dynamically",
    "fit",
    "forbid",
    "free_run",
    "generate",
    "gradient_sizes",
    "is_finished",
    "kept",
    "learning_rate",
    "load",
    "log_probabilities",
    "look",
    "losses_section",
    "make_optimizer",
    "metrics_file",
    "metrics_position",
    "most_likely",
    "next_token_loss",
    "pad_words",
    "plot_losses",
    "plot_surprise",
    "plot_units",
    "progress",
    "read_bytes",
    "read_metrics",
    "read_text",
    "refuse",
    "repetition_penalty",
    "replace",
    "resume",
    "rms",
    "save",
    "shared",
    "show",
    "skip",
    "split",
    "split_80_10_10",
    "split_90_10",
    "split_columns_95_5",
    "standard_library_source",
    "stop_after",
    "stop_before",
    "surprise_section",
    "telling_units",
    "top_k",
    "top_p",
    "training_record",
    "training_windows",
    "units_section",
    "vocabulary_from_description",
    "write",
    "write_page",
]
