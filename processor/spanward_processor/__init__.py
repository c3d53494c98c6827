"""The Spanward processor: OTLP in, anomaly signals computed on the span stream, OTLP out.

Start reading at `pipeline.py`.
"""
