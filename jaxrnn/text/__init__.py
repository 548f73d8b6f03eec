"""Text: vocabularies, corpora, and a language model that is trained on them and writes more."""

from jaxrnn.text.batches import (
    Batches,
    training_windows,
)
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
from jaxrnn.text.encoded import (
    EncodedCorpus,
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
    loss_curve,
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
from jaxrnn.text.places import (
    find_model,
    load_origin,
    model_beside,
)
from jaxrnn.text.preparing import (
    prepare,
)
from jaxrnn.text.progress import (
    progress,
    progress_of,
)
from jaxrnn.text.recipe import (
    TrainConfig,
    check_config,
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
)
from jaxrnn.text.splits import (
    Split,
    split,
    split_80_10_10,
    split_90_10,
    split_columns_95_5,
)
from jaxrnn.text.stop_strings import (
    Stop,
    StopScanner,
    stop_after,
    stop_before,
)
from jaxrnn.text.tensorboard import (
    tensorboard,
)
from jaxrnn.text.token_file import (
    TokenFile,
    read_tokens,
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
from jaxrnn.text.unread import (
    Unread,
    share_of,
)
from jaxrnn.text.vocabulary import (
    ByteVocabulary,
    CharVocabulary,
    Vocabulary,
    WordVocabulary,
    choose_vocabulary,
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
    "Batches",
    "Beginning",
    "ByteVocabulary",
    "CharVocabulary",
    "Corpus",
    "DeviceConfig",
    "EncodedCorpus",
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
    "TokenFile",
    "TrainConfig",
    "UnknownConfig",
    "Unread",
    "Vocabulary",
    "WordVocabulary",
    "Words",
    "WriteConfig",
    "begin",
    "build_network",
    "check_config",
    "check_units",
    "choose_vocabulary",
    "converse",
    "descent",
    "evaluate",
    "evaluate_dynamically",
    "find_model",
    "fit",
    "forbid",
    "free_run",
    "generate",
    "gradient_sizes",
    "is_finished",
    "kept",
    "learning_rate",
    "load",
    "load_origin",
    "log_probabilities",
    "look",
    "loss_curve",
    "losses_section",
    "make_optimizer",
    "metrics_file",
    "metrics_position",
    "model_beside",
    "most_likely",
    "next_token_loss",
    "pad_words",
    "plot_losses",
    "plot_surprise",
    "plot_units",
    "prepare",
    "progress",
    "progress_of",
    "read_bytes",
    "read_metrics",
    "read_text",
    "read_tokens",
    "refuse",
    "repetition_penalty",
    "replace",
    "resume",
    "rms",
    "save",
    "share_of",
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
    "tensorboard",
    "top_k",
    "top_p",
    "training_record",
    "training_windows",
    "units_section",
    "vocabulary_from_description",
    "write",
    "write_page",
]
