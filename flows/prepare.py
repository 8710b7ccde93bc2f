"""Stage `prepare`: pictures and captions in one checked, canonical form.

python -m flows.prepare
"""

from components.config import Params
from components.data.prepare.prepare import prepare as prepare_data
from flows.paths import PREPARED, VALIDATION
from flows.stage import main, stage


@stage
def prepare() -> None:
    """Build the data set of params.yaml, check it and write it to data/prepared."""
    prepare_data(Params.load().data, out=PREPARED, report=VALIDATION.parent)


if __name__ == "__main__":
    main(prepare)
