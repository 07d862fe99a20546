"""The benchmark that shows the chart's dashboard for Grafana as a picture.

The operator runs MLJobs for a few minutes, a Prometheus scrapes the operator, and the expressions of
the dashboard are evaluated by this Prometheus. No Grafana takes part: :mod:`.picture` draws the
panels. An expression that Prometheus refuses or that has no data, and a series without a name in the
legend, are errors.
"""
