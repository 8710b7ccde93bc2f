"""Which version is the champion: the best candidate, if it passes the gate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from components.registry.versions import CHALLENGER, CHAMPION, MODEL, version_at
from components.tracking.faults import friendly
from components.tracking.store import Store, connect

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion

# Among the artifacts of a run: what the next candidate is compared with.
SCORES = "test/per_image.parquet"


class Compared(Protocol):
    """An interval of the difference of two systems, as `components.evaluation.bootstrap.paired_bootstrap`
    gives it.
    """

    difference: float
    low: float
    high: float


Compare = Callable[..., Any]
"""(scores of a [n], scores of b [n]), the same images in the same order -> interval of a - b."""


@dataclass(frozen=True)
class Candidate:
    """A version that may become champion.

    Attributes:
        val_cider: CIDEr on the validation split: by it, and never by the test split, the best candidate is
        chosen.
        test_digest: hash of the test split, see `provenance.tables_digest`.
        scores: the evaluate stage's per-image table (columns image_id, system, CIDEr), read.
        problem: of `verify.reload_problem`; None if the version gave back the captions that were scored.
        degenerate: of `evaluation.degeneration`, on validation or test: such a version never gets an alias.
    """

    variant: str
    version: str
    run_id: str
    val_cider: float
    test_digest: str
    scores: "pd.DataFrame"
    problem: str | None
    degenerate: str | None = None

    def cider(self, system: str = "model") -> "pd.Series":
        """CIDEr by image_id."""
        rows = self.scores[self.scores["system"] == system]
        return rows.set_index("image_id")["CIDEr"]


@dataclass(frozen=True)
class Decision:
    """What became of a candidate, and why."""

    candidate: Candidate
    alias: str | None
    reason: str


def promote(candidates: Sequence[Candidate], compare: Compare, name: str = MODEL) -> list[Decision]:
    """Point @champion at the best candidate if it passes the gate, and @challenger at the best of the others.

    The gate: on the same test data it is not worse than the present champion by the paired bootstrap, it
    beats the blind baseline, and reloaded in a fresh process it captions as it was scored. Candidates whose
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
        decisions = _decide(ranked, champion, store, compare) if ranked else []
        decisions += [Decision(c, None, _why_never(c)) for c in candidates if c.degenerate]
        for decision in decisions:
            _write(store, decision, name)
    return decisions


def _decide(
    ranked: Sequence[Candidate], champion: "ModelVersion | None", store: Store, compare: Compare
) -> list[Decision]:
    """The best is champion, or challenger where it does not pass the gate; if it does, the next one is."""
    best, *others = ranked
    failed = _gate(best, champion, store, compare)
    aliases = [CHALLENGER if failed else CHAMPION, None if failed else CHALLENGER]
    reasons = [failed or _why_champion(best, champion), *(_why_not(other, best) for other in others)]
    return [Decision(*row) for row in zip_longest(ranked, aliases[: len(ranked)], reasons)]


def _gate(best: Candidate, champion: "ModelVersion | None", store: Store, compare: Compare) -> str | None:
    """Why `best` must not be champion; None if it may."""
    if best.problem:
        return best.problem
    blind = compare(*_paired(best.cider(), best.cider("blind")))
    if blind.low <= 0:
        return f"it does not beat the blind baseline: CIDEr {_signed(blind)}"
    if champion is None or str(champion.version) == best.version:
        return None
    tested = champion.tags.get("test_data")
    if tested != best.test_digest:
        return (
            f"the champion, version {champion.version}, was tested on other data ({tested}, here "
            f"{best.test_digest}), so they cannot be compared. To begin anew with it, delete the alias "
            f"{CHAMPION} (in the UI or by MlflowClient().delete_registered_model_alias) and register again"
        )
    held = scores_of_run(champion.run_id, store)
    if held is None:
        return f"the champion's test scores are gone: run {champion.run_id} has no {SCORES}"
    difference = compare(
        *_paired(best.cider(), held[held["system"] == "model"].set_index("image_id")["CIDEr"])
    )
    if difference.high < 0:
        return f"it is worse than the champion, version {champion.version}: CIDEr {_signed(difference)}"
    return None


def _paired(a: "pd.Series", b: "pd.Series") -> tuple["np.ndarray", "np.ndarray"]:
    """Both in the order of a's images."""
    return a.to_numpy(), b.reindex(a.index).to_numpy()


def scores_of_run(run_id: str, store: Store) -> "pd.DataFrame | None":
    """The per-image table that the evaluate stage left with a run."""
    import tempfile

    import pandas as pd
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as scratch:
        try:
            path = store.client.download_artifacts(run_id, SCORES, scratch)
            return pd.read_parquet(Path(path))
        except (MlflowException, OSError):
            return None


def _why_champion(best: Candidate, champion: "ModelVersion | None") -> str:
    against = "there was none before"
    if champion is not None:
        same = str(champion.version) == best.version
        against = "as before" if same else f"not worse than version {champion.version}, the champion so far"
    return (
        f"best validation CIDEr ({best.val_cider:.3f}), beats blind, reloads to the same captions; {against}"
    )


def _why_never(failed: Candidate) -> str:
    return " ".join(filter(None, (failed.degenerate, failed.problem)))


def _why_not(other: Candidate, best: Candidate) -> str:
    return f"validation CIDEr {other.val_cider:.3f}, below the {best.val_cider:.3f} of {best.variant}"


def _signed(difference: Compared) -> str:
    return f"{difference.difference:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"


def _write(store: Store, decision: Decision, name: str) -> None:
    """Alias and reasons."""
    version, verdict = decision.candidate.version, decision.alias or "no alias"
    if decision.alias:
        store.client.set_registered_model_alias(name, decision.alias, version)
    store.client.set_model_version_tag(name, version, "gate", f"{verdict}: {decision.reason}")
    run_id, told = decision.candidate.run_id, f"version {version}, {verdict}: {decision.reason}"
    store.client.set_tag(run_id, "registry", told)
    store.client.set_tag(run_id, "mlflow.note.content", f"Registered as {name} {told}.")
    if decision.alias == CHAMPION:
        held = version_at(store, CHALLENGER, name)
        if held is not None and str(held.version) == version:
            store.client.delete_registered_model_alias(name, CHALLENGER)
