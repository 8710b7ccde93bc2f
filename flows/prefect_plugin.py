"""What this project adds to Prefect's command line, by its plugin mechanism (entry point `prefect.plugins`).

prefect deployment run train-caption

Prefect wants FLOW/DEPLOYMENT there, and looks for a server only where PREFECT_API_URL says. In this folder
NAME stands for NAME/NAME, and the server of `python -m flows.serve` is found. pyproject.toml enables plugins;
every `import prefect` in this folder runs the hook, so it does next to nothing.
"""

import functools
import sys
from pathlib import Path

from prefect.plugins import SetupResult, register_hook

from flows.server import running_server


@register_hook
def setup_environment(*, ctx) -> SetupResult | None:
    """Prefect's hook: the environment variables to add."""
    if not Path("flows/prefect_plugin.py").exists():  # another project in the same environment
        return None
    if "deployment" in sys.argv:
        try:
            accept_short_names()
        except (ImportError, AttributeError) as error:  # a Prefect that is different inside
            logger = ctx.logger_factory("prefect.plugins")
            logger.warning("Prefect %s wants FLOW/DEPLOYMENT: %s", ctx.prefect_version, error)
    url = ctx.api_url or running_server()
    # Not again in the processes that a command starts: some import Prefect where it cannot start plugins.
    return SetupResult(env={"PREFECT_PLUGINS_ENABLED": "false"} | ({"PREFECT_API_URL": url} if url else {}))


def accept_short_names() -> None:
    """Let `PrefectClient.read_deployment_by_name` take NAME for NAME/NAME."""
    from prefect.client.orchestration import PrefectClient

    original = PrefectClient.read_deployment_by_name

    @functools.wraps(original)
    def read_deployment_by_name(self, name: str, *args, **kwargs):
        return original(self, name if "/" in name else f"{name}/{name}", *args, **kwargs)

    PrefectClient.read_deployment_by_name = read_deployment_by_name
