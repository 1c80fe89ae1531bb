# One image for the code server, the webservers, the daemon and the emulators; docker-compose.yaml says what each runs.
FROM python:3.11.14-slim-bookworm AS build

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# Without pip: the services install nothing.
RUN python -m venv --without-pip /opt/taxi
# Before the code, so that this layer, a minute of installing, stays while only code changes. Every
# dependency is a wheel: no compiler is needed.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip --python /opt/taxi/bin/python install --only-binary=:all: -c constraints.txt '.[emulators,kubernetes,models,reports,workers]'
COPY taxi_assets taxi_assets
# Forced, because the version that the layer above installed without code has the same number.
RUN pip --python /opt/taxi/bin/python install --no-deps --force-reinstall .


FROM python:3.11.14-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PATH=/opt/taxi/bin:$PATH \
    DAGSTER_HOME=/opt/dagster
# Named volumes take their owner from the folder that they are first mounted over. The number is that of a
# server's first user, who can then let the containers read a key file that nobody else can read.
RUN useradd --uid 1000 --create-home taxi \
    && install -d -o taxi -g taxi /var/lib/taxi /var/lib/dagster /var/lib/storage /var/lib/bigquery
COPY --from=build /opt/taxi /opt/taxi
# The instance's configuration belongs to the code that it was tested with, and is not for the services to write.
COPY dagster.yaml deploy/compose/workspace.yaml /opt/dagster/
WORKDIR /opt/dagster
USER taxi
# What a container of it alone does, in Kubernetes for instance; compose says the others'.
EXPOSE 4000
CMD ["dagster", "api", "grpc", "-m", "taxi_assets.definitions", "-h", "0.0.0.0", "-p", "4000"]
HEALTHCHECK --interval=60s --timeout=30s --retries=3 --start-period=180s \
    CMD ["dagster", "api", "grpc-health-check", "-p", "4000"]
