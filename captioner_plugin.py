"""What this project adds to Prefect's command line, by its plugin mechanism (entry point `prefect.plugins`).

prefect deployment run train-caption

Prefect wants FLOW/DEPLOYMENT there, and looks for a server only where PREFECT_API_URL says. In the project
root NAME stands for NAME/NAME, and the server of `python -m flows.prefect_server` is found. pyproject.toml
enables plugins; every `prefect` command there runs the hook, so it does next to nothing, and nothing
elsewhere.
"""

import functools
import sys
from pathlib import Path

from prefect.plugins import register_hook


@register_hook
def setup_environment(*, ctx) -> None:
    """Prefect's hook."""
    if not Path("captioner_plugin.py").exists():  # another project in the same Python environment
        return
    import flows  # noqa: F401  sets the environment of this project

    if "deployment" in sys.argv:
        try:
            accept_short_names()
        except (ImportError, AttributeError) as error:  # a Prefect that is different inside
            logger = ctx.logger_factory("prefect.plugins")
            logger.warning("Prefect %s wants FLOW/DEPLOYMENT: %s", ctx.prefect_version, error)


def accept_short_names() -> None:
    """Let `PrefectClient.read_deployment_by_name` take NAME for NAME/NAME."""
    from prefect.client.orchestration import PrefectClient

    original = PrefectClient.read_deployment_by_name

    @functools.wraps(original)
    def read_deployment_by_name(self, name: str, *args, **kwargs):
        return original(self, name if "/" in name else f"{name}/{name}", *args, **kwargs)

    PrefectClient.read_deployment_by_name = read_deployment_by_name
