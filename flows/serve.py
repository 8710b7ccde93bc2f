"""A registered captioner as a web service: `mlflow models serve` in this environment.

python -m flows.serve                                          # the champion, http://127.0.0.1:5001/invocations
python -m flows.serve models:/clip-gpt2-captioner/3 --port 8000

    curl http://127.0.0.1:5001/invocations -H 'Content-Type: application/json' \\
         -d "{\\"inputs\\": [\\"$(base64 -w0 picture.png)\\"]}"
"""

import os
import sys

from components.program import command_line, main
from components.registry.versions import pinned
from components.tracking.store import tracking_uri
from flows.caption import champion


def serve(model: str | None, host: str, port: int) -> None:
    """Become MLflow's server of `model`, by default the champion.

    Raises:
        UserError: there is no such version.
    """
    version = pinned(model or champion())
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()
    address = ["--host", host, "--port", str(port)]
    command = ["-m", "mlflow", "models", "serve", "--model-uri", version, "--env-manager", "local", *address]
    print(f"{version} answers at http://{host}:{port}/invocations until Ctrl-C.", file=sys.stderr, flush=True)
    os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("model", nargs="?", help="models:/NAME/VERSION or models:/NAME@ALIAS; the champion")
    parser.add_argument("--host", default="127.0.0.1", help="(%(default)s)")
    parser.add_argument("--port", type=int, default=5001, help="(%(default)s)")
    options = parser.parse_args()
    main(serve, options.model, options.host, options.port)
