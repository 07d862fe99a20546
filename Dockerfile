# The operator's image, and with --target view that of the live view. Each has two stages: pip and the build back-end
# stay behind in the first.

FROM python:3.11-slim AS build
WORKDIR /src

# The locked, hash-checked dependencies come first: they change seldom, so this layer is mostly cached.
# EXTRAS=msk adds AWS's library for Amazon MSK with IAM, and EXTRAS=tracing OpenTelemetry's for traces. EXTRAS="msk tracing" adds both.
ARG EXTRAS=
COPY requirements/build.txt requirements/operator.txt requirements/msk.txt requirements/tracing.txt requirements/
RUN python -m venv /opt/mljob-operator \
 && for lock in operator $EXTRAS; do \
      /opt/mljob-operator/bin/pip install --no-cache-dir --require-hashes --no-deps --requirement requirements/$lock.txt || exit 1; \
    done \
 && pip install --no-cache-dir --require-hashes --no-deps --requirement requirements/build.txt

# The wheels are built with the locked back-end of this stage's own Python, and without a network.
COPY LICENSE LICENSE
COPY contract contract
COPY operator operator
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir wheels ./contract ./operator \
 && /opt/mljob-operator/bin/pip install --no-cache-dir --no-deps --no-index wheels/*.whl \
 && /opt/mljob-operator/bin/pip uninstall --yes pip setuptools


# The image of the live view: docker build --target view. It has neither the operator nor its libraries.
FROM python:3.11-slim AS build-view
WORKDIR /src
COPY requirements/build.txt requirements/client.txt requirements/
RUN python -m venv /opt/mljob-view \
 && /opt/mljob-view/bin/pip install --no-cache-dir --require-hashes --no-deps --requirement requirements/client.txt \
 && pip install --no-cache-dir --require-hashes --no-deps --requirement requirements/build.txt
COPY LICENSE LICENSE
COPY contract contract
COPY client client
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir wheels ./contract ./client \
 && /opt/mljob-view/bin/pip install --no-cache-dir --no-deps --no-index wheels/*.whl \
 && /opt/mljob-view/bin/pip uninstall --yes pip setuptools


FROM python:3.11-slim AS view
COPY --from=build-view /opt/mljob-view /opt/mljob-view
ENV PATH=/opt/mljob-view/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
CMD ["python", "-m", "mljob.view"]


FROM python:3.11-slim
COPY --from=build /opt/mljob-operator /opt/mljob-operator
ENV PATH=/opt/mljob-operator/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# A number, so that a cluster can see that it is not root without knowing the image's users.
USER 65532:65532
WORKDIR /tmp
# The operator: 8080. mljob-api (python -m mljob_operator.api): 6443, and 8081 for its probes.
EXPOSE 8080 6443 8081
CMD ["python", "-m", "mljob_operator"]
