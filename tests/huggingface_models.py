"""Small real models, built on the spot: untrained, but with real tokenizers, tensors and pipelines."""

from importlib import import_module
from typing import Any, Final

WORDS: Final = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "my",
    "invoice",
    "is",
    "wrong",
    "cannot",
    "log",
    "in",
    "the",
    "parcel",
    "late",
    "account",
    "where",
    "this",
    "text",
    "about",
]

BERT: Final = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
}


def tokenizer() -> Any:
    """Return a tokenizer of whole words that puts a text between [CLS] and [SEP]."""
    tokenizers: Any = import_module("tokenizers")
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", WORDS.index("[CLS]")), ("[SEP]", WORDS.index("[SEP]"))],
    )
    return import_module("transformers").PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def bert(kind: str, **settings: Any) -> Any:
    """Return a small BERT.

    Args:
        kind: Name of its class, as `BertForMaskedLM`.
        settings: Of its configuration.
    """
    torch, transformers = import_module("torch"), import_module("transformers")

    torch.manual_seed(1)
    config = transformers.BertConfig(**BERT, **settings)
    return getattr(transformers, kind)(config).eval()


def classifier() -> Any:
    """Return a text classification pipeline with three labels."""
    return import_module("transformers").pipeline(
        "text-classification", model=bert("BertForSequenceClassification", num_labels=3), tokenizer=tokenizer()
    )


def tagger() -> Any:
    """Return a token classification pipeline."""
    labels = {0: "B-PER", 1: "B-LOC"}
    model = bert("BertForTokenClassification", id2label=labels, label2id={name: at for at, name in labels.items()})
    return import_module("transformers").pipeline("token-classification", model=model, tokenizer=tokenizer())


def mask_filler() -> Any:
    """Return a fill-mask pipeline."""
    return import_module("transformers").pipeline("fill-mask", model=bert("BertForMaskedLM"), tokenizer=tokenizer())


def zero_shot() -> Any:
    """Return a zero-shot classification pipeline."""
    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    model = bert(
        "BertForSequenceClassification", id2label=labels, label2id={name: number for number, name in labels.items()}
    )
    return import_module("transformers").pipeline("zero-shot-classification", model=model, tokenizer=tokenizer())


def extractor() -> Any:
    """Return a feature extraction pipeline."""
    return import_module("transformers").pipeline("feature-extraction", model=bert("BertModel"), tokenizer=tokenizer())


def generator() -> Any:
    """Return a text generation pipeline."""
    torch: Any = import_module("torch")
    transformers: Any = import_module("transformers")

    torch.manual_seed(1)
    words = tokenizer()
    config = transformers.GPT2Config(
        vocab_size=len(WORDS),
        n_positions=64,
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=words.cls_token_id,
        eos_token_id=words.sep_token_id,
        pad_token_id=words.pad_token_id,
    )
    words.padding_side = "left"
    return import_module("transformers").pipeline(
        "text-generation", model=transformers.GPT2LMHeadModel(config).eval(), tokenizer=words
    )


def image_classifier() -> Any:
    """Return an image classification pipeline for images of 8 x 8 pixels."""
    torch: Any = import_module("torch")
    transformers: Any = import_module("transformers")

    torch.manual_seed(1)
    config = transformers.ViTConfig(
        image_size=8,
        patch_size=4,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=3,
    )
    return import_module("transformers").pipeline(
        "image-classification",
        model=transformers.ViTForImageClassification(config).eval(),
        image_processor=transformers.ViTImageProcessor(size={"height": 8, "width": 8}),
    )
