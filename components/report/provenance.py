"""What made the page."""

import platform
from datetime import UTC, datetime

from components.tracking.git import git_tags


def provenance(data: str) -> dict[str, str]:
    """Commit, data (their hash), date and machine."""
    tags = git_tags()
    commit = tags.get("mlflow.source.git.commit", "none")
    return {
        "commit": commit[:12] + (" (with uncommitted changes)" if tags.get("git.dirty") == "true" else ""),
        "data": data,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
