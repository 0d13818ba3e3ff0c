"""The reward classifier as one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch

from dexloop.data.files import write_file
from dexloop.errors import DexloopError
from dexloop.rewards.classifier import SuccessClassifier

_FORMAT = "dexloop-classifier-1"


def save_classifier(path: Path, classifier: SuccessClassifier, threshold: float) -> None:
    """Write the classifier and its threshold, whole or not at all."""
    described = {
        "cameras": classifier.encoder.cameras,
        "keypoints": classifier.encoder.config.keypoints,
        "threshold": threshold,
    }
    header = {"format": _FORMAT, "classifier": json.dumps(described)}
    tensors = {k: v.contiguous() for k, v in classifier.state_dict().items()}
    write_file(path, safetensors.torch.save(tensors, metadata=header))


def load_classifier(path: Path) -> tuple[SuccessClassifier, float]:
    """The classifier and its threshold; raises DexloopError naming the file when it is no such thing."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise DexloopError(f"{path}: no reward classifier; train it with: dexloop reward") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise DexloopError(f"{path} is damaged or no classifier: {error}") from None
    if metadata.get("format") != _FORMAT:
        raise DexloopError(f"{path} is not a dexloop classifier (format {metadata.get('format')!r})")
    try:
        described = json.loads(metadata["classifier"])
        classifier = SuccessClassifier(tuple(described["cameras"]), int(described["keypoints"]))
        classifier.load_state_dict(tensors)
        return classifier.eval(), float(described["threshold"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DexloopError(f"{path} is damaged, or a classifier of another version of dexloop: {reason}") from None
