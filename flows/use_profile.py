"""Lay a profile over params.yaml: what it names is changed, everything else and all comments stay.

python -m flows.use_profile hub    # profiles/hub.yaml: the full size; back: git checkout params.yaml

(Prefect puts this folder on the path: a `profile.py` here would stand in for the standard library's.)
"""

from pathlib import Path

from ruamel.yaml import YAML

from components.config import Params, lay_over
from components.errors import UserError
from components.files import atomic_path
from components.program import command_line, main


def profile(name: str, params: Path = Path("params.yaml")) -> None:
    """Lay profiles/`name`.yaml over the file `params`.

    Raises:
        UserError: there is no such profile, or what would come out is no valid params.yaml.
    """
    changes = Path("profiles") / f"{name}.yaml"
    if not changes.exists():
        there = ", ".join(sorted(path.stem for path in changes.parent.glob("*.yaml")))
        raise UserError(f"{changes}: no such file. There are: {there or 'none; run from the project root'}.")
    Params.load(params, changes)
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 1000
    # null as null, and not as nothing
    yaml.representer.add_representer(
        type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    values = yaml.load(params)
    lay_over(values, yaml.load(changes))
    with atomic_path(params) as path:
        yaml.dump(values, path)


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("name", help="of a file in profiles/")
    main(profile, parser.parse_args().name)
