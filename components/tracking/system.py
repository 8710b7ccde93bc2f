"""System metrics of a training: processor, memory, disk, network, GPU, under the names that MLflow's UI draws
by itself.
"""

import logging
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.tracking.logger import RunLogger

SECONDS = 10.0


class SystemMetrics:
    """Samples every ten seconds (MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL) until `stop`.

    MLflow's own monitor asks the store before each sample and gives up for good when it does not answer; this
    one uses MLflow's probes but logs through the journal like everything else.
    """

    def __init__(self, run: "RunLogger"):
        self._run, self._stop = run, threading.Event()
        self._seconds = float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL") or SECONDS)
        self._probes = _probes()
        self._thread = threading.Thread(target=self._sample, name="system-metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after a last sample."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _sample(self) -> None:
        step, last = 0, False
        while not last:
            last = self._stop.wait(self._seconds)
            values = {}
            for probe in self._probes:
                probe.collect_metrics()
                values |= {f"system/{name}": value for name, value in probe.aggregate_metrics().items()}
                probe.clear_metrics()
            self._run.log_metrics(values, step)
            step += 1


def _probes() -> list:
    """The probes that work on this machine."""
    from mlflow.system_metrics.metrics import cpu_monitor, disk_monitor, gpu_monitor, network_monitor

    probes = [cpu_monitor.CPUMonitor(), disk_monitor.DiskMonitor(), network_monitor.NetworkMonitor()]
    try:
        probes.append(gpu_monitor.GPUMonitor())
    except Exception as error:  # no NVIDIA driver or not its Python package: RuntimeError, NVMLError, ...
        logging.getLogger(__name__).debug("no GPU metrics: %s", error)
    return probes
