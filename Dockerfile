# The gateway and the worker, and Orthanc with what the plugin imports.
FROM debian:trixie-slim AS python
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/senogate
COPY . .
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[gateway,inference]"
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 SENOGATE_HOME=/var/lib/senogate SENOGATE_VIEWER=/opt/ohif
RUN python -m gateway.viewer.package --into /opt/ohif
RUN useradd --system --uid 10001 senogate \
    && install -d -o senogate -m 0700 /var/lib/senogate /var/lib/senogate/secrets /var/lib/senogate/models /var/lib/senogate/spool /var/lib/senogate/audit /var/lib/senogate-private
USER senogate
ENTRYPOINT ["senogate"]

FROM orthancteam/orthanc:25.6.0 AS orthanc
COPY constraints.txt /opt/senogate/
RUN python3 -m pip install --no-cache-dir --break-system-packages --target /opt/senogate-python \
    --constraint /opt/senogate/constraints.txt cryptography isal 'psycopg[binary]'
COPY archive /opt/senogate/archive
COPY deidentification /opt/senogate/deidentification
COPY orthanc_plugin /opt/senogate/orthanc_plugin
ENV PYTHONPATH=/opt/senogate-python:/opt/senogate
