"""The reward classifier as one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from dexloop.data.files import write_file
from dexloop.networks.encoders import EncoderConfig
from dexloop.networks.pretrained import build_encoder
from dexloop.networks.tensor_files import check_count, encode_tensors, read_module
from dexloop.rewards.classifier import SuccessClassifier

_FORMAT = "dexloop-classifier-5"


def save_classifier(path: Path, classifier: SuccessClassifier, threshold: float) -> None:
    """Write the classifier and its threshold, whole or not at all."""
    encoder = classifier.encoder
    # A backbone's weights are the classifier's own from then on.
    config = asdict(replace(encoder.config, weights=None))
    described = {
        "cameras": encoder.cameras,
        "encoder": config,
        "heads": len(classifier.heads),
        "lags": classifier.lags,
        "threshold": threshold,
    }
    header = {"format": _FORMAT, "classifier": json.dumps(described)}
    write_file(path, encode_tensors(classifier.state_dict(), header))


def load_classifier(path: Path) -> tuple[SuccessClassifier, float]:
    """The classifier and its threshold; raises DexloopError naming the file when it is no such thing."""
    missing = "no reward classifier; train it with: dexloop reward"
    (classifier, threshold), _ = read_module(
        path, "classifier", _FORMAT, _built, lambda built: [("", built[0])], missing=missing
    )
    return classifier, threshold


def _built(header: Mapping[str, str]) -> tuple[SuccessClassifier, float]:
    described = json.loads(header["classifier"])
    encoder = build_encoder(tuple(described["cameras"]), EncoderConfig(**described["encoder"]))
    heads = int(described["heads"])
    check_count(heads, "heads")
    lags = [int(lag) for lag in described["lags"]]
    for lag in lags:
        check_count(lag, "lags")
    return SuccessClassifier(encoder, heads, lags).eval(), float(described["threshold"])
