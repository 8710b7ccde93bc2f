"""Stage `towers`: the two frozen towers as `save_pretrained` folders.

python -m flows.towers
"""

from components.config import Params
from components.data.tables import read_tables
from flows.paths import PREPARED, TOWERS
from flows.stage import main, stage


@stage
def towers() -> None:
    """Copy the towers of params.yaml, or download them from the hub; check them, and say what they can do."""
    from components.towers.build import build_towers

    metrics = build_towers(Params.load(), read_tables(PREPARED), TOWERS)
    print("Towers on val:", ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()))


if __name__ == "__main__":
    main(towers)
