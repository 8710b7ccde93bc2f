# The image of MLflow's server, Prefect's server and the worker, with the versions of constraints.txt.
#   docker build --tag clip-gpt2-captioner:cpu .
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

# PyPI has the CUDA build of torch, with CUDA's libraries; the CPU's, a tenth as large, is on PyTorch's own index.
ARG DEVICE=cpu
COPY constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    case "$DEVICE" in \
      cpu) pip install --constraint constraints.txt --no-deps --index-url https://download.pytorch.org/whl/cpu torch ;; \
      cuda) pip install --constraint constraints.txt --no-deps torch ;; \
      *) echo "DEVICE is '$DEVICE': cpu or cuda" >&2; exit 1 ;; \
    esac

# What .dockerignore lets in. The worker has a checkout mounted over it.
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --editable '.[servers]' \
    && useradd --create-home --uid 1000 captioner

USER 1000
