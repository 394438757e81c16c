# The gateway and the worker, what trains models with other sites, the same on a GPU, and Orthanc with the plugin.
FROM debian:trixie-slim AS python
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv ca-certificates postgresql-client \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/senogate
COPY . .
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[gateway,inference,traces]"
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 SENOGATE_HOME=/var/lib/senogate SENOGATE_VIEWER=/opt/ohif
RUN python -m gateway.viewer.package --into /opt/ohif && python -m gateway.htmx
RUN useradd --system --uid 10001 senogate \
    && install -d -o senogate -m 0700 /var/lib/senogate /var/lib/senogate/secrets /var/lib/senogate/models /var/lib/senogate/spool /var/lib/senogate/audit /var/lib/senogate/federation /var/lib/senogate/measures /var/lib/senogate/cache /var/lib/senogate/upgrades /var/lib/senogate-private
USER 10001
ENTRYPOINT ["senogate"]

# The same with models that run on an NVIDIA GPU.
FROM python AS gpu
USER 0
RUN /opt/venv/bin/pip uninstall --yes onnxruntime \
    && /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[gpu]"
USER 10001

# The same with what trains models.
FROM python AS federation
USER 0
RUN /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0+cpu ".[federation]"
USER 10001

FROM orthancteam/orthanc:25.4.0 AS orthanc
COPY constraints.txt /opt/senogate/
RUN python3 -m pip install --no-cache-dir --break-system-packages --target /opt/senogate-python \
    --constraint /opt/senogate/constraints.txt cryptography isal 'psycopg[binary]' botocore
COPY archive /opt/senogate/archive
COPY deidentification /opt/senogate/deidentification
COPY orthanc_plugin /opt/senogate/orthanc_plugin
COPY orthanc.json /etc/orthanc/orthanc.json
COPY deploy/docker/orthanc.sh /senogate-orthanc
ENV PYTHONPATH=/opt/senogate-python:/opt/senogate
ENTRYPOINT ["/senogate-orthanc"]
CMD ["/tmp/orthanc.json"]
