"""scikit-learn estimators: what each kind tells, that a prediction is one span, and what instrumenting leaves alone."""

import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any, cast

import numpy as np
import pytest

import spanward
from captured import KEY, attributes_of, only
from spanward import semconv
from spanward.testing import CapturedSpans, capture_spans
from spanward_integrations import INTEGRATIONS
from spanward_integrations.sklearn import instrument_model, uninstrument_model

# None of these libraries has types.
parallel_backend: Any = import_module("joblib").parallel_backend
get_reusable_executor: Any = import_module("joblib.externals.loky").get_reusable_executor
sparse: Any = import_module("scipy.sparse")
BaseEstimator: Any = import_module("sklearn.base").BaseEstimator
clone: Any = import_module("sklearn.base").clone
KMeans: Any = import_module("sklearn.cluster").KMeans
BaggingClassifier: Any = import_module("sklearn.ensemble").BaggingClassifier
IsolationForest: Any = import_module("sklearn.ensemble").IsolationForest
RandomForestClassifier: Any = import_module("sklearn.ensemble").RandomForestClassifier
TfidfVectorizer: Any = import_module("sklearn.feature_extraction.text").TfidfVectorizer
LinearRegression: Any = import_module("sklearn.linear_model").LinearRegression
LogisticRegression: Any = import_module("sklearn.linear_model").LogisticRegression
GaussianMixture: Any = import_module("sklearn.mixture").GaussianMixture
GridSearchCV: Any = import_module("sklearn.model_selection").GridSearchCV
MultiOutputClassifier: Any = import_module("sklearn.multioutput").MultiOutputClassifier
Pipeline: Any = import_module("sklearn.pipeline").Pipeline
make_pipeline: Any = import_module("sklearn.pipeline").make_pipeline
StandardScaler: Any = import_module("sklearn.preprocessing").StandardScaler
SVC: Any = import_module("sklearn.svm").SVC

SKLEARN = next(one for one in INTEGRATIONS if one.name == "sklearn")
RNG = np.random.default_rng(7)
ROWS = RNG.normal(size=(60, 4))
THREE = np.array(["ham", "news", "spam"])[np.digitize(ROWS[:, 0], [-0.5, 0.5])]
TWO = np.where(ROWS[:, 0] > 0, "yes", "no")
TEXTS = ["where is my invoice", "cannot log in", "invoice is wrong", "log in fails"] * 5
TOPICS = ["billing", "access", "billing", "access"] * 5


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    """Spans of a test under a known key."""
    with capture_spans() as captured:
        spanward.configure(hashing_key=KEY)
        yield captured


@pytest.fixture
def everything() -> Iterator[None]:
    """Instrument all estimators for the time of a test."""
    SKLEARN.instrument()
    yield
    SKLEARN.uninstrument()


def plain_method() -> object:
    """Return a method as its class has it."""
    return cast("dict[str, object]", vars(LogisticRegression))["predict_proba"]


@pytest.mark.usefixtures("everything")
def test_probabilities_of_one_row_tell_class_score_margin_and_entropy(spans: CapturedSpans) -> None:
    """The decision is the name of the class, not its place."""
    model = LogisticRegression().fit(ROWS, THREE)
    probabilities = model.predict_proba(ROWS[:1])[0]

    facts, ordered = attributes_of(spans), sorted(probabilities, reverse=True)
    assert facts[semconv.MODEL_NAME] == "LogisticRegression"
    assert facts[semconv.MODEL_FRAMEWORK] == "scikit-learn"
    assert facts[semconv.MODEL_TASK] == "classification"
    assert facts[semconv.DECISION] == model.classes_[probabilities.argmax()]
    assert facts[semconv.SCORE] == pytest.approx(ordered[0])
    assert facts[semconv.SCORE_KIND] == "probability"
    assert facts[semconv.MARGIN] == pytest.approx(ordered[0] - ordered[1])
    assert facts[semconv.ENTROPY] == pytest.approx(-sum(p * np.log(p) for p in probabilities))
    assert facts[semconv.FEATURES_SHAPE] == "1x4"
    assert len(facts[semconv.FEATURES_HASH]) == 32


@pytest.mark.usefixtures("everything")
def test_a_class_alone_is_the_decision(spans: CapturedSpans) -> None:
    """`predict` of one row tells no score."""
    LogisticRegression().fit(ROWS, TWO).predict(ROWS[:1])

    assert attributes_of(spans)[semconv.DECISION] in {"yes", "no"}
    assert semconv.SCORE not in attributes_of(spans)


@pytest.mark.usefixtures("everything")
def test_classes_that_are_numbers_are_named_as_numbers(spans: CapturedSpans) -> None:
    """Targets out of a table are often floats; one is a class all the same."""
    LogisticRegression().fit(ROWS, (TWO == "yes").astype(float)).predict_proba(ROWS[:1])

    assert attributes_of(spans)[semconv.DECISION] in {"0", "1"}


@pytest.mark.usefixtures("everything")
def test_decision_values_tell_side_and_distance(spans: CapturedSpans) -> None:
    """Of two classes the sign decides and the distance is the margin; of more the best less the second."""
    two, three = LogisticRegression().fit(ROWS, TWO), LogisticRegression().fit(ROWS, THREE)
    value, values = two.decision_function(ROWS[:1])[0], three.decision_function(ROWS[:1])[0]

    of_two, of_three = (dict(span.attributes or {}) for span in spans.finished)
    assert of_two[semconv.DECISION] == ("yes" if value > 0 else "no")
    assert (of_two[semconv.SCORE], of_two[semconv.MARGIN]) == pytest.approx((value, abs(value)))
    best = sorted(values, reverse=True)
    assert of_three[semconv.DECISION] == three.classes_[values.argmax()]
    assert (of_three[semconv.SCORE], of_three[semconv.MARGIN]) == pytest.approx((best[0], best[0] - best[1]))
    assert of_three[semconv.SCORE_KIND] == "score"


@pytest.mark.usefixtures("everything")
def test_a_regressors_value_is_its_score(spans: CapturedSpans) -> None:
    """A regression decides nothing."""
    value = LinearRegression().fit(ROWS, ROWS[:, 0]).predict(ROWS[:1])[0]

    assert attributes_of(spans)[semconv.SCORE] == pytest.approx(value)
    assert attributes_of(spans)[semconv.MODEL_TASK] == "regression"
    assert semconv.DECISION not in attributes_of(spans)


@pytest.mark.usefixtures("everything")
def test_outlier_detectors_say_outlier_and_inlier(spans: CapturedSpans) -> None:
    """Minus one and one are names, and `score_samples` tells the score alone."""
    model = IsolationForest(n_estimators=5, random_state=0).fit(ROWS)
    far = np.full((1, 4), 50.0)
    model.predict(far)
    value = model.decision_function(far)[0]
    model.score_samples(far)

    predicted, decided, scored = (dict(span.attributes or {}) for span in spans.finished)
    assert predicted[semconv.DECISION] == decided[semconv.DECISION] == "outlier"
    assert decided[semconv.SCORE] == pytest.approx(value)
    assert semconv.DECISION not in scored
    assert scored[semconv.MODEL_TASK] == "outlier-detection"


@pytest.mark.usefixtures("everything")
def test_clusters_and_mixtures_are_observed(spans: CapturedSpans) -> None:
    """The number of a cluster is the decision; a mixture scores samples."""
    KMeans(2, n_init=1, random_state=0).fit(ROWS).predict(ROWS[:1])
    GaussianMixture(2, random_state=0).fit(ROWS).score_samples(ROWS[:1])

    cluster, mixture = (dict(span.attributes or {}) for span in spans.finished)
    assert cluster[semconv.DECISION] in {"0", "1"}
    assert semconv.SCORE in mixture


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_several_rows_are_statistics(spans: CapturedSpans, method: str) -> None:
    """A batch tells how often each class was chosen, and the range of scores."""
    model = LogisticRegression().fit(ROWS, THREE)
    result = getattr(model, method)(ROWS)

    facts = attributes_of(spans)
    chosen = result if method == "predict" else model.classes_[result.argmax(1)]
    names, counts = np.unique(chosen, return_counts=True)
    told_counts = dict(zip(facts[semconv.BATCH_DECISIONS], facts[semconv.BATCH_DECISION_COUNTS], strict=True))
    assert told_counts == dict(zip(names.tolist(), counts.tolist(), strict=True))
    assert facts[semconv.BATCH_SIZE] == len(ROWS)
    assert semconv.DECISION not in facts
    if method != "predict":
        assert facts[semconv.BATCH_SCORE_MAX] == pytest.approx(result.max())


@pytest.mark.usefixtures("everything")
def test_a_pipeline_is_one_span_with_the_name_of_its_last_step(spans: CapturedSpans) -> None:
    """Inner steps are parts, and a text is hashed as a text that has near-repeats."""
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, TOPICS)
    model.predict_proba(["where is my invoice"])

    assert only(spans).name == "inference LogisticRegression"
    assert attributes_of(spans)[semconv.DECISION] == "billing"
    assert attributes_of(spans)[semconv.FEATURES_COUNT] == len("where is my invoice")
    assert semconv.FEATURES_FINGERPRINT in attributes_of(spans)


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, random_state=0),
        RandomForestClassifier(5, n_jobs=2, random_state=0),
        RandomForestClassifier(40, n_jobs=2, random_state=0),
        BaggingClassifier(LogisticRegression(), 3, random_state=0),
        MultiOutputClassifier(LogisticRegression()),
        SVC(kernel="linear"),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
    ],
)
def test_an_ensemble_is_one_span(spans: CapturedSpans, model: Any) -> None:
    """However many estimators it asks, in threads or not, and though training asks them too."""
    targets = np.column_stack([TWO, TWO]) if isinstance(model, MultiOutputClassifier) else TWO
    model.fit(ROWS, targets)
    assert not spans.finished
    model.predict(ROWS[:2])

    assert attributes_of(spans)[semconv.BATCH_SIZE] == 2


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_parts_in_threads_and_processes_are_parts(spans: CapturedSpans, backend: str) -> None:
    """Where joblib looks up the methods of parts does not matter."""
    model = BaggingClassifier(LogisticRegression(), 4, n_jobs=2, random_state=0)
    with parallel_backend(backend, n_jobs=2):
        model.fit(ROWS, TWO)
        model.predict(ROWS[:2])
    if backend == "loky":
        get_reusable_executor().shutdown(wait=True)

    assert only(spans).name == "inference BaggingClassifier"


@pytest.mark.usefixtures("everything")
def test_a_method_that_is_not_there_stays_absent(spans: CapturedSpans) -> None:
    """Whether an estimator has `predict_proba` depends on its parts and settings, and asking makes no span."""
    without = make_pipeline(StandardScaler(), SVC(kernel="linear")).fit(ROWS, TWO)

    assert not hasattr(without, "predict_proba")
    assert hasattr(without, "decision_function")
    assert not spans.finished


@pytest.mark.usefixtures("everything")
def test_classes_that_are_defined_later_are_observed(spans: CapturedSpans) -> None:
    """So are estimators of the user and of other libraries, whichever was imported first."""

    class Constant(BaseEstimator):  # type: ignore[misc] # it has no types
        def predict(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
            return np.zeros(len(X), int)

    Constant().predict(X=[[1.0]])

    assert only(spans).name == "inference Constant"
    assert attributes_of(spans)[semconv.DECISION] == "0"


@pytest.mark.usefixtures("everything")
def test_sparse_rows_and_tables_pass(spans: CapturedSpans) -> None:
    """A sparse matrix tells its size, a table that holds one array that array's hash."""

    class Table:
        shape = (1, 4)

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            return ROWS[:1]

    model = LogisticRegression().fit(ROWS, TWO)
    model.predict(sparse.csr_matrix(ROWS[:1]))
    model.predict(Table())
    model.predict(ROWS[:1])

    of_sparse, of_table, of_array = (dict(span.attributes or {}) for span in spans.finished)
    assert of_sparse[semconv.FEATURES_COUNT] == 4
    assert semconv.FEATURES_HASH not in of_sparse
    assert of_table[semconv.FEATURES_HASH] == of_array[semconv.FEATURES_HASH]


@pytest.mark.usefixtures("everything")
def test_methods_look_as_before() -> None:
    """Name, signature, documentation, pickling and cloning are those of the plain method."""
    model = LogisticRegression().fit(ROWS, TWO)

    assert model.predict.__name__ == "predict"
    assert model.predict.__self__ is model
    assert list(inspect.signature(model.predict).parameters) == ["X"]
    assert list(inspect.signature(Pipeline([("m", model)]).predict).parameters) == ["X", "params"]
    assert pickle.loads(pickle.dumps(model.predict))(ROWS[:1]).tolist() == model.predict(ROWS[:1]).tolist()
    assert clone(model).get_params() == model.get_params()


def test_one_model_is_observed_under_its_name_and_no_other(spans: CapturedSpans) -> None:
    """`instrument_model` names it, leaves the object as it is, and is undone to the very method."""
    before = plain_method()
    one, other = (LogisticRegression().fit(ROWS, TWO) for _ in range(2))
    state: dict[str, object] = dict(vars(one))
    instrument_model(one, "fraud", version="3")
    one.predict_proba(ROWS[:1])
    other.predict_proba(ROWS[:1])

    assert vars(one) == state
    assert attributes_of(spans)[semconv.MODEL_NAME] == "fraud"
    assert attributes_of(spans)[semconv.MODEL_VERSION] == "3"
    uninstrument_model(one)
    uninstrument_model(one)
    assert plain_method() is before


def test_one_model_stays_observed_when_the_others_are_not(spans: CapturedSpans) -> None:
    """Both ways of instrumenting hold side by side, and the last one that is undone restores what was."""
    before = plain_method()
    model = LogisticRegression().fit(ROWS, TWO)
    instrument_model(model, "fraud")
    SKLEARN.instrument()
    model.predict_proba(ROWS[:1])
    SKLEARN.uninstrument()
    model.predict_proba(ROWS[:1])

    assert [span.name for span in spans.finished] == ["inference fraud"] * 2
    uninstrument_model(model)
    assert plain_method() is before


def test_a_renamed_model_has_its_new_name_from_the_next_call_on(spans: CapturedSpans) -> None:
    """A second `instrument_model` of one object changes name and version."""
    model = LogisticRegression().fit(ROWS, TWO)
    for version in ("1", "2"):
        instrument_model(model, "fraud", version=version)
        model.predict(ROWS[:1])
    uninstrument_model(model)

    assert [(span.attributes or {})[semconv.MODEL_VERSION] for span in spans.finished] == ["1", "2"]


@pytest.mark.slow
def test_instrumenting_imports_no_estimators() -> None:
    """A service that uses one estimator does not pay for the others."""
    program = (
        "import sys; from spanward_integrations.sklearn import SklearnInstrumentor as S; S().instrument();"
        "print([name for name in ('sklearn.linear_model', 'sklearn.ensemble') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
