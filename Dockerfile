# The core: it reads logs, compares and reports. No torch, no lm_eval, no base model.
#
#   docker build --tag lm-eval-consistency .
#   docker run --rm --network none --user "$(id -u):$(id -g)" --volume "$PWD:/work" lm-eval-consistency \
#     compare logs/before logs/after --out report
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .
RUN python scripts/split_wheel.py /wheels/lm_eval_consistency-*.whl --out /wheels/split
RUN python -m venv /opt/consistency
RUN /opt/consistency/bin/pip install --no-cache-dir --constraint constraints.txt /wheels/split/lm_eval_consistency-*.whl

FROM python:3.11.14-slim-bookworm
COPY --from=build /opt/consistency /opt/consistency
# Under --user the home folder may not be writable.
ENV PATH="/opt/consistency/bin:$PATH" MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --uid 1000 --no-create-home consistency
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["consistency"]
CMD ["--help"]
