"""System metrics of a training: processor, memory, disk, network, GPU, named as MLflow's UI draws them."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.tracking.logger import VariantRun

SECONDS = 10.0


@contextmanager
def system_metrics(run: "VariantRun") -> Iterator[None]:
    """Sample every ten seconds (MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL), and once at the end.

    MLflow's own monitor asks the store before each sample and gives up for good when it does not answer; here
    its probes are logged through the journal like everything else.
    """
    seconds = float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL") or SECONDS)
    probes, stop = _probes(), threading.Event()

    def sample() -> None:
        for step in count():
            last = stop.wait(seconds)
            values = {}
            for probe in probes:
                probe.collect_metrics()
                values |= {f"system/{name}": value for name, value in probe.aggregate_metrics().items()}
                probe.clear_metrics()
            run.log_metrics(values, step)
            if last:
                return

    thread = threading.Thread(target=sample, name="system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)


def _probes() -> list:
    """The probes that work on this machine."""
    from mlflow.system_metrics.metrics import cpu_monitor, disk_monitor, gpu_monitor, network_monitor

    probes = [cpu_monitor.CPUMonitor(), disk_monitor.DiskMonitor(), network_monitor.NetworkMonitor()]
    try:
        probes.append(gpu_monitor.GPUMonitor())
    except Exception as error:  # no NVIDIA driver or not its Python package: RuntimeError, NVMLError, ...
        logging.getLogger(__name__).debug("no GPU metrics: %s", error)
    return probes
