"""Evaluations that were broken off: what ``evaluation.json`` says of them, and which of its trials still count."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from dexloop.pipeline.evaluate import Evaluation, JudgedBy

Entry = Mapping[str, Any]


def digest_of(policy: Path, classifier: Path) -> str:
    """What tells whether a policy was evaluated: its file, and the classifier's that judged it or watched."""
    digest = hashlib.sha256(policy.read_bytes())
    if classifier.is_file():
        digest.update(classifier.read_bytes())
    return digest.hexdigest()[:16]


def entry_of(entries: Sequence[Entry], name: str) -> Entry:
    """The entry of a policy, empty where it has none."""
    return next((entry for entry in entries if entry.get("policy") == name), {})


def earlier_trials(entry: Entry, digest: str, judged_by: JudgedBy, trials: int) -> Evaluation | None:
    """The finished ones of ``trials`` trials that were broken off; None where there are none, or of something else."""
    if "unfinished" not in entry or (entry.get("digest"), entry["judged_by"]) != (digest, judged_by):
        return None
    if entry["trials"] > trials:
        return None
    given: dict[str, Any] = {field.name: entry[field.name] for field in fields(Evaluation)}
    given |= {"ci95": tuple(given["ci95"]), "steps": tuple(given["steps"])}
    return Evaluation(**given)


def is_whole(entry: Entry, digest: str | None, trials: int) -> bool:
    """Whether this is a finished evaluation of the same policy, of so many trials or more."""
    same = digest is not None and entry.get("digest") == digest
    return same and "unfinished" not in entry and entry["trials"] >= trials


def is_behind(entries: Sequence[Entry], name: str, digest: str, trials: int) -> bool:
    """Whether a command that goes on with an unfinished evaluation can pass this policy over, as it is finished."""
    entry = entry_of(entries, name)
    whole = is_whole(entry, digest, trials) and entry["trials"] == trials
    return whole and any("unfinished" in other for other in entries)
