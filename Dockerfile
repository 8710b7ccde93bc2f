# The image of MLflow's server, Prefect's server and the worker, with the versions of constraints.txt.
#   docker build --tag clip-gpt2-captioner:cpu --build-arg TORCH_INDEX=... .
#   docker build --tag clip-gpt2-captioner:cuda --build-arg DEVICE=cuda .
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

# git: for DVC, and for the commit that a run was made from
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /project
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# PyPI has the CUDA build of torch, with CUDA's libraries, which works on a CPU, too. The CPU's, a tenth as large, is on
# PyTorch's own index: TORCH_INDEX is the address that its page "Get started" names for pip and CPU.
ARG DEVICE=cpu
ARG TORCH_INDEX=
COPY constraints.txt ./
RUN case "$DEVICE" in \
      cpu) PIP_INDEX_URL="$TORCH_INDEX" pip install --no-cache-dir --constraint constraints.txt --no-deps torch ;; \
      cuda) pip install --no-cache-dir --constraint constraints.txt --no-deps torch ;; \
      *) echo "DEVICE is '$DEVICE': cpu or cuda" >&2; exit 1 ;; \
    esac

# What .dockerignore lets in. The worker has a checkout mounted over it.
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt --editable '.[servers]' \
    && useradd --create-home --uid 1000 captioner

USER 1000
