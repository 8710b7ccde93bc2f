"""Lay profiles over params.yaml: what they name is changed, everything else and all comments stay.

    python -m flows.use_profile hub                                # profiles/hub.yaml: the full size
    python -m flows.use_profile hub coco data.folder=/data/coco    # several, and single keys
    git checkout params.yaml                                       # back

(Prefect puts this folder on the path: a `profile.py` here would stand in for the standard library's.)
"""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from components.config import Params, lay_over
from components.errors import UserError
from components.files import atomic_path
from components.program import command_line, main


def profile(*names: str, params: Path = Path("params.yaml")) -> None:
    """Lay profiles/NAME.yaml of each name, or the value of a KEY=VALUE, over the file `params`.

    Raises:
        UserError: there is no such profile, or what would come out is no valid params.yaml.
    """
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 1000
    # null as null, and not as nothing
    yaml.representer.add_representer(
        type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    values = yaml.load(params)
    for name in names:
        lay_over(values, _changes(name, yaml))
    with atomic_path(params) as path:
        yaml.dump(values, path)
        try:
            Params.load(path)
        except UserError as error:
            raise UserError(str(error).replace(str(path), f"{params} with {' '.join(names)}")) from None


def _changes(name: str, yaml: YAML) -> dict[str, Any]:
    """What a profile, or a KEY=VALUE, changes."""
    if "=" in name:
        key, _, value = name.partition("=")
        changes = yaml.load(value)
        for part in reversed(key.split(".")):
            changes = {part: changes}
        return changes
    file = Path("profiles") / f"{name}.yaml"
    if not file.exists():
        there = ", ".join(sorted(path.stem for path in file.parent.glob("*.yaml")))
        raise UserError(f"{file}: no such file. There are: {there or 'none; run from the project root'}.")
    return yaml.load(file)


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", help="of a file in profiles/, or KEY=VALUE")
    main(profile, *parser.parse_args().names)
