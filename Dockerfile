# The image of the pipeline's steps on Kubeflow, for processors or, with CUDA in it, for GPUs (docs/kubeflow.md):
#   docker build -t kompakt:1 .
#   docker build -t kompakt:1-gpu --build-arg ACCELERATOR=gpu .
# A digest pins the base to the byte: --build-arg BASE=python:3.10.18-slim-bookworm@sha256:...
ARG BASE=python:3.10.18-slim-bookworm

FROM ${BASE} AS build
ARG ACCELERATOR=cpu
# pyfarmhash (of TFMA) has no wheel and is compiled.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements.lock requirements-cuda.lock requirements-tests.txt ./
RUN grep -vx '#.*' requirements-tests.txt | sed 's/.*/^&==/' > tests \
    && grep -vf tests requirements.lock > image.lock \
    && case "$ACCELERATOR" in \
         cpu) ;; \
         gpu) cat requirements-cuda.lock >> image.lock ;; \
         *) echo "ACCELERATOR is cpu or gpu" >&2; exit 1 ;; \
       esac \
    && python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --no-deps -r image.lock

FROM ${BASE}
# scikit-learn links libgomp.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home kompakt \
    # The launcher runs as this user and puts artifacts there.
    && install -d -m 1777 /minio /s3 /gcs \
    && install -d -o kompakt /mnt/kompakt
COPY --from=build /opt/venv /opt/venv

# No volume may be mounted here or above: it would hide the code (`compile` refuses it).
WORKDIR /opt/kompakt
COPY models models
COPY tuning tuning
COPY components components
COPY pipeline pipeline
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/kompakt PYTHONDONTWRITEBYTECODE=1 TF_CPP_MIN_LOG_LEVEL=2
USER 1000

# What the compiled pipeline calls as well.
ENTRYPOINT ["python", "-m", "pipeline.runners.kubeflow_entry"]
