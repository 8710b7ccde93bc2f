"""One file, one Prefect flow a stage. Quiet, local and offline, unless the user decided otherwise."""

import os
import sys

from components.program import bypass_proxies
from flows.server_address import running_server

bypass_proxies()
# Prefect and transformers read these when they are imported, which is after this.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
if not sys.stderr.isatty():  # the bars of libraries ("Loading weights") would fill a log
    os.environ.setdefault("TQDM_DISABLE", "1")
# captioner_plugin.py is for the `prefect` command; processes that Prefect starts cannot always start plugins.
os.environ.setdefault("PREFECT_PLUGINS_ENABLED", "false")
if url := running_server():
    os.environ.setdefault("PREFECT_API_URL", url)
