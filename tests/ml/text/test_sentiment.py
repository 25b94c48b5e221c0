"""Sentiment: ratings by hand, scales of labels, and a classifier against its own softmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ml.text.encoding.source import EncoderError
from ml.text.sentiment import SentimentScorer, label_order, rating_sentiment

STARS = {i: f"{i + 1} star{'s' if i else ''}" for i in range(5)}


def test_ratings_by_hand() -> None:
    found = rating_sentiment(np.array([1, 3, 4, 5, np.nan, 0.5, 8, np.inf]), (1, 5))
    assert found.dtype == np.float32
    assert found[:4].tolist() == [-1, 0, 0.5, 1]
    assert np.isnan(found[4:]).all()
    assert rating_sentiment(np.array([0.0, 25, 100]), (0, 100)).tolist() == [-1, -0.5, 1]


@pytest.mark.parametrize(
    "labels,order",
    [
        (STARS, [0, 1, 2, 3, 4]),
        ({0: "positive", 1: "neutral", 2: "negative"}, [2, 1, 0]),
        ({0: "NEG", 1: "POS"}, [0, 1]),
        ({0: "Very_Positive", 1: "Very Negative", 2: "Neutral"}, [1, 2, 0]),
        ({0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}, [0, 1, 2]),
        ({0: "10 points", 1: "9 points"}, [1, 0]),
    ],
)
def test_labels_run_from_worst_to_best(labels, order) -> None:
    assert label_order(labels) == order


@pytest.mark.parametrize("labels", [{0: "spam", 1: "ham"}, {0: "positive"}, {0: "negative", 1: "2 stars"}])
def test_labels_that_are_no_scale_are_refused(labels) -> None:
    with pytest.raises(ValueError, match="no scale"):
        label_order(labels)


@pytest.fixture(scope="module")
def classifier(tiny_bert, tmp_path_factory) -> str:
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("stars")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    torch.manual_seed(1)  # transformers offers no generator; the test process owns its seed
    # Weights as small as usual hardly tell texts apart before they are trained.
    config = BertConfig.from_pretrained(tiny_bert, num_labels=3, initializer_range=0.5)
    config.id2label = {0: "positive", 1: "neutral", 2: "negative"}
    config.label2id = {label: i for i, label in config.id2label.items()}
    BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


def test_scores_are_the_mean_label_whatever_the_batch(classifier) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    texts = ["red kettle", "a large pan with the blue knife " * 9, "tea", "the rice of tea and rice"]
    scorer = SentimentScorer(classifier, device="cpu")
    found = scorer.score(texts)
    tokenizer = AutoTokenizer.from_pretrained(classifier)
    model = AutoModelForSequenceClassification.from_pretrained(classifier).eval()
    for text, score in zip(texts, found, strict=True):
        with torch.inference_mode():
            logits = model(**tokenizer(text, truncation=True, max_length=32, return_tensors="pt")).logits
        positive, _, negative = logits.softmax(dim=1)[0].tolist()
        assert score == pytest.approx(positive - negative, abs=1e-5)
    assert np.ptp(found) > 0.01
    assert scorer.score(texts[:1])[0] == pytest.approx(found[0], abs=1e-6)
    assert scorer.score([]).shape == (0,)
    assert scorer.key == SentimentScorer(classifier, device="cpu").key
    assert len(scorer.source.digest) == 64


def test_a_model_that_is_no_classifier_says_so(tiny_bert, tmp_path) -> None:
    with pytest.raises(EncoderError, match="no trained text classifier"):
        SentimentScorer(tiny_bert, device="cpu").score(["tea"])
    with pytest.raises(EncoderError, match=r"reviews\.model"):
        SentimentScorer(str(tmp_path / "nothing" / "here"), device="cpu")
