FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/liqmon
COPY requirements-image.lock .
RUN /opt/liqmon/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: \
    --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY streams streams
COPY tables tables
COPY agents agents
RUN /opt/liqmon/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/liqmon/bin/pip uninstall --yes setuptools pip

FROM python:3.13-slim
# The tables are the worker's own: each container gets its own volume here.
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/liqmon liqmon \
    && install --directory --owner liqmon --group liqmon /var/lib/liqmon
COPY --from=build /opt/liqmon /opt/liqmon
ENV PATH=/opt/liqmon/bin:$PATH PYTHONUNBUFFERED=1 DATA_DIR=/var/lib/liqmon WEB_HOST=0.0.0.0
WORKDIR /var/lib/liqmon
USER liqmon
VOLUME /var/lib/liqmon
EXPOSE 6066 6067
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, ssl, urllib.request as u; s = bool(os.getenv('WEB_TLS_CERTFILE')); u.urlopen('http' + 's' * s + '://127.0.0.1:6066/healthz', timeout=4, context=ssl._create_unverified_context() if s else None)"]
ENTRYPOINT ["liqmon"]
CMD ["worker"]
