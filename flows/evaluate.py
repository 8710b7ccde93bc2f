"""Stage `evaluate`: the test captions of one variant, their scores with intervals, and the baselines'.

python -m flows.evaluate mlp
"""

from collections.abc import Mapping

from components.config import Params, Variant
from components.data.tables import read_tables
from components.evaluation.bootstrap import Interval
from components.evaluation.results import MODEL, scored_how, written
from components.evaluation.scoring.degeneration import print_failure
from components.evaluation.scoring.metrics import METRICS
from components.tracking.names import HEADLINE, NOTE, logged_scores
from components.tracking.provenance import dataset_entry, tables_digest, weights_digest
from components.tracking.runs import open_variant_run
from flows.artifacts import evaluation_artifacts
from flows.features import open_features
from flows.paths import MODELS, PREPARED, RESULTS, SCORES, TOWERS, require_model, require_towers
from flows.stage import main, stage


@stage
def evaluate(variant: Variant) -> None:
    """Decode and score the test split; metrics go to results/ and into the variant's MLflow run."""
    from components.evaluation.variant import evaluate_variant

    params, tables = Params.load(), read_tables(PREPARED)
    require_towers()
    require_model(variant)
    evaluation = evaluate_variant(params, tables, open_features(params, tables), TOWERS, MODELS / variant)
    evaluation.write(RESULTS / variant)
    metrics = evaluation.metrics()
    with open_variant_run(
        variant,
        stage="evaluate",
        params=params.model_dump(by_alias=True),
        data=tables_digest(tables),
        weights=weights_digest(MODELS / variant),
        datasets=[dataset_entry(tables, "test")],
    ) as run:
        run.log_metrics(logged_scores(metrics))
        run.set_tags({NOTE: f"Test: {told(evaluation.intervals[MODEL])}."})
        run.made(results=RESULTS / variant)
        run.set_tags({"tokenizer": evaluation.language.tokenizer})
        if evaluation.degenerate:
            run.set_tags({"degenerate": evaluation.degenerate})
        for file in SCORES:
            run.log_artifact(RESULTS / variant / file, "test")
    evaluation_artifacts(variant, evaluation, tables.split("test").sample(12, params.seed), run.run_id)
    print(f"{variant}: test CIDEr {written('CIDEr', evaluation.intervals[MODEL]['CIDEr'])}")
    print(f"{variant}: {scored_how(metrics)}")
    print_failure(variant, evaluation.degenerate)


def told(scores: Mapping[str, Interval]) -> str:
    """The scores that a run's page begins with."""
    known = (name for name in HEADLINE if name in scores)
    return ", ".join(f"{METRICS[name].label} {written(name, scores[name])}" for name in known)


if __name__ == "__main__":
    main(evaluate)
