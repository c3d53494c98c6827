"""The model of the demo: which desk should answer a customer's text."""

import re
from collections.abc import Iterable, Sequence
from random import Random
from typing import Final, Protocol, cast

import numpy as np
import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline  # pyright: ignore[reportUnknownVariableType] - no types

from spanward_processor.demo.corpus import Sentence
from spanward_processor.demo.writer import Writer

_BREAK: Final = re.compile(r"(?<=[.!?])\s+")
_FILLINGS: Final = 4  # times each pattern is written out for training
_SEED: Final = 7

_Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class _Model(Protocol):
    """What is used of a scikit-learn classifier; the library has no types."""

    classes_: np.ndarray[tuple[int], np.dtype[np.str_]]

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> object: ...

    def predict_proba(self, texts: Sequence[str]) -> _Floats: ...


class Classifier:
    """Classifies every sentence of a text and answers with the mean, so its work grows with the text.

    Args:
        corpus: Labelled sentences to learn from.
    """

    def __init__(self, corpus: Iterable[Sentence]) -> None:
        sentences = [sentence for sentence in corpus for _ in range(_FILLINGS)]
        writer = Writer((), Random(_SEED))  # noqa: S311 - texts, not secrets
        texts = [writer.sentence(sentence.text) for sentence in sentences]
        layers = (TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=20.0))
        self._model = cast("_Model", make_pipeline(*layers))
        self._model.fit(texts, [sentence.label for sentence in sentences])

    def probabilities(self, text: str) -> dict[str, float]:
        """Return each label's probability."""
        with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):  # pyright: ignore[reportUnknownMemberType] - no types
            # Without the two checks of scikit-learn a sentence takes half the time.
            rows = [self._model.predict_proba([sentence])[0] for sentence in _BREAK.split(text)]
        return dict(zip(self._model.classes_.tolist(), np.mean(rows, axis=0).tolist(), strict=True))

    def most_probable(self, text: str) -> dict[str, str | float]:
        """Return the label of the highest probability, and that as its score."""
        probabilities = self.probabilities(text)
        label = max(probabilities, key=lambda label: probabilities[label])
        return {"label": label, "score": probabilities[label]}
