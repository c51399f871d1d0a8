# The image of the pipeline's steps on Kubeflow: docker build -t kompakt:latest .
FROM python:3.10-slim

# pyfarmhash (of TFMA) has no wheel and is compiled; scikit-learn links libgomp.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libgomp1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /kompakt
COPY requirements.lock .
RUN pip install --no-cache-dir --no-deps -r requirements.lock

COPY models models
COPY tuning tuning
COPY components components
COPY pipeline pipeline
ENV PYTHONPATH=/kompakt TF_CPP_MIN_LOG_LEVEL=2

# What the compiled pipeline calls as well; it hands TFX the mounted paths of object-store addresses.
ENTRYPOINT ["python", "-m", "pipeline.runners.kubeflow_entry"]
