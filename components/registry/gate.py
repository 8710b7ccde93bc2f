"""Which version is the champion: the best candidate, if it passes the gate."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.evaluation.bootstrap import Difference, paired_bootstrap
from components.evaluation.results import rows_of
from components.evaluation.scoring.language import PTB
from components.files import atomic_path
from components.registry.versions import CHALLENGER, CHAMPION, MODEL, read_artifact, version_at
from components.tracking.faults import friendly
from components.tracking.names import NOTE
from components.tracking.store import Store, connect

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion

REGISTERED = "Registered as"

# Among the artifacts of a run: what the next candidate is compared with.
SCORES = "test/per_image.parquet"


@dataclass(frozen=True)
class Candidate:
    """A version that may become champion.

    Attributes:
        val_cider: CIDEr on the validation split: by it, and never by the test split, the best candidate is
        chosen.
        test_digest: hash of the test split, see `provenance.tables_digest`.
        scores: the evaluate stage's per-image table (columns image_id, system, CIDEr), read.
        problem: of `reload.reload_problem`; None if the version, loaded elsewhere, captions as the model.
        degenerate: of `scoring.degeneration`, on validation or test: such a version never gets an alias.
        tokenizer: that the scores rest on, see `results.tokenizer`.
    """

    variant: str
    version: str
    run_id: str
    val_cider: float
    test_digest: str
    scores: "pd.DataFrame"
    problem: str | None
    degenerate: str | None = None
    tokenizer: str = PTB


@dataclass(frozen=True)
class Decision:
    """What became of a candidate, and why."""

    candidate: Candidate
    alias: str | None
    reason: str


def promote(candidates: Sequence[Candidate], name: str = MODEL) -> list[Decision]:
    """Point @champion at the best candidate if it passes the gate, and @challenger at the best of the others.

    The gate: on the same test data it is not worse than the present champion by the paired bootstrap, it
    beats the blind baseline, and reloaded in a fresh process it captions as before. Candidates whose
    captions are degenerate are not considered. Aliases are set, and each reason is written to the version
    (tag `gate`) and to its run (tag `registry`).

    Raises:
        UserError: the store cannot be reached.
    """
    with friendly(f"Choosing the champion of {name}"):
        store = connect()
        champion = version_at(store, CHAMPION, name)
        sound = [candidate for candidate in candidates if not candidate.degenerate]
        ranked = sorted(sound, key=lambda candidate: -candidate.val_cider)
        decisions = list(_decide(ranked, champion, store)) if ranked else []
        decisions += [
            Decision(failed, None, " ".join(filter(None, (failed.degenerate, failed.problem))))
            for failed in candidates
            if failed.degenerate
        ]
        for decision in decisions:
            _write(store, decision, name)
    return decisions


def _decide(ranked: Sequence[Candidate], champion: "ModelVersion | None", store: Store) -> Iterator[Decision]:
    """The best is champion, or challenger where it does not pass the gate; if it does, the next one is."""
    best, *others = ranked
    passed, why = _gate(best, champion, store)
    yield Decision(best, CHAMPION if passed else CHALLENGER, why)
    for rank, other in enumerate(others):
        alias = CHALLENGER if passed and rank == 0 else None
        yield Decision(other, alias, _below(other, best))


def _below(other: Candidate, best: Candidate) -> str:
    """With as many decimals as tell the two apart."""
    digits = next((n for n in (3, 6) if round(other.val_cider, n) != round(best.val_cider, n)), 9)
    own, first = (f"{candidate.val_cider:.{digits}f}" for candidate in (other, best))
    if own == first:
        return f"validation CIDEr {other.val_cider:.3f}, as that of {best.variant}, which stands before it"
    return f"validation CIDEr {own}, below the {first} of {best.variant}"


def _gate(best: Candidate, champion: "ModelVersion | None", store: Store) -> tuple[bool, str]:
    """May `best` be champion, and why?"""
    if best.problem:
        return False, best.problem
    blind = _compare(best.scores, best.scores, "blind")
    if blind.low <= 0:
        return False, "it does not beat the blind baseline: CIDEr {} ({})".format(*blind.text())
    good = f"best validation CIDEr ({best.val_cider:.3f}), beats blind, reloads to the same captions"
    if champion is None:
        return True, f"{good}; there was none before"
    if str(champion.version) == best.version:
        return True, f"{good}; as before"
    for key, ours, what in (
        ("test_data", best.test_digest, "tested on other data"),
        ("tokenizer", best.tokenizer, "scored by another tokenizer"),
    ):
        theirs = champion.tags.get(key, PTB if key == "tokenizer" else None)
        if theirs != ours:
            return False, (
                f"the champion, version {champion.version}, was {what} ({theirs}, here {ours}), so they "
                f"cannot be compared. To begin anew with it, delete the alias {CHAMPION} (in the UI or by "
                "MlflowClient().delete_registered_model_alias) and register again"
            )
    held = scores_of_run(champion.run_id, store)
    if held is None:
        gone = f"its run has no {SCORES}"
        return False, f"the test scores of the champion, version {champion.version}, are gone: {gone}"
    difference = _compare(best.scores, held)
    if difference.high < 0:
        found = "CIDEr {} ({})".format(*difference.text())
        return False, f"it is worse than the champion, version {champion.version}: {found}"
    return True, f"{good}; not worse than version {champion.version}, the champion so far"


def _compare(ours: "pd.DataFrame", theirs: "pd.DataFrame", system: str = "model") -> Difference:
    """CIDEr of our model and of their `system`, paired by image."""
    a, b = rows_of(ours)["CIDEr"], rows_of(theirs, system)["CIDEr"]
    return paired_bootstrap(a.to_numpy(), b.reindex(a.index).to_numpy())


def scores_of_run(run_id: str, store: Store) -> "pd.DataFrame | None":
    """The per-image table that the evaluate stage left with a run."""
    import pandas as pd

    content = read_artifact(store, run_id, SCORES)
    return None if content is None else pd.read_parquet(io.BytesIO(content))


def _write(store: Store, decision: Decision, name: str) -> None:
    """Alias and reasons."""
    version, verdict = decision.candidate.version, decision.alias or "no alias"
    if decision.alias:
        store.client.set_registered_model_alias(name, decision.alias, version)
    store.client.set_model_version_tag(name, version, "gate", f"{verdict}: {decision.reason}")
    run_id, told = decision.candidate.run_id, f"version {version}, {verdict}: {decision.reason}"
    store.client.set_tag(run_id, "registry", told)
    known = store.client.get_run(run_id).data.tags.get(NOTE, "").partition(REGISTERED)[0].strip()
    store.client.set_tag(run_id, NOTE, f"{known}\n\n{REGISTERED} {name} {told}.".strip())
    if decision.alias == CHAMPION:
        held = version_at(store, CHALLENGER, name)
        if held is not None and str(held.version) == version:
            store.client.delete_registered_model_alias(name, CHALLENGER)


def write_decisions(decisions: Sequence[Decision], path: str | Path) -> dict[str, dict[str, object]]:
    """Write registry.json, and return what is in it: variant -> version, alias, CIDEr, reason."""
    rows = {
        decision.candidate.variant: {
            "version": int(decision.candidate.version),
            "alias": decision.alias,
            "val_CIDEr": decision.candidate.val_cider,
            "reason": decision.reason,
        }
        for decision in decisions
    }
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return rows
