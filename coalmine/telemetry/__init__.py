"""Traces by OpenTelemetry, exported by OTLP when its endpoint or a file is set; otherwise nothing of it is imported.

``spans`` is what the rest of the code uses and costs nothing while tracing is off; ``starting`` switches it on;
``interceptor`` carries a trace through Temporal; ``export`` decides what may leave the process; ``traces_file`` appends
it to a file. See docs/observability.md.
"""
